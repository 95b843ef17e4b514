// Package oracle is an executable statement of how Kubernetes Services behave: from a snapshot of the objects
// (world.World) it predicts the outcome of one probe from a vantage to a target, which backends may answer and
// whose address they see, and says why in terms of the objects involved. It is pure: same world, same answer.
//
// The packet's path decides, as in the cluster: whose proxy sees it first (a pod's or node's own node; for
// others the node it arrives at), what that proxy does with its destination address and port, and how the
// source address leaves. The rules are those of kube-proxy in nftables and iptables mode, of CoreDNS, and of
// MetalLB in layer-2 mode; Rules lists them. Package differential holds it to the rules that kube-proxy itself writes.
package oracle

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Oracle predicts for one world. It is safe for concurrent use, and works out what it needs of the world once.
type Oracle struct {
	w     world.World // without Services and EndpointSlices: index has them
	index index
	docs  map[string]string
}

// documents are those of the rules, by the rule.
var documents = sync.OnceValue(func() map[string]string {
	docs := map[string]string{}
	for _, r := range slices.Concat(Rules(), RulesOverTime(), RulesOfHoldings()) {
		docs[r.ID] = r.Doc
	}
	return docs
})

// New returns an oracle for a world. The world must not change afterwards.
func New(w world.World) *Oracle {
	o := &Oracle{w: w, docs: documents(), index: newIndex(w)}
	o.w.Services, o.w.Slices = nil, nil
	return o
}

// Predict is New(w).Predict(v, t), for a single question.
func Predict(w world.World, v reach.Vantage, t reach.Target) reach.Prediction {
	return New(w).Predict(v, t)
}

// Predict predicts the outcome of a probe from v to t. Outcomes, Reason, Rule and Doc are always set. Its slices
// are shared between predictions and must not be changed.
func (o *Oracle) Predict(v reach.Vantage, t reach.Target) reach.Prediction {
	return o.documented(o.predict(v, t)).Prediction
}

func (o *Oracle) predict(v reach.Vantage, t reach.Target) prediction {
	addr, err := netip.ParseAddr(t.Host)
	if err != nil {
		return o.name(v, t)
	}
	addr = addr.Unmap()
	c := o.client(v, addr)
	if t.Kind == reach.HealthCheck {
		return o.healthCheck(c, addr, t.Port)
	}
	return o.packet(c, dest{addr: addr, port: t.Port, protocol: t.Protocol})
}

// Decide is Predict without Reason and Doc, for a caller that needs them of few predictions: to write a reason takes most of the time.
func (o *Oracle) Decide(v reach.Vantage, t reach.Target) reach.Prediction {
	return o.predict(v, t).Prediction
}

// documented adds the reason as a text and the document of the rule.
func (o *Oracle) documented(p prediction) prediction {
	p.Reason, p.Doc = p.Said.String(), o.docs[p.Rule]
	return p
}

// outcome is a prediction in which no backend answers.
func outcome(rule string, reason reach.Phrase, outcomes ...reach.Outcome) prediction {
	p := because(prediction{Prediction: reach.Prediction{Outcomes: outcomes, Rule: rule}}, reason)
	p.routes = []route{{rule: rule, said: reason, outcomes: outcomes}}
	return p
}

// because gives a prediction its reason.
func because(p prediction, reason reach.Phrase) prediction {
	p.Said = reason
	return p
}

// andThen joins two sentences of a reason.
func andThen(first, next reach.Phrase) reach.Phrase { return reach.Say("%s; %s", first, next) }
