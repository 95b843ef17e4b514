package learn

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// watched is a running watch on the test's own clock.
type watched struct {
	*session
	t    *testing.T
	env  *fakeEnvironment
	out  *syncBuffer
	keys *io.PipeWriter
	err  chan error
	read int
}

// watchFor begins a watch of exercise 04, plain, and does with it what the test says. It must end by itself.
func watchFor(t *testing.T, prepare func(d *session, r *fakeEnvironment), do func(w *watched)) error {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	var ended error
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		d, r, out := testSession(t, in, flags{lang: "en"})
		if err := d.update(func(p *progress.Progress) { p.Current = "04" }); err != nil {
			t.Fatal(err)
		}
		prepare(d, r)
		ctx, cancel := context.WithCancelCause(t.Context())
		w := &watched{session: d, t: t, env: r, out: out, keys: keys, err: make(chan error, 1)}
		go func() { w.err <- d.watch(ctx) }()
		synctest.Wait()
		do(w)
		select {
		case ended = <-w.err:
		case <-time.After(time.Minute):
			t.Errorf("the watch did not end; it printed\n%s", out)
			cancel(nil)
			ended = <-w.err
		}
		cancel(nil)
		_ = keys.Close()
		synctest.Wait()
	})
	return ended
}

// said is what was printed since the last call, and within a second.
func (w *watched) said() string {
	time.Sleep(time.Second)
	synctest.Wait()
	all := w.out.String()
	text := all[w.read:]
	w.read = len(all)
	return text
}

func (w *watched) press(line string) {
	w.t.Helper()
	if _, err := io.WriteString(w.keys, line+"\n"); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
}

// expose sets the Service's targetPort, as a learner does in another window.
func (w *watched) expose(port int64) {
	w.t.Helper()
	_, err := w.env.client.Resource(servicesResource).Namespace("learn-04").Update(context.Background(), service(port), metav1.UpdateOptions{})
	if err != nil {
		w.t.Error(err)
	}
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing from\n%s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in\n%s", part, text)
		}
	}
}

func nothing(*session, *fakeEnvironment) {}

func TestWatchChecksAgainWithinASecond(t *testing.T) {
	err := watchFor(t, nothing, func(w *watched) {
		first := w.said()
		wants(t, first, "Watching exercise 04", "The state now", "Not yet:", "Keys, each followed by Enter")
		lacks(t, first, "\x1b", "─", "\r")
		w.env.check = sees(seen(reach.Pass, ""))
		w.expose(8080)
		again := w.said()
		wants(t, again, "Changed: service/my-service", "Passed:", "What happened", "targetPort", "Press n for the next one")
		lacks(t, again, "svclab learn next")
		if !w.progress.Done("04") || w.env.checks != 2 {
			t.Errorf("passed: %t, after %d checks", w.progress.Done("04"), w.env.checks)
		}
		kept, err := progress.Load(w.folder)
		if err != nil || !kept.Done("04") || kept.Exercises["04"].Checks != 2 {
			t.Errorf("kept: %+v, %v", kept, err)
		}
		time.Sleep(time.Hour)
		if idle := w.said(); idle != "" || w.env.checks != 2 {
			t.Errorf("nothing changed, and after %d checks there was said %q", w.env.checks, idle)
		}
		w.press("q")
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWatchTellsWhatIsNotNewInALine(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		w.expose(9090)
		text := w.said()
		wants(t, text, "Changed: service/my-service", "result has not changed: not yet")
		lacks(t, text, "Not yet:")
		w.press("c")
		wants(t, w.said(), "because you pressed c", "Not yet:")
		w.press("q")
	})
}

// What comes of the cluster alone is checked, and told only if it makes a difference.
func TestWatchTellsOfTheClustersOwnDoingIfItMatters(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		assign := func(ip string) {
			s := service(8081)
			s.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": ip}}}}
			if _, err := w.env.client.Resource(servicesResource).Namespace("learn-04").Update(context.Background(), s, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}
		assign("172.18.255.200")
		if text := w.said(); text != "" || w.env.checks != 2 {
			t.Errorf("%d checks; said %q", w.env.checks, text)
		}
		w.env.check = sees(seen(reach.Pass, ""))
		assign("172.18.255.201")
		wants(t, w.said(), "Changed: service/my-service", "Passed:")
		w.press("q")
	})
}

func TestWatchBeginsACheckAnewThatAChangeHasOvertaken(t *testing.T) {
	overtaken := make(chan error, 1)
	slow := func(ctx context.Context) (coach.Seen, error) {
		select {
		case <-ctx.Done():
			overtaken <- ctx.Err()
			return coach.Seen{}, ctx.Err()
		case <-time.After(time.Minute):
			return seen(reach.Fail, "what it was before the change"), nil
		}
	}
	_ = watchFor(t, func(_ *session, r *fakeEnvironment) { r.check = slow }, func(w *watched) {
		w.said()
		time.Sleep(12 * time.Second)
		wants(t, w.said(), "sending requests from every vantage … 10 s")
		w.env.mu.Lock()
		w.env.check = sees(seen(reach.Pass, ""))
		w.env.mu.Unlock()
		w.expose(8080)
		text := w.said()
		wants(t, text, "Changed: service/my-service", "Passed:")
		lacks(t, text, "before the change", "canceled")
		select {
		case err := <-overtaken:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		default:
			t.Error("the first check was not ended")
		}
		w.press("q")
	})
}

