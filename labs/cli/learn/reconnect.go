package learn

import (
	"context"
	"errors"
	"time"

	"github.com/svclab/svclab/labs/coach"
)

const (
	// goneAfter is how long a cluster may not answer: an API server that is begun anew takes about that long.
	goneAfter = 20 * time.Second
	askAgain  = time.Second
	answersIn = 3 * time.Second
)

// inquiry finds out whether a cluster that did not answer answers again.
type inquiry struct{ found chan error }

// inquire begins an inquiry, unless one is under way. why is what was the matter with the cluster first.
func (w *watcher) inquire(ctx context.Context, why error) {
	if w.away != nil {
		return
	}
	w.away = &inquiry{found: make(chan error, 1)}
	found := w.away.found
	go func() {
		defer w.keys.rescue()
		for bound := time.Now().Add(goneAfter); ; {
			asked, cancel := context.WithTimeout(ctx, answersIn)
			_, err := w.env.Begun(asked)
			cancel()
			if err == nil || ctx.Err() != nil {
				found <- nil
				return
			}
			if time.Now().After(bound) {
				found <- errors.Join(why, err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(askAgain):
			}
		}
	}()
}

// answer is what an inquiry found; nil while there is none.
func (w *watcher) answer() <-chan error {
	if w.away == nil {
		return nil
	}
	return w.away.found
}

// gone is the error of a cluster that does not answer any more, or of the context that ended.
func (w *watcher) gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return w.repair(coach.WatchLost, err)
}
