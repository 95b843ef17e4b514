package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// The bounds of every wait, in one place. Each is far above what a loaded two-core machine needs.
const (
	apiServerIn     = 5 * time.Minute  // kind has made the nodes and started the control plane
	nodesReadyIn    = 4 * time.Minute  // kubelet reports, the pod network is configured
	podCIDRsIn      = 3 * time.Minute  // the controller manager gives each node its pod ranges
	proxySyncedIn   = 4 * time.Minute  // kube-proxy is up and its rules are in place
	dnsAnswersIn    = 3 * time.Minute  // CoreDNS runs, forwards, and its Service works from every node
	metalLBIn       = 4 * time.Minute  // controller and speakers ready, pool admitted
	clientsReadyIn  = 3 * time.Minute  // the client pods run
	outsideIn       = 30 * time.Second // the outside world answers
	nodeBackIn      = 2 * time.Minute  // a node that was started again works
	deleteIn        = 2 * time.Minute  // everything is removed
	namespaceGoneIn = time.Minute      // svclab's namespaces in a foreign cluster are removed

	pollEvery = 250 * time.Millisecond
	// quietFor is how long nothing may be said.
	quietFor = 10 * time.Second
)

// WaitError is a wait that ran out.
type WaitError struct {
	// What was waited for, and what was Seen last.
	What, Seen string
	After      time.Duration
	Err        error
}

// Error says what was waited for, how long, and what was seen last.
func (e *WaitError) Error() string {
	why := ""
	if !errors.Is(e.Err, context.DeadlineExceeded) {
		why = fmt.Sprintf(" (%v)", e.Err)
	}
	return fmt.Sprintf("waited %s until %s%s; last seen: %s", e.After.Round(100*time.Millisecond), e.What, why, e.Seen)
}

// Unwrap gives why the wait ended: context.DeadlineExceeded, or what cancelled it.
func (e *WaitError) Unwrap() error { return e.Err }

// waiter runs waits, several at the same time, and says to log what a long one waits for.
type waiter struct {
	mu   sync.Mutex
	log  io.Writer
	said time.Time // when the last line was
}

func (w *waiter) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = fmt.Fprintf(w.log, format+"\n", args...)
	w.said = time.Now()
}

// sayQuietly says something only if nothing has been said for a while.
func (w *waiter) sayQuietly(format string, args ...any) {
	w.mu.Lock()
	quiet := time.Since(w.said) >= quietFor
	w.mu.Unlock()
	if quiet {
		w.say(format, args...)
	}
}

// until asks check again and again until it says done, the limit is over, or ctx ends. For what nobody announces; objects
// are watched with watchObjects. check returns what it sees, for the error message; an error of its own is something seen.
func (w *waiter) until(ctx context.Context, what string, limit time.Duration, check func(context.Context) (seen string, done bool, err error)) error {
	return w.loop(ctx, what, limit, time.Tick(pollEvery), check)
}

func (w *waiter) loop(ctx context.Context, what string, limit time.Duration, again <-chan time.Time,
	check func(context.Context) (string, bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began, seen := time.Now(), "nothing yet"
	quiet := time.NewTicker(time.Second)
	defer quiet.Stop()
	for {
		now, done, err := check(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			seen = now
		case ctx.Err() == nil: // a check cut off by the end has seen nothing
			seen = err.Error()
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return &WaitError{What: what, Seen: seen, After: time.Since(began), Err: context.Cause(ctx)}
			case <-quiet.C:
				if time.Since(began) >= quietFor {
					w.sayQuietly("  … waiting until %s, %.0f s; last seen: %s", what, time.Since(began).Seconds(), shortened(seen))
				}
			case <-again:
				waiting = false
			}
		}
	}
}

// watchObjects watches objects of T's type until judge is content with all of them.
func watchObjects[T metav1.Object](ctx context.Context, w *waiter, what string, limit time.Duration, lw cache.ListerWatcher, judge func([]T) (seen string, done bool)) error {
	example, ok := any(*new(T)).(runtime.Object)
	if !ok {
		return fmt.Errorf("watch until %s: %T is no API object", what, *new(T))
	}
	changed := make(chan time.Time, 1)
	notify := func() {
		select {
		case changed <- time.Time{}:
		default: // one is pending
		}
	}
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: lw, ObjectType: example, Handler: cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	}})
	watching, stop := context.WithCancel(quiet(ctx)) // it would log the end of a watch that is cancelled as an error
	defer stop()
	go informer.RunWithContext(watching)
	if !cache.WaitForCacheSync(within(watching, limit), informer.HasSynced) {
		return &WaitError{What: what, Seen: "the API server lists no such objects", After: limit, Err: context.DeadlineExceeded}
	}
	return w.loop(ctx, what, limit, changed, func(context.Context) (string, bool, error) {
		var objects []T
		for _, object := range store.List() {
			if typed, ok := object.(T); ok {
				objects = append(objects, typed)
			}
		}
		seen, done := judge(objects)
		return seen, done, nil
	})
}

// within is closed when ctx ends or limit is over.
func within(ctx context.Context, limit time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, limit)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}

// quiet keeps client-go from logging; what goes wrong it returns as well.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

// shortened is the beginning of a text that is too long for a line of progress.
func shortened(text string) string {
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return text
}
