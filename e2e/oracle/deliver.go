package oracle

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// delivery is one way of handing a client's packets on to endpoints.
type delivery struct {
	client client
	// at is the node whose proxy chooses the endpoint.
	at *node
	// masquerade: that node puts an address of its own in place of the client's.
	masquerade bool
	port       *servicePort
	rule       string
	// reason begins the sentence; what happens to the packet follows.
	reason reach.Phrase
}

// to predicts the result of a delivery to a group, which is not empty. The answers of some endpoints may not come back.
func (o *Oracle) to(g *group, d delivery) prediction {
	if d.masquerade || d.client.at(d.at) && !d.hairpin(g) {
		return o.deliver(g, g, d)
	}
	var (
		heard    []*backend
		itself   bool // one that is lost is the client
		possible bool // it depends on the proxy mode, which is not known
	)
	for _, b := range g.backends {
		lost, known := o.lost(d, b)
		possible = possible || !known
		if !lost || !known {
			heard = append(heard, b)
			continue
		}
		itself = itself || d.itself(b)
	}
	if len(heard) == len(g.backends) && !possible {
		return o.deliver(g, g, d)
	}
	rule, why := ruleAstray, reach.Say("an endpoint that is not on %s answers the client directly, from an address that the client did not send to, so the answer is lost", d.at.name)
	if itself && len(heard) == len(g.backends)-1 || possible {
		rule, why = ruleHairpinAcross, reach.Say("kube-proxy in nftables mode on %s does not masquerade a pod for itself if it takes it for one of another node, and the pod drops a packet from its own address", d.at.name)
	}
	if len(heard) == 0 {
		return outcome(rule, andThen(reach.Say("%s sends it to %s", d.reason, g.choice), why), reach.TimedOut).by(d, g)
	}
	part := o.group(d.at, heard, g.terminating, g.distribution)
	p := o.deliver(part, g, d)
	if p.Even, p.Certain = false, part.certain; possible || p.Sticky {
		p.Certain = nil
	}
	if !p.Allows(reach.TimedOut) {
		p.Outcomes = append(p.Outcomes, reach.TimedOut)
	}
	p.Rule, p.AnyBackend = rule, p.AnyBackend || possible
	return because(p, andThen(p.Said, why))
}

// lost says whether an endpoint's answers do not come back, where the packet keeps the client's address. The node that put the
// endpoint's address in the place of the one that the client sent to must see the answers, and it does only if it runs the
// client or the endpoint.
func (o *Oracle) lost(d delivery, b *backend) (lost, known bool) {
	switch {
	case b.unknown && !b.host:
		return false, true
	case !d.itself(b):
		return !d.client.at(d.at) && !b.on(d.at), true
	case o.masqueradesItself(d, b), d.client.kind == reach.Node && d.client.at(d.at):
		return false, true
	default:
		return true, d.at.mode == world.ModeNFTables
	}
}

// itself says whether an endpoint has the client's own address.
func (d delivery) itself(b *backend) bool { return d.client.node != nil && b.Addr == d.client.addr }

// masqueradesItself says whether a node's proxy puts an address of the node in place of the client's where client and endpoint
// are one: a pod drops a packet from its own address. iptables mode does so for every endpoint, nftables mode for those that the
// slices of any Service place on its own node (hairpin-connections in pkg/proxy/nftables/proxier.go of k8s.io/kubernetes), and
// before v1.36 for every endpoint too ("Handle traffic that loops back to the originator with SNAT" there, v1.35.4).
func (o *Oracle) masqueradesItself(d delivery, b *backend) bool {
	if d.at.mode == world.ModeIPTables || o.w.Facts.ProxyBefore(36) || b.local == d.at.name {
		return true
	}
	for _, at := range o.index.list {
		for _, sp := range at.service.ports {
			if sp.family == d.port.family && sp.protocol() == d.port.protocol() && slices.ContainsFunc(o.used(sp, d.at), func(u *backend) bool { return u.Addr == b.Addr && u.Port == b.Port && u.local == d.at.name }) {
				return true
			}
		}
	}
	return false
}

