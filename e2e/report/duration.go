package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// short prints a duration with two digits where they matter: "0.31 ms", "12 ms", "4.2 s", "1m23s".
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + short(-d)
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.3f ms", d.Seconds()*1e3)
	case d < 995*time.Microsecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// latency is the median and the 95th percentile (nearest rank) of latencies.
type latency struct{ median, p95 time.Duration }

// latencyOf summarizes the observations that got a response; ok is false when none did.
func latencyOf(observations []reach.Observation) (l latency, ok bool) {
	var all []time.Duration
	for _, o := range observations {
		if o.Latency > 0 && o.Outcome != reach.TimedOut && o.Outcome != reach.ProbeFailed && o.Outcome != reach.Unprobed {
			all = append(all, o.Latency)
		}
	}
	if len(all) == 0 {
		return latency{}, false
	}
	slices.Sort(all)
	rank := func(q float64) time.Duration { return all[max(0, int(math.Ceil(q*float64(len(all))))-1)] }
	return latency{median: rank(0.5), p95: rank(0.95)}, true
}

func (l latency) String() string {
	return fmt.Sprintf("median %s, p95 %s", short(l.median), short(l.p95))
}

// patience is the longest wait of a probe that timed out; zero when none did.
func patience(observations []reach.Observation) (wait time.Duration) {
	for _, o := range observations {
		if o.Outcome == reach.TimedOut {
			wait = max(wait, o.Latency)
		}
	}
	return wait
}
