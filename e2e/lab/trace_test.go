package lab

import (
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// A traced connection that is to be refused lasts until its SYN was sent again: over IPv6 the first rejection is not heard. One that is to be
// lost need not.
func TestTraceRequestWaitsForARefusal(t *testing.T) {
	for outcome, long := range map[reach.Outcome]bool{reach.Reached: true, reach.Refused: true, reach.TimedOut: false} {
		walk := oracle.Walk{Target: reach.Target{Host: "fd00:10:96::1", Port: 81}, Prediction: reach.Prediction{Outcomes: []reach.Outcome{outcome}}}
		if got := traceRequest(world.World{}, walk).Timeout; got >= 2*time.Second != long {
			t.Errorf("%s: %s", outcome, got)
		}
	}
}
