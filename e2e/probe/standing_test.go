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
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// posted is an Exec of this machine that counts the processes it starts and can end them all.
type posted struct {
	Local
	standing Standing
	started  atomic.Int32

	mu     sync.Mutex
	cancel []context.CancelFunc
	// before changes what is run; nil: nothing.
	before func(argv []string) error
}

func (p *posted) Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if !p.standing.Takes(argv) {
		return p.start(ctx, v, argv, stdin, stdout, stderr)
	}
	return p.standing.Exec(ctx, p.start, v, argv, stdin, stdout, stderr)
}

func (p *posted) start(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
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

// kill ends every process, as a node does that goes down, and waits until they have ended.
func (p *posted) kill() {
	p.mu.Lock()
	for _, cancel := range p.cancel {
		cancel()
	}
	p.mu.Unlock()
	p.standing.mu.Lock()
	defer p.standing.mu.Unlock()
	for _, list := range p.standing.idle {
		for _, prober := range list {
			<-prober.ended
		}
	}
}

func (p *posted) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = func([]string) error { return err }
}

// askOnce observes a port that nobody listens at.
func askOnce(t *testing.T, p *posted) reach.Observation {
	t.Helper()
	cells, err := New(p, WithRetries(0, 0)).Observe(t.Context(), []Request{
		{Vantage: here(), Target: target(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1), reach.TCP), Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return cells[0].Observations[0]
}

func TestStandingProberServesManyBatches(t *testing.T) {
	p := &posted{}
	defer p.standing.Close()
	for range 5 {
		if o := askOnce(t, p); o.Outcome != reach.Refused {
			t.Fatalf("nobody listens at port 1: %+v", o)
		}
	}
	if n := p.started.Load(); n != 1 {
		t.Errorf("%d processes for five batches one after the other", n)
	}
}

func TestStandingProbersServeBatchesAtTheSameTime(t *testing.T) {
	p := &posted{}
	defer p.standing.Close()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				if o := askOnce(t, p); o.Outcome != reach.Refused {
					t.Errorf("nobody listens at port 1: %+v", o)
				}
			}
		})
	}
	group.Wait()
	if n := p.started.Load(); n > 4 {
		t.Errorf("%d processes for four askers", n)
	}
}

func TestStandingProberThatIsGoneIsReplaced(t *testing.T) {
	p := &posted{}
	defer p.standing.Close()
	askOnce(t, p)
	p.kill()
	if o := askOnce(t, p); o.Outcome != reach.Refused {
		t.Fatalf("the prober was killed between two batches: %+v", o)
	}
	if n := p.started.Load(); n != 2 {
		t.Errorf("%d processes, want a second one", n)
	}
	p.kill()
	p.fail(errors.New("the node is down"))
	if o := askOnce(t, p); o.Outcome != reach.ProbeFailed || !strings.Contains(o.Detail, "the node is down") {
		t.Errorf("no prober can be started: %+v", o)
	}
}

// A prober whose way is cut says nothing: it is not waited for, and what it was asked is asked by another.
func TestStandingProberThatIsSilentIsReplaced(t *testing.T) {
	var (
		p     = &Standing{}
		calls atomic.Int32
		input = make(chan string, 8)
	)
	run := func(ctx context.Context, _ reach.Vantage, _ []string, stdin io.Reader, stdout, _ io.Writer) error {
		mute := calls.Add(1) == 1
		text := make([]byte, 1<<12)
		for turn := 0; ; turn++ {
			n, err := stdin.Read(text)
			if err != nil {
				return err
			}
			input <- string(text[:n])
			if mute && turn > 0 {
				<-ctx.Done()
				return nil
			}
			_, _ = io.WriteString(stdout, `{"stayBegun":{}}`+"\nan answer\n"+`{"stayEnded":{"code":3,"said":"oh"}}`+"\n")
		}
	}
	ask := func() (string, string, error) {
		var out, said bytes.Buffer
		err := p.Exec(t.Context(), run, here(), []string{"/x/prober-1", "synced"}, strings.NewReader(""), &out, &said)
		return out.String(), said.String(), err
	}
	defer p.Close()
	for range 2 {
		out, said, err := ask()
		if out != "an answer\n" || said != "oh" || err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Fatalf("got %q, %q, %v", out, said, err)
		}
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d probers, want the second in place of the silent one", n)
	}
}

func TestStandingProberEndsWithTheQuestion(t *testing.T) {
	p := &posted{}
	defer p.standing.Close()
	path, err := p.Prober(t.Context(), here())
	if err != nil {
		t.Fatal(err)
	}
	err = p.Exec(t.Context(), here(), []string{path, "synced", "--metrics", "http://127.0.0.1:1/metrics", "--wait", "1ms", "--nonsense"}, nil, io.Discard, nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 2") {
		t.Errorf("a wrong flag: %v", err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	silent := silentServer(t)
	err = p.Exec(ctx, here(), []string{path, "synced", "--metrics", "http://" + silent + "/metrics", "--wait", "30s"}, nil, io.Discard, nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestStandingTakesWhatEndsByItself(t *testing.T) {
	var s Standing
	for _, c := range []struct {
		argv []string
		want bool
	}{
		{[]string{"/kind/svclab/prober-12", "ask"}, true},
		{[]string{"/tmp/svclab-prober-12", "synced", "--wait", "1s"}, true},
		{[]string{"/kind/svclab/prober-12", "flow"}, false},
		{[]string{"/kind/svclab/prober-12"}, false},
		{[]string{"/tmp/prober/sh", "ask"}, false},
		{nil, false},
	} {
		if got := s.Takes(c.argv); got != c.want {
			t.Errorf("Takes(%q) = %t", c.argv, got)
		}
	}
}
