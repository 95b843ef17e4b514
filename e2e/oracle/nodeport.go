package oracle

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// atNode predicts for a packet that has come to a node whose own address it was sent to.
func (o *Oracle) atNode(c client, at *node, to dest) prediction {
	return o.ifReady(c, at, o.onNode(c, at, to).via(c, at, to))
}

// ifReady is p for a node that is Ready. One that is not may be off, or may not have started kube-proxy yet: then it serves
// nothing. If it serves at all, its kube-proxy follows the objects as any other does: it does not need the kubelet.
func (o *Oracle) ifReady(c client, at *node, p prediction) prediction {
	if at.ready || c.at(at) {
		return p
	}
	doubt := reach.Say("node %s is not Ready, so whether it answers is not known", at.name)
	p.Rule, p.Doubt = ruleNodeNotReady, doubt.String()
	return because(p, andThen(p.Said, doubt))
}

func (o *Oracle) onNode(c client, at *node, to dest) prediction {
	family := world.FamilyOf(to.addr)
	key := nodePortKey{family, to.port, to.protocol}
	if sp := o.index.nodePort(key); sp != nil {
		what := reach.Say("%d is the nodePort of %s", to.port, sp.service.name)
		switch serves, known := o.w.Facts.ServesNodePortsAt(at.mode, to.addr, at.primary); {
		case known && serves:
			return o.external(c, at, sp, exposure{rule: ruleNodePort, what: what})
		case known && len(o.w.Facts.NodePortAddresses) > 0:
			return o.closed(at, sp, ruleNodePortElsewhere, reach.Say("%s, and nodePortAddresses of kube-proxy are %s, which %s of %s is not among",
				what, strings.Join(o.w.Facts.NodePortAddresses, ", "), to.addr, at.name))
		case known:
			return outcome(ruleNodePortSecondary, reach.Say("%s, which in nftables mode %s serves at its primary address %s only, not at %s",
				what, at.name, at.primary[family], to.addr), reach.Refused)
		default:
			return union(ruleModeUnknown, reach.Say("%s; whether %s serves it at %s depends on the proxy mode, which is %s", what, at.name, to.addr, at.mode),
				o.external(c, at, sp, exposure{rule: ruleNodePort, what: what}), outcome("", reach.Phrase{}, reach.Refused))
		}
	}
	if name := o.index.foreign[key]; name != "" {
		return o.unknownService(name)
	}
	for _, pod := range o.index.hostPods[at.name] {
		if listens, _ := world.ListensOn(pod, to.port, corev1.Protocol(to.protocol), true); listens == world.Listens {
			return o.direct(c, at, to, world.Endpoint{Addr: to.addr, Port: to.port, Pod: pod.Name, Node: at.name}, pod.Namespace)
		}
	}
	other := nodePortKey{otherFamily(family), to.port, to.protocol}
	if sp := o.index.nodePort(other); sp != nil {
		return outcome(ruleNodePortFamily, reach.Say("%d is the nodePort of %s in %s only, and %s is an %s address",
			to.port, sp.service.name, other.family, to.addr, family), reach.Refused)
	}
	return outcome(ruleNodePortFree, reach.Say("%d/%s is no Service's nodePort, and %s has no known listener on it", to.port, to.protocol, at.name), reach.Refused)
}

// localhost predicts for a loopback address, which only ever leads to the client's own network.
func (o *Oracle) localhost(c client, to dest) prediction {
	return o.onLoopback(c, to).via(c, c.node, to)
}

