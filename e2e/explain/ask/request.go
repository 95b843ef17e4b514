package ask

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

const (
	// answerIn is long enough for a busy machine, and for a SYN to be sent again after one and three seconds.
	answerIn = 4 * time.Second
	// silentIn is for cells in which nothing is to come back: each connection takes this long.
	silentIn = 1500 * time.Millisecond
	// missChance bounds the chance that a healthy cell is judged wrong because one backend was never chosen.
	missChance = 1e-9
)

// request says how a cell is asked: until every backend has answered, or twice where none is to answer. A node asks
// the cluster's DNS itself, whatever resolver it has.
func request(c Cluster, v reach.Vantage, t reach.Target, p reach.Prediction) probe.Request {
	r := probe.Request{Vantage: v, Target: t, Min: 2, Max: 2, Timeout: answerIn}
	switch {
	case p.Allows(reach.Reached):
		r.Min, r.Max = 4, 4
		if !p.Sticky && !p.AnyBackend && len(p.Backends) > 1 {
			r.Until, r.Max = p.Backends, connections(len(p.Backends))
		}
	case p.Allows(reach.TimedOut):
		r.Timeout = silentIn
	}
	if v.Kind == reach.Node && (t.Kind == reach.DNSName || t.Kind == reach.ExternalName) {
		r.DNSServer = c.DNS()
	}
	return r
}

// connections is how many it takes until each of k backends, chosen evenly, has answered, but for missChance.
func connections(k int) int {
	n := math.Log(missChance/float64(k)) / math.Log1p(-1/float64(k))
	return max(4, int(math.Ceil(n)))
}

// relax makes predictions and observations comparable where the backends are not the lab's sample app. These answer,
// but do not say who they are: that counts as reached, by whomever. A UDP program that knows no such question may
// say nothing at all: then nothing can be told.
func relax(cells []reach.Cell, predictions []reach.Prediction) {
	var known, silent, spoken bool
	for _, c := range cells {
		inside := c.Target.Kind == reach.Endpoint && c.Vantage.Kind == reach.Pod
		for _, o := range c.Observations {
			known = known || o.Outcome == reach.Reached && c.Target.Kind != reach.HealthCheck
			if inside && c.Target.Protocol == reach.UDP {
				silent = silent || o.Outcome == reach.TimedOut
				spoken = spoken || o.Outcome != reach.TimedOut
			}
		}
	}
	for i := range cells {
		p, udp := &predictions[i], cells[i].Target.Protocol == reach.UDP
		if !p.Allows(reach.Reached) {
			continue
		}
		for k := range cells[i].Observations {
			o := &cells[i].Observations[k]
			switch {
			case o.Outcome == reach.WrongAnswer && !known:
				o.Outcome, o.Source = reach.Reached, netip.Addr{}
				o.Detail = "it answers, but not as the lab's sample app, so who it is is not known: " + o.Detail
				p.Backends, p.Sources, p.HostSeen = nil, nil, ""
			case o.Outcome == reach.TimedOut && udp && silent && !spoken:
				o.Outcome, o.Detail = reach.Unprobed, "by UDP only the lab's sample app is understood, and the pods themselves say nothing to its question"
			}
		}
	}
}

// refusing are the names of the pods that refuse at their own address, at most five.
func refusing(t reach.Table) []string {
	var names []string
	for _, c := range t.Cells {
		target := c.Cell.Target
		if target.Kind != reach.Endpoint || target.Pod == "" || slices.Contains(names, target.Pod) || len(names) == 5 {
			continue
		}
		if slices.ContainsFunc(c.Cell.Observations, func(o reach.Observation) bool { return o.Outcome == reach.Refused }) {
			names = append(names, target.Pod)
		}
	}
	return names
}
