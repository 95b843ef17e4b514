package mutants

import (
	"context"
	"sync"
	"time"
)

// backgroundAtMost bounds a fault that goes on in the background where no one reverts it.
const backgroundAtMost = 10 * time.Minute

// background is a fault that acts again and again, in this process, until it is reverted.
type background struct {
	mu  sync.Mutex
	end func() error
}

// start begins to act. act returns when its context ends, or with an error.
func (b *background) start(ctx context.Context, act func(context.Context) error) {
	running, cancel := context.WithTimeout(context.WithoutCancel(ctx), backgroundAtMost)
	done := make(chan error, 1)
	go func() {
		err := act(running)
		if running.Err() != nil { // it ended in the middle of a request
			err = nil
		}
		done <- err
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = func() error { cancel(); return <-done }
}

// stop returns the error of acting. In a process that did not start it there is nothing to stop.
func (b *background) stop() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == nil {
		return nil
	}
	err := b.end()
	b.end = nil
	return err
}
