package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func TestReachedSaysWhoAndFromWhere(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			a := newApp(t, network, 1)
			began := time.Now()
			cell := observeOne(t, Request{Target: target(a.address, reach.TCP)})
			o := cell.Observations[0]
			if len(cell.Observations) != 1 || o.Outcome != reach.Reached || o.Backend != "my-app-0" || o.Source != a.address.Addr() {
				t.Errorf("got %+v", cell.Observations)
			}
			if o.Latency <= 0 || o.At.Before(began.Round(0)) || o.At.Add(o.Latency).After(time.Now()) {
				t.Errorf("latency %v, at %v", o.Latency, o.At)
			}
		})
	}
}

func TestEachProbeIsOneNewConnection(t *testing.T) {
	a := newApp(t, "tcp4", 100)
	cell := observeOne(t, Request{Target: target(a.address, reach.TCP), Min: 7})
	backends := map[string]bool{}
	for _, o := range cell.Observations {
		backends[o.Backend] = true
	}
	if len(cell.Observations) != 7 || a.connections.Load() != 7 || len(backends) != 7 {
		t.Errorf("%d observations of %d backends by %d connections, want 7 of each", len(cell.Observations), len(backends), a.connections.Load())
	}
}

func TestUntilEveryBackendAnswered(t *testing.T) {
	a := newApp(t, "tcp4", 5)
	until := []string{"my-app-0", "my-app-4"}
	if cell := observeOne(t, Request{Target: target(a.address, reach.TCP), Min: 2, Max: 50, Until: until}); len(cell.Observations) != 5 {
		t.Errorf("%d connections until the fifth backend answered", len(cell.Observations))
	}
	if cell := observeOne(t, Request{Target: target(a.address, reach.TCP), Max: 9, Until: []string{"nobody"}}); len(cell.Observations) != 9 {
		t.Errorf("%d connections, at most 9 were allowed", len(cell.Observations))
	}
	// Two of five take turns, so that none of them is favoured: that is known after a few more connections.
	if cell := observeOne(t, Request{Target: target(a.address, reach.TCP), Min: 8, Max: 500, Until: until, Even: true}); len(cell.Observations) <= 8 || len(cell.Observations) > 60 {
		t.Errorf("%d connections until it is known that none is favoured", len(cell.Observations))
	}
	if cell := observeOne(t, Request{Target: target(closedPort(t), reach.TCP), Max: 20, Until: until, Patient: true}); len(cell.Observations) != 20 {
		t.Errorf("%d connections to a closed port, want 20", len(cell.Observations))
	}
	// A blocked cell gets Min connections, not Max.
	if cell := observeOne(t, Request{Target: target(closedPort(t), reach.TCP), Max: 50, Until: until}); len(cell.Observations) != 3 {
		t.Errorf("%d connections to a closed port, want 3", len(cell.Observations))
	}
	if cell := observeOne(t, Request{Target: target(closedPort(t), reach.TCP), Min: 8, Max: 50, Until: until}); len(cell.Observations) != 8 {
		t.Errorf("%d connections to a closed port, want 8", len(cell.Observations))
	}
}

