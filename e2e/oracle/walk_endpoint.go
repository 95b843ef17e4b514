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
