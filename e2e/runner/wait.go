package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/svclab/svclab/e2e/wait"
)

// relook is the longest time between two evaluations of what a step waits for.
const relook = 5 * time.Second

// progress is what a step is waiting for, for the heartbeat.
type progress struct {
	mu    sync.Mutex
	state wait.State
}

func (p *progress) say(what, seen string) { p.set(wait.State{What: what, Seen: seen}) }

func (p *progress) set(state wait.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
}

// String says what is waited for and what was seen last; empty while nothing is waited for.
func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.What == "" {
		return ""
	}
	return p.state.String()
}

// watched names objects whose changes wake a wait.
type watched struct {
	resource  schema.GroupVersionResource
	namespace string // empty: all, and cluster-scoped objects
	name      string // empty: all
}

// await waits until look is met and has been for the time holds, and evaluates it whenever a watched object changes. A goal's
// step that only looks does not wait: what is not so now is a failure.
func (s *session) await(ctx context.Context, what string, sources []watched, holds time.Duration, look wait.Condition) error {
	if s.once && holds == 0 {
		s.progress.say(what, "")
		defer s.progress.say("", "")
		return once(ctx, what, look)
	}
	var objects []wait.Objects
	for _, source := range sources {
		objects = append(objects, wait.Objects{Resource: source.resource, Namespace: source.namespace, Name: source.name})
	}
	return s.wait(ctx, what, look, wait.Hold(holds), wait.Every(relook), wait.On(s.runner.cluster.Dynamic(), objects...))
}

// wait is wait.For in a step: the heartbeat tells what is waited for, and it is a failure when the step's time is up or
// the condition did not hold.
func (s *session) wait(ctx context.Context, what string, condition wait.Condition, with ...wait.Option) error {
	defer s.progress.say("", "")
	err := wait.For(ctx, what, condition, append(with, wait.Progress(s.progress.set))...)
	var ended *wait.Error
	switch {
	case !errors.As(err, &ended):
		return err
	case errors.Is(err, wait.ErrNotHeld):
		return failf("%s", ended)
	default:
		return s.ranOut(ctx, what, ended.Seen)
	}
}

// once evaluates a condition once.
func once(ctx context.Context, what string, look wait.Condition) error {
	done, seen, err := look(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look for %s: %w", what, err)
	case !done:
		return failf("%s: %s", what, seen)
	}
	return nil
}

// ranOut is the error of a wait whose context ended: a failure if its own time was up.
func (s *session) ranOut(ctx context.Context, what, seen string) error {
	if !timedOut(ctx) {
		return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
	}
	if seen == "" {
		seen = "nothing"
	}
	return failf("gave up waiting for %s; last seen: %s", what, seen)
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool { return wait.Sleep(ctx, d) == nil }
