package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
)

// Mark says how what was seen at a hop compares with the prediction.
type Mark string

// The marks.
const (
	Same    Mark = "same"
	Differs Mark = "differs"
	// Unseen: the path has differed before, so the packet is not expected here.
	Unseen Mark = "unseen"
	// Unwatched: no kernel was read there.
	Unwatched Mark = "unwatched"
)

// Step is one hop: predicted, and what was seen there.
type Step struct {
	oracle.Hop
	Mark Mark `json:"mark"`
	// Seen says in a sentence what was seen.
	Seen string `json:"seen,omitempty"`
}

// comparison compares one way with what was seen.
type comparison struct {
	way      oracle.Way
	seen     reach.Observation
	visits   []Visit
	watched  map[string]bool
	protocol reach.Protocol
}

// compare returns the steps of a way. lost is the first difference in a sentence; empty if there is none.
func (c comparison) compare() (steps []Step, lost string) {
	for i, hop := range c.way.Hops {
		step := Step{Hop: hop, Mark: Unseen}
		if lost == "" {
			var why string
			if step.Mark, step.Seen, why = c.hop(i); step.Mark == Differs {
				lost = why
			}
		}
		steps = append(steps, step)
	}
	return steps, lost
}

// hop compares one hop. why is the difference in a sentence.
func (c comparison) hop(i int) (mark Mark, seen, why string) {
	h := c.way.Hops[i]
	switch h.Kind {
	case oracle.HopName:
		return c.name()
	case oracle.HopSend:
		return Same, fmt.Sprintf("it sent; the outcome is %s", c.outcome()), ""
	case oracle.HopPod:
		return c.endpoint(i, h)
	case oracle.HopReceive:
		return c.received()
	case oracle.HopEnd:
		return c.ended(i, h)
	}
	if !c.watched[h.At] {
		return Unwatched, "", ""
	}
	v, found := c.visit(i)
	if !found {
		return Differs, "it did not come here", c.before(i, h)
	}
	switch h.Kind {
	case oracle.HopEnter:
		return c.enter(h, v)
	case oracle.HopMatch:
		return c.match(h, v)
	case oracle.HopDNAT:
		return c.dnat(h, v)
	case oracle.HopRoute:
		return c.route(h, v)
	default:
		return c.leave(h, v)
	}
}

// visit is the one that the i-th hop is part of: the first at its node, or the second if the way leads there twice.
func (c comparison) visit(i int) (v Visit, found bool) {
	h, nth := c.way.Hops[i], 0
	for _, o := range c.way.Hops[:i+1] {
		if o.Kind == oracle.HopEnter && o.At == h.At && o.Reply == h.Reply {
			nth++
		}
	}
	for _, v := range c.visits {
		if v.Node != h.At || v.Reply != h.Reply {
			continue
		}
		if nth--; nth <= 0 {
			return v, true
		}
	}
	return Visit{}, false
}

func (c comparison) outcome() string {
	if c.seen.Detail != "" && c.seen.Outcome != reach.Reached {
		return fmt.Sprintf("%s (%s)", c.seen.Outcome, c.seen.Detail)
	}
	return string(c.seen.Outcome)
}

func (c comparison) name() (Mark, string, string) {
	if c.seen.Outcome == reach.NoSuchHost {
		return Differs, "no address", "the name has no address: " + c.seen.Detail
	}
	if len(c.seen.Addresses) == 0 {
		return Same, "", ""
	}
	texts := make([]string, len(c.seen.Addresses))
	for i, a := range c.seen.Addresses {
		texts[i] = a.String()
	}
	return Same, strings.Join(texts, ", "), ""
}

// before says where a packet that did not come to a node was lost.
func (c comparison) before(i int, h oracle.Hop) string {
	what := "the packet"
	if h.Reply {
		what = "the answer"
	}
	for j := i - 1; j >= 0; j-- {
		was := c.way.Hops[j]
		if was.Kind == oracle.HopSend || was.Kind == oracle.HopPod {
			break
		}
		if v, found := c.visit(j); found && was.At != h.At {
			if v.Drop != nil {
				return c.dropped(v)
			}
			if v.Out == "" {
				return fmt.Sprintf("%s was seen last in %s of %s, which did not send it to %s: it has no route for it, or delivered it itself", what, v.last().Hook, was.At, h.At)
			}
			return fmt.Sprintf("%s left %s by %s for %s, and %s did not see it", what, was.At, v.Out, v.last().Dst, h.At)
		}
	}
	if h.Reply {
		if c.seen.Outcome == reach.Reached {
			return fmt.Sprintf("the answer came to the client past %s", h.At)
		}
		return fmt.Sprintf("no answer came from the endpoint to %s", h.At)
	}
	if other := c.elsewhere(); other != "" {
		return fmt.Sprintf("%s did not see the packet; %s did", h.At, other)
	}
	return fmt.Sprintf("no node saw the packet: it was lost between the client and %s, or never sent (%s)", h.At, c.outcome())
}

