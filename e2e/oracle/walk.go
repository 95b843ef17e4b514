package oracle

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
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

// walker builds the ways of one route.
type walker struct {
	o    *Oracle
	v    reach.Vantage
	t    reach.Target
	r    route
	hops []Hop
}

func (s *walker) add(h Hop) { s.hops = append(s.hops, h) }

func (s *walker) resolved(p reach.Prediction) {
	text := fmt.Sprintf("%s resolves to %s", s.t.Host, joinAddrs(p.Addresses))
	if p.CNAME != "" {
		text = fmt.Sprintf("%s is a CNAME for %s and resolves to %s", s.t.Host, p.CNAME, joinAddrs(p.Addresses))
	}
	s.add(Hop{Kind: HopName, At: s.v.Name, Says: text})
}

func joinAddrs(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// way is a Way of the route, without hops.
func (s *walker) way() Way {
	return Way{Rule: s.r.rule, Reason: s.r.said.String(), Doc: s.o.docs[s.r.rule], Outcomes: s.r.outcomes}
}

// ways are those of each endpoint, or the one without any.
func (s *walker) ways() []Way {
	r := s.r
	if s.t.Port == 0 && len(s.hops) > 0 { // the name is only looked up
		w := s.way()
		w.Hops = s.hops
		return []Way{w}
	}
	if !r.to.addr.IsValid() { // there is no address to send to
		return []Way{s.ended(EndUnsent, s.v.Name, "")}
	}
	sender := s.o.client(s.v, r.to.addr)
	s.sent(sender)
	switch {
	case r.at == nil || r.rule == ruleLocalhostOwn:
		if end := s.ending(); end == EndClosed {
			return []Way{s.ended(EndClosed, s.v.Name, "")}
		}
		if r.direct != nil {
			return []Way{s.toDirect(sender)}
		}
		return []Way{s.ended(EndUnsent, s.v.Name, "")}
	case r.among != nil:
		s.arrive(sender)
		prefix := s.hops
		var list []Way
		for _, b := range r.among.backends {
			s.hops = slices.Clone(prefix)
			list = append(list, s.toEndpoint(sender, b))
		}
		return list
	case r.direct != nil:
		return []Way{s.toDirect(sender)}
	default:
		s.arrive(sender)
		return []Way{s.atEnd(sender)}
	}
}

// local reports whether the packets of a client come out of a node's own sockets.
func local(c client, at *node) bool { return c.kind == reach.Node && c.at(at) }

// source is a client's address in a packet.
func sourceOf(c client) []netip.Prefix {
	switch {
	case c.rewritten != nil:
		return c.rewritten
	case c.addr.IsValid():
		return []netip.Prefix{single(c.addr)}
	}
	return nil
}

func (s *walker) sent(c client) {
	s.add(Hop{Kind: HopSend, At: s.v.Name, Packet: Packet{Src: s.own(c), Dst: s.r.to.addrPort()},
		Says: fmt.Sprintf("the client sends to %s/%s", s.r.to.addrPort(), s.r.to.protocol)})
}

// own is the source address of a packet as its client sends it.
func (s *walker) own(c client) []netip.Prefix {
	if s.r.to.addr.IsLoopback() {
		return []netip.Prefix{single(s.r.to.addr)}
	}
	if s.r.direct != nil && local(c, c.node) && s.r.direct.on(c.node) && !s.r.direct.host { // to a pod on it, from its end of the pod's link
		return c.node.inward[world.FamilyOf(s.r.to.addr)]
	}
	if local(c, c.node) && c.node != nil && (s.r.at != c.node || s.o.index.byAddr[s.r.to.addr] != c.node) {
		return sourceOf(c)
	}
	if c.kind == reach.Node { // a node that sends to one of its addresses leaves with that one
		return []netip.Prefix{single(s.r.to.addr)}
	}
	return sourceOf(c)
}

// arrive goes from the client to the node that decides, through the client's own node if that is another one.
func (s *walker) arrive(c client) {
	at := s.r.at
	packet := Packet{Src: s.own(c), Dst: s.r.to.addrPort()}
	if c.node != nil && c.node != at {
		s.enter(c.node, local(c, c.node), packet, false)
		if !local(c, c.node) {
			s.add(Hop{Kind: HopRoute, At: c.node.name, Hook: "forward", Packet: packet, Says: fmt.Sprintf("%s forwards it to %s", c.node.name, at.name)})
		}
		packet.Src = sourceOf(s.r.client)
		s.leave(c.node, packet, s.kept(c, packet.Src))
	}
	s.enter(at, local(c, at), packet, false)
}

// kept says in words whether a source address is the client's own.
func (s *walker) kept(c client, src []netip.Prefix) string {
	switch {
	case len(src) == 0 || !c.addr.IsValid():
		return ""
	case slices.ContainsFunc(src, func(p netip.Prefix) bool { return p.IsSingleIP() && p.Addr() == c.addr }) && len(src) == 1:
		return "the source address is kept"
	case c.kind == reach.Node:
		return "the source address is one of the node's"
	default:
		return "the source address is rewritten to one of the node's"
	}
}

func (s *walker) enter(n *node, own bool, p Packet, reply bool) {
	hook := "prerouting"
	if own {
		hook = "output"
	}
	s.add(Hop{Kind: HopEnter, At: n.name, Hook: hook, Packet: p, Reply: reply, Says: fmt.Sprintf("%s sees it in %s", n.name, hook)})
}

func (s *walker) leave(n *node, p Packet, why string) {
	text := n.name + " lets it go"
	if why != "" {
		text += "; " + why
	}
	s.add(Hop{Kind: HopLeave, At: n.name, Hook: "postrouting", Packet: p, Says: text})
}

// toEndpoint is the way to one of the endpoints that a proxy chooses from, and back.
func (s *walker) toEndpoint(c client, b *backend) Way {
	var (
		o, r, d = s.o, s.r, s.r.by
		at      = r.at
		w       = s.way()
		dst     = netip.AddrPortFrom(b.Addr, b.Port)
		alone   = o.group(at, []*backend{b}, r.among.terminating, r.among.distribution)
	)
	w.Endpoint, w.Backend, w.Among = dst, b.name, len(r.among.backends)
	match, element := o.matched(r)
	match.At = at.name
	match.Packet = Packet{Src: sourceOf(r.client), Dst: r.to.addrPort()}
	match.Says = fmt.Sprintf("kube-proxy's rules find %s: %s", d.port.service.name, element)
	s.add(match)
	before := Packet{Src: s.hops[len(s.hops)-2].Packet.Src, Dst: dst}
	says := fmt.Sprintf("the destination becomes %s (%s)", dst, cmp.Or(b.name, "not known"))
	if n := len(r.among.backends); n > 1 && !r.among.sticky(d) {
		says += fmt.Sprintf(", chosen from %d with a chance of 1 in %d", n, n)
	} else if n > 1 {
		says += fmt.Sprintf(", chosen from %d; sessionAffinity keeps the client with it", n)
	}
	s.add(Hop{Kind: HopDNAT, At: at.name, Packet: before, Says: says})
	src, _ := o.sources(alone, *d)
	if b.unknown && !b.host || len(src) == 0 && (b.listens == world.ListensNot) {
		src, _ = o.sources(o.listening(at, b, r.among), *d)
	}
	after := Packet{Src: src, Dst: dst}
	here := b.on(at)
	s.forward(c, at, b, here, before, after, d)
	if !here && b.Node != "" {
		s.second(b, after)
	}
	lost, known := o.lost(*d, b)
	if d.masquerade || d.client.at(at) && !d.itself(b) {
		lost, known = false, true
	}
	s.answer(c, b, after, lost && known)
	if end := s.hops[len(s.hops)-1]; end.Kind == HopEnd {
		w.Outcomes = []reach.Outcome{reach.TimedOut}
	} else if b.listens == world.ListensNot {
		w.Outcomes = refusals(r.to.protocol)
	} else if !b.unknown && b.listens == world.Listens {
		w.Outcomes = []reach.Outcome{reach.Reached}
	}
	w.Hops = s.hops
	return w
}

// sticky says whether the choice is made once for each client.
func (g *group) sticky(d *delivery) bool { return d.port.sticky() }

// listening is a group of one endpoint, as if something listened there: for whose address a packet to it has.
func (o *Oracle) listening(at *node, b *backend, g *group) *group {
	heard := *b
	heard.listens, heard.unknown = world.Listens, false
	return o.group(at, []*backend{&heard}, g.terminating, g.distribution)
}

// forward is what follows the choice at the node that made it.
func (s *walker) forward(c client, at *node, b *backend, here bool, before, after Packet, d *delivery) {
	switch {
	case here && b.host:
		if !local(c, at) {
			s.add(Hop{Kind: HopRoute, At: at.name, Hook: "input", Packet: before, Says: fmt.Sprintf("%s is the node's own address, so %s delivers it itself", b.Addr, at.name)})
		}
	default:
		if !local(c, at) {
			s.add(Hop{Kind: HopRoute, At: at.name, Hook: "forward", Packet: before, Says: fmt.Sprintf("%s forwards it to %s", at.name, s.where(b, at))})
		}
		why := s.kept(c, after.Src)
		if d != nil && (d.masquerade || d.itself(b)) && strings.Contains(why, "rewritten") {
			why = s.masqueraded(*d, b)
		}
		s.leave(at, after, why)
	}
}

func (s *walker) where(b *backend, at *node) string {
	switch {
	case b.on(at):
		return "the pod on it"
	case b.Node != "":
		return b.Node
	}
	return "a machine outside the cluster"
}

// masqueraded says why an address of the node takes the place of the client's.
func (s *walker) masqueraded(d delivery, b *backend) string {
	switch {
	case d.itself(b):
		return "the source address is rewritten to one of the node's, because the client is the endpoint itself"
	case s.o.w.Facts.MasqueradesAll(d.at.name) && d.rule == ruleClusterIP:
		return "the source address is rewritten to one of the node's, because masqueradeAll is set"
	case d.rule == ruleClusterIP || d.rule == ruleITPLocal:
		return "the source address is rewritten to one of the node's, because the client is no pod of the cluster"
	default:
		return "the source address is rewritten to one of the node's, so that the answer comes back through it"
	}
}

// second is the node of the endpoint.
func (s *walker) second(b *backend, p Packet) {
	n := s.o.index.nodes[b.Node]
	if n == nil {
		return
	}
	s.enter(n, false, p, false)
	if b.host {
		s.add(Hop{Kind: HopRoute, At: n.name, Hook: "input", Packet: p, Says: fmt.Sprintf("%s is the node's own address, so %s delivers it itself", b.Addr, n.name)})
		return
	}
	s.add(Hop{Kind: HopRoute, At: n.name, Hook: "forward", Packet: p, Says: fmt.Sprintf("%s forwards it to the pod on it", n.name)})
	s.leave(n, p, "")
}

// answer is the endpoint and the way back.
func (s *walker) answer(c client, b *backend, p Packet, lost bool) {
	pod := Hop{Kind: HopPod, At: cmp.Or(b.name, b.Addr.String()), Packet: p}
	switch {
	case b.unknown:
		pod.Says = "what answers there is not known"
	case b.listens == world.ListensNot:
		pod.Says = fmt.Sprintf("nothing listens there: %s, so the kernel refuses it", b.deaf)
	case b.listens == world.ListensMaybe:
		pod.Says = fmt.Sprintf("%s, so it may be refused", b.deaf)
	default:
		pod.Says = "it answers"
	}
	s.add(pod)
	if lost {
		s.add(Hop{Kind: HopEnd, At: pod.At, Reply: true, Verdict: EndAstray, Says: "its answer does not come back: " + s.r.said.String()})
		return
	}
	back := Packet{Src: []netip.Prefix{single(b.Addr)}}
	if len(p.Src) == 1 && p.Src[0].IsSingleIP() {
		back.Dst = netip.AddrPortFrom(p.Src[0].Addr(), 0)
	}
	var nodes []*node
	if n := s.o.index.nodes[b.Node]; n != nil {
		nodes = append(nodes, n)
	}
	for _, n := range []*node{s.r.at, c.node} {
		if n != nil && (len(nodes) == 0 || nodes[len(nodes)-1] != n) {
			nodes = append(nodes, n)
		}
	}
	if s.r.at == nil && c.node == nil && b.Node == "" {
		nodes = nil
	}
	for i, n := range nodes {
		s.enter(n, i == 0 && b.host && b.on(n), back, true)
	}
	s.add(Hop{Kind: HopReceive, At: s.v.Name, Reply: true, Packet: Packet{Src: []netip.Prefix{single(s.r.to.addr)}},
		Says: fmt.Sprintf("the client gets the answer from %s, to which it sent", s.r.to.addrPort())})
}

// toDirect is the way to an address that no proxy handles.
func (s *walker) toDirect(c client) Way {
	var (
		r, w   = s.r, s.way()
		b      = *r.direct
		packet = Packet{Src: s.own(c), Dst: r.to.addrPort()}
	)
	w.Endpoint, w.Backend = r.to.addrPort(), b.name
	at := r.at
	if at == nil {
		at = c.node
	}
	if at == nil { // it meets no node
		s.answer(c, &b, packet, false)
		w.Hops = s.hops
		return w
	}
	s.r.at = at
	s.arrive(c)
	packet = s.hops[len(s.hops)-1].Packet
	heard := b
	heard.listens, heard.unknown = world.Listens, false
	rewritten, kept := s.o.unproxied(r.client, at, heard, world.FamilyOf(b.Addr))
	after := packet
	if !kept {
		after.Src = rewritten
	} else if len(rewritten) > 0 {
		after.Src = slices.Concat(packet.Src, rewritten)
	}
	here := b.on(at)
	s.forward(c, at, &b, here, packet, after, nil)
	if !here && b.Node != "" {
		s.second(&b, after)
	}
	s.answer(c, &b, after, false)
	w.Hops = s.hops
	return w
}

// ended is a way that ends at the client.
func (s *walker) ended(verdict, at, says string) Way {
	w := s.way()
	s.add(Hop{Kind: HopEnd, At: at, Verdict: verdict, Says: cmp.Or(says, s.r.said.String())})
	w.Hops = s.hops
	return w
}

// atEnd is a way that ends at a node.
func (s *walker) atEnd(c client) Way {
	r, at, end := s.r, s.r.at, s.ending()
	if r.rule == ruleHealthServing || r.rule == ruleHealthNotServing {
		w := s.way()
		w.Endpoint = r.to.addrPort()
		if !local(c, at) {
			s.add(Hop{Kind: HopRoute, At: at.name, Hook: "input", Packet: s.hops[len(s.hops)-1].Packet, Says: "kube-proxy itself listens there"})
		}
		s.answer(c, &backend{Endpoint: world.Endpoint{Addr: r.to.addr, Port: r.to.port, Node: at.name}, name: "kube-proxy", host: true, listens: world.Listens}, s.hops[len(s.hops)-1].Packet, false)
		w.Hops = s.hops
		return w
	}
	h := Hop{Kind: HopEnd, At: at.name, Verdict: end, Says: r.said.String()}
	h.Table, h.Chains = endsIn(r, end)
	if end == EndClosed && !local(c, at) {
		s.add(Hop{Kind: HopRoute, At: at.name, Hook: "input", Packet: s.hops[len(s.hops)-1].Packet, Says: fmt.Sprintf("%s delivers it to its own sockets", at.name)})
	}
	w := s.way()
	s.add(h)
	w.Hops = s.hops
	return w
}

// ending is how the packet of a route without endpoints ends.
func (s *walker) ending() string {
	refused := slices.Contains(s.r.outcomes, reach.Refused)
	switch s.r.rule {
	case ruleNoEndpoints, ruleUndeclaredRefused:
		return EndRejected
	case ruleITPLocalNone, ruleETPLocalNone, ruleLBRanges, ruleUnallocated, ruleUndeclaredDropped:
		return EndDropped
	case ruleNodePortFree, ruleNodePortFamily, ruleNodePortSecondary, ruleNodePortElsewhere, ruleLocalhostNFTables, ruleLocalhostIPv6,
		ruleLocalhostOff, ruleLocalhostOwn, ruleHealthClosed, ruleHealthSecondary:
		if !refused {
			return EndDropped
		}
		return EndClosed
	default:
		return EndAstray
	}
}
