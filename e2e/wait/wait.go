// Package wait waits until a condition is met. It is the only place of the project that does: every wait for objects, nodes,
// kube-proxy or traffic is a call of [For], and a step that only has to let time pass calls [Sleep].
//
// For runs the loop of sigs.k8s.io/e2e-framework/klient/wait, and its conditions may be those of klient/wait/conditions: see
// [Upstream], [Object], [Deployment], [DaemonSet] and [List]. For adds what those packages do not have: a wait that runs out says what it was
// waiting for and what it saw last ([Error]); a run that was cancelled can be told from a wait whose time was up; progress can
// be read while it waits; a condition can be required to hold for a time; and changes of objects wake it ([On]), so that it
// neither polls an idle cluster nor sleeps through a change.
//
// What falls short upstream in v0.7.0, and is worked around here:
//   - wait.For returns ctx.Err(), never context.Cause(ctx), and nothing of what the condition saw last.
//   - conditions.ResourceMatch, ResourceScaled and ResourceListMatchN hide every error of a request. The others, such as
//     PodReady and DeploymentConditionMatch, end the wait at the first one, also when the API server only restarts: see [Retry].
//   - DeploymentAvailable and DaemonSetReady ignore status.observedGeneration, so they hold for a change that its controller has
//     not seen yet: see [Deployment] and [DaemonSet].
//   - ResourcesMatch and ResourcesDeleted drop the error of a list that they cannot read, because a result named err hides it.
//   - ResourceDeleted and PodPhaseMatch send requests with context.Background(), which no cancellation ends.
//   - klient.Client.Resources(namespace) changes the Resources that all callers share: see [List].
//   - klient/k8s/watcher watches once. It does not list first, and after the API server has ended the watch it spins on the
//     closed channel. So On uses informers of client-go.
package wait

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	klientwait "sigs.k8s.io/e2e-framework/klient/wait"
)

const (
	// pollEvery is the time between two evaluations of a condition that nothing announces.
	pollEvery = 250 * time.Millisecond
	// coalesce is the time between a change of an object and the evaluation that it causes: objects change in bursts, and one
	// evaluation is to see a whole burst.
	coalesce = 50 * time.Millisecond
	// relook is the longest time between two evaluations while objects are watched. It finds what no watch reports.
	relook = 5 * time.Second
)

// Condition reports whether what is waited for is so, and in a few words what it saw. An error ends the wait at once: see
// [Retry]. It is never called by two goroutines at the same time.
type Condition func(ctx context.Context) (done bool, seen string, err error)

// ErrNotHeld says that a condition was met, and ended before the time that it had to hold.
var ErrNotHeld = errors.New("the condition did not hold")

// Error is a wait that ended before its condition was met.
type Error struct {
	// What was waited for, and what was Seen last.
	What, Seen string
	// Unseen is the error of the last evaluation, if it failed: the condition may be met.
	Unseen error
	// Away is for how long, all in all, evaluations failed: what was waited for could not be seen.
	Away time.Duration
	// After is how long the wait took. Hold is how long the condition had to hold, if it had to.
	After, Hold time.Duration
	// Err is why the wait ended: context.DeadlineExceeded when the time given by Timeout was up, ErrNotHeld, or the cause of
	// the end of its context.
	Err error
}

// Error says what was waited for, how long, and what was seen last.
func (e *Error) Error() string {
	after := e.After.Round(100 * time.Millisecond)
	switch {
	case errors.Is(e.Err, ErrNotHeld):
		return fmt.Sprintf("%s did not last %s: %s", e.What, e.Hold, e.Seen)
	case errors.Is(e.Err, context.DeadlineExceeded):
		return fmt.Sprintf("waited %s for %s; last seen: %s", after, e.What, e.Seen)
	default:
		return fmt.Sprintf("waited %s for %s (%v); last seen: %s", after, e.What, e.Err, e.Seen)
	}
}

// Unwrap gives why the wait ended.
func (e *Error) Unwrap() error { return e.Err }

// State is a wait that has not ended.
type State struct {
	What, Seen string
	After      time.Duration
}

// String says what is waited for and what was seen last.
func (s State) String() string {
	if s.Seen == "" {
		return "waiting for " + s.What
	}
	return "waiting for " + s.What + "; last seen: " + s.Seen
}

// Option changes how a wait is made.
type Option func(*options)

type options struct {
	timeout, hold, every time.Duration
	progress             func(State)
	client               dynamic.Interface
	objects              []Objects
	gate                 func([]*unstructured.Unstructured) (bool, string)
}

// Timeout bounds the wait. Without it only the context does.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Every is the time between two evaluations of the condition: 250 ms if nothing is said. Together with On it is the longest
// such time, and 5 s if nothing is said.
func Every(d time.Duration) Option { return func(o *options) { o.every = d } }

// Hold requires that the condition holds for d. The wait ends with ErrNotHeld as soon as it does not.
func Hold(d time.Duration) Option { return func(o *options) { o.hold = d } }

// On evaluates the condition whenever one of the objects changes. Watches that break off are begun again; until then the
// condition is evaluated as Every says.
func On(client dynamic.Interface, objects ...Objects) Option {
	return func(o *options) { o.client, o.objects = client, objects }
}

