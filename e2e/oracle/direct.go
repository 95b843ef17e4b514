package oracle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// direct predicts for a packet sent to the address of a pod or of a host outside, with no Service between:
// readiness does not matter, only whether something listens. at is the node the packet comes from, nil for one
// that meets no node.
func (o *Oracle) direct(c client, at *node, to dest, e world.Endpoint, namespace string) prediction {
	b := o.backend(namespace, e, corev1.Protocol(to.protocol))
	what := reach.Say("%s", b.name)
	if b.Pod != "" {
		what = reach.Say("pod %s", b.Pod)
	}
	switch b.listens {
	case world.ListensNot:
		return outcome(ruleEndpointDeaf, reach.Say("%s is probed at its own address %s on port %d/%s, where nothing listens: %s, so the %s", what, to.addr, to.port, to.protocol, b.deaf, refusal(to.protocol)), refusals(to.protocol)...).to(b)
	case world.ListensMaybe:
		p := o.answers(c, at, b, reach.Say("%s is probed at its own address; %s, so the connection may be refused", what, b.deaf))
		p.Rule, p.Outcomes = ruleEndpointPartly, append([]reach.Outcome{reach.Reached}, refusals(to.protocol)...)
		return p
	default:
		return o.answers(c, at, b, reach.Say("%s is probed at its own address, with no Service between", what))
	}
}

// answers predicts that a backend answers a packet that no proxy handles.
func (o *Oracle) answers(c client, at *node, b backend, reason reach.Phrase) prediction {
	p := outcome(ruleEndpoint, reason, reach.Reached)
	p.Backends = []string{b.name}
	p.routes[0].direct = &b
	family := world.FamilyOf(b.Addr)
	rewritten, kept := o.unproxied(c, at, b, family)
	switch {
	case !kept:
		p.Sources = rewritten
	case c.addr.IsValid(): // otherwise an address that may be seen is not known, so none can be excluded
		p.Sources = slices.Concat(c.seenAs(), rewritten)
	}
	return p
}

// refusals are the outcomes of a probe of a port of the endpoint without a listener. TCP resets every connection. A datagram
// is refused by an ICMP error. The kernel of the endpoint's network sends each client six of these at once and then one a
// second (net.ipv4.icmp_ratelimit, net.ipv6.icmp.ratelimit, which no pod may change); further datagrams get no answer.
// Random Services found this; a single probe is always refused.
func refusals(p reach.Protocol) []reach.Outcome {
	if p == reach.UDP {
		return []reach.Outcome{reach.Refused, reach.TimedOut}
	}
	return []reach.Outcome{reach.Refused}
}

// refusal says the same in words.
func refusal(p reach.Protocol) reach.Phrase {
	if p == reach.UDP {
		return reach.Say("datagram is refused, or lost when many are refused at once, because the endpoint's kernel sends one client only so many ICMP errors a second")
	}
	return reach.Say("connection is refused")
}
