package probe

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within 10 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFlowCountsEveryRequest(t *testing.T) {
	a := newApp(t, "tcp4", 2)
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(a.address, reach.TCP), PerSecond: 100})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "30 answers", func() bool { return flow.Snapshot().Answered >= 30 })
	report, err := flow.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if report.Answered != report.Sent || len(report.Failed) != 0 || len(report.Outages) != 0 || int64(report.Sent) != a.connections.Load() {
		t.Errorf("%d connections were made, reported: %+v", a.connections.Load(), report)
	}
	if report.Backends["my-app-0"]+report.Backends["my-app-1"] != report.Sent || len(report.Backends) != 2 {
		t.Errorf("backends %v of %d", report.Backends, report.Sent)
	}
	if report.Median <= 0 || report.Median > report.P99 || report.P99 > report.Slowest {
		t.Errorf("latencies %v %v %v", report.Median, report.P99, report.Slowest)
	}
	again, err := flow.Stop()
	if err != nil || again.Sent != report.Sent {
		t.Errorf("stopped again: %+v, %v", again, err)
	}
}

// A kept connection carries every request; when it breaks one request is lost, and the next opens another.
func TestFlowOverOneConnection(t *testing.T) {
	a := newApp(t, "tcp4", 2)
	request := FlowRequest{Vantage: here(), Target: target(a.address, reach.TCP), PerSecond: 100, Kind: reach.FlowKept}
	flow, err := New(&Local{}).Flow(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "20 answers", func() bool { return flow.Snapshot().Answered >= 20 })
	a.abort.Store(true)
	waitFor(t, "20 more", func() bool { return flow.Snapshot().Answered >= 40 })
	report, err := flow.Stop()
	if err != nil || report.Sent-report.Answered != 1 || a.connections.Load() != 2 {
		t.Errorf("%d connections were made, want 2; want one request lost: %+v, %v", a.connections.Load(), report, err)
	}
	request.Target.Protocol = reach.UDP
	if _, err := New(&Local{}).Flow(t.Context(), request); err == nil {
		t.Error("datagrams have no connection to keep")
	}
}

// The rate holds though nothing answers: an outage of so many seconds loses so many requests.
func TestFlowIsOpenLoop(t *testing.T) {
	var silent atomic.Bool
	address := accept(t, func(conn net.Conn) {
		if silent.Load() {
			return
		}
		buffer := make([]byte, 1024)
		for _, answer := range []string{"my-app-0", "127.0.0.1:9"} {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+map[int]string{8: "8", 11: "11"}[len(answer)]+"\r\n\r\n"+answer)
		}
		_ = conn.Close()
	})
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(address, reach.TCP),
		PerSecond: 25, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "answers", func() bool { return flow.Snapshot().Answered >= 5 })
	silent.Store(true)
	began := time.Now()
	waitFor(t, "loss", func() bool { return len(flow.Snapshot().Failed) >= 20 })
	silent.Store(false)
	lasted := time.Since(began)
	before := flow.Snapshot().Answered
	waitFor(t, "answers again", func() bool { return flow.Snapshot().Answered >= before+5 })
	report, err := flow.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if report.Answered+len(report.Failed) != report.Sent {
		t.Errorf("%d answered and %d failed of %d", report.Answered, len(report.Failed), report.Sent)
	}
	outage := slices.MaxFunc(report.Outages, func(a, b Outage) int { return cmp.Compare(a.Lost, b.Lost) })
	if outage.Lost < 20 || outage.Until.Sub(outage.From) < lasted/2 {
		t.Errorf("outages %+v, nothing was answered for %v", report.Outages, lasted)
	}
	if report.LongestGap < lasted/2 || report.LongestGap > lasted+3*time.Second {
		t.Errorf("longest gap %v, nothing was answered for %v", report.LongestGap, lasted)
	}
	for _, o := range report.Failed {
		if o.Outcome != reach.TimedOut {
			t.Errorf("got %s (%s)", o.Outcome, o.Detail)
		}
	}
}

func TestFlowEndsByItself(t *testing.T) {
	a := newApp(t, "tcp4", 1)
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(a.address, reach.TCP),
		PerSecond: 100, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-flow.ended
	report, err := flow.Stop()
	if took := report.Ended.Sub(report.Began); err != nil || report.Sent != 20 || took < 150*time.Millisecond {
		t.Errorf("%d requests in %v, want 20 in 200 ms, %v", report.Sent, took, err)
	}
}

func TestFlowEndsWithItsContext(t *testing.T) {
	a := newApp(t, "tcp4", 1)
	ctx, cancel := context.WithCancel(t.Context())
	flow, err := New(&Local{}).Flow(ctx, FlowRequest{Vantage: here(), Target: target(a.address, reach.TCP), PerSecond: 100})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "answers", func() bool { return flow.Snapshot().Answered >= 5 })
	cancel()
	report, err := flow.Stop()
	if err != nil || report.Sent < 5 {
		t.Errorf("an interrupted prober still reports: %+v, %v", report, err)
	}
}

