package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/svclab/svclab/e2e/reach"
)

// failure is an error that the cluster is to blame for: something was asked and the answer was not as it must
// be, or did not become so in time. Every other error only says that the runner could not find out.
type failure struct{ text string }

func (f failure) Error() string { return f.text }

func failf(format string, args ...any) error { return failure{fmt.Sprintf(format, args...)} }

// resultOf is what an error makes of a step: Fail for a failure, Inconclusive for any other, whatever it is
// joined with.
func resultOf(err error) reach.Result {
	var f failure
	switch {
	case err == nil:
		return reach.Pass
	case errors.As(err, &f):
		return reach.Fail
	default:
		return reach.Inconclusive
	}
}

// errTimeout is the cause of a step's context when its own bound has passed, as against a run that was cancelled.
var errTimeout = errors.New("the step's time is up")

func timedOut(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errTimeout) }
