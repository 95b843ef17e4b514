package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func TestConnectionThatLasts(t *testing.T) {
	a := newApp(t, "tcp4", 2)
	began := time.Now()
	cell := observeOne(t, Request{Target: target(a.address, reach.TCP), Min: 2, Length: 100_000, Hold: 100 * time.Millisecond})
	for i, o := range cell.Observations {
		if o.Outcome != reach.Reached || o.Backend != fmt.Sprintf("my-app-%d", i) {
			t.Errorf("got %+v", o)
		}
	}
	if a.connections.Load() != 2 || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%d connections in %v, want 2, each held for 100 ms", a.connections.Load(), time.Since(began))
	}
}

// serves answers the requests of a connection with the texts in turn, and then closes it.
func serves(t *testing.T, answers ...func(*http.Request) string) netip.AddrPort {
	return accept(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for _, answer := range answers {
			request, err := http.ReadRequest(in)
			if err != nil {
				break
			}
			body := answer(request)
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		_ = conn.Close()
	})
}

func TestConnectionThatDoesNotLast(t *testing.T) {
	says := func(text string) func(*http.Request) string { return func(*http.Request) string { return text } }
	echoes := func(r *http.Request) string { return r.FormValue("msg") }
	for name, test := range map[string]struct {
		address netip.AddrPort
		want    reach.Outcome
		detail  string
	}{
		"cut short":         {serves(t, says("my-app-0"), func(r *http.Request) string { return echoes(r)[1:] }), reach.WrongAnswer, "my-app-0 echoed 4999 bytes"},
		"closed meanwhile":  {serves(t, says("my-app-0"), echoes), reach.WrongAnswer, "my-app-0 did not answer again after 50ms"},
		"another one later": {serves(t, says("my-app-0"), echoes, says("my-app-1")), reach.WrongAnswer, `my-app-0 answered at first, "my-app-1" on the same connection`},
		"no answer after a while": {serves(t, says("my-app-0"), echoes, func(*http.Request) string { time.Sleep(time.Second); return "" }),
			reach.TimedOut, "the answer stopped"},
		"held too long": {serves(t, says("my-app-0"), echoes), reach.TimedOut, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Request{Target: target(test.address, reach.TCP), Length: 5_000, Hold: 50 * time.Millisecond, Timeout: 500 * time.Millisecond}
			if name == "held too long" {
				r.Hold = time.Second
			}
			o := observeOne(t, r).Observations[0]
			if o.Outcome != test.want || !strings.Contains(o.Detail, test.detail) {
				t.Errorf("got %s (%s), want %s (%s)", o.Outcome, o.Detail, test.want, test.detail)
			}
		})
	}
}

// The prober closes its side before the answer comes; the other side must still be open then.
func TestConnectionIsClosedFromOneSide(t *testing.T) {
	closed := make(chan error, 1)
	address := accept(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for range 2 {
			if _, err := http.ReadRequest(in); err != nil {
				break
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nmy-app-0")
		}
		_, err := in.ReadByte()
		closed <- err
	})
	if o := observeOne(t, Request{Target: target(address, reach.TCP), Hold: time.Millisecond}).Observations[0]; o.Outcome != reach.Reached {
		t.Errorf("got %+v", o)
	}
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("the prober's side ended with %v", err)
	}
}

func TestLongDatagrams(t *testing.T) {
	answer := func(most int) func(string, net.Addr) string {
		return func(question string, client net.Addr) string {
			switch text, echo := strings.CutPrefix(question, "echo "); {
			case echo && len(text) <= most:
				return text
			case echo:
				return ""
			case question == "hostname":
				return "my-app-0"
			default:
				return client.String()
			}
		}
	}
	for most, want := range map[int]reach.Outcome{1800: reach.Reached, 1400: reach.TimedOut} {
		o := observeOne(t, Request{Target: target(datagrams(t, answer(most)), reach.UDP), Length: 1800, Timeout: 250 * time.Millisecond}).Observations[0]
		if o.Outcome != want || want == reach.TimedOut && !strings.Contains(o.Detail, "the echo of 1800 bytes is missing") {
			t.Errorf("a network that takes %d bytes: got %s (%s), want %s", most, o.Outcome, o.Detail, want)
		}
	}
	echoes := 0
	lossy := datagrams(t, func(question string, client net.Addr) string {
		if strings.HasPrefix(question, "echo ") {
			if echoes++; echoes == 1 {
				return ""
			}
		}
		return answer(1800)(question, client)
	})
	if o := observeOne(t, Request{Target: target(lossy, reach.UDP), Length: 1800, Timeout: 2 * time.Second}).Observations[0]; o.Outcome != reach.Reached {
		t.Errorf("a long datagram that is lost once is sent again: got %+v", o)
	}
	wrong := datagrams(t, func(question string, client net.Addr) string {
		if strings.HasPrefix(question, "echo ") {
			return "my-app-0"
		}
		return answer(0)(question, client)
	})
	if o := observeOne(t, Request{Target: target(wrong, reach.UDP), Length: 10}).Observations[0]; o.Outcome != reach.WrongAnswer || !strings.Contains(o.Detail, "echoed 8 bytes that differ from the 10") {
		t.Errorf("an echo of something else: got %+v", o)
	}
}
