package collect

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
)

// relax makes forecasts and observations comparable where the backends are not the lab's sample app. Other programs
// answer, but not with their name: that counts as reached, by any backend. A UDP program may drop a request that it does
// not know: then the cell says nothing.
func relax(cells []reach.Cell, forecasts []observe.Forecast) {
	// known: some backend said its name. replied and noReply: whether the pods themselves, at their own address, reply
	// to the UDP request.
	var known, noReply, replied bool
	for _, c := range cells {
		inside := c.Target.Kind == reach.Endpoint && c.Vantage.Kind == reach.Pod
		for _, o := range c.Observations {
			known = known || o.Outcome == reach.Reached && c.Target.Kind != reach.HealthCheck
			if inside && c.Target.Protocol == reach.UDP {
				noReply = noReply || o.Outcome == reach.TimedOut
				replied = replied || o.Outcome != reach.TimedOut
			}
		}
	}
	for i := range cells {
		p, udp := &forecasts[i].Oracle, cells[i].Target.Protocol == reach.UDP
		if !p.Allows(reach.Reached) {
			continue
		}
		for k := range cells[i].Observations {
			o := &cells[i].Observations[k]
			switch {
			case o.Outcome == reach.WrongAnswer && !known:
				o.Outcome, o.Source = reach.Reached, netip.Addr{}
				o.Detail = "a program answers that is not the lab's sample app, so its name is not known: " + o.Detail
				p.Backends, p.Sources, p.HostSeen, p.Even, p.Certain = nil, nil, "", false, nil
			case o.Outcome == reach.TimedOut && udp && noReply && !replied:
				o.Outcome, o.Detail = reach.Unprobed, "over UDP only the lab's sample app knows the request, and the pods themselves do not reply to it"
			}
		}
	}
}

// refusing returns the names of the pods that refuse at their own address, at most five.
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
