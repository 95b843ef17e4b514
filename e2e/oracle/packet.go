package oracle

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// packet predicts what comes of a packet to an address. A client inside the cluster meets its own node's
// proxy first, whatever the destination; one outside must find a way to a node.
func (o *Oracle) packet(c client, to dest) prediction {
	return o.sent(c, to).via(c, nil, to)
}

func (o *Oracle) sent(c client, to dest) prediction {
	switch {
	case to.addr.IsLoopback():
		return o.localhost(c, to)
	case c.foreign:
		return outcome(ruleLacksFamily, reach.Say("%s has no %s address, and %s is one", c.label, familyName(to.addr), to.addr), reach.Unreachable)
	case c.node != nil:
		return o.inside(c, to)
	default:
		return o.outside(c, to)
	}
}

// inside predicts for a pod or a node.
func (o *Oracle) inside(c client, to dest) prediction {
	if p, proxied := o.proxied(c, c.node, to); proxied {
		return p
	}
	if n := o.index.byAddr[to.addr]; n != nil {
		if n == c.node {
			return o.atNode(c, n, to)
		}
		return o.across(c, n, to.addr, func(arrived client) prediction { return o.atNode(arrived, n, to) })
	}
	if p, known := o.unproxiedAddress(c, c.node, to); known {
		return p
	}
	return outcome(ruleAddressFree, reach.Say("%s is no Service's, node's or pod's address", to.addr), reach.Unreachable, reach.TimedOut)
}

// across predicts for a packet that a pod or node sends to another node's address: the way there may have
// rewritten a pod's source, and what the other node does may depend on that.
func (o *Oracle) across(c client, n *node, to netip.Addr, there func(arrived client) prediction) prediction {
	var predictions []prediction
	for _, arrived := range o.crossing(c, to) {
		predictions = append(predictions, there(arrived))
	}
	if len(predictions) == 1 {
		return predictions[0]
	}
	return union(ruleETPUnknown, reach.Say("whether the pod network rewrites the source address on the way to %s is not known", n.name), predictions...)
}

// outside predicts for a client outside the cluster.
func (o *Oracle) outside(c client, to dest) prediction {
	if n := o.index.byAddr[to.addr]; n != nil {
		if p, proxied := o.proxied(c, n, to); proxied {
			return o.ifReady(c, n, p)
		}
		return o.atNode(c, n, to)
	}
	if name := o.index.elsewhere[to]; name != "" {
		return o.unknownService(name)
	}
	owner, owned := o.index.owner(to.addr)
	if owned && (owner.kind == frontLB || owner.kind == frontLBProxy) {
		return o.loadBalancerOutside(c, owner, to)
	}
	if n := o.routeVia(c, to.addr); n != nil {
		if p, proxied := o.proxied(c, n, to); proxied {
			return o.ifReady(c, n, p)
		}
		if p, known := o.unproxiedAddress(c, n, to); known {
			return o.ifReady(c, n, p)
		}
	}
	if external := o.index.externals[to.addr]; external != nil {
		p, _ := o.unproxiedAddress(c, nil, to)
		return p
	}
	what := o.describe(to.addr)
	switch {
	case what.Format == "":
		return outcome(ruleAddressFree, reach.Say("%s is no Service's, node's or pod's address", to.addr), reach.Unreachable, reach.TimedOut)
	case owned && owner.kind == frontExternalIP:
		return outcome(ruleExtIPNoRoute, reach.Say("%s is %s, and %s has no route to a node for it", to.addr, what, c.label), reach.Unreachable, reach.TimedOut)
	case c.kind == reach.Host:
		return outcome(ruleHostNoRoute, reach.Say("%s is %s, to which the host has no route but its default one", to.addr, what), reach.Unreachable, reach.TimedOut)
	default:
		return outcome(ruleNoRoute, reach.Say("%s is %s, to which %s has no route", to.addr, what, c.label), reach.Unreachable)
	}
}

// routeVia is the node that the outside vantage's own routes give for an address; nil without such a route.
func (o *Oracle) routeVia(c client, addr netip.Addr) *node {
	if c.kind != reach.Outside {
		return nil
	}
	var best netip.Prefix
	for prefix := range o.w.Facts.OutsideRoutes {
		if prefix.Contains(addr) && (!best.IsValid() || prefix.Bits() > best.Bits()) {
			best = prefix
		}
	}
	return o.index.nodes[o.w.Facts.OutsideRoutes[best]]
}

// proxied predicts for a packet that a node's proxy handles by its destination address. ok is false where it
// leaves the address alone.
func (o *Oracle) proxied(c client, at *node, to dest) (p prediction, ok bool) {
	p, ok = o.handled(c, at, to)
	return p.via(c, at, to), ok
}