func TestOutcomesOfTCP(t *testing.T) {
	read := func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1024)) }
	answering := func(text string) netip.AddrPort {
		return accept(t, func(conn net.Conn) {
			read(conn)
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		})
	}
	unresponsive := accept(t, func(net.Conn) {})
	wait := 250 * time.Millisecond
	for name, test := range map[string]struct {
		address netip.AddrPort
		form    Form
		want    reach.Outcome
		detail  string
	}{
		"closed port":        {closedPort(t), "", reach.Refused, "connection refused"},
		"accepts, no answer": {unresponsive, "", reach.TimedOut, "connected, but no answer came"},
		"TLS, no answer":     {unresponsive, OutsideHTTPS, reach.TimedOut, "connected, but no answer came"},
		"closes at once":     {accept(t, func(conn net.Conn) { _ = conn.Close() }), "", reach.WrongAnswer, "connected, but no answer came"},
		"resets": {accept(t, func(conn net.Conn) {
			read(conn)
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}), "", reach.WrongAnswer, "reset"},
		"not HTTP":           {answering("SSH-2.0-OpenSSH_9.2\r\n"), "", reach.WrongAnswer, "SSH-2.0-OpenSSH_9.2"},
		"half an answer":     {answering("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nmy-app"), "", reach.WrongAnswer, "my-app"},
		"another web server": {answering("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"), "", reach.WrongAnswer, "status 404"},
		"HTML":               {answering("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"), "", reach.WrongAnswer, "<html>"},
		"one answer only":    {answering("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nmy-app-0"), "", reach.WrongAnswer, "/hostname said my-app-0"},
		"no keep-alive":      {answering("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nmy-app-0"), "", reach.WrongAnswer, "closed the connection after /hostname"},
		"plain text for TLS": {answering("HTTP/1.1 400 Bad Request\r\n\r\n"), OutsideHTTPS, reach.WrongAnswer, "TLS"},
		"app for outside":    {newApp(t, "tcp4", 1).address, OutsideHTTP, reach.WrongAnswer, "status 404"},
		"app for health":     {newApp(t, "tcp4", 1).address, HealthCheck, reach.WrongAnswer, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cell := observeOne(t, Request{Target: target(test.address, reach.TCP), Form: test.form, Timeout: wait})
			if o := cell.Observations[0]; o.Outcome != test.want || !strings.Contains(o.Detail, test.detail) {
				t.Errorf("got %s (%s), want %s (%s)", o.Outcome, o.Detail, test.want, test.detail)
			}
		})
	}
}

func TestDroppedSYN(t *testing.T) {
	o := observeOne(t, Request{Target: target(fullBacklog(t), reach.TCP), Timeout: 250 * time.Millisecond}).Observations[0]
	if o.Outcome != reach.TimedOut || strings.Contains(o.Detail, "connected") {
		t.Errorf("got %s (%s)", o.Outcome, o.Detail)
	}
}

func TestSlowAnswerWithinTheTimeout(t *testing.T) {
	address := accept(t, func(conn net.Conn) {
		buffer := make([]byte, 1024)
		for _, body := range []string{"my-app-0", "127.0.0.1:5"} {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			for _, piece := range []string{"HTTP/1.1 200 OK\r\n", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), body} {
				time.Sleep(30 * time.Millisecond)
				_, _ = io.WriteString(conn, piece)
			}
		}
	})
	o := observeOne(t, Request{Target: target(address, reach.TCP)}).Observations[0]
	if o.Outcome != reach.Reached || o.Latency < 180*time.Millisecond {
		t.Errorf("got %s (%s) after %v", o.Outcome, o.Detail, o.Latency)
	}
	o = observeOne(t, Request{Target: target(address, reach.TCP), Timeout: 120 * time.Millisecond}).Observations[0]
	if o.Outcome != reach.TimedOut || o.Backend != "" && o.Backend != "my-app-0" {
		t.Errorf("cut short: got %+v", o)
	}
}

