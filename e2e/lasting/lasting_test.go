package lasting

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errPressed = errors.New("Ctrl-C")

func TestRequestOutlivesTheRunForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, cancel := context.WithCancelCause(t.Context())
		asked, free := Request(run)
		defer free()
		time.Sleep(time.Hour)
		if asked.Err() != nil {
			t.Fatalf("it ended before the run did: %v", asked.Err())
		}
		cancel(errPressed)
		time.Sleep(grace - time.Second)
		synctest.Wait()
		if asked.Err() != nil {
			t.Errorf("it was not given its time: %v", asked.Err())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(asked), errPressed) {
			t.Errorf("its end has the cause %v, want the run's", context.Cause(asked))
		}
	})
}

func TestRequestOfARunThatHasEnded(t *testing.T) {
	run, cancel := context.WithCancelCause(t.Context())
	cancel(errPressed)
	asked, free := Request(run)
	defer free()
	if asked.Err() == nil || !errors.Is(context.Cause(asked), errPressed) {
		t.Errorf("nothing new is to be begun: %v, cause %v", asked.Err(), context.Cause(asked))
	}
}

func TestRequestThatIsAnsweredLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
		run, cancel := context.WithCancelCause(t.Context())
		asked, free := Request(run)
		free()
		if asked.Err() == nil {
			t.Error("it goes on after its answer")
		}
		cancel(errPressed)
	})
}