// elsewhere names a node that saw the packet although the way does not lead through it.
func (c comparison) elsewhere() string {
	for _, v := range c.visits {
		if !v.Reply && !slices.ContainsFunc(c.way.Hops, func(h oracle.Hop) bool { return h.At == v.Node }) {
			return v.Node
		}
	}
	return ""
}

// dropped says which rule dropped a packet, and where on its way.
func (c comparison) dropped(v Visit) string {
	what := "dropped"
	if v.Reply {
		what = "the answer was dropped"
	}
	text := fmt.Sprintf("%s by %s's %s, in %s", what, v.Node, *v.Drop, v.Drop.Hook)
	if at := c.chooses(); v.Node == at && !v.Reply && (v.Drop.Hook == "prerouting" || v.Drop.Hook == "output") && len(v.Stations) == 1 {
		text += ", before kube-proxy's DNAT"
	}
	return text
}

// chooses is the node that chooses the endpoint; empty if none does.
func (c comparison) chooses() string {
	for _, h := range c.way.Hops {
		if h.Kind == oracle.HopDNAT {
			return h.At
		}
	}
	return ""
}

func (c comparison) enter(h oracle.Hop, v Visit) (Mark, string, string) {
	e := v.entered()
	seen := fmt.Sprintf("%s: %s → %s", e.Hook, e.Src, e.Dst)
	if v.In != "" {
		seen = fmt.Sprintf("%s from %s: %s → %s", e.Hook, v.In, e.Src, e.Dst)
	}
	if h.Reply {
		return Same, seen, ""
	}
	if h.Packet.Dst.IsValid() && e.Dst != h.Packet.Dst {
		return Differs, seen, fmt.Sprintf("the packet came to %s for %s, not for %s", h.At, e.Dst, h.Packet.Dst)
	}
	if !among(h.Packet.Src, e.Src.Addr()) {
		return Differs, seen, fmt.Sprintf("the packet came to %s from %s, not from %s", h.At, e.Src.Addr(), sources(h.Packet.Src))
	}
	return Same, seen, ""
}

func (c comparison) match(h oracle.Hop, v Visit) (Mark, string, string) {
	chains := v.chains(h.Table)
	if len(h.Chains) == 0 || subsequence(h.Chains, chains) {
		return Same, strings.Join(interesting(chains, h.Chains), " → "), ""
	}
	seen := cmpText(strings.Join(chains, " → "), "no rule of "+h.Table)
	if why := c.rewritten(v); why != "" { // if it was dropped too, it was where the rule sent it
		return Differs, seen, why + ", before kube-proxy's rules"
	}
	if v.Drop != nil {
		return Differs, seen, c.dropped(v)
	}
	missing := h.Chains[len(h.Chains)-1]
	for _, name := range h.Chains {
		if !slices.Contains(chains, name) {
			missing = name
			break
		}
	}
	return Differs, seen, fmt.Sprintf("%s's kube-proxy did not handle it: no rule of table %s led to chain %s", h.At, h.Table, missing)
}

// rewritten says which rule rewrote the destination at a node; empty if none did.
func (c comparison) rewritten(v Visit) string {
	first := v.entered()
	for _, s := range v.Stations[1:] {
		if s.Dst == first.Dst {
			continue
		}
		if r, ok := v.rewriter(s.Hook); ok {
			return fmt.Sprintf("the destination was rewritten to %s by %s's %s, in %s", s.Dst, v.Node, r, s.Hook)
		}
		return fmt.Sprintf("the destination was rewritten to %s at %s, in %s", s.Dst, v.Node, s.Hook)
	}
	return ""
}

// strangely is, behind a colon, which rule rewrote the destination at a node that is not to choose an endpoint; empty if none did.
func (c comparison) strangely(v Visit) string {
	if why := c.rewritten(v); why != "" && c.chooses() != v.Node {
		return ": " + why
	}
	return ""
}

