// Package lasting is about what a run makes in a cluster and must take away again. A request that is broken off may have
// been carried out all the same, and then something is left that nobody knows of: so its answer is awaited though the
// run is being ended.
package lasting

import (
	"context"
	"time"
)

// grace is how long an answer is awaited once the run is being ended.
const grace = 10 * time.Second

// Request returns a context for one request that makes something: it ends some seconds after ctx, so that the answer is
// known; with ctx, where ctx has ended already. The function that it returns frees its resources.
func Request(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return context.WithCancel(ctx)
	}
	asked, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-asked.Done():
		case <-time.After(grace):
			end(context.Cause(ctx))
		}
	})
	return asked, func() {
		stop()
		end(context.Canceled)
	}
}
