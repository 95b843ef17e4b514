package oracle

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// unbound is the fate of requests that no conntrack entry binds to a backend.
func (d *destiny) unbound(announced reach.Phrase) reach.Fate {
	service := d.flow.Target.Service
	bound := d.flow.Kind != reach.FlowNew
	switch {
	case announced.Format != "":
		return d.moves(ruleOverFailover, announced, d.after, true)
	case d.held(len(d.seen)):
		return d.keeps(ruleOverAffinity, reach.Say("sessionAffinity ClientIP keeps this client with %s, which is still an endpoint of %s", d.backend, service))
	case d.same(len(d.seen)):
		then := anyOf(d.after)
		fate := reach.Fate{Kind: reach.Unnoticed, Meanwhile: then, Then: then, Rule: ruleOverBystander,
			Said: reach.Say("nothing changed for %s: %s", service, d.after.Said)}
		if d.Touched[service] || d.Resynced {
			fate.Rule, fate.Tolerated = ruleOverRewritten, d.tolerated()
			fate.Said = reach.Say("the change gives %s the same answers, though its rules may be written again: %s", service, d.after.Said)
		}
		if bound { // one that no backend answers may have an entry that leads nowhere, until it is deleted
			fate.Meanwhile = d.meanwhile(true)
		}
		return reasoned(fate)
	case d.held(len(d.Passing)) || d.same(len(d.Passing)):
		return d.moves(ruleOverSlices, reach.Say("%s; then: %s", d.halfWritten(), d.after.Said), d.after, bound || d.dies())
	}
	return d.moves(ruleOverNew, d.after.Said, d.after, bound || d.dies())
}

// halfWritten is why proxies may have seen a world halfway.
func (d *destiny) halfWritten() reach.Phrase {
	return reach.Say("the EndpointSlices of %s were written one after the other, so for a moment proxies may not have known an endpoint that stays", d.flow.Target.Service)
}

// reasoned sets a fate's reason from what it says.
func reasoned(f reach.Fate) reach.Fate { f.Reason = f.Said.String(); return f }

// held reports whether sessionAffinity keeps the client with the backend that answered last, in the first n worlds on the way too.
func (d *destiny) held(n int) bool {
	return d.before.Sticky && d.after.Sticky && d.backend != "" && slices.Contains(d.after.Backends, d.backend) && d.offered(n) &&
		!slices.ContainsFunc(d.passing[:n], func(p reach.Prediction) bool { return !p.Sticky || !slices.Contains(p.Backends, d.backend) })
}

// same reports whether nothing that a new connection can notice has changed, nor in the first n worlds on the way.
func (d *destiny) same(n int) bool {
	return d.offered(n) && !slices.ContainsFunc(append(slices.Clone(d.passing[:n]), d.after), func(p reach.Prediction) bool {
		return !slices.Equal(p.Outcomes, d.before.Outcomes) || !slices.Equal(p.Backends, d.before.Backends) || p.Sticky != d.before.Sticky
	})
}

// offered reports whether the endpoint that sessionAffinity keeps the client with is offered after the change, and in the first n worlds
// on the way. A pod may be several endpoints of a Service, with a port each, and its answers do not say which: so all of them must be.
func (d *destiny) offered(n int) bool {
	if !d.before.Sticky || d.backend == "" {
		return true
	}
	was := d.Before.offers(d.flow, d.backend)
	return !slices.ContainsFunc(append(slices.Clone(d.seen[:n]), d.After), func(o *Oracle) bool {
		return slices.ContainsFunc(was, not(in(o.offers(d.flow, d.backend))))
	})
}

// offers are the endpoints by which a backend may answer a new connection of a flow.
func (o *Oracle) offers(f reach.Flow, backend string) (list []netip.AddrPort) {
	for _, r := range o.predict(f.Vantage, f.Target).routes {
		if r.among == nil {
			continue
		}
		for _, b := range r.among.backends {
			if b.name == backend {
				list = append(list, netip.AddrPortFrom(b.Addr, b.Port))
			}
		}
	}
	return list
}

func not(holds func(netip.AddrPort) bool) func(netip.AddrPort) bool {
	return func(at netip.AddrPort) bool { return !holds(at) }
}

// connection is the fate of a TCP connection that a backend answers.
func (d *destiny) connection() reach.Fate {
	switch {
	case d.Cut:
		return d.moves(ruleOverCut, reach.Say("the node forgot the connection"), d.after, true)
	case d.alive():
		return d.keeps(ruleOverTCP, reach.Say("an established connection stays with its backend, and %s is still there", d.backend))
	}
	return d.moves(ruleOverGone, reach.Say("%s, which the connection goes to, is gone; of a new one: %s", d.backend, d.after.Said), d.after, true)
}

