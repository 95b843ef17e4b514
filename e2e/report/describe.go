package report

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// word is what a grid's cell says about the observations, in at most ten columns: "2 pods", "refused", "18/20 ok".
func word(c reach.CellVerdict) string {
	switch c.Result {
	case reach.Skipped:
		return ""
	case reach.Inconclusive:
		if sent, _, _ := c.Cell.Probed(); sent {
			return "unknown"
		}
		return "no probe"
	}
	all := outcomes(c.Cell.Observations)
	if len(all) > 1 {
		for _, t := range all {
			if t.name == string(reach.Reached) {
				return fmt.Sprintf("%d/%d ok", t.count, len(c.Cell.Observations))
			}
		}
		return "mixed"
	}
	if len(all) == 0 {
		return "no probe"
	}
	if all[0].name != string(reach.Reached) {
		return deniedWord(reach.Outcome(all[0].name))
	}
	return reachedWord(c)
}

func deniedWord(o reach.Outcome) string {
	switch o {
	case reach.Refused:
		return "refused"
	case reach.TimedOut:
		return "timeout"
	case reach.Unreachable:
		return "no route"
	case reach.NoSuchHost:
		return "no name"
	case reach.WrongAnswer:
		return "bad answer"
	}
	return string(o)
}

// reachedWord is the word of a cell in which every probe was answered: its first difference, or how many pods answered.
func reachedWord(c reach.CellVerdict) string {
	backends := len(tallyBackends(c.Cell.Observations))
	for _, field := range []struct{ field, word string }{
		{"missing backend", fmt.Sprintf("%d/%d pods", backends, backends+countField(c, "missing backend"))},
		{"backend", "wrong pod"}, {"cname", "cname"}, {"source", "source"}, {"host header", "host"},
	} {
		if countField(c, field.field) > 0 {
			return field.word
		}
	}
	switch {
	case backends == 0 || c.Cell.Target.Kind == reach.ExternalName:
		return "answered"
	case backends == 1:
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", backends)
}

func countField(c reach.CellVerdict, field string) (n int) {
	for _, d := range c.Differences {
		if d.Field == field {
			n++
		}
	}
	return n
}

// reached reports whether any of the cell's probes was answered by a backend.
func reached(c reach.CellVerdict) bool {
	return slices.ContainsFunc(c.Cell.Observations, func(o reach.Observation) bool { return o.Outcome == reach.Reached })
}

// expected says a prediction in a line.
func expected(p reach.Prediction) string {
	outcomes := make([]string, len(p.Outcomes))
	for i, o := range p.Outcomes {
		outcomes[i] = string(o)
	}
	text := cmp.Or(strings.Join(outcomes, " or "), "nothing was predicted")
	switch {
	case len(p.Backends) == 0:
	case p.Sticky && len(p.Backends) > 1:
		text += ", always by the same one of " + names(p.Backends)
	case p.AnyBackend && len(p.Backends) > 1:
		text += ", by any of " + names(p.Backends)
	case len(p.Backends) > 1:
		text += ", by each of " + names(p.Backends)
	default:
		text += ", by " + p.Backends[0]
	}
	if len(p.Sources) > 0 {
		sources := make([]string, len(p.Sources))
		for i, s := range p.Sources {
			sources[i] = reach.PrefixText(s)
		}
		text += ", seen as " + strings.Join(sources, " or ")
	}
	if p.CNAME != "" {
		text += ", through CNAME " + p.CNAME
	}
	if p.HostSeen != "" {
		text += ", with Host header " + p.HostSeen
	}
	return text
}

func names(list []string) string {
	const most = 6
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// because is a prediction's reason with its rule and document.
func because(p reach.Prediction) string {
	text := p.Reason
	rests := slices.DeleteFunc([]string{p.Rule, p.Doc}, func(s string) bool { return s == "" })
	if len(rests) > 0 {
		text = strings.TrimSpace(text + " [" + strings.Join(rests, "; ") + "]")
	}
	return text
}

// observed says in a line what the observations show. times is the multiplication mark.
func observed(observations []reach.Observation, times string) string {
	all := outcomes(observations)
	if len(all) == 0 {
		return "nothing"
	}
	parts := make([]string, len(all))
	for i, t := range all {
		parts[i] = fmt.Sprintf("%s %d of %d", t.name, t.count, len(observations))
	}
	text := strings.Join(parts, ", ")
	if who := tallyBackends(observations); len(who) > 0 {
		text += ", by " + who.String(times)
	}
	if seen := sources(observations); len(seen) > 0 {
		text += ", seen as " + strings.Join(seen, " or ")
	}
	if l, ok := latencyOf(observations); ok {
		text += ", " + l.String()
	}
	for _, extra := range []struct {
		label string
		of    func(reach.Observation) string
	}{
		{"through CNAME", func(o reach.Observation) string { return o.CNAME }},
		{"with Host header", func(o reach.Observation) string { return o.HostSeen }},
		{"for TLS name", func(o reach.Observation) string { return o.ServerName }},
	} {
		if values := distinct(observations, extra.of); len(values) > 0 {
			text += ", " + extra.label + " " + names(values)
		}
	}
	// Error texts contain port numbers, so one cause can have one text per probe. The most frequent text represents all.
	if errs := tally(observations, func(o reach.Observation) string { return o.Detail }); len(errs) > 0 {
		text += ": " + errs[0].name
		if len(errs) > 1 {
			text += fmt.Sprintf(" (and %d other texts)", len(errs)-1)
		}
	}
	return text
}

// counted is a name and how often it occurred.
type counted struct {
	name  string
	count int
}

type counts []counted

// String joins the most frequent names: "pod-a ×11, pod-b ×9".
func (c counts) String(times string) string {
	const most = 6
	var parts []string
	for _, t := range c[:min(most, len(c))] {
		parts = append(parts, fmt.Sprintf("%s %s%d", t.name, times, t.count))
	}
	if len(c) > most {
		parts = append(parts, fmt.Sprintf("and %d more", len(c)-most))
	}
	return strings.Join(parts, ", ")
}

// tally counts the texts that are not empty; the most frequent first, then by name.
func tally(observations []reach.Observation, of func(reach.Observation) string) counts {
	byName := map[string]int{}
	for _, o := range observations {
		if s := of(o); s != "" {
			byName[s]++
		}
	}
	var out counts
	for name, count := range byName {
		out = append(out, counted{name, count})
	}
	slices.SortFunc(out, func(a, b counted) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name))
	})
	return out
}

func outcomeOf(o reach.Observation) string { return string(o.Outcome) }

func outcomes(observations []reach.Observation) counts { return tally(observations, outcomeOf) }

func tallyBackends(observations []reach.Observation) counts {
	return tally(observations, func(o reach.Observation) string { return o.Backend })
}

func distinct(observations []reach.Observation, of func(reach.Observation) string) []string {
	var out []string
	for _, t := range tally(observations, of) {
		out = append(out, t.name)
	}
	slices.Sort(out)
	return out
}

// sources are the addresses that the backends saw, in order, at most four of them.
func sources(observations []reach.Observation) []string {
	const most = 4
	set := map[netip.Addr]bool{}
	for _, o := range observations {
		if o.Source.IsValid() {
			set[o.Source.Unmap()] = true
		}
	}
	addrs := slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
	var out []string
	for _, a := range addrs[:min(most, len(addrs))] {
		out = append(out, a.String())
	}
	if len(addrs) > most {
		out = append(out, fmt.Sprintf("%d more", len(addrs)-most))
	}
	return out
}