func (o *Oracle) onLoopback(c client, to dest) prediction {
	if c.kind != reach.Node {
		return outcome(ruleLocalhostOwn, reach.Say("%s is %s itself, which has no known listener on %d/%s", to.addr, c.label, to.port, to.protocol), reach.Refused)
	}
	family := world.FamilyOf(to.addr)
	sp := o.index.nodePort(nodePortKey{family, to.port, to.protocol})
	if sp == nil {
		return outcome(ruleNodePortFree, reach.Say("%d/%s is no Service's nodePort in %s, and %s has no known listener on it",
			to.port, to.protocol, family, c.node.name), reach.Refused)
	}
	what := reach.Say("%d is the nodePort of %s", to.port, sp.service.name)
	served := func() prediction {
		p := o.external(c, c.node, sp, exposure{rule: ruleLocalhostServed,
			what: reach.Say("%s, which iptables mode serves on the loopback address too", what)})
		if p.Rule == ruleETPNode {
			p.Rule = ruleLocalhostServed
		}
		return p
	}
	at, _ := o.w.Facts.ServesNodePortsAt(c.node.mode, to.addr, c.node.primary)
	switch {
	case to.protocol == reach.TCP && o.w.Facts.ProxiesLoopback(c.node.mode, family):
		return o.byProcess(c, sp, what)
	case family == corev1.IPv6Protocol:
		return o.closed(c.node, sp, ruleLocalhostIPv6, reach.Say("%s, and no proxy mode serves nodePorts on ::1", what))
	case c.node.mode == world.ModeIPTables && (o.w.Facts.NoLocalhostNodePorts || !at):
		return o.closed(c.node, sp, ruleLocalhostOff, reach.Say("%s, and the settings of kube-proxy keep it from the loopback address", what))
	case c.node.mode == world.ModeNFTables:
		return outcome(ruleLocalhostNFTables, reach.Say("%s, which in nftables mode %s serves at its primary address only, not on its loopback", what, c.node.name), reach.Refused)
	case c.node.mode == world.ModeIPTables:
		return served()
	default:
		return union(ruleModeUnknown, reach.Say("%s; whether it is served on the loopback address depends on the proxy mode, which is %s", what, c.node.mode),
			served(), outcome("", reach.Phrase{}, reach.Refused, reach.TimedOut))
	}
}

// byProcess predicts for a nodePort on a loopback address that a process serves: kube-proxy accepts every connection, and connects to
// an endpoint itself. Where it does not get one, it closes the client's.
// (pkg/proxy/localnodeportproxy, and syncProxyRules of pkg/proxy/nftables, of k8s.io/kubernetes v1.37.2.)
func (o *Oracle) byProcess(c client, sp *servicePort, what reach.Phrase) prediction {
	r := o.routing(sp, c.node)
	g := r.cluster
	if world.ExternalLocal(sp.service.Service) {
		g = r.local
	}
	if len(g.backends) == 0 {
		return outcome(ruleLocalhostProxied, reach.Say("%s: kube-proxy on %s accepts the connection, has no endpoint for it, and closes it", what, c.node.name), reach.WrongAnswer)
	}
	p := o.to(g, delivery{client: c, at: c.node, port: sp, rule: ruleLocalhostProxied, masquerade: true,
		reason: reach.Say("%s: kube-proxy on %s accepts the connection, and", what, c.node.name)})
	for i, outcome := range p.Outcomes {
		if outcome != reach.Reached { // of an endpoint, not of the client's connection
			p.Outcomes[i] = reach.WrongAnswer
		}
	}
	slices.Sort(p.Outcomes)
	p.Outcomes = slices.Compact(p.Outcomes)
	return p
}

// closed predicts for a nodePort at an address of the node where it is not served. Nothing listens there. But in iptables mode
// the filter rules of a port without endpoints that it may use hold for all of the node's addresses: they reject the packet, or
// drop it where policy Local keeps it from the endpoints that there are.
func (o *Oracle) closed(at *node, sp *servicePort, rule string, why reach.Phrase) prediction {
	refused := outcome(rule, why, reach.Refused)
	r := o.routing(sp, at)
	if at.mode == world.ModeNFTables || !r.any || !world.ExternalLocal(sp.service.Service) || len(r.local.backends) > 0 {
		return refused
	}
	dropped := outcome(rule, andThen(why, reach.Say("externalTrafficPolicy is Local and %s has no ready endpoint of %s, so in iptables mode the packet is dropped", at.name, sp.service.name)), reach.TimedOut)
	if at.mode == world.ModeIPTables {
		return dropped
	}
	return union(ruleModeUnknown, reach.Say("%s; whether the packet is refused or dropped depends on the proxy mode, which is %s", why, at.mode), refused, dropped)
}

func otherFamily(family corev1.IPFamily) corev1.IPFamily {
	if family == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}
