package trace

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
)

// Detail is how much Text prints.
type Detail int

// The details.
const (
	// Short has the six hops that matter to a learner.
	Short Detail = iota
	// Normal has every hop, with what was seen there.
	Normal
	// Full has all rules that the packet matched and the connections in the nodes' conntrack too.
	Full
)

// Text prints a trace. plain has no characters outside ASCII.
func Text(w io.Writer, t Trace, detail Detail, plain bool) error {
	p := &printer{marks: marks(plain)}
	p.linef("%s → %s   (%s, %s mode)", t.From.Name, t.To.Name(), target(t.To), t.Mode)
	p.linef("predicted: %s [%s]", t.Way.Reason, strings.TrimPrefix(t.Way.Rule+"; "+t.Way.Doc, "; "))
	if t.Of > 1 {
		p.linef("           %d ways are possible; below is the one %s", t.Of, chosen(t))
	}
	p.linef("")
	if detail == Short {
		for i, g := range groups(t.Steps) {
			p.linef(" %s %d  %s", p.marks[g.mark], i+1, g.text)
		}
	} else {
		p.steps(t)
	}
	if detail == Full {
		p.full(t)
	}
	p.linef("")
	p.linef("%s", Summary(t))
	text := p.text.String()
	if plain {
		text = strings.NewReplacer("→", "->", "–", "-", "…", "...").Replace(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

func marks(plain bool) map[Mark]string {
	if plain {
		return map[Mark]string{Same: "ok  ", Differs: "FAIL", Unseen: "    ", Unwatched: "-   "}
	}
	return map[Mark]string{Same: "✓", Differs: "✗", Unseen: " ", Unwatched: "–"}
}

func chosen(t Trace) string {
	if t.Observation.Outcome == "" {
		return "to " + t.Way.Endpoint.String()
	}
	return "that this connection fits best"
}

func target(t reach.Target) string {
	return fmt.Sprintf("%s/%s", hostPort(t.Host, t.Port), t.Protocol)
}

func hostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// Summary says the result in a sentence.
func Summary(t Trace) string {
	switch t.Result {
	case reach.Pass:
		return fmt.Sprintf("as predicted: %d hops (%s; traced in %s beside the probe)", len(t.Steps), t.Observation.Outcome, t.Took.Round(time.Millisecond))
	case reach.Fail:
		i := slices.IndexFunc(t.Steps, func(s Step) bool { return s.Mark == Differs })
		return fmt.Sprintf("differs at hop %d (%s, %s): %s", i+1, t.Steps[i].At, t.Steps[i].Kind, t.Lost)
	case reach.Skipped:
		return t.Why
	default:
		if t.Lost != "" {
			return fmt.Sprintf("no verdict: %s; the prediction that fits best differs: %s", t.Why, t.Lost)
		}
		return "no verdict: " + t.Why
	}
}

// Where says in a sentence at which hop a packet that is not answered ends, whether that was predicted or not; empty if it is
// answered, or nothing was seen.
func Where(t Trace) string {
	i := slices.IndexFunc(t.Steps, func(s Step) bool {
		return s.Mark == Differs || s.Mark == Same && (s.Kind == oracle.HopEnd || s.Kind == oracle.HopPod && t.Observation.Outcome == reach.Refused)
	})
	if t.Result != reach.Pass && t.Result != reach.Fail || i < 0 {
		return ""
	}
	s := t.Steps[i]
	text := fmt.Sprintf("from %s to %s, hop %d at %s: ", t.From.Name, target(t.To), i+1, s.At)
	if s.Mark == Differs {
		return text + t.Lost
	}
	return text + s.Seen
}

type printer struct {
	text  strings.Builder
	marks map[Mark]string
}

func (p *printer) linef(format string, args ...any) {
	p.text.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (p *printer) steps(t Trace) {
	width := 0
	for _, s := range t.Steps {
		width = max(width, len(s.At))
	}
	for i, s := range t.Steps {
		way := " "
		if s.Reply {
			way = "<"
		}
		text := s.Says
		if packet := packetText(s.Packet); packet != "" && s.Kind != oracle.HopSend && s.Kind != oracle.HopDNAT && !s.Reply {
			text += ": " + packet
		}
		p.linef(" %s %2d %s %-*s  %-8s  %s", p.marks[s.Mark], i+1, way, width, s.At, s.Kind, text)
		if len(s.Chains) > 0 && s.Kind == oracle.HopMatch {
			p.linef("%*stable %s: %s", width+20, "", s.Table, strings.Join(s.Chains, " → "))
		}
		if s.Seen != "" {
			p.linef("%*sseen: %s", width+20, "", s.Seen)
		}
	}
}

// full has the rules and connections of each node.
func (p *printer) full(t Trace) {
	for _, v := range t.Visits {
		direction := "request"
		if v.Reply {
			direction = "answer"
		}
		p.linef("")
		p.linef("%s, %s (%s)", v.Node, direction, strings.TrimSpace(v.Protocol+" "+v.Flags))
		for i, s := range v.Stations {
			where := "after " + s.Hook
			if i == 0 {
				where = "into " + s.Hook
			}
			p.linef("    %-18s %s → %s%s", where, s.Src, s.Dst, markText(s.Mark))
			for _, r := range v.Rules {
				if i == 0 && r.Hook == s.Hook || i > 0 && i+1 < len(v.Stations) && v.Stations[i+1].Hook == r.Hook && r.Hook != s.Hook ||
					i == len(v.Stations)-1 && i > 0 && r.Hook != s.Hook && !slices.ContainsFunc(v.Stations, func(s Station) bool { return s.Hook == r.Hook }) {
					p.linef("        %s: %s", r, strings.TrimSpace(r.Verdict+" "+r.To))
				}
			}
		}
		if f := v.Flow; f != nil {
			p.linef("    conntrack          %s → %s, answers %s → %s%s, zone %d", f.From, f.To, f.ReplyFrom, f.ReplyTo, markText(f.Mark), f.Zone)
		}
	}
}

func markText(mark uint32) string {
	if mark == 0 {
		return ""
	}
	return fmt.Sprintf(", mark %#x", mark)
}

func packetText(p oracle.Packet) string {
	if !p.Dst.IsValid() {
		return ""
	}
	if len(p.Src) == 0 {
		return "→ " + addrPort(p.Dst)
	}
	return sources(p.Src) + " → " + addrPort(p.Dst)
}

func addrPort(a netip.AddrPort) string { return a.String() }

// group is one of the six hops of a short trace.
type group struct {
	name string
	mark Mark
	text string
}

// groups are the hops of a short trace: client, kube-proxy's choice, source address, second node, endpoint, answer.
func groups(steps []Step) (list []group) {
	chooses := ""
	for _, s := range steps {
		if s.Kind == oracle.HopDNAT {
			chooses = s.At
		}
	}
	past := false
	for _, s := range steps {
		name, text := "", ""
		switch {
		case s.Kind == oracle.HopName, s.Kind == oracle.HopSend:
			name, text = "client", fmt.Sprintf("%s: %s", s.At, s.Says)
		case s.Reply:
			name, text = "answer", "the answer goes back the same way: "+s.Says
			if s.Kind != oracle.HopReceive && s.Kind != oracle.HopEnd {
				text = ""
			}
		case s.Kind == oracle.HopPod:
			name, text = "endpoint", fmt.Sprintf("%s: %s", s.At, s.Says)
		case s.Kind == oracle.HopEnd:
			name, text = "end", fmt.Sprintf("%s: %s (%s)", s.At, s.Says, s.Verdict)
		case s.Kind == oracle.HopDNAT:
			name, text, past = "proxy "+s.At, fmt.Sprintf("%s: %s", s.At, s.Says), true
		case s.At == chooses && s.Kind == oracle.HopLeave:
			name, text = "source "+s.At, s.Says+": "+packetText(s.Packet)
		case s.At == chooses && !past:
			name = "proxy " + s.At
		case s.At == chooses:
			name = "source " + s.At
		default:
			name = "node " + s.At
			if s.Kind == oracle.HopRoute {
				text = s.Says
			}
		}
		if n := len(list); n == 0 || list[n-1].name != name {
			list = append(list, group{name: name, mark: s.Mark})
		}
		g := &list[len(list)-1]
		g.mark = worse(g.mark, s.Mark)
		if text != "" && g.text == "" {
			g.text = text
		} else if text != "" {
			g.text += "; " + text
		}
	}
	return slices.DeleteFunc(list, func(g group) bool { return g.text == "" })
}

func worse(a, b Mark) Mark {
	for _, m := range []Mark{Differs, Unseen, Unwatched} {
		if a == m || b == m {
			return m
		}
	}
	return Same
}