// datagrams is the fate of datagrams from one port that a backend answers, or reports.
func (d *destiny) datagrams() reach.Fate {
	var (
		port    = d.After.portAt(d.flow.Target)
		serving = d.After.serving(port)
		entries = d.Before.entries(d.flow.Target, d.namespace(), d.backend)
		service = d.flow.Target.Service
		node    = d.flow.Target.Kind == reach.NodePort
	)
	switch {
	case d.Cut:
		return d.moves(ruleOverCut, reach.Say("the node forgot the datagrams before"), d.after, true)
	case d.flow.Kind == reach.FlowOneWay && d.after.Rule == ruleLBRanges:
		return d.moves(ruleOverOneWayRanges, reach.Say("datagrams without an answer are new to conntrack each time, so loadBalancerSourceRanges holds for them: %s", d.after.Said), d.after, true)
	case port != nil && len(serving) == 0 && !node:
		return d.moves(ruleOverUDPEnds, reach.Say("no endpoint of %s serves, so kube-proxy deletes the conntrack entries that lead to %s; of the next datagram: %s", service, d.backend, d.after.Said), d.after, true)
	case len(serving) > 0 && !slices.ContainsFunc(entries, in(serving)):
		return d.moves(ruleOverUDPStale, reach.Say("%s serves no longer as an endpoint of %s, and others do, so kube-proxy deletes the conntrack entries that lead to it; of the next datagram: %s",
			d.backend, service, d.after.Said), d.after, true)
	case len(serving) > 0 && slices.ContainsFunc(entries, not(in(serving))):
		return d.moves(ruleOverUDPStale, reach.Say("%s is several endpoints of %s, and one of them serves no longer: kube-proxy deletes the conntrack entries that lead to that one", d.backend, service),
			d.either(d.after, d.backend), true)
	case len(serving) == 0 && !d.alive():
		gone := reach.Prediction{Outcomes: []reach.Outcome{reach.TimedOut, reach.Refused, reach.Unreachable}, Rule: ruleOverUDPNone}
		return d.moves(ruleOverUDPNone, reach.Say("kube-proxy serves no such port of %s any more, so it keeps the conntrack entries, and %s is gone", service, d.backend), gone, true)
	}
	for i, o := range d.seen {
		at := o.portAt(d.flow.Target)
		list := o.serving(at)
		switch missing := at != nil && (len(list) > 0 || !node) && slices.ContainsFunc(entries, not(in(list))); {
		case missing && i < len(d.Passing):
			return d.moves(ruleOverUDPPassing, reach.Say("for a moment %s did not serve as an endpoint of %s, so kube-proxy may have deleted the conntrack entries that lead to it", d.backend, service),
				d.either(d.after, d.backend), true)
		case missing:
			return d.moves(ruleOverSlices, reach.Say("%s, and kube-proxy may have deleted the conntrack entries that lead to %s", d.halfWritten(), d.backend), d.either(d.after, d.backend), true)
		}
	}
	transit := InTransit(d.flow.Vantage, d.flow.Target)
	if len(serving) == 0 {
		why := reach.Say("kube-proxy keeps the conntrack entries of a port that it does not serve, and of a node port without endpoints; so the datagrams go on to %s, which is still there", d.backend)
		if transit && len(d.Before.serving(d.Before.portAt(d.flow.Target))) > 0 { // a sync that knows them still deletes the entry, as below
			return d.inTransit(ruleOverUDPKept, why)
		}
		return d.keeps(ruleOverUDPKept, why)
	}
	if transit {
		return d.inTransit(ruleOverUDPTransit, reach.Say("%s still serves as an endpoint of %s; but kube-proxy on %s deletes the conntrack entry of datagrams to that port of another node whenever endpoints of any UDP port change, and an answer on its way is lost",
			d.backend, service, d.flow.Vantage.Node))
	}
	return d.keeps(ruleOverUDP, reach.Say("datagrams from one port are one connection to conntrack, and %s still serves as an endpoint of %s", d.backend, service))
}

// inTransit is the fate of a flow whose answers may be lost on their way: see InTransit.
func (d *destiny) inTransit(rule string, why reach.Phrase) reach.Fate {
	if len(d.after.Outcomes) > 1 || !d.after.Allows(reach.Reached) { // as a new connection it may get no answer any more
		return d.moves(rule, why, d.either(d.after, d.backend), true)
	}
	fate := d.keeps(rule, why)
	fate.Tolerated, fate.Anytime, fate.Every = Transits, true, SyncPeriod
	fate.AfterLoss = d.meanwhile(false).Backends
	return fate
}

// keeps is the fate of a flow that stays with its backend.
func (d *destiny) keeps(rule string, why reach.Phrase) reach.Fate {
	p := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{d.backend}, Sticky: true, Rule: rule}
	fate := reach.Fate{Kind: reach.Keeps, Meanwhile: p, Then: p, Rule: rule, Said: why, Reason: why.String()}
	if d.flow.Kind == reach.FlowNew && (d.Touched[d.flow.Target.Service] || d.Resynced) {
		fate.Tolerated = d.tolerated()
	}
	return fate
}

