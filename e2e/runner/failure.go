package runner

import (
	"context"
	"errors"

	"github.com/svclab/svclab/e2e/reach"
)

// failf and resultOf are reach's, under the names this package uses.
func failf(format string, args ...any) error { return reach.Failf(format, args...) }

func resultOf(err error) reach.Result { return reach.ResultOf(err) }

// errTimeout is the cause of a step's context when its own bound has passed, as against a run that was cancelled.
var errTimeout = errors.New("the step's time is up")

func timedOut(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errTimeout) }
