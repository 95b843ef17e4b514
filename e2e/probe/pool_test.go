package probe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// pooled is an Exec of this machine that counts the processes it starts and can end them all.
type pooled struct {
	Local
	pool    Pool
	started atomic.Int32

	mu     sync.Mutex
	cancel []context.CancelFunc
	// before, if set, runs before each start and may fail it.
	before func(argv []string) error
}

func (p *pooled) Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if !p.pool.Supports(argv) {
		return p.start(ctx, v, argv, stdin, stdout, stderr)
	}
	return p.pool.Exec(ctx, p.start, v, argv, stdin, stdout, stderr)
}

func (p *pooled) start(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	p.started.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	before := p.before
	p.cancel = append(p.cancel, cancel)
	p.mu.Unlock()
	if before != nil {
		if err := before(argv); err != nil {
			return err
		}
	}
	return p.Local.Exec(ctx, v, argv, stdin, stdout, stderr)
}

// kill ends every process, like a node that goes down, and waits until they have ended.
func (p *pooled) kill() {
	p.mu.Lock()
	for _, cancel := range p.cancel {
		cancel()
	}
	p.mu.Unlock()
	p.pool.mu.Lock()
	defer p.pool.mu.Unlock()
	for _, list := range p.pool.idle {
		for _, prober := range list {
			<-prober.ended
		}
	}
}

func (p *pooled) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = func([]string) error { return err }
}

// probeOnce probes a closed port.
func probeOnce(t *testing.T, p *pooled) reach.Observation {
	t.Helper()
	cells, err := New(p, WithRetries(0, 0)).Observe(t.Context(), []Request{
		{Vantage: here(), Target: target(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1), reach.TCP), Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return cells[0].Observations[0]
}

func TestPoolReusesASession(t *testing.T) {
	p := &pooled{}
	defer p.pool.Close()
	for range 5 {
		if o := probeOnce(t, p); o.Outcome != reach.Refused {
			t.Fatalf("port 1 is closed: %+v", o)
		}
	}
	if n := p.started.Load(); n != 1 {
		t.Errorf("%d processes for five batches one after the other", n)
	}
}

func TestPoolRunsBatchesAtTheSameTime(t *testing.T) {
	p := &pooled{}
	defer p.pool.Close()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				if o := probeOnce(t, p); o.Outcome != reach.Refused {
					t.Errorf("port 1 is closed: %+v", o)
				}
			}
		})
	}
	group.Wait()
	if n := p.started.Load(); n > 4 {
		t.Errorf("%d processes for four clients", n)
	}
}

func TestPoolReplacesASessionThatEnded(t *testing.T) {
	p := &pooled{}
	defer p.pool.Close()
	probeOnce(t, p)
	p.kill()
	if o := probeOnce(t, p); o.Outcome != reach.Refused {
		t.Fatalf("the prober was killed between two batches: %+v", o)
	}
	if n := p.started.Load(); n != 2 {
		t.Errorf("%d processes, want a second one", n)
	}
	p.kill()
	p.fail(errors.New("the node is down"))
	if o := probeOnce(t, p); o.Outcome != reach.ProbeFailed || !strings.Contains(o.Detail, "the node is down") {
		t.Errorf("no prober can be started: %+v", o)
	}
}

// An idle session that does not acknowledge a command is replaced, and the new session runs the command.
func TestPoolReplacesAnUnresponsiveSession(t *testing.T) {
	synctest.Test(t, replaceUnresponsiveSession) // ackTimeout passes at once
}

func replaceUnresponsiveSession(t *testing.T) {
	var (
		p     = &Pool{}
		calls atomic.Int32
		input = make(chan string, 8)
	)
	run := func(ctx context.Context, _ reach.Vantage, _ []string, stdin io.Reader, stdout, _ io.Writer) error {
		unresponsive := calls.Add(1) == 1
		text := make([]byte, 1<<12)
		for turn := 0; ; turn++ {
			n, err := stdin.Read(text)
			if err != nil {
				return err
			}
			input <- string(text[:n])
			if unresponsive && turn > 0 {
				<-ctx.Done()
				return nil
			}
			_, _ = io.WriteString(stdout, `{"sessionBegun":{}}`+"\nan answer\n"+`{"sessionEnded":{"code":3,"said":"oh"}}`+"\n")
		}
	}
	exec := func() (string, string, error) {
		var out, said bytes.Buffer
		err := p.Exec(t.Context(), run, here(), []string{"/x/prober-1", "synced"}, strings.NewReader(""), &out, &said)
		return out.String(), said.String(), err
	}
	defer p.Close()
	for range 2 {
		out, said, err := exec()
		if out != "an answer\n" || said != "oh" || err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Fatalf("got %q, %q, %v", out, said, err)
		}
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d sessions, want a second one that replaces the unresponsive one", n)
	}
}

func TestPoolEndsASessionWithItsCommand(t *testing.T) {
	p := &pooled{}
	defer p.pool.Close()
	path, err := p.Prober(t.Context(), here())
	if err != nil {
		t.Fatal(err)
	}
	err = p.Exec(t.Context(), here(), []string{path, "synced", "--metrics", "http://127.0.0.1:1/metrics", "--wait", "1ms", "--nonsense"}, nil, io.Discard, nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 2") {
		t.Errorf("a wrong flag: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	unresponsive := unresponsiveServer(t)
	err = p.Exec(ctx, here(), []string{path, "synced", "--metrics", "http://" + unresponsive + "/metrics", "--wait", "30s"}, nil, io.Discard, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the end of the context did not end the command: %v", err)
	}
}

func TestPoolSupportsCommandsThatEnd(t *testing.T) {
	var p Pool
	for _, c := range []struct {
		argv []string
		want bool
	}{
		{[]string{"/kind/svclab/prober-12", "probe"}, true},
		{[]string{"/tmp/svclab-prober-12", "synced", "--wait", "1s"}, true},
		{[]string{"/kind/svclab/prober-12", "flow"}, false},
		{[]string{"/kind/svclab/prober-12"}, false},
		{[]string{"/tmp/prober/sh", "probe"}, false},
		{nil, false},
	} {
		if got := p.Supports(c.argv); got != c.want {
			t.Errorf("Supports(%q) = %t", c.argv, got)
		}
	}
}
