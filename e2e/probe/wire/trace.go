package wire

import "net/netip"

// `prober trace` marks the packets of one traced connection in its network namespace and reads their way through the packet
// filter from the kernel. It prints a Tracing with Armed when it is ready. Then it prints one with a Trace for each line
// "collect" on stdin, of what passed since the last one. It ends, and leaves nothing behind, when stdin ends.

// A traced connection carries a DSCP, which its socket sets; Class of a Cell and --class of `prober trace` are the same
// number. The numbers MinClass + n × ClassStep, up to MaxClass, are for experimental and local use (pool 2 of RFC 2474, section 6).
const (
	MinClass  = 3
	MaxClass  = 63
	ClassStep = 4
)

// Tracing is one line of the output of `prober trace`. Exactly one of its fields is set.
type Tracing struct {
	Armed *Armed `json:"armed,omitempty"`
	Trace *Trace `json:"trace,omitempty"`
}

// TraceTable begins the name of the table that marks the packets of a class. The class follows.
const TraceTable = "svclab-trace-"

// Armed reports that the kernel traces packets of the class.
type Armed struct {
	// Table is the table that marks them. The kernel removes it when the prober ends, however it ends.
	Table string `json:"table"`
	// Taken: another prober traces the class there, so this one does not, and ends.
	Taken bool `json:"taken,omitempty"`
}

// Trace is what one kernel saw of a traced connection.
type Trace struct {
	// Events are in the order in which the kernel reported them.
	Events []TraceEvent `json:"events,omitempty"`
	// Flows are the conntrack entries of the packets in Events, as far as the kernel still has them.
	Flows []TracedFlow `json:"flows,omitempty"`
	// Overrun: the kernel had more events than the socket could hold, and dropped the rest.
	Overrun bool `json:"overrun,omitempty"`
}

// TraceEvent is one message of the kernel about a traced packet: a rule that matched, a chain that returned, or the policy of
// a base chain. (nft_trace_notify in net/netfilter/nf_tables_trace.c of Linux.)
type TraceEvent struct {
	// Packet is the same for all events of one packet in one kernel.
	Packet uint32 `json:"packet"`
	Family string `json:"family"` // of the table: ip, ip6, inet
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	// Handle is the rule's; 0 if Type is not rule.
	Handle uint64 `json:"handle,omitempty"`
	Type   string `json:"type"` // rule, return, policy
	// Verdict is accept, drop, stolen, queue, continue, jump, goto or return; To the chain of a jump or goto.
	Verdict string `json:"verdict"`
	To      string `json:"to,omitempty"`
	// Own: the event is of the table that marks the packets.
	Own bool `json:"own,omitempty"`
	// Hook and Priority are set for an event in a base chain: prerouting, input, forward, output, postrouting.
	Hook     string `json:"hook,omitempty"`
	Priority int    `json:"priority,omitempty"`
	// Header is the packet's, in the first event of each base chain.
	Header *TraceHeader `json:"header,omitempty"`
	// In and Out are the names of the links.
	In   string `json:"in,omitempty"`
	Out  string `json:"out,omitempty"`
	Mark uint32 `json:"mark,omitempty"`
}

// TraceHeader is of the packet's headers what tells connections and directions apart.
type TraceHeader struct {
	Protocol string         `json:"protocol"` // TCP, UDP, ICMP, or a number
	Src      netip.AddrPort `json:"src"`
	Dst      netip.AddrPort `json:"dst"`
	// Class is the DSCP. Flags are the TCP flags: S, A, R, F.
	Class uint8  `json:"class"`
	Flags string `json:"flags,omitempty"`
}

// TracedFlow is a conntrack entry.
type TracedFlow struct {
	Protocol string `json:"protocol"`
	// From and To are the addresses of its first packet, ReplyFrom and ReplyTo those that an answer must have.
	From      netip.AddrPort `json:"from"`
	To        netip.AddrPort `json:"to"`
	ReplyFrom netip.AddrPort `json:"replyFrom"`
	ReplyTo   netip.AddrPort `json:"replyTo"`
	Mark      uint32         `json:"mark,omitempty"`
	Zone      uint16         `json:"zone,omitempty"`
	// Answered: a packet of the other direction has been seen.
	Answered bool `json:"answered,omitempty"`
}