func (o *Oracle) handled(c client, at *node, to dest) (p prediction, ok bool) {
	f, served := o.index.front(to)
	owner, owned := o.index.owner(to.addr)
	isNode := o.index.byAddr[to.addr] != nil
	switch {
	case served && f.kind != frontLBProxy:
		return o.served(c, at, f, to), true
	case served || isNode:
		return p, false
	}
	if name := o.index.elsewhere[to]; name != "" {
		return o.unknownService(name), true
	}
	switch {
	case owned && owner.kind == frontClusterIP:
		return o.undeclared(c, at, owner.service, to), true
	case !owned && o.w.Facts.InServiceRange(to.addr):
		return o.unallocated(c, at, to), true
	default:
		return p, false
	}
}

// served predicts for a declared port of an address that a node's proxy handles. Of several Services with the same address and
// port kube-proxy serves the one that it happens to write last or first.
func (o *Oracle) served(c client, at *node, f front, to dest) prediction {
	if len(f.others) > 0 {
		predictions := []prediction{o.served(c, at, front{kind: f.kind, service: f.service, port: f.port}, to)}
		names := []string{f.service.name}
		for _, other := range f.others {
			predictions = append(predictions, o.served(c, at, other, to))
			names = append(names, other.service.name)
		}
		return union(ruleShared, reach.Say("%s have the same address %s and port, and which one kube-proxy on %s serves there is not defined", strings.Join(names, ", "), to.addr, at.name), predictions...)
	}
	switch f.kind {
	case frontClusterIP:
		return o.clusterIP(c, at, f.port)
	case frontLB:
		return o.loadBalancer(c, at, f.port, to)
	default:
		return o.external(c, at, f.port, exposure{rule: ruleExternalIP,
			what: reach.Say("%s is an external IP of %s", to.addr, f.service.name), address: to.addr})
	}
}

// unproxiedAddress predicts for an address that no proxy handles, by what is known of it. at is the node the
// packet comes from; nil for one that meets no node. known is false where nothing is known of the address.
func (o *Oracle) unproxiedAddress(c client, at *node, to dest) (p prediction, known bool) {
	p, known = o.unhandled(c, at, to)
	return p.via(c, at, to), known
}

func (o *Oracle) unhandled(c client, at *node, to dest) (p prediction, known bool) {
	if pod := o.index.podByAddr[to.addr]; pod != nil {
		return o.direct(c, at, to, world.Endpoint{Addr: to.addr, Port: to.port, Pod: pod.Name, Node: pod.Spec.NodeName}, pod.Namespace), true
	}
	if external := o.index.externals[to.addr]; external != nil {
		return o.direct(c, at, to, world.Endpoint{Addr: to.addr, Port: to.port}, ""), true
	}
	if owner, owned := o.index.owner(to.addr); owned {
		switch owner.kind {
		case frontLB:
			return outcome(ruleLBUndeclared, reach.Say("%s declares no port %d/%s, so no node serves it at %s", owner.service.name, to.port, to.protocol, to.addr), reach.Unreachable, reach.TimedOut), true
		case frontLBProxy:
			return o.proxyMode(c, owner, to), true
		case frontExternalIP:
			return outcome(ruleExtIPUndecl, reach.Say("%s declares no port %d/%s, so no node serves it at %s", owner.service.name, to.port, to.protocol, to.addr), reach.Unreachable, reach.TimedOut), true
		}
	}
	if prefix, ok := o.w.Facts.PodRange(to.addr); ok && prefix.Contains(to.addr) {
		return outcome(ruleEndpointGone, reach.Say("%s is in the pod range, and no pod has it", to.addr), reach.TimedOut, reach.Unreachable), true
	}
	return p, false
}

// describe says whose an address is; empty where nothing is known of it.
func (o *Oracle) describe(addr netip.Addr) reach.Phrase {
	if owner, owned := o.index.owner(addr); owned {
		if owner.kind == frontExternalIP {
			return reach.Say("an %s of %s", owner.kind, owner.service.name)
		}
		return reach.Say("a %s of %s", owner.kind, owner.service.name)
	}
	if pod := o.index.podByAddr[addr]; pod != nil {
		return reach.Say("the address of pod %s", world.Name(pod))
	}
	if o.w.Facts.InServiceRange(addr) {
		return reach.Say("an address of the Service range")
	}
	if prefix, ok := o.w.Facts.PodRange(addr); ok && prefix.Contains(addr) {
		return reach.Say("an address of the pod range")
	}
	return reach.Phrase{}
}

func (o *Oracle) unknownService(name string) prediction {
	return outcome(ruleElsewhere, reach.Say("it is served by %s, whose endpoints are not in the snapshot", name),
		reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable, reach.WrongAnswer)
}

func familyName(addr netip.Addr) corev1.IPFamily { return world.FamilyOf(addr) }
