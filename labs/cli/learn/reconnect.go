package learn

import (
	"context"
	"errors"
	"time"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/labs/coach"
)

const (
	// goneAfter is how long the cluster may be unresponsive. An API server that restarts takes about that long.
	goneAfter      = 20 * time.Second
	retryEvery     = time.Second
	requestTimeout = 3 * time.Second
)

// inquiry waits for a cluster that stopped answering.
type inquiry struct{ found chan error }

// inquire starts an inquiry unless one is running. why is the error that started it.
func (w *watcher) inquire(ctx context.Context, why error) {
	if w.away != nil {
		return
	}
	w.away = &inquiry{found: make(chan error, 1)}
	found := w.away.found
	go func() {
		defer w.keys.rescue()
		err := wait.For(ctx, "the cluster to answer", wait.Retry(func(ctx context.Context) (bool, string, error) {
			bounded, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			_, err := w.env.Begun(bounded)
			return err == nil, "", err
		}), wait.Timeout(goneAfter), wait.Every(retryEvery))
		if err == nil || ctx.Err() != nil {
			found <- nil
			return
		}
		found <- errors.Join(why, err)
	}()
}

// answer returns the channel of the inquiry's result. It is nil while there is no inquiry.
func (w *watcher) answer() <-chan error {
	if w.away == nil {
		return nil
	}
	return w.away.found
}

// gone returns the error of a cluster that does not answer any more, or the cause if ctx ended.
func (w *watcher) gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return w.repair(coach.WatchLost, err)
}
