package oracle

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
)

// Walk is the path of a packet, hop by hop, as Predict decides about it: Walk adds to a prediction the node, and the place in
// its kernel, of each hop.
type Walk struct {
	Vantage    reach.Vantage    `json:"vantage"`
	Target     reach.Target     `json:"target"`
	Prediction reach.Prediction `json:"prediction"`
	// Mode is the proxy mode, or the modes of the nodes where they differ.
	Mode string `json:"mode"`
	// Ways are the paths that are possible, one for each endpoint that may be chosen and each address that the name has.
	Ways []Way `json:"ways"`
	// Open: the objects do not say whether the packet takes one of Ways, or another one.
	Open bool `json:"open,omitempty"`
}

// Way is one path, from the client to where it ends, and back.
type Way struct {
	// Rule, Reason and Doc are as in reach.Prediction, for this way alone.
	Rule     string          `json:"rule,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Doc      string          `json:"doc,omitempty"`
	Outcomes []reach.Outcome `json:"outcomes,omitempty"`
	// Endpoint is where the packet is delivered, Backend what answers there; both are empty if it ends before.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	Backend  string         `json:"backend,omitempty"`
	// Among is how many endpoints one is chosen from; 0: none is chosen.
	Among int   `json:"among,omitempty"`
	Hops  []Hop `json:"hops"`
}

// HopKind says what happens at a hop.
type HopKind string

// The kinds of hops.
const (
	// HopName: the client resolves a name.
	HopName HopKind = "name"
	// HopSend: the client's socket sends.
	HopSend HopKind = "send"
	// HopEnter: a node's packet filter sees the packet first, in Hook.
	HopEnter HopKind = "enter"
	// HopMatch: kube-proxy's rules find the Service: Element and Chains.
	HopMatch HopKind = "match"
	// HopDNAT: the destination is rewritten to an endpoint.
	HopDNAT HopKind = "dnat"
	// HopRoute: the node routes the packet: its Hook is forward, or input for the node itself.
	HopRoute HopKind = "route"
	// HopLeave: the packet leaves the node's packet filter. Its source may have been rewritten.
	HopLeave HopKind = "leave"
	// HopPod: the endpoint gets the packet.
	HopPod HopKind = "endpoint"
	// HopReceive: the client gets the answer.
	HopReceive HopKind = "receive"
	// HopEnd: the packet ends here, without an answer of an endpoint. Verdict says how.
	HopEnd HopKind = "end"
)

// How a packet ends.
const (
	EndRejected = "rejected" // kube-proxy rejects it
	EndDropped  = "dropped"  // a rule drops it
	EndClosed   = "closed"   // nothing listens, so the kernel refuses it
	EndAstray   = "astray"   // it leaves for where nothing has its address, or its answer does
	EndUnsent   = "unsent"   // the client cannot send it
)

// Packet is a packet's addresses.
type Packet struct {
	// Src are the addresses that the source may be; empty: not known.
	Src []netip.Prefix `json:"src,omitempty"`
	// SrcPort is known of packets that were seen.
	SrcPort uint16         `json:"srcPort,omitempty"`
	Dst     netip.AddrPort `json:"dst,omitzero"`
}

// Hop is one hop of a path.
type Hop struct {
	Kind HopKind `json:"kind"`
	// At is the name of the vantage, of a node, or of the pod.
	At string `json:"at"`
	// Reply: it is a hop of the answer.
	Reply bool   `json:"reply,omitempty"`
	Hook  string `json:"hook,omitempty"`
	// Packet is as it is after the hop.
	Packet Packet `json:"packet,omitzero"`
	// Table, Element and Chains are where kube-proxy's rules match: "ip kube-proxy", "map service-ips: 10.96.0.10 . tcp . 80",
	// and the chains in their order.
	Table   string   `json:"table,omitempty"`
	Element string   `json:"element,omitempty"`
	Chains  []string `json:"chains,omitempty"`
	// Verdict is how the packet ends, for HopEnd.
	Verdict string `json:"verdict,omitempty"`
	// Says says in a sentence what happens and why.
	Says string `json:"says"`
}

// Walk returns the ways that a packet from v to t may take. It never returns none.
func (o *Oracle) Walk(v reach.Vantage, t reach.Target) Walk {
	p := o.documented(o.predict(v, t))
	w := Walk{Vantage: v, Target: t, Prediction: p.Prediction, Mode: o.modes()}
	routes := p.routes
	if len(routes) == 0 {
		routes = []route{{rule: p.Rule, said: p.Said, outcomes: p.Outcomes}}
	}
	for _, r := range routes {
		if r.open() {
			w.Open = true
			continue
		}
		s := walker{o: o, v: v, t: t, r: r}
		if len(p.Addresses) > 0 || p.CNAME != "" {
			s.resolved(p.Prediction)
		}
		w.Ways = append(w.Ways, s.ways()...)
	}
	w.Open = w.Open || len(w.Ways) == 0 || p.Doubt != ""
	return w
}

// open reports whether the objects leave open how the way goes on: something answers that they do not have.
func (r route) open() bool {
	health := r.rule == ruleHealthServing || r.rule == ruleHealthNotServing
	return r.rule == "" || r.to.addr.IsValid() && r.among == nil && r.direct == nil && !health && slices.Contains(r.outcomes, reach.Reached)
}
