package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// script is an Exec that plays a prober: each start of it takes the next act, the last one again and again.
type script struct {
	acts []func(stdin io.Reader, stdout, stderr io.Writer) error

	mu     sync.Mutex
	starts int
	copied int
	argv   []string
	refuse error // of Prober
}

func (s *script) Prober(context.Context, reach.Vantage) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copied++
	return "/svclab/prober", s.refuse
}

func (s *script) Exec(_ context.Context, _ reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	s.mu.Lock()
	act := s.acts[min(s.starts, len(s.acts)-1)]
	s.starts++
	s.argv = argv
	s.mu.Unlock()
	return act(stdin, stdout, stderr)
}

var errExit = errors.New("command terminated with exit code 1")

// says plays a prober that prints lines and ends with an error.
func says(err error, stderr string, lines ...string) func(io.Reader, io.Writer, io.Writer) error {
	return func(stdin io.Reader, stdout, errOut io.Writer) error {
		text := strings.Join(lines, "\n")
		if strings.Contains(text, helloLine) {
			text = strings.ReplaceAll(text, helloLine, greeting(stdin))
		}
		_, _ = io.WriteString(stdout, text)
		_, _ = io.WriteString(errOut, stderr)
		return err
	}
}

const (
	// helloLine becomes the greeting that a batch wants.
	helloLine = `{"hello":{"version":6}}`
	doneTwo   = `{"done":{"count":2}}` + "\n"
)

// greeting is what a prober says first to the Batch or the Flow that it reads.
func greeting(stdin io.Reader) string {
	var head struct{ Nonce string }
	if err := json.NewDecoder(stdin).Decode(&head); err != nil || head.Nonce == "" {
		return helloLine
	}
	return fmt.Sprintf(`{"hello":{"version":6,"nonce":%q}}`, head.Nonce)
}

func reached(id int, backend string) string {
	return fmt.Sprintf(`{"answer":{"id":%d,"observations":[{"outcome":"Reached","backend":%q,"source":"10.244.1.7"}]}}`, id, backend)
}

func podRequests(n int) []Request {
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = Request{Vantage: reach.Vantage{Name: "pod/worker", Kind: reach.Pod},
			Target: reach.Target{Kind: reach.ClusterIP, Service: "default/my-service", Host: "10.96.118.7", Port: uint16(80 + i), Protocol: reach.TCP}}
	}
	return requests
}

