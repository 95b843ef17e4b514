package oracle

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// direct predicts for a packet sent to the address of a pod or of a host outside, with no Service between:
// readiness does not matter, only whether something listens. at is the node the packet comes from, nil for one
// that meets no node.
func (o *Oracle) direct(c client, at *node, to dest, e world.Endpoint, namespace string) reach.Prediction {
	b := o.backend(namespace, e, corev1.Protocol(to.protocol))
	what := b.name
	if b.Pod != "" {
		what = "pod " + b.Pod
	}
	switch b.listens {
	case world.ListensNot:
		return outcome(ruleEndpointDeaf, fmt.Sprintf("%s is asked at its own address %s on port %d/%s, where nothing listens: %s", what, to.addr, to.port, to.protocol, b.deaf), reach.Refused)
	case world.ListensMaybe:
		p := o.answers(c, at, b, fmt.Sprintf("%s is asked at its own address; %s, so the connection may be refused", what, b.deaf))
		p.Rule, p.Outcomes = ruleEndpointPartly, []reach.Outcome{reach.Reached, reach.Refused}
		return p
	default:
		return o.answers(c, at, b, fmt.Sprintf("%s is asked at its own address, with no Service between", what))
	}
}

// answers predicts that a backend answers a packet that no proxy handles.
func (o *Oracle) answers(c client, at *node, b backend, reason string) reach.Prediction {
	p := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Rule: ruleEndpoint, Reason: reason, Backends: []string{b.name}}
	family := world.FamilyOf(b.Addr)
	own := []netip.Prefix{}
	if c.addr.IsValid() {
		own = append(own, single(c.addr))
	}
	if at == nil || c.addr == b.Addr {
		p.Sources = own
		return p
	}
	rewritten, kept := o.unproxied(c, at, b, family)
	switch {
	case !kept:
		p.Sources = rewritten
	case len(own) > 0: // else an address that may be seen is not known, so none can be excluded
		p.Sources = append(own, rewritten...)
	}
	return p
}