// used are the endpoints of a port that a node's proxy has in its rules.
func (o *Oracle) used(sp *servicePort, at *node) (list []*backend) {
	s, r, accessible := sp.service.Service, o.routing(sp, at), sp.accessible()
	if accessible || !world.InternalLocal(s) {
		list = r.cluster.backends
	}
	if world.InternalLocal(s) || accessible && world.ExternalLocal(s) {
		list = slices.Concat(list, r.local.backends)
	}
	return list
}

// deliver predicts for those of a group's endpoints whose answers come back.
func (o *Oracle) deliver(g, all *group, d delivery) prediction {
	p := prediction{Prediction: reach.Prediction{Rule: d.rule, Backends: g.names}}
	said := reach.Say("%s sends it to %s", d.reason, all.choice)
	note := func(p reach.Phrase) { said = andThen(said, p) }
	p.Rule = d.particular(g)
	switch p.Rule {
	case ruleTerminating:
		note(reach.Say("no endpoint is ready, so those that are terminating but still serving get the traffic"))
	case rulePublish:
		note(reach.Say("publishNotReadyAddresses makes them count as ready"))
	}
	switch g.distribution {
	case "node":
		note(reach.Say("the hints of the EndpointSlices keep it to endpoints for the node %s", d.at.name))
	case "zone":
		note(reach.Say("the hints of the EndpointSlices keep it to endpoints for the zone of %s", d.at.name))
	}
	if d.port.sticky() {
		p.Sticky = true
		note(reach.Say("sessionAffinity ClientIP keeps every connection of this client with the same one"))
	}
	switch {
	case g.unknown:
		p.Rule, p.Outcomes = ruleEndpointUnknown, []reach.Outcome{reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable}
		p.AnyBackend = true
		note(reach.Say("the address belongs to no pod, so its backend is not known"))
	case g.listening && (g.deaf || g.maybe):
		p.Rule, p.Outcomes = ruleEndpointPartly, append([]reach.Outcome{reach.Reached}, refusals(d.port.protocol())...)
		p.AnyBackend = g.maybe
		note(reach.Say("%s, so part of the connections are refused", g.why))
	case g.listening:
		p.Outcomes = []reach.Outcome{reach.Reached}
		p.Even = !p.Sticky && len(g.names) > 1 && len(g.names) == len(g.backends)
	case g.maybe:
		p.Rule, p.Outcomes = ruleEndpointPartly, append([]reach.Outcome{reach.Reached}, refusals(d.port.protocol())...)
		p.AnyBackend = true
		note(reach.Say("%s, so the connection may be refused", g.why))
	default:
		p.Rule, p.Outcomes, p.Backends = ruleEndpointDeaf, refusals(d.port.protocol()), nil
		p.Sticky = false
		note(reach.Say("%s, so the %s there", g.why, refusal(d.port.protocol())))
	}
	if len(p.Outcomes) > 1 && p.Allows(reach.Reached) && !p.Sticky {
		p.Certain = g.certain
	}
	if g.nameless {
		p.Backends = nil
	}
	if p.Allows(reach.Reached) {
		var seen reach.Phrase
		p.Sources, seen = o.sources(g, d)
		if seen.Format != "" {
			note(seen)
		}
	}
	p = because(p, said)
	p.routes = []route{{rule: p.Rule, said: said, outcomes: p.Outcomes}}
	return p.by(d, all)
}

// particular returns the most specific rule about a delivery. The reason mentions the others.
func (d delivery) particular(g *group) string {
	switch {
	case g.terminating:
		return ruleTerminating
	case g.unready:
		return rulePublish
	case g.distribution == "node":
		return ruleSameNode
	case g.distribution == "zone":
		return ruleSameZone
	case d.hairpin(g):
		return ruleHairpin
	case d.port.sticky():
		return ruleAffinity
	default:
		return d.rule
	}
}

// hairpin says whether the client is one of the endpoints it may be sent to.
func (d delivery) hairpin(g *group) bool {
	return d.client.kind == reach.Pod && d.client.at(d.at) && g.addrs[d.client.addr]
}