func TestProberThatCannotBeTrusted(t *testing.T) {
	for name, test := range map[string]struct {
		act    func(io.Reader, io.Writer, io.Writer) error
		want   [2]reach.Outcome
		detail string // of the second cell
		starts int
	}{
		"fine": {says(nil, "", helloLine, reached(1, "b"), reached(0, "a"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.Reached}, "", 1},
		"fine, then the stream fails": {says(errExit, "", helloLine, reached(0, "a"), reached(1, "b"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.Reached}, "", 1},
		"an empty document": {says(errExit, "exec failed: no such file"),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "it did not run; command terminated with exit code 1; stderr: exec failed: no such file", 3},
		"the runtime speaks instead": {says(errExit, "", "OCI runtime exec failed: exec failed"),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "not a prober's output: \"OCI runtime exec failed", 3},
		"crashes before an answer": {says(errExit, "panic: oh no", helloLine+"\n"),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "ends after 0 of 2 cells; command terminated with exit code 1; stderr: panic: oh no", 1},
		"crashes between two": {says(errExit, "panic: oh no", helloLine, reached(0, "a")+"\n"),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "ends after 1 of 2 cells", 1},
		"cut in a line": {says(nil, "", helloLine, reached(0, "a"), reached(1, "b")[:40]),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "not a prober's output", 1},
		"no last line": {says(nil, "", helloLine, reached(0, "a"), ""),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "ends after 1 of 2 cells", 1},
		"garbage between": {says(nil, "", helloLine, reached(0, "a"), "<html>", reached(1, "b"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, `not a prober's output: "<html>"`, 1},
		"a cell not requested": {says(nil, "", helloLine, reached(0, "a"), reached(9, "b"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "its answer for cell 9", 1},
		"a cell twice": {says(nil, "", helloLine, reached(0, "a"), reached(0, "b"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "its answer for cell 0", 1},
		"an empty answer": {says(nil, "", helloLine, reached(0, "a"), `{"answer":{"id":1,"observations":[]}}`, doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "its answer for cell 1", 1},
		"claims more than it did": {says(nil, "", helloLine, reached(0, "a"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "it reports 2 cells done; 2 were sent and 1 answered", 1},
		"no greeting": {says(nil, "", reached(0, "a"), reached(1, "b"), doneTwo),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "a line before its greeting", 3},
		"an empty line of JSON": {says(nil, "", helloLine, reached(0, "a"), "{}", reached(1, "b"), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "an empty document", 1},
		"answers another batch": {says(nil, "", `{"hello":{"version":6,"nonce":"OF-THE-LAST"}}`, reached(0, "a"), reached(1, "b"), doneTwo),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "its answers belong to another batch", 1},
		"more probes than needed": {says(nil, "", helloLine, reached(0, "a"),
			strings.Replace(reached(1, "b"), `[{`, `[{"outcome":"Reached","backend":"b"},{`, 1), doneTwo),
			[2]reach.Outcome{reach.Reached, reach.ProbeFailed}, "it made 2 probes of cell 1, which needs 1 to 1", 1},
		"another version": {says(nil, "", `{"hello":{"version":9}}`),
			[2]reach.Outcome{reach.ProbeFailed, reach.ProbeFailed}, "it has protocol 9", 3},
	} {
		t.Run(name, func(t *testing.T) {
			exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{test.act}}
			cells, err := New(exec, WithRetries(2, time.Millisecond)).Observe(t.Context(), podRequests(2))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range test.want {
				if o := cells[i].Observations[0]; len(cells[i].Observations) != 1 || o.Outcome != want {
					t.Errorf("cell %d: got %s (%s), want %s", i, o.Outcome, o.Detail, want)
				}
			}
			if o := cells[1].Observations[0]; !strings.Contains(o.Detail, test.detail) {
				t.Errorf("detail %q, want %q", o.Detail, test.detail)
			}
			if exec.starts != test.starts {
				t.Errorf("started %d times, want %d", exec.starts, test.starts)
			}
		})
	}
}

func TestTransportIsTriedAgainUntilTheProberSpeaks(t *testing.T) {
	exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{
		says(errExit, "error dialing backend"),
		says(nil, "", helloLine, reached(0, "a"), reached(1, "b"), doneTwo),
	}}
	cells, err := New(exec, WithRetries(2, time.Millisecond)).Observe(t.Context(), podRequests(2))
	if err != nil || cells[1].Observations[0].Backend != "b" || exec.starts != 2 {
		t.Errorf("got %+v, %v after %d starts", cells, err, exec.starts)
	}
	if strings.Join(exec.argv, " ") != "/svclab/prober probe" {
		t.Errorf("ran %q", exec.argv)
	}
}

func TestProberThatCannotBeCopied(t *testing.T) {
	exec := &script{refuse: errors.New("no space left on device")}
	cells, err := New(exec, WithRetries(1, time.Millisecond)).Observe(t.Context(), podRequests(2))
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, failed := cells[1].Probed(); ok || !strings.Contains(failed, "copy the prober to pod/worker: no space left") || exec.copied != 2 {
		t.Errorf("got %q after %d tries", failed, exec.copied)
	}
}

// What the client writes is read by the prober as it is meant: refused cells are left out, the rest numbered.
func TestQuestionsOnTheWire(t *testing.T) {
	var sent bytes.Buffer
	exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{func(stdin io.Reader, stdout, _ io.Writer) error {
		hello := greeting(io.TeeReader(stdin, &sent))
		_, _ = io.Copy(&sent, stdin)
		_, _ = io.WriteString(stdout, strings.Join([]string{hello, reached(0, "a"), reached(1, "b"), doneTwo}, "\n"))
		return nil
	}}}
	requests := podRequests(3)
	requests[1].Target.Protocol = reach.SCTP
	requests[2].Target.Protocol, requests[2].Until, requests[2].Max = reach.UDP, []string{"a"}, 4
	cells, err := New(exec, WithConcurrency(3)).Observe(t.Context(), requests)
	if err != nil || cells[2].Observations[0].Backend != "b" || cells[1].Observations[0].Outcome != reach.Unprobed {
		t.Fatalf("got %+v, %v", cells, err)
	}
	decoder := json.NewDecoder(&sent)
	var (
		head  wire.Batch
		first wire.Cell
		last  wire.Cell
	)
	if err := errors.Join(decoder.Decode(&head), decoder.Decode(&first), decoder.Decode(&last)); err != nil {
		t.Fatal(err)
	}
	if head.Cells != 2 || head.Concurrency != 3 || head.Deadline < DefaultTimeout {
		t.Errorf("head %+v", head)
	}
	if first.Form != wire.AppHTTP || first.Port != 80 || first.Min != 1 || first.Max != 1 || first.Timeout != DefaultTimeout {
		t.Errorf("first %+v", first)
	}
	if last.ID != 1 || last.Form != wire.AppUDP || last.Port != 82 || last.Max != 4 || len(last.Until) != 1 {
		t.Errorf("last %+v", last)
	}
}

func TestFormOfTarget(t *testing.T) {
	for _, test := range []struct {
		target reach.Target
		want   Form
	}{
		{reach.Target{Kind: reach.NodePort, Port: 30080, Protocol: reach.TCP}, AppHTTP},
		{reach.Target{Kind: reach.ClusterIP, Port: 53, Protocol: reach.UDP}, AppUDP},
		{reach.Target{Kind: reach.HealthCheck, Port: 32000, Protocol: reach.TCP}, HealthCheck},
		{reach.Target{Kind: reach.ExternalName, Port: 80, Protocol: reach.TCP}, OutsideHTTP},
		{reach.Target{Kind: reach.ExternalName, Port: 443, Protocol: reach.TCP}, OutsideHTTPS},
		{reach.Target{Kind: reach.DNSName}, wire.Lookup},
	} {
		if got := formOf(test.target); got != test.want {
			t.Errorf("%+v: %s, want %s", test.target, got, test.want)
		}
	}
}

// A prober that hangs is given up after its own deadline and the grace.
func TestHangingTransport(t *testing.T) {
	client := New(hanging{}, WithRetries(0, 0))
	client.grace = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	requests := podRequests(1)
	requests[0].Timeout = time.Millisecond
	reply := client.runOnce(ctx, requests[0].Vantage, nil)
	if !strings.Contains(reply.trouble, "did not end within") {
		t.Errorf("got %q", reply.trouble)
	}
}

type hanging struct{}

func (hanging) Prober(context.Context, reach.Vantage) (string, error) { return "prober", nil }

func (hanging) Exec(ctx context.Context, _ reach.Vantage, _ []string, _ io.Reader, _, _ io.Writer) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestTailKeepsTheLast(t *testing.T) {
	var kept tail
	for range 100 {
		_, _ = fmt.Fprintf(&kept, "%s\n", strings.Repeat("x", 100))
	}
	_, _ = fmt.Fprint(&kept, "the end")
	if got := kept.String(); len(got) != tailSize || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
}
