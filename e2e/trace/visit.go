package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// Visit is one packet in one node's packet filter.
type Visit struct {
	Node  string `json:"node"`
	Reply bool   `json:"reply,omitempty"`
	// Protocol is ICMP for an answer that rejects a datagram. Flags are those of TCP: S, A, R, F.
	Protocol string `json:"protocol"`
	Flags    string `json:"flags,omitempty"`
	// In and Out are the links by which it came and left.
	In  string `json:"in,omitempty"`
	Out string `json:"out,omitempty"`
	// Stations are the hooks it passed, in order, and its addresses after each.
	Stations []Station `json:"stations"`
	// Rules are what it matched, without what only says that nothing did.
	Rules []Rule `json:"rules,omitempty"`
	// Drop is the rule that dropped it; nil if none did.
	Drop *Rule `json:"drop,omitempty"`
	// Flow is the connection as the node's conntrack has it; nil if it has none.
	Flow *wire.TracedFlow `json:"flow,omitempty"`
}

// Station is a hook that a packet passed. Its addresses are those at the end of the hook; before all rules for the first.
type Station struct {
	Hook string         `json:"hook"`
	Src  netip.AddrPort `json:"src"`
	Dst  netip.AddrPort `json:"dst"`
	Mark uint32         `json:"mark,omitempty"`
}

// Rule is a rule that a packet matched, or the policy of a chain.
type Rule struct {
	Hook   string `json:"hook,omitempty"`
	Table  string `json:"table"` // with its family: "ip kube-proxy"
	Chain  string `json:"chain"`
	Handle uint64 `json:"handle,omitempty"` // 0: the chain's policy
	// Verdict is drop, accept, jump, goto, return or continue; To the chain of a jump or goto.
	Verdict string `json:"verdict"`
	To      string `json:"to,omitempty"`
}

func (r Rule) String() string {
	text := fmt.Sprintf("table %s, chain %s", r.Table, r.Chain)
	if r.Handle != 0 {
		return fmt.Sprintf("%s, rule handle %d", text, r.Handle)
	}
	return text + ", policy"
}

// entered is the packet as it came, before any rule.
func (v Visit) entered() Station { return v.Stations[0] }

// passed is the packet at the end of a hook. ok is false if it did not get there.
func (v Visit) passed(hook string) (s Station, ok bool) {
	for _, s := range v.Stations[1:] {
		if s.Hook == hook {
			return s, true
		}
	}
	return Station{}, false
}

// last is the packet as it was seen last.
func (v Visit) last() Station { return v.Stations[len(v.Stations)-1] }

// chains are the chains of a table that the packet passed in its first hook, in order: that is where kube-proxy translates
// destinations.
func (v Visit) chains(table string) (list []string) {
	for _, r := range v.Rules {
		if r.Table != table || r.Hook != v.entered().Hook {
			continue
		}
		list = append(list, r.Chain)
		if r.To != "" {
			list = append(list, r.To)
		}
	}
	return slices.Compact(list)
}

// rewriter is the rule that rewrote the packet's addresses in a hook: the last one before the addresses differ that accepted
// it, which NAT statements do.
func (v Visit) rewriter(hook string) (r Rule, ok bool) {
	for _, seen := range v.Rules {
		if seen.Hook == hook && seen.Verdict == "accept" && seen.Handle != 0 {
			r, ok = seen, true
		}
	}
	return r, ok
}

