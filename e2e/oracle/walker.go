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
