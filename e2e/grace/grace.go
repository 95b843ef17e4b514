// Package grace lets a request that creates something finish after the run is cancelled. A cancelled create may have
// succeeded on the server; without its response the object would leak.
package grace

import (
	"context"
	"time"
)

// period is how long a request may continue after its run is cancelled.
const period = 10 * time.Second

// Context returns a context for one request that creates something. It ends up to 10 s after ctx, so that the response
// arrives; if ctx has already ended, it has ended too. The returned function frees its resources and must be called.
func Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return context.WithCancel(ctx)
	}
	request, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-request.Done():
		case <-time.After(period):
			end(context.Cause(ctx))
		}
	})
	return request, func() {
		stop()
		end(context.Canceled)
	}
}
