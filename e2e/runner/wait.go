package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

const (
	// coalesce is the least time between two looks: objects change in bursts, and one look sees a whole burst.
	coalesce = 50 * time.Millisecond
	// relook is the longest time between two looks, for what cannot be watched.
	relook = 5 * time.Second
)

// progress is what a step is waiting for, for the heartbeat and for the error of a wait that runs out.
type progress struct {
	mu         sync.Mutex
	what, seen string
}

func (p *progress) say(what, seen string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.seen = what, seen
}

// String says what is waited for and what was last seen; empty while nothing is.
func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.what == "":
		return ""
	case p.seen == "":
		return "waiting for " + p.what
	default:
		return "waiting for " + p.what + "; last seen: " + p.seen
	}
}

// watched names objects whose changes wake a wait.
type watched struct {
	resource  schema.GroupVersionResource
	namespace string // empty: all, and cluster-scoped objects
	name      string // empty: all
}

// await looks, and looks again whenever a watched object changes, until look is done, and stays done for the
// time holds. look returns in a few words what it saw. An error of look ends the wait at once: transient
// errors of the API are for look to tell as something seen. When the step's time is up the error says what was
// waited for and what was seen last.
func (s *session) await(ctx context.Context, what string, sources []watched, holds time.Duration, look func(context.Context) (done bool, seen string, err error)) error {
	s.progress.say(what, "")
	defer s.progress.say("", "")
	if s.once && holds == 0 {
		return once(ctx, what, look)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	if err := s.watch(watching, sources, changed); err != nil {
		return err
	}
	var (
		seen string
		held *time.Timer
	)
	expiry := func() <-chan time.Time {
		if held == nil {
			return nil
		}
		return held.C
	}
	again := time.NewTicker(relook)
	defer again.Stop()
	for {
		done, now, err := look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("wait for %s: %w", what, err)
		case ctx.Err() != nil:
		case done && holds == 0:
			return nil
		case done && held == nil:
			held = time.NewTimer(holds)
			defer held.Stop()
		case !done && held != nil:
			return failf("%s did not last %s: %s", what, holds, now)
		}
		if ctx.Err() == nil {
			seen = now
			s.progress.say(what, seen)
		}
		select {
		case <-ctx.Done():
			return s.ranOut(ctx, what, seen)
		case <-expiry():
			if done, now, err = look(ctx); err == nil && done {
				return nil
			}
			return failf("%s did not last %s: %s", what, holds, now)
		case <-changed:
			if !pause(ctx, coalesce) {
				return s.ranOut(ctx, what, seen)
			}
		case <-again.C:
		}
	}
}

// once is await where nobody is to wait: what is not so now is a failure.
func once(ctx context.Context, what string, look func(context.Context) (done bool, seen string, err error)) error {
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

// watch sends to changed, without blocking, whenever one of the sources' objects changes, until ctx ends.
func (s *session) watch(ctx context.Context, sources []watched, changed chan<- struct{}) error {
	signal := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, source := range sources {
		informer := dynamicinformer.NewFilteredDynamicInformer(s.runner.cluster.Dynamic(), source.resource, source.namespace, 0,
			cache.Indexers{}, func(o *metav1.ListOptions) {
				if source.name != "" {
					o.FieldSelector = "metadata.name=" + source.name
				}
			}).Informer()
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: signal, UpdateFunc: func(_, o any) { signal(o) }, DeleteFunc: signal}); err != nil {
			return fmt.Errorf("watch %s: %w", source.resource.Resource, err)
		}
		go informer.RunWithContext(ctx)
	}
	return nil
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
