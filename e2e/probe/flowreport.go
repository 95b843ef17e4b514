package probe

import (
	"cmp"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// FlowReport sums up a flow's requests. All times are of the vantage's clock.
type FlowReport struct {
	// Sent are the requests that were due: Answered and Failed together.
	Sent, Answered int
	// Failed are the requests without an answer, in the order of their starts. ProbeFailed among them could not be sent.
	Failed []reach.Observation
	// Began and Ended are the starts of the first and the last request.
	Began, Ended time.Time
	// LongestGap is the longest time without an answer: between two answers, from the first request's start to the first
	// answer, or from the last answer to the last request's start. Without an outage it is about 1/PerSecond.
	LongestGap time.Duration
	// Outages are the maximal sequences of failed requests, in the order of their starts.
	Outages []Outage
	// Backends counts the answers of each backend.
	Backends map[string]int
	// Median, P99 and Slowest are latencies of answers, from the start of a request to the end of its answer.
	Median, P99, Slowest time.Duration
}

// Outage is a sequence of failed requests.
type Outage struct {
	// From is the start of the first failed request, Until the start of the first successful request after it; zero if there
	// is none.
	From, Until time.Time
	Lost        int
}

// tally keeps a flow's observations.
type tally struct{ observed []reach.Observation }

func (t *tally) add(o reach.Observation) { t.observed = append(t.observed, o) }

// report sums up. Observations arrive in the order of their ends, but outages are computed in the order of their starts.
func (t *tally) report() FlowReport {
	r := FlowReport{Sent: len(t.observed), Backends: map[string]int{}}
	if r.Sent == 0 {
		return r
	}
	observed := slices.SortedStableFunc(slices.Values(t.observed), func(a, b reach.Observation) int { return a.At.Compare(b.At) })
	r.Began, r.Ended = observed[0].At, observed[len(observed)-1].At
	var (
		latencies []time.Duration
		answers   []time.Time
		failing   bool
	)
	for _, o := range observed {
		if o.Outcome != reach.Reached {
			r.Failed = append(r.Failed, o)
			if !failing {
				r.Outages = append(r.Outages, Outage{From: o.At})
			}
			r.Outages[len(r.Outages)-1].Lost++
			failing = true
			continue
		}
		if failing {
			r.Outages[len(r.Outages)-1].Until = o.At
		}
		failing = false
		r.Answered++
		r.Backends[o.Backend]++
		latencies = append(latencies, o.Latency)
		answers = append(answers, o.At.Add(o.Latency))
	}
	slices.SortFunc(answers, time.Time.Compare)
	last := r.Began
	for _, at := range append(answers, r.Ended) {
		r.LongestGap = max(r.LongestGap, at.Sub(last))
		last = at
	}
	slices.SortFunc(latencies, cmp.Compare)
	if n := len(latencies); n > 0 {
		r.Median, r.P99, r.Slowest = latencies[n/2], latencies[n*99/100], latencies[n-1]
	}
	return r
}