// Gate evaluates the condition after a change only if it may be met as far as the watched objects tell, which costs no request.
// seen is what they tell. The condition decides, and what no watch reports is found as Every says.
func Gate(may func([]*unstructured.Unstructured) (pass bool, seen string)) Option {
	return func(o *options) { o.gate = may }
}

// Progress calls report before the first evaluation of the condition, after each, and several times a second between them.
func Progress(report func(State)) Option { return func(o *options) { o.progress = report } }

// For evaluates the condition until it is met. what says what is waited for and follows the words "waiting for": "the objects
// to settle". A wait that ends before is an *[Error]; an error of the condition is returned as soon as it occurs, with what.
// The condition is evaluated at least once, even if ctx has ended.
func For(ctx context.Context, what string, condition Condition, with ...Option) error {
	w := waiting{options: options{progress: func(State) {}}, what: what, condition: condition, began: time.Now()}
	for _, option := range with {
		option(&w.options)
	}
	w.progress(State{What: what})
	poll := w.every
	if poll == 0 {
		poll = pollEvery
	}
	var stop context.CancelFunc
	w.watching, stop = context.WithCancel(ctx)
	defer stop()
	if len(w.objects) > 0 {
		if w.every == 0 {
			w.every = relook
		}
		// klient/wait can only poll. So it polls whether something has changed, which costs nothing.
		poll = coalesce / 2
	}
	err := klientwait.For(w.poll, klientwait.WithContext(ctx), klientwait.WithTimeout(w.timeout),
		klientwait.WithInterval(poll), klientwait.WithImmediate())
	switch {
	case err == nil:
		return nil
	case w.failed != nil:
		return fmt.Errorf("wait for %s: %w", what, w.failed)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if w.seen == "" {
		w.seen = "nothing"
	}
	w.answered()
	return &Error{What: what, Seen: w.seen, Unseen: w.unseen, Away: w.away, After: time.Since(w.began), Hold: w.hold, Err: err}
}

// waiting is a wait under way.
type waiting struct {
	options
	what      string
	condition Condition
	watching  context.Context //nolint:containedctx // ends with the wait
	watch     *Watch          // nil without On, and before the first evaluation: most conditions are met at once and need none
	began     time.Time
	looked    time.Time // when the last evaluation ended
	changed   time.Time // when the first change since then was noticed; zero without any
	met       time.Time // since when the condition has been met; zero while it is not
	seen      string
	unseen    error     // of the last evaluation, if the wait goes on after it
	lost      time.Time // since when evaluations have failed; zero while they do not
	away      time.Duration
	failed    error // of the condition
}

// poll is the condition that klient/wait is given.
func (w *waiting) poll(ctx context.Context) (bool, error) {
	done := false
	if w.due() {
		var err error
		if done, err = w.look(ctx); err != nil {
			return false, err
		}
	}
	if !done && w.watch == nil && len(w.objects) > 0 {
		if w.watch, w.failed = Follow(w.watching, w.client, w.objects...); w.failed != nil {
			return false, w.failed
		}
	}
	w.progress(State{What: w.what, Seen: w.seen, After: time.Since(w.began)})
	return done, nil
}

// due reports whether the condition is to be evaluated.
func (w *waiting) due() bool {
	if w.watch == nil || w.looked.IsZero() {
		return true
	}
	select {
	case <-w.watch.Changed():
		if w.changed.IsZero() {
			w.changed = time.Now()
		}
	default:
	}
	if time.Since(w.looked) >= w.every || w.held() {
		return true
	}
	if w.changed.IsZero() || time.Since(w.changed) < coalesce {
		return false
	}
	if objects, err := w.watch.List(); w.gate != nil && w.met.IsZero() && err == nil {
		if pass, seen := w.gate(objects); !pass {
			w.answered()
			w.changed, w.seen, w.unseen = time.Time{}, seen, nil
			return false
		}
	}
	return true
}

// held reports whether the condition has been met for as long as it must.
func (w *waiting) held() bool { return !w.met.IsZero() && time.Since(w.met) >= w.hold }

func (w *waiting) look(ctx context.Context) (bool, error) {
	w.changed = time.Time{}
	began := time.Now()
	done, seen, err := w.condition(ctx)
	w.looked = time.Now()
	switch {
	case err != nil && ctx.Err() != nil: // the end of the wait cut it off, so it saw nothing
		return false, nil
	case errors.As(err, &unseen{}):
		if w.lost.IsZero() {
			w.lost = began
		}
		w.seen, w.unseen = err.Error(), err
		return false, nil
	case err != nil:
		w.failed = err
		return false, err
	case ctx.Err() == nil || seen != "":
		w.answered()
		w.seen, w.unseen = seen, nil
	}
	switch {
	case !done && !w.met.IsZero() && ctx.Err() == nil:
		return false, ErrNotHeld
	case !done:
		return false, nil
	case w.met.IsZero():
		w.met = w.looked
	}
	return w.held(), nil
}

// answered ends a time in which evaluations failed.
func (w *waiting) answered() {
	if !w.lost.IsZero() {
		w.away, w.lost = w.away+time.Since(w.lost), time.Time{}
	}
}

// Sleep lets d pass. It returns the cause when ctx ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
