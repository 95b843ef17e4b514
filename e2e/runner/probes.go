package runner

import (
	"math"
	"slices"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// How many probes a cell gets.
const (
	// minProbes are made of every cell that is to be answered.
	minProbes = 8
	// deniedProbes are made of every cell that is not, in each of two passes.
	deniedProbes = 2
	// missChance bounds the chance that a healthy cell is judged wrong because one of its backends, though in
	// the rotation, was never chosen. A run of 10,000 cells then has one false alarm in 100,000 runs.
	missChance = 1e-9
)

// MaxProbes is the number of connections after which every one of k backends has answered at least once, but
// for a chance below missChance, where each connection picks a backend evenly and independently, as kube-proxy
// does. One given backend is missed by n connections with chance (1-1/k)^n, any of k with at most k times that,
// so n = ln(missChance/k) / ln(1-1/k), and never less than minProbes. For 2 backends that is 31, for 3 54,
// for 10 219.
func MaxProbes(k int) int {
	if k < 2 {
		return minProbes
	}
	n := math.Log(missChance/float64(k)) / math.Log1p(-1/float64(k))
	return max(minProbes, int(math.Ceil(n)))
}

// forecast is one cell before it is asked: what the two predictions say of it.
type forecast struct {
	vantage reach.Vantage
	target  reach.Target
	oracle  reach.Prediction
	written reach.Prediction
	// goal: written says what is to become of the cell, not what it is now: only the oracle decides how it is asked and
	// when it has converged.
	goal bool
	// silent: see silence.
	silent bool
}

// answered reports whether either prediction allows an answer. Such a cell is probed as one that has backends
// to be heard; all others as denied ones.
func (f forecast) answered() bool {
	return !f.silent && f.oracle.Allows(reach.Reached) || !f.goal && f.written.Allows(reach.Reached)
}

// matches reports whether a cell is as both predictions say. Unprobed cells and those of a prober that failed
// match: nothing more can be learned by asking again.
func (f forecast) matches(cell reach.Cell) bool {
	if asked, _, _ := cell.Asked(); !asked {
		return true
	}
	return len(reach.Compare(f.oracle, cell)) == 0 && (f.goal || len(reach.Compare(f.written, cell)) == 0)
}

// request says how the cell is asked. quick is for convergence, which only needs to see whether the cell is as
// predicted: one probe, and more only until every backend was heard, or where one client is to stay with one of them.
func (f forecast) request(quick bool, timeouts Timeouts) probe.Request {
	r := probe.Request{Vantage: f.vantage, Target: f.target, Min: deniedProbes, Max: deniedProbes, Timeout: timeouts.Denied}
	if f.silent || f.oracle.Allows(reach.TimedOut) && (f.goal || f.written.Allows(reach.TimedOut)) {
		r.Timeout = timeouts.Silent
	}
	if f.answered() {
		r.Min, r.Max, r.Timeout = minProbes, minProbes, timeouts.Answered
		if all := f.backends(); len(all) > 0 {
			r.Until, r.Max = all, MaxProbes(len(all))
		}
	}
	if quick {
		r.Min = 1
		if len(r.Until) == 0 {
			r.Max = 1
		}
		if f.oracle.Sticky { // each probe of a proxy that does not know yet may fall on the same backend by chance
			r.Min = MaxProbes(len(f.oracle.Backends))
			r.Max = r.Min
		}
	}
	return r
}

// backends are those that must each be heard, by either prediction.
func (f forecast) backends() []string {
	var all []string
	said := []reach.Prediction{f.oracle, f.written}
	if f.goal {
		said = said[:1]
	}
	for _, p := range said {
		if p.Allows(reach.Reached) && !p.Sticky && !p.AnyBackend {
			all = append(all, p.Backends...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Timeouts are those of package observe.
type Timeouts = observe.Timeouts