func TestOutcomesOfUDP(t *testing.T) {
	honest := func(question string, client net.Addr) string {
		if question == "hostname" {
			return "my-app-0"
		}
		return client.String()
	}
	for name, test := range map[string]struct {
		address netip.AddrPort
		want    reach.Outcome
		detail  string
	}{
		"answers":     {datagrams(t, honest), reach.Reached, ""},
		"closed port": {closedPort(t), reach.Refused, "connection refused"},
		"no answer":   {datagrams(t, func(string, net.Addr) string { return "" }), reach.TimedOut, "i/o timeout"},
		"echoes":      {datagrams(t, func(string, net.Addr) string { return "<hostname>" }), reach.WrongAnswer, "<hostname>"},
		"no source": {datagrams(t, func(q string, _ net.Addr) string {
			return map[string]string{"hostname": "my-app-0", "clientip": "you"}[q]
		}),
			reach.WrongAnswer, `clientip was answered "you"`},
		"one answer": {datagrams(t, func(q string, _ net.Addr) string { return map[string]string{"hostname": "my-app-0"}[q] }),
			reach.TimedOut, "hostname was answered by my-app-0, clientip was not"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cell := observeOne(t, Request{Target: target(test.address, reach.UDP), Timeout: 250 * time.Millisecond})
			o := cell.Observations[0]
			if o.Outcome != test.want || !strings.Contains(o.Detail, test.detail) {
				t.Errorf("got %s (%s), want %s (%s)", o.Outcome, o.Detail, test.want, test.detail)
			}
			if test.want == reach.Reached && (o.Backend != "my-app-0" || o.Source != netip.MustParseAddr("127.0.0.1")) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestFamilyOfAnAddress(t *testing.T) {
	a := newApp(t, "tcp4", 1)
	o := observeOne(t, Request{Target: target(a.address, reach.TCP), Family: 6}).Observations[0]
	if o.Outcome != reach.ProbeFailed || !strings.Contains(o.Detail, "not an IPv6 address") {
		t.Errorf("got %+v", o)
	}
}

func TestOneCellPerRequestInOrder(t *testing.T) {
	one, two := newApp(t, "tcp4", 1), closedPort(t)
	unusable := reach.Vantage{Name: "node/worker", Kind: reach.Node, Unusable: "svclab has no shell on this node"}
	sctp := target(two, reach.SCTP)
	cells, err := New(&Local{}).Observe(t.Context(), []Request{
		{Vantage: here(), Target: target(two, reach.TCP)},
		{Vantage: unusable, Target: target(one.address, reach.TCP)},
		{Vantage: here(), Target: target(one.address, reach.TCP)},
		{Vantage: here(), Target: sctp},
		{Vantage: reach.Vantage{Name: "pod/worker", Kind: reach.Pod}, Target: target(one.address, reach.TCP)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []reach.Outcome{reach.Refused, reach.Unprobed, reach.Reached, reach.Unprobed, reach.Reached}
	for i, cell := range cells {
		if cell.Observations[0].Outcome != want[i] {
			t.Errorf("cell %d: %+v, want %s", i, cell.Observations, want[i])
		}
	}
	if got := cells[1].Observations[0].Detail; got != unusable.Unusable {
		t.Errorf("the reason became %q", got)
	}
	if ok, unprobed, _ := cells[3].Probed(); ok || !strings.Contains(unprobed, "TCP and UDP only") {
		t.Errorf("SCTP: %q", unprobed)
	}
	if one.connections.Load() != 2 {
		t.Errorf("%d connections, want 2: an unusable vantage must not send requests", one.connections.Load())
	}
}

// strict refuses to copy the prober to an unusable vantage, as package cluster does.
type strict struct{ Local }

func (s *strict) Prober(ctx context.Context, v reach.Vantage) (string, error) {
	if v.Unusable != "" {
		return "", errors.New(v.Unusable)
	}
	return s.Local.Prober(ctx, v)
}

// A vantage that is unusable for one request, the first, is used for the others.
func TestARefusedRequestDoesNotRefuseItsVantage(t *testing.T) {
	app := newApp(t, "tcp4", 1)
	withheld := here()
	withheld.Unusable = "that packet could leave the cluster"
	cells, err := New(&strict{}).Observe(t.Context(), []Request{
		{Vantage: withheld, Target: target(app.address, reach.TCP)}, {Vantage: here(), Target: target(app.address, reach.TCP)}})
	if err != nil {
		t.Fatal(err)
	}
	if first, second := cells[0].Observations[0], cells[1].Observations[0]; first.Outcome != reach.Unprobed || second.Outcome != reach.Reached {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestInvalidRequestIsAnErrorBeforeAnyProbe(t *testing.T) {
	fine := target(netip.MustParseAddrPort("127.0.0.1:80"), reach.TCP)
	noPort, noHost := fine, fine
	noPort.Port, noHost.Host = 0, ""
	for name, r := range map[string]Request{
		"no vantage":        {Target: fine},
		"no host":           {Vantage: here(), Target: noHost},
		"no port":           {Vantage: here(), Target: noPort},
		"negative timeout":  {Vantage: here(), Target: fine, Timeout: -1},
		"family":            {Vantage: here(), Target: fine, Family: 5},
		"negative hold":     {Vantage: here(), Target: fine, Hold: -1},
		"too long":          {Vantage: here(), Target: fine, Length: 1 << 30},
		"echoed by another": {Vantage: here(), Target: fine, Length: 1, Form: HealthCheck},
		"a million of them": {Vantage: here(), Target: fine, Min: 1_000_000},
	} {
		if _, err := New(failingExec{t}).Observe(t.Context(), []Request{r}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// failingExec fails the test when it is used.
type failingExec struct{ t *testing.T }

func (f failingExec) Exec(context.Context, reach.Vantage, []string, io.Reader, io.Writer, io.Writer) error {
	f.t.Error("something was run")
	return errors.New("not to be run")
}

func (f failingExec) Prober(context.Context, reach.Vantage) (string, error) {
	f.t.Error("a prober was copied")
	return "", errors.New("not to be copied")
}

func TestCancelledRunIsNeverTakenForBlocked(t *testing.T) {
	unresponsive := accept(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	requests := make([]Request, 3)
	for i := range requests {
		requests[i] = Request{Vantage: here(), Target: target(unresponsive, reach.TCP), Min: 1 + i, Timeout: time.Minute}
	}
	cells, err := New(&Local{}).Observe(ctx, requests)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	for _, cell := range cells {
		for _, o := range cell.Observations {
			if o.Outcome != reach.ProbeFailed || !strings.Contains(o.Detail, "the run ended before this probe did") {
				t.Errorf("got %+v", o)
			}
		}
	}
}

// A table is fast because each vantage needs one process for all of its cells. BenchmarkFiveHundredCells has the time.
func TestFiveHundredCellsNeedOneProcessAVantage(t *testing.T) {
	apps := []*app{newApp(t, "tcp4", 3), newApp(t, "tcp4", 3)}
	exec := &counted{}
	cells, err := New(exec).Observe(t.Context(), manyRequests(apps, closedPort(t), 500))
	if err != nil {
		t.Fatal(err)
	}
	if n := exec.started.Load(); n != vantages {
		t.Errorf("%d processes for %d vantages", n, vantages)
	}
	for i, cell := range cells {
		want := reach.Reached
		if i%3 == 2 {
			want = reach.Refused
		}
		if cell.Observations[0].Outcome != want {
			t.Fatalf("cell %d: %+v, want %s", i, cell.Observations[0], want)
		}
	}
}

// counted counts the processes that it starts on this machine.
type counted struct {
	Local
	started atomic.Int32
}

func (c *counted) Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	c.started.Add(1)
	return c.Local.Exec(ctx, v, argv, stdin, stdout, stderr)
}

// vantages is how many vantages manyRequests has.
const vantages = 7

func manyRequests(apps []*app, closed netip.AddrPort, n int) []Request {
	requests := make([]Request, n)
	for i := range requests {
		v := reach.Vantage{Name: fmt.Sprintf("pod/%d", i%vantages), Kind: reach.Pod}
		address := closed
		if i%3 < 2 {
			address = apps[i%3].address
		}
		requests[i] = Request{Vantage: v, Target: target(address, reach.TCP), Min: 2, Timeout: 3 * time.Second}
	}
	return requests
}
