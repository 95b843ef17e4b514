package reach

import (
	"errors"
	"fmt"
)

// failure is an error that the cluster causes: a request was answered, but the answer differs from the expected one, or did
// not match it in time. Any other error means that svclab could not find out.
type failure struct{ text string }

func (f failure) Error() string { return f.text }

// Failf returns an error for which ResultOf returns Fail.
func Failf(format string, args ...any) error { return failure{fmt.Sprintf(format, args...)} }

// ResultOf is the result of an action that returned err: Pass for nil, Fail for an error that Failf made, also when it is
// wrapped or joined with others, and Inconclusive for any other.
func ResultOf(err error) Result {
	var f failure
	switch {
	case err == nil:
		return Pass
	case errors.As(err, &f):
		return Fail
	default:
		return Inconclusive
	}
}