// sources are the addresses the endpoints may see. They are known as tightly as the objects allow:
//
//   - masqueraded, an endpoint elsewhere sees the node's primary address; a pod on the same node one of the
//     node's own addresses, which is that of its end of the pod's link; and a host-network endpoint on the
//     same node the client's own, for what stays in a node never passes its postrouting;
//   - not masqueraded, the client's own, unless the client is the endpoint itself, or the packet leaves the
//     pod network and that rewrites it.
func (o *Oracle) sources(g *group, d delivery) (prefixes []netip.Prefix, note reach.Phrase) {
	var (
		family   = d.port.family
		client   = d.client
		own      = client.addr.IsValid()
		kept     bool
		rewrites bool
		add      = func(list ...netip.Prefix) {
			for _, p := range list {
				if !slices.Contains(prefixes, p) {
					prefixes = append(prefixes, p)
				}
			}
		}
	)
	keep := func() {
		kept = true
		if own {
			add(client.seenAs()...)
		}
	}
	rewrite := func(list []netip.Prefix) {
		rewrites = true
		add(list...)
	}
	for _, b := range g.samples {
		switch {
		case d.itself(&b): // below
		case d.masquerade && b.host && b.on(d.at) && (client.kind != reach.Node || !client.at(d.at)):
			keep()
		case d.masquerade && b.on(d.at):
			rewrite(d.at.inward[family])
		case d.masquerade:
			rewrite(d.at.outward[family])
		default:
			rewritten, asItIs := o.unproxied(client, d.at, b, family)
			if asItIs {
				keep()
			}
			if len(rewritten) > 0 {
				rewrite(rewritten)
			}
		}
	}
	if client.node != nil && g.addrs[client.addr] {
		for _, b := range g.backends {
			switch {
			case !d.itself(b) || b.listens == world.ListensNot && !b.unknown:
			case client.at(d.at) && (d.masquerade || o.masqueradesItself(d, b)):
				rewrite(d.at.inward[family])
			case client.at(d.at):
				keep()
			default:
				rewrite(d.at.outward[family])
			}
		}
	}
	if kept && !own {
		prefixes = nil // an address among them is not known, so none can be excluded
	}
	return prefixes, d.seen(kept, rewrites)
}

// unproxied are the source addresses of a packet that no proxy rewrites, sent from a node to an endpoint: those
// it may be rewritten to, and whether the client's own may be kept.
func (o *Oracle) unproxied(c client, at *node, b backend, family corev1.IPFamily) (rewritten []netip.Prefix, kept bool) {
	switch {
	case c.kind == reach.Node && c.at(at) && b.on(at) && !b.host:
		return at.inward[family], false
	case c.kind == reach.Node && c.at(at) && !b.on(at):
		return at.outward[family], false
	case c.kind == reach.Pod && c.at(at) && !b.on(at):
		return o.egress(c, b, family)
	default:
		return nil, true
	}
}

// egress is unproxied for a pod's packet that has left its node.
func (o *Oracle) egress(c client, b backend, family corev1.IPFamily) (rewritten []netip.Prefix, kept bool) {
	rule := world.EgressPod
	switch {
	case o.isPod(b):
	case b.host:
		rule = o.w.Facts.PodToNode
	default:
		rule = o.w.Facts.PodToOutside
	}
	switch rule {
	case world.EgressPod:
		return nil, true
	case world.EgressNode:
		return c.node.outward[family], false
	default:
		return c.node.outward[family], true
	}
}

// seen says in words whose address the endpoints see. Only d.at rewrites it: a pod's packets leave the pod network there.
func (d delivery) seen(kept, rewrites bool) reach.Phrase {
	switch {
	case kept && rewrites:
		return reach.Say("the endpoint sees the client's own address or one of %s's, depending on where it runs", d.at.name)
	case kept:
		return reach.Say("the endpoint sees the client's own address")
	case rewrites:
		return reach.Say("the endpoint sees an address of %s", d.at.name)
	default:
		return reach.Phrase{}
	}
}
