package grace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errPressed = errors.New("Ctrl-C")

func TestContextOutlivesTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, cancel := context.WithCancelCause(t.Context())
		request, free := Context(run)
		defer free()
		time.Sleep(time.Hour)
		if request.Err() != nil {
			t.Fatalf("it ended before the run did: %v", request.Err())
		}
		cancel(errPressed)
		time.Sleep(period - time.Second)
		synctest.Wait()
		if request.Err() != nil {
			t.Errorf("it ended before the period was over: %v", request.Err())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(request), errPressed) {
			t.Errorf("its end has the cause %v, want the run's", context.Cause(request))
		}
	})
}

func TestContextOfARunThatHasEnded(t *testing.T) {
	run, cancel := context.WithCancelCause(t.Context())
	cancel(errPressed)
	request, free := Context(run)
	defer free()
	if request.Err() == nil || !errors.Is(context.Cause(request), errPressed) {
		t.Errorf("a new request could begin: %v, cause %v", request.Err(), context.Cause(request))
	}
}

func TestContextOfAFinishedRequestLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		run, cancel := context.WithCancelCause(t.Context())
		request, free := Context(run)
		free()
		if request.Err() == nil {
			t.Error("it continues after its response")
		}
		cancel(errPressed)
	})
}