// moves is the fate of a flow that gets what then says. lossy: until then requests may be lost.
func (d *destiny) moves(rule string, why reach.Phrase, then reach.Prediction, lossy bool) reach.Fate {
	fate := reach.Fate{Kind: reach.MayMove, Meanwhile: d.meanwhile(lossy), Then: anyOf(then), Rule: rule, Said: why, Reason: why.String()}
	fate.Meanwhile.Backends = either(fate.Meanwhile.Backends, fate.Then.Backends)
	switch {
	case !then.Allows(reach.Reached):
		fate.Kind = reach.MustEnd
	case d.backend != "" && d.flow.Kind != reach.FlowNew && len(then.Backends) > 0 && !slices.Contains(then.Backends, d.backend),
		d.flow.Kind == reach.FlowNew && d.before.Allows(reach.Reached) && !overlap(d.before.Backends, then.Backends), !d.before.Allows(reach.Reached) && then.Wants():
		fate.Kind = reach.MustMove
	}
	if fate.Tolerated = d.tolerated(); d.flow.Kind == reach.FlowUnconnected && d.backend != "" {
		// Answers on their way when kube-proxy deletes the entry are not translated back, and this socket takes them from any address.
		fate.Untranslated = true
	}
	return fate
}

// meanwhile is what a request may get until the change is in force.
func (d *destiny) meanwhile(lossy bool) reach.Prediction {
	u := reach.Prediction{}
	open := false
	for _, p := range append([]reach.Prediction{d.before, d.after}, d.passing...) {
		u.Outcomes, u.Backends = append(u.Outcomes, p.Outcomes...), append(u.Backends, p.Backends...)
		open = open || p.Allows(reach.Reached) && len(p.Backends) == 0
	}
	if d.backend != "" {
		u.Outcomes, u.Backends = append(u.Outcomes, reach.Reached), append(u.Backends, d.backend)
	}
	if lossy {
		u.Outcomes = append(u.Outcomes, reach.TimedOut, reach.Refused, reach.Unreachable)
		if d.flow.Target.Protocol == reach.TCP && (d.dies() || d.backend != "" && !d.alive() || d.Cut || d.announced().Format != "") {
			// The kernel ends the connections of a process that is killed, answered or not. A node that does not know a connection takes its next
			// packet for the first of a new one (nf_conntrack_tcp_loose), and the backend that it sends it to resets what it does not know.
			u.Outcomes = append(u.Outcomes, reach.WrongAnswer)
		}
	}
	slices.Sort(u.Outcomes)
	u.Outcomes = slices.Compact(u.Outcomes)
	if slices.Sort(u.Backends); open {
		u.Backends = nil
	}
	u.Backends = slices.Compact(u.Backends)
	return anyOf(u)
}

// either is a prediction that a backend may answer too.
func (d *destiny) either(p reach.Prediction, backend string) reach.Prediction {
	if !p.Allows(reach.Reached) {
		p.Outcomes, p.Backends = append(slices.Clone(p.Outcomes), reach.Reached), []string{backend}
	} else if len(p.Backends) > 0 && !slices.Contains(p.Backends, backend) {
		p.Backends = append(slices.Clone(p.Backends), backend)
	}
	return p
}

// tolerated is how many requests may be lost when rules are written again.
func (d *destiny) tolerated() int {
	if d.After.modes() == world.ModeIPTables {
		return 0
	}
	return rewritten
}

// announced says that another node may announce the target's address; the zero value: none may.
func (d *destiny) announced() reach.Phrase {
	addr, err := netip.ParseAddr(d.flow.Target.Host)
	if err != nil || d.flow.Target.Kind != reach.LoadBalancer || d.flow.Vantage.Kind != reach.Outside && d.flow.Vantage.Kind != reach.Host {
		return reach.Phrase{}
	}
	before, after := d.Before.w.Announcers[addr], d.After.w.Announcers[addr]
	if d.Announcing || before != after {
		return reach.Say("another node may announce %s, which knows no connection of the one before", addr)
	}
	return reach.Phrase{}
}

// anyOf is p for one flow: not every backend answers it.
func anyOf(p reach.Prediction) reach.Prediction {
	p.AnyBackend, p.Even, p.Certain = !p.Sticky, false, nil
	if p.Allows(reach.Refused) && !p.Allows(reach.TimedOut) {
		// A kernel sends a client one ICMP error a second (net.ipv4.icmp_ratelimit), so most requests of a flow get none.
		p.Outcomes = append(slices.Clone(p.Outcomes), reach.TimedOut)
	}
	return p
}

func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}
