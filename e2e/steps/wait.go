package steps

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
)

// relook is the longest time between two evaluations of what a step waits for.
const relook = 5 * time.Second

// Progress is what a step is waiting for, for the heartbeat.
type Progress struct {
	mu    sync.Mutex
	state wait.State
}

// Say records what is waited for, and what was seen last.
func (p *Progress) Say(what, seen string) { p.set(wait.State{What: what, Seen: seen}) }

func (p *Progress) set(state wait.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
}

// String says what is waited for and what was seen last; empty while nothing is waited for.
func (p *Progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.What == "" {
		return ""
	}
	return p.state.String()
}

// Await waits until look is met and has been for the time holds, and evaluates it whenever a watched object changes. A goal's
// step that only looks does not wait: what is not so now is a failure.
func (env *Env) Await(ctx context.Context, what string, sources []wait.Objects, holds time.Duration, look wait.Condition) error {
	if env.once && holds == 0 {
		env.Progress.Say(what, "")
		defer env.Progress.Say("", "")
		return once(ctx, what, look)
	}
	return env.wait(ctx, what, look, wait.Hold(holds), wait.Every(relook), wait.On(env.Cluster.Dynamic(), sources...))
}

// wait is wait.For in a step: the heartbeat tells what is waited for, and it is a failure when the step's time is up or
// the condition did not hold.
func (env *Env) wait(ctx context.Context, what string, condition wait.Condition, with ...wait.Option) error {
	defer env.Progress.Say("", "")
	err := wait.For(ctx, what, condition, append(with, wait.Progress(env.Progress.set))...)
	var ended *wait.Error
	switch {
	case !errors.As(err, &ended):
		return err
	case errors.Is(err, wait.ErrNotHeld):
		return reach.Failf("%s", ended)
	case ended.Unseen != nil && timedOut(ctx): // an API server that does not answer is no failure of a Service
		return fmt.Errorf("wait for %s: %w", what, ended.Unseen)
	case ended.Away >= awayLong && timedOut(ctx): // nor one that was away for a good part of the wait
		return fmt.Errorf("waited for %s, and the API server did not answer for %s of it; last seen: %s", what, ended.Away.Round(time.Second), ended.Seen)
	default:
		return env.ranOut(ctx, what, ended.Seen)
	}
}

// awayLong is how long an API server must have been away for a wait to be no verdict. One that restarts is away for longer, and the
// kubelets report what their pods do only after that.
const awayLong = 5 * time.Second

// once evaluates a condition once.
func once(ctx context.Context, what string, look wait.Condition) error {
	done, seen, err := look(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look for %s: %w", what, err)
	case !done:
		return reach.Failf("%s: %s", what, seen)
	}
	return nil
}

// ranOut is the error of a wait whose context ended: a failure if its own time was up.
func (env *Env) ranOut(ctx context.Context, what, seen string) error {
	if !timedOut(ctx) {
		return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
	}
	if seen == "" {
		seen = "nothing"
	}
	return reach.Failf("gave up waiting for %s; last seen: %s", what, seen)
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool { return wait.Sleep(ctx, d) == nil }

// ErrTimeout is the cause of a step's context when its own bound has passed, as against a run that was cancelled.
var ErrTimeout = errors.New("the step's time is up")

func timedOut(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrTimeout) }