func TestFlowThatCannotRun(t *testing.T) {
	pod := podRequests(1)[0]
	fine := FlowRequest{Vantage: pod.Vantage, Target: pod.Target, PerSecond: 5}
	for name, test := range map[string]struct {
		act  func(io.Reader, io.Writer, io.Writer) error
		want string
	}{
		"does not start": {says(errExit, "no such file"), "it did not run; command terminated with exit code 1; stderr: no such file"},
		"is no prober":   {says(nil, "", "OCI runtime exec failed"), "not a prober's output"},
	} {
		exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{test.act}}
		_, err := New(exec, WithRetries(1, time.Millisecond)).Flow(t.Context(), fine)
		if err == nil || !strings.Contains(err.Error(), test.want) || exec.starts != 2 {
			t.Errorf("%s: got %v after %d starts", name, err, exec.starts)
		}
	}
	for name, r := range map[string]FlowRequest{
		"no rate":  {Vantage: pod.Vantage, Target: pod.Target},
		"too fast": {Vantage: pod.Vantage, Target: pod.Target, PerSecond: 1e6},
		"too long": {Vantage: pod.Vantage, Target: pod.Target, PerSecond: 1, Duration: 24 * time.Hour},
		"no host":  {Vantage: pod.Vantage, PerSecond: 1},
	} {
		if _, err := New(failingExec{t}).Flow(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	unusable := fine
	unusable.Vantage.Unusable = "it is gone"
	if _, err := New(failingExec{t}).Flow(t.Context(), unusable); !errors.Is(err, ErrUnprobed) {
		t.Errorf("unusable vantage: %v", err)
	}
}

// A flow whose prober dies says so, and still reports what came.
func TestFlowCutOff(t *testing.T) {
	const one = `{"request":{"outcome":"Reached","backend":"a","at":"2026-01-01T00:00:00Z"}}`
	for name, test := range map[string]struct {
		act  func(io.Reader, io.Writer, io.Writer) error
		want string
	}{
		"crash":       {says(errExit, "panic: oh no", helloLine, one, one+"\n"), "ends after 2 requests; command terminated with exit code 1; stderr: panic: oh no"},
		"garbage":     {says(nil, "", helloLine, one, one, "<html>", one, `{"done":{"count":3}}`), `not a prober's output: "<html>"`},
		"some missed": {says(nil, "", helloLine, one, one, `{"done":{"count":3}}`), "it sent 3 requests, 2 were reported"},
	} {
		pod := podRequests(1)[0]
		exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{test.act}}
		flow, err := New(exec).Flow(t.Context(), FlowRequest{Vantage: pod.Vantage, Target: pod.Target, PerSecond: 5})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		report, err := flow.Stop()
		if err == nil || !strings.Contains(err.Error(), test.want) || report.Sent != 2 || report.Backends["a"] != 2 {
			t.Errorf("%s: got %+v, %v", name, report, err)
		}
	}
}

func TestReportOfFlow(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	answered := func(ms, latency int) reach.Observation {
		return reach.Observation{Outcome: reach.Reached, Backend: "a", At: at(ms), Latency: time.Duration(latency) * time.Millisecond}
	}
	failed := func(ms int) reach.Observation { return reach.Observation{Outcome: reach.TimedOut, At: at(ms)} }
	var all tally
	// As they ended: the failed ones report late.
	for _, o := range []reach.Observation{answered(0, 5), answered(100, 5), answered(500, 9), failed(200), failed(300), failed(400), failed(700), answered(600, 5)} {
		all.add(o)
	}
	r := all.report()
	if r.Sent != 8 || r.Answered != 4 || len(r.Failed) != 4 || !r.Began.Equal(at(0)) || !r.Ended.Equal(at(700)) {
		t.Errorf("got %+v", r)
	}
	if want := 404 * time.Millisecond; r.LongestGap != want {
		t.Errorf("longest gap %v, want %v", r.LongestGap, want)
	}
	if len(r.Outages) != 2 || r.Outages[0] != (Outage{From: at(200), Until: at(500), Lost: 3}) || r.Outages[1] != (Outage{From: at(700), Lost: 1}) {
		t.Errorf("outages %+v", r.Outages)
	}
	if r.Median != 5*time.Millisecond || r.Slowest != 9*time.Millisecond {
		t.Errorf("latencies %v, %v", r.Median, r.Slowest)
	}
	if got := (&tally{}).report(); got.Sent != 0 || got.LongestGap != 0 {
		t.Errorf("nothing sent: %+v", got)
	}
	var never tally
	never.add(failed(0))
	never.add(failed(900))
	if got := never.report(); got.LongestGap != 900*time.Millisecond {
		t.Errorf("nothing answered: %v", got.LongestGap)
	}
}