// visits are the packets that one node's kernel saw, in each direction the first one with its addresses: it may come to a node
// twice, as it was sent and as another node has translated it. class is that of the traced connection.
func visits(node string, class uint8, seen wire.Trace) []Visit {
	var (
		all  []*Visit
		open = map[uint32]*Visit{} // by packet
		hook = map[uint32]string{}
	)
	for _, e := range seen.Events {
		if e.Hook != "" {
			hook[e.Packet] = e.Hook
		}
		// A rule that begins a trace matched. The packets of others who trace here pass these chains too, and match none.
		begins := e.Header != nil && e.Handle != 0 && strings.HasPrefix(e.Table, wire.TraceTable) && !strings.HasPrefix(e.Chain, "last-")
		if begins && !e.Own {
			delete(open, e.Packet)
			continue
		}
		first := begins && e.Own
		if v := open[e.Packet]; first && (v == nil || v.over(e)) {
			v = &Visit{Node: node, Reply: answers(*e.Header, class), Protocol: e.Header.Protocol, Flags: e.Header.Flags, In: e.In,
				Stations: []Station{{Hook: e.Hook, Src: e.Header.Src, Dst: e.Header.Dst, Mark: e.Mark}}}
			open[e.Packet] = v
			all = append(all, v)
		}
		v := open[e.Packet]
		if v == nil {
			continue // its beginning was seen before
		}
		v.note(e, hook[e.Packet])
	}
	var list []Visit
	for _, v := range all {
		v.Flow = flowOf(*v, seen.Flows)
		looped := slices.IndexFunc(list, func(had Visit) bool {
			return had.Reply == v.Reply && v.In == "lo" && had.Out == "lo" && had.last().Src == v.entered().Src && had.last().Dst == v.entered().Dst
		})
		again := slices.ContainsFunc(list, func(had Visit) bool {
			return had.Reply == v.Reply && had.entered().Src == v.entered().Src && had.entered().Dst == v.entered().Dst
		})
		switch {
		case looped >= 0: // from the node to itself
			list[looped].again(*v)
		case !again: // it was not sent again
			list = append(list, *v)
		}
	}
	return list
}

// over reports whether an event begins another packet than v, to which the kernel has given the same number: its memory is
// used again.
func (v *Visit) over(e wire.TraceEvent) bool {
	first := v.entered()
	return strings.HasPrefix(e.Chain, "first-") && (e.Hook != first.Hook || len(v.Stations) > 1) ||
		e.Header.Src != first.Src && e.Header.Dst != first.Dst && strings.HasPrefix(e.Chain, "answers-")
}

// answers reports whether a packet is one of the other direction: those of this one have the class.
func answers(h wire.TraceHeader, class uint8) bool {
	return h.Class != class || h.Protocol == "ICMP" || h.Protocol == "TCP" && (strings.Contains(h.Flags, "A") || strings.Contains(h.Flags, "R"))
}

// note adds an event of the packet.
func (v *Visit) note(e wire.TraceEvent, hook string) {
	if e.Out != "" {
		v.Out = e.Out
	}
	if strings.HasPrefix(e.Table, wire.TraceTable) && !e.Own {
		return
	}
	if e.Own {
		if strings.HasPrefix(e.Chain, "last-") && e.Header != nil {
			v.Stations = append(v.Stations, Station{Hook: e.Hook, Src: e.Header.Src, Dst: e.Header.Dst, Mark: e.Mark})
		}
		return
	}
	r := Rule{Hook: hook, Table: e.Family + " " + e.Table, Chain: e.Chain, Handle: e.Handle, Verdict: e.Verdict, To: e.To}
	if e.Verdict == "drop" && e.Type != "return" {
		v.Drop = &r
	}
	if e.Handle != 0 || e.Verdict == "drop" { // without a handle: no further rule matched
		v.Rules = append(v.Rules, r)
	}
}

// again adds the second half of a packet from the node to itself.
func (v *Visit) again(w Visit) {
	v.Stations, v.Rules = append(v.Stations, w.Stations[1:]...), append(v.Rules, w.Rules...)
	if w.Drop != nil {
		v.Drop = w.Drop
	}
}

// flowOf is the conntrack entry of a packet.
func flowOf(v Visit, flows []wire.TracedFlow) *wire.TracedFlow {
	for i, f := range flows {
		e := v.entered()
		if !v.Reply && f.From == e.Src && f.To == e.Dst || v.Reply && f.ReplyFrom == e.Src && f.ReplyTo == e.Dst {
			return &flows[i]
		}
	}
	return nil
}