// While changes come one after the other there is one check, not one for each; and it is not put off for ever.
func TestWatchTakesABurstForOne(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		for i := range 5 {
			w.expose(int64(9000 + i))
			time.Sleep(50 * time.Millisecond)
		}
		w.said()
		if w.env.checks != 2 {
			t.Errorf("%d checks", w.env.checks)
		}
		w.press("q")
	})
}

func TestWatchKeys(t *testing.T) {
	err := watchFor(t, nothing, func(w *watched) {
		w.said()
		w.press("H")
		wants(t, w.said(), "Hint 1 of 3", "the pod refuses")
		w.press("hint")
		wants(t, w.said(), "Keys, each followed by Enter")
		w.press("s")
		wants(t, w.said(), "The solution was not shown", "--yes")
		w.press("ｑ") // as an input method makes it
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWatchResetsAndGoesOn(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		w.press("r")
		wants(t, w.said(), "as it was at its start", "Watching exercise 04")
		if w.env.begins != 1 || w.progress.Exercises["04"].Resets != 1 {
			t.Errorf("begun %d times, %+v", w.env.begins, w.progress.Exercises["04"])
		}
		w.press("n")
		text := w.said()
		wants(t, text, "have not passed exercise 04 yet", "Exercise 07", "the question number is not answered")
		lacks(t, text, "prediction was right")
		if w.progress.Current != "07" {
			t.Errorf("the current one is %s", w.progress.Current)
		}
		w.press("q")
	})
}

// Another window may have begun another exercise.
func TestWatchFollowsToAnotherExercise(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		other := progress.Progress{Current: "01", Exercises: map[string]progress.Exercise{"04": {Hints: 2}}}
		if err := progress.Save(w.folder, other); err != nil {
			t.Fatal(err)
		}
		w.expose(8080)
		wants(t, w.said(), "Watching exercise 01")
		w.press("q")
		if kept, err := progress.Load(w.folder); err != nil || kept.Exercises["04"].Hints != 2 {
			t.Errorf("what the other window kept is lost: %+v, %v", kept, err)
		}
	})
}

func TestWatchTellsOfAnExerciseThatIsGone(t *testing.T) {
	_ = watchFor(t, nothing, func(w *watched) {
		w.said()
		w.env.missing = "learn-04"
		w.expose(9090)
		wants(t, w.said(), "namespace learn-04 is missing", "svclab learn reset")
		w.expose(9091)
		if text := w.said(); text != "" {
			t.Errorf("the same was told twice: %q", text)
		}
		w.env.missing = ""
		w.expose(9092)
		wants(t, w.said(), "Not yet:")
		w.press("q")
	})
}

func TestWatchOfAClusterThatGoesAway(t *testing.T) {
	down := errors.New("connection refused")
	err := watchFor(t, func(_ *session, r *fakeEnvironment) {
		broken := watch.NewFake()
		r.client.PrependWatchReactor("services", func(clienttesting.Action) (bool, watch.Interface, error) { return true, broken, nil })
		go func() {
			time.Sleep(10 * time.Second)
			r.mu.Lock()
			r.down = down
			r.mu.Unlock()
			r.client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
			r.client.PrependWatchReactor("services", func(clienttesting.Action) (bool, watch.Interface, error) { return true, nil, down })
			broken.Stop()
		}()
	}, func(*watched) { time.Sleep(2 * time.Minute) })
	if err == nil {
		t.Fatal("no error")
	}
	wants(t, err.Error(), "no longer answers", "connection refused", "svclab up", "progress is kept")
}

// The watch waits for an API server that restarts.
func TestWatchOfAClusterThatComesBack(t *testing.T) {
	_ = watchFor(t, func(_ *session, r *fakeEnvironment) { r.down = nil }, func(w *watched) {
		w.said()
		w.env.mu.Lock()
		w.env.down = errors.New("connection refused")
		w.env.mu.Unlock()
		inner := &watcher{session: w.session, keys: &keyboard{terminal: -1}, changes: &lesson.Watch{}}
		inner.inquire(w.t.Context(), w.env.down)
		time.Sleep(5 * time.Second)
		w.env.mu.Lock()
		w.env.down = nil
		w.env.mu.Unlock()
		time.Sleep(2 * time.Second)
		select {
		case err := <-inner.answer():
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("no answer")
		}
		w.press("q")
	})
}

func TestWatchInterrupted(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		d, r, _ := testSession(t, in, flags{lang: "en"})
		r.check = func(ctx context.Context) (coach.Seen, error) { <-ctx.Done(); return coach.Seen{}, ctx.Err() }
		if err := d.update(func(p *progress.Progress) { p.Current = "04" }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.watch(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		cancel(console.ErrInterrupted)
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, console.ErrInterrupted) {
				t.Error(err)
			}
		default:
			t.Error("it goes on")
		}
		_ = keys.Close()
	})
}