func (c comparison) dnat(h oracle.Hop, v Visit) (Mark, string, string) {
	s, ok := v.passed(v.entered().Hook)
	if !ok {
		if v.Drop != nil {
			return Differs, "dropped", c.dropped(v)
		}
		return Differs, "it went no further", fmt.Sprintf("%s's kernel did not let the packet through %s, and no rule says why", h.At, v.entered().Hook)
	}
	if s.Dst == h.Packet.Dst {
		return Same, fmt.Sprintf("→ %s", s.Dst), ""
	}
	if why := c.rewritten(v); why != "" {
		return Differs, fmt.Sprintf("→ %s", s.Dst), why + fmt.Sprintf(", which is not the endpoint %s", h.Packet.Dst)
	}
	return Differs, fmt.Sprintf("→ %s", s.Dst), fmt.Sprintf("%s did not rewrite the destination to an endpoint", h.At)
}

func (c comparison) route(h oracle.Hop, v Visit) (Mark, string, string) {
	if _, ok := v.passed(h.Hook); ok {
		seen := h.Hook
		if h.Hook == "forward" && v.Out != "" {
			seen += " to " + v.Out
		}
		return Same, seen, ""
	}
	if v.Drop != nil {
		return Differs, "dropped", c.dropped(v)
	}
	return Differs, "seen last in " + v.last().Hook, fmt.Sprintf("%s did not take the packet to %s: it was seen last in %s, for %s (%s)%s", h.At, h.Hook, v.last().Hook, v.last().Dst, c.outcome(), c.strangely(v))
}

func (c comparison) leave(h oracle.Hop, v Visit) (Mark, string, string) {
	s, ok := v.passed("postrouting")
	if !ok {
		if v.Drop != nil {
			return Differs, "dropped", c.dropped(v)
		}
		return Differs, "seen last in " + v.last().Hook, fmt.Sprintf("the packet did not leave %s: it was seen last in %s, for %s", h.At, v.last().Hook, v.last().Dst)
	}
	seen := fmt.Sprintf("%s → %s by %s", s.Src, s.Dst, v.Out)
	if h.Packet.Dst.IsValid() && s.Dst != h.Packet.Dst {
		return Differs, seen, fmt.Sprintf("the packet left %s for %s, not for %s%s", h.At, s.Dst, h.Packet.Dst, c.strangely(v))
	}
	if among(h.Packet.Src, s.Src.Addr()) {
		return Same, seen, ""
	}
	why := fmt.Sprintf("the packet left %s from %s, not from %s", h.At, s.Src.Addr(), sources(h.Packet.Src))
	switch r, ok := v.rewriter("postrouting"); {
	case ok && v.entered().Src != s.Src:
		why += fmt.Sprintf(": rewritten by %s's %s", h.At, r)
	case ok: // the first NAT rule decides, even if it rewrites an address to itself
		why += fmt.Sprintf(": left as it is by %s's %s", h.At, r)
	}
	return Differs, seen, why
}

// endpoint compares what the answer says, or that one came.
func (c comparison) endpoint(i int, h oracle.Hop) (Mark, string, string) {
	refused := !slices.Contains(c.way.Outcomes, reach.Reached)
	if c.seen.Outcome == reach.Reached {
		seen := fmt.Sprintf("%s answered; it saw %s", c.seen.Backend, c.seen.Source)
		switch {
		case refused:
			return Differs, seen, fmt.Sprintf("%s answered, where nothing should listen", c.seen.Backend)
		case c.way.Backend != "" && c.seen.Backend != c.way.Backend && !strings.HasPrefix(c.seen.Backend, "localEndpoints="):
			return Differs, seen, fmt.Sprintf("%s answered, not %s", c.seen.Backend, c.way.Backend)
		case c.seen.Source.IsValid() && !among(h.Packet.Src, c.seen.Source.Unmap()):
			return Differs, seen, fmt.Sprintf("%s saw the packet from %s, not from %s", c.seen.Backend, c.seen.Source, sources(h.Packet.Src))
		}
		return Same, seen, ""
	}
	for j := i - 1; j >= 0; j-- { // dropped on the last node's way to it
		if v, found := c.visit(j); found && !v.Reply && v.Drop != nil {
			return Differs, "dropped", c.dropped(v)
		}
	}
	for _, v := range c.visits {
		if !v.Reply {
			continue
		}
		seen := "it answers " + strings.TrimSpace(v.Protocol+" "+v.Flags)
		rejects := strings.Contains(v.Flags, "R") || v.Protocol == "ICMP"
		if rejects != refused && len(c.way.Outcomes) == 1 && c.seen.Outcome == reach.Refused {
			return Differs, seen, fmt.Sprintf("%s refused the packet (%s): nothing listens on %s", h.At, strings.TrimSpace(v.Protocol+" "+v.Flags), c.way.Endpoint)
		}
		return Same, seen, ""
	}
	switch {
	case c.seen.Outcome == reach.WrongAnswer, refused && c.seen.Outcome == reach.Refused:
		return Same, c.outcome(), ""
	case c.anyWatched():
		return Differs, "no answer was seen", fmt.Sprintf("the packet went to %s at %s, and no answer came back: %s", h.At, c.way.Endpoint, c.outcome())
	}
	return Unwatched, "", ""
}

