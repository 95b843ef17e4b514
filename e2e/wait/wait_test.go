package wait

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// since makes a condition that is met from the time d after its first evaluation on.
func since(d time.Duration) Condition {
	var began time.Time
	return func(context.Context) (bool, string, error) {
		if began.IsZero() {
			began = time.Now()
		}
		after := time.Since(began)
		return after >= d, after.String(), nil
	}
}

func TestForPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := For(t.Context(), "it", since(time.Minute), Every(7*time.Second)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 63*time.Second {
			t.Errorf("it took %s", took)
		}
		began = time.Now()
		if err := For(t.Context(), "it", since(0)); err != nil || time.Since(began) != 0 {
			t.Errorf("what is so already took %s: %v", time.Since(began), err)
		}
		began = time.Now()
		if err := For(t.Context(), "it", since(time.Second)); err != nil || time.Since(began) != time.Second {
			t.Errorf("it took %s: %v", time.Since(began), err)
		}
	})
}

// A wait goes on after an evaluation that failed, also within the time that its condition must hold. If the last one failed, its
// error says so: nothing is known then.
func TestForGoesOnAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		fails := func(from, to time.Duration) Condition {
			began := time.Now()
			return Retry(func(context.Context) (bool, string, error) {
				if after := time.Since(began); after >= from && after < to {
					return false, "", down
				}
				return time.Since(began) >= 2*time.Second, "not yet", nil
			})
		}
		if err := For(t.Context(), "it", fails(3*time.Second, 4*time.Second), Hold(5*time.Second), Timeout(time.Minute)); err != nil {
			t.Error(err)
		}
		var ended *Error
		if err := For(t.Context(), "it", fails(0, time.Hour), Timeout(time.Minute)); !errors.As(err, &ended) || !errors.Is(ended.Unseen, down) || ended.Seen != down.Error() {
			t.Errorf("%#v", err)
		}
		if err := For(t.Context(), "it", fails(0, time.Second), Timeout(1500*time.Millisecond)); !errors.As(err, &ended) || ended.Unseen != nil || ended.Seen != "not yet" || ended.Away != time.Second {
			t.Errorf("%#v", err)
		}
	})
}

func TestForSaysWhatItSawLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := For(t.Context(), "the moon to be blue", func(context.Context) (bool, string, error) { return false, "it is grey", nil }, Timeout(time.Minute))
		var waited *Error
		if !errors.As(err, &waited) || !errors.Is(err, context.DeadlineExceeded) || waited.After != time.Minute || waited.What != "the moon to be blue" {
			t.Fatalf("%#v", err)
		}
		if err.Error() != "waited 1m0s for the moon to be blue; last seen: it is grey" {
			t.Error(err)
		}
		ended := Condition(func(ctx context.Context) (bool, string, error) {
			<-ctx.Done()
			return false, "", ctx.Err()
		})
		if err := For(t.Context(), "it", Retry(ended), Timeout(time.Second)); !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "last seen: nothing") {
			t.Errorf("the end of the wait is not what was seen last: %v", err)
		}
	})
}

// A cancelled run can be distinguished from a wait whose time was up, by its cause.
func TestForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pressed := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3100*time.Millisecond, func() { cancel(pressed) })
		err := For(ctx, "it", since(time.Hour), Timeout(time.Minute))
		if !errors.Is(err, pressed) || errors.Is(err, context.DeadlineExceeded) || err.Error() != "waited 3.1s for it (interrupted); last seen: 3s" {
			t.Error(err)
		}
		looked := 0
		err = For(ctx, "it", func(context.Context) (bool, string, error) { looked++; return true, "", nil })
		if err != nil || looked != 1 {
			t.Errorf("evaluated %d times after the end: %v", looked, err)
		}
		stepTime := errors.New("the step's time is up")
		bounded, stop := context.WithTimeoutCause(t.Context(), time.Second, stepTime)
		defer stop()
		if err := For(bounded, "it", since(time.Hour)); !errors.Is(err, stepTime) {
			t.Error(err)
		}
	})
}

func TestErrorsOfTheCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, looked := errors.New("refused"), 0
		refuses := Condition(func(context.Context) (bool, string, error) {
			if looked++; looked < 3 {
				return false, "", refused
			}
			return true, "", nil
		})
		if err := For(t.Context(), "it", refuses); !errors.Is(err, refused) || err.Error() != "wait for it: refused" || looked != 1 {
			t.Errorf("evaluated %d times: %v", looked, err)
		}
		var seen []string
		looked = 0
		if err := For(t.Context(), "it", Retry(refuses), Progress(func(s State) { seen = append(seen, s.Seen) })); err != nil || looked != 3 {
			t.Errorf("evaluated %d times: %v", looked, err)
		}
		if want := []string{"", "refused", "refused", ""}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	})
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := For(t.Context(), "it", since(2*time.Second), Hold(10*time.Second)); err != nil || time.Since(began) != 12*time.Second {
			t.Errorf("it took %s: %v", time.Since(began), err)
		}
		began = time.Now()
		ends := Condition(func(context.Context) (bool, string, error) {
			after := time.Since(began)
			return after < 4*time.Second, fmt.Sprintf("%s have passed", after), nil
		})
		err := For(t.Context(), "it", ends, Hold(10*time.Second), Timeout(time.Minute))
		if !errors.Is(err, ErrNotHeld) || err.Error() != "it did not last 10s: 4s have passed" || time.Since(began) != 4*time.Second {
			t.Error(err)
		}
		// what is met but not for long enough has run out
		if err := For(t.Context(), "it", since(0), Hold(10*time.Second), Timeout(5*time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// Progress is reported while nothing is evaluated, too.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []State
		if err := For(t.Context(), "it", since(time.Second), Progress(func(s State) { states = append(states, s) })); err != nil {
			t.Fatal(err)
		}
		if len(states) != 6 || states[0].String() != "waiting for it" || states[3].String() != "waiting for it; last seen: 500ms" || states[3].After != 500*time.Millisecond {
			t.Errorf("%v", states)
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("it took %s: %v", time.Since(began), err)
		}
		pressed := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(pressed) })
		if err := Sleep(ctx, time.Hour); !errors.Is(err, pressed) {
			t.Error(err)
		}
	})
}
