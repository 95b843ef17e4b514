package steps

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
)

// A step whose time is up failed if it saw that something is not so. If the API server did not answer last, or for a good part of the
// wait, nothing is known.
func TestWaitWhoseTimeIsUp(t *testing.T) {
	down := errors.New("connection refused")
	until := func(back time.Duration) wait.Condition {
		var began time.Time
		return wait.Retry(func(context.Context) (bool, string, error) {
			if began.IsZero() {
				began = time.Now()
			}
			if time.Since(began) < back {
				return false, "", down
			}
			return false, "two pods", nil
		})
	}
	for name, c := range map[string]struct {
		condition wait.Condition
		want      reach.Result
	}{
		"not so":              {func(context.Context) (bool, string, error) { return false, "two pods", nil }, reach.Fail},
		"no answer":           {wait.Retry(func(context.Context) (bool, string, error) { return false, "", down }), reach.Inconclusive},
		"it restarted":        {until(50 * time.Second), reach.Inconclusive},
		"one answer was lost": {until(time.Second), reach.Fail},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, ErrTimeout)
			defer cancel()
			err := (&Env{}).wait(ctx, "three pods", c.condition)
			if reach.ResultOf(err) != c.want {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