func (c comparison) anyWatched() bool {
	return slices.ContainsFunc(c.way.Hops, func(h oracle.Hop) bool { return c.watched[h.At] })
}

// received compares the outcome at the client.
func (c comparison) received() (Mark, string, string) {
	got := c.seen.Outcome
	if slices.Contains(c.way.Outcomes, got) || got == reach.WrongAnswer && slices.Contains(c.way.Outcomes, reach.Reached) {
		return Same, c.outcome(), ""
	}
	if strings.HasPrefix(c.seen.Detail, "connected") && slices.Contains(c.way.Outcomes, reach.Reached) {
		return Same, c.outcome(), "" // what listens there need not answer what the prober sends
	}
	for _, v := range c.visits {
		if v.Reply && v.Drop != nil {
			return Differs, c.outcome(), c.dropped(v)
		}
	}
	return Differs, c.outcome(), fmt.Sprintf("the client did not get the answer: %s", c.outcome())
}

// ended compares how and where the packet ends.
func (c comparison) ended(i int, h oracle.Hop) (Mark, string, string) {
	got := c.seen.Outcome
	fits := slices.Contains(c.way.Outcomes, got)
	v, found := c.visit(i)
	switch {
	case h.Verdict == oracle.EndAstray || h.Verdict == oracle.EndUnsent || !c.watched[h.At]:
		if fits {
			return Same, c.outcome(), ""
		}
		why := fmt.Sprintf("the packet should have ended here: %s, and the outcome is %s", h.Says, c.outcome())
		for _, v := range c.visits { // by a node that was not to see it, too
			if strange := c.strangely(v); strange != "" && !v.Reply {
				return Differs, c.outcome(), why + strange
			}
		}
		return Differs, c.outcome(), why
	case !found:
		return Differs, "it did not come here", c.before(i, h)
	case h.Verdict == oracle.EndClosed:
		if fits && v.Drop == nil {
			return Same, c.outcome(), ""
		}
	case v.Drop != nil:
		seen := fmt.Sprintf("%s by %s", h.Verdict, *v.Drop)
		if len(h.Chains) == 0 || v.Drop.Table == h.Table && slices.ContainsFunc(h.Chains, func(name string) bool { return strings.HasPrefix(v.Drop.Chain, name) }) {
			if fits {
				return Same, seen, ""
			}
			return Differs, seen, fmt.Sprintf("%s, and the outcome is %s, not %s", seen, c.outcome(), joined(c.way.Outcomes))
		}
	}
	if v.Drop != nil {
		return Differs, "dropped by " + v.Drop.String(), c.dropped(v)
	}
	if why := c.rewritten(v); why != "" {
		return Differs, "it went on", "the packet should have been " + h.Verdict + "; " + why
	}
	return Differs, "it went on", fmt.Sprintf("the packet should have been %s at %s, and went on: it was seen last in %s for %s, and the outcome is %s", h.Verdict, h.At, v.last().Hook, v.last().Dst, c.outcome())
}

// among reports whether an address is in one of the prefixes; no prefix: it is not known which.
func among(list []netip.Prefix, addr netip.Addr) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func sources(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = reach.PrefixText(p)
	}
	return strings.Join(texts, " or ")
}

func joined(outcomes []reach.Outcome) string {
	texts := make([]string, len(outcomes))
	for i, o := range outcomes {
		texts[i] = string(o)
	}
	return strings.Join(texts, " or ")
}

// subsequence reports whether all of want are in got, in that order.
func subsequence(want, got []string) bool {
	for _, name := range got {
		if len(want) > 0 && name == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// interesting are the chains from the first one that is expected.
func interesting(chains, expected []string) []string {
	if len(expected) == 0 {
		return chains
	}
	return chains[max(slices.Index(chains, expected[0]), 0):]
}

func cmpText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
