package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// group is cells of one table that one explanation covers.
type group struct {
	result reach.Result
	at     []position
	cells  []*reach.CellVerdict
	// source says whose address the backends saw, for cells that passed.
	source string
}

// observations are those of all cells of the group.
func (g group) observations() []reach.Observation {
	var all []reach.Observation
	for _, c := range g.cells {
		all = append(all, c.Cell.Observations...)
	}
	return all
}

// groups joins cells that have the same result for the same reason. Cells that differ come first, then those that could
// not be probed, those that are as expected, and those that were left out.
func (v *view) groups() []group {
	var (
		keys   []string
		byKey  = map[string]*group{}
		nodes  = v.nodeAddrs()
		sorted []group
	)
	for _, ti := range v.byService {
		for vi, c := range v.cells[ti] {
			if c == nil {
				continue
			}
			source := ""
			if c.Result == reach.Pass {
				source = sourceClass(c.Cell, nodes)
			}
			key := groupKey(c, source)
			if byKey[key] == nil {
				byKey[key] = &group{result: c.Result, source: source}
				keys = append(keys, key)
			}
			g := byKey[key]
			g.at = append(g.at, position{target: ti, vantage: vi})
			g.cells = append(g.cells, c)
		}
	}
	for _, result := range []reach.Result{reach.Fail, reach.Inconclusive, reach.Pass, reach.Skipped} {
		for _, key := range keys {
			if byKey[key].result == result {
				sorted = append(sorted, *byKey[key])
			}
		}
	}
	return sorted
}

func groupKey(c *reach.CellVerdict, source string) string {
	key := []string{string(c.Result)}
	switch c.Result {
	case reach.Pass:
		key = append(key, distinct(c.Cell.Observations, outcomeOf)...)
		key = append(key, ruleOf(c.Oracle), source)
	case reach.Fail:
		key = append(key, c.Alone, ruleOf(c.Oracle), expectedApart(c.Oracle))
		if c.Expected != nil {
			key = append(key, expectedApart(*c.Expected))
		}
		for _, d := range c.Differences {
			key = append(key, d.Field, d.Want, d.Got)
		}
	default:
		key = append(key, c.Why)
	}
	return strings.Join(key, "\x00")
}

// ruleOf is what one explanation covers: a rule holds for many cells, and its reason names other objects in each.
func ruleOf(p reach.Prediction) string { return cmp.Or(p.Rule, p.Reason) }

// reason is the oracle's for the group. Where the cells' reasons differ it is one of them, marked as an example.
func (g group) reason() string {
	text := because(g.cells[0].Oracle)
	for _, c := range g.cells {
		if c.Oracle.Reason != g.cells[0].Oracle.Reason {
			return "(for example) " + text
		}
	}
	return text
}

// expectedApart is the prediction without its sources: they differ by node where everything else is equal.
func expectedApart(p reach.Prediction) string {
	p.Sources = nil
	return expected(p)
}

// predictions are those of the group's cells, with the sources of all of them.
func (g group) predictions() (oracle reach.Prediction, table *reach.Prediction) {
	oracle = g.cells[0].Oracle
	oracle.Sources = nil
	if g.cells[0].Expected != nil {
		w := *g.cells[0].Expected
		w.Sources = nil
		table = &w
	}
	add := func(to *[]netip.Prefix, from []netip.Prefix) {
		for _, s := range from {
			if !slices.Contains(*to, s) {
				*to = append(*to, s)
			}
		}
	}
	for _, c := range g.cells {
		add(&oracle.Sources, c.Oracle.Sources)
		if c.Expected != nil {
			add(&table.Sources, c.Expected.Sources)
		}
	}
	return oracle, table
}

// nodeAddrs maps the address of every node vantage to its name.
func (v *view) nodeAddrs() map[string]string {
	nodes := map[string]string{}
	for _, vantage := range v.table.Vantages {
		if vantage.Kind != reach.Node {
			continue
		}
		for _, a := range vantage.Addrs {
			nodes[a.Unmap().String()] = vantage.Name
		}
	}
	return nodes
}

// sourceClass says whose address the backends saw in the cell; empty when they reported none.
func sourceClass(c reach.Cell, nodes map[string]string) string {
	var classes []string
	for _, o := range c.Observations {
		if o.Outcome != reach.Reached || !o.Source.IsValid() {
			continue
		}
		class := "another address"
		if slices.ContainsFunc(c.Vantage.Addrs, func(a netip.Addr) bool { return a.Unmap() == o.Source.Unmap() }) {
			class = "the client's own address"
		} else if nodes[o.Source.Unmap().String()] != "" {
			class = "a node's address"
		}
		if !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	slices.Sort(classes)
	return strings.Join(classes, " or ")
}

// heading is the group's first line, without its mark: "6 cells reached: clusterIP 10.96.0.1:80 from every pod".
func (g group) heading(v *view, ellipsis string) string {
	what := ""
	switch g.result {
	case reach.Fail:
		what = verb(len(g.cells), "differs", "differ")
	case reach.Inconclusive:
		what = "could not be probed"
	case reach.Skipped:
		what = verb(len(g.cells), "was not probed", "were not probed")
	default:
		var said []string
		for _, o := range outcomes(g.observations()) {
			said = append(said, pastOutcome(reach.Outcome(o.name)))
		}
		what = strings.Join(said, " or ")
	}
	where := ""
	if g.result == reach.Pass && v.scattered(g.at) {
		where = v.kinds(g.at) + ", as the grid shows"
	} else {
		where = v.where(g.at, ellipsis)
	}
	return fmt.Sprintf("%s %s: %s", plural(len(g.cells), "cell"), what, where)
}

func verb(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func pastOutcome(o reach.Outcome) string {
	switch o {
	case reach.Reached:
		return "reached"
	case reach.Refused:
		return "refused"
	case reach.TimedOut:
		return "timed out"
	case reach.Unreachable:
		return "had no route"
	case reach.NoSuchHost:
		return "found no such name"
	case reach.WrongAnswer:
		return "got a wrong answer"
	}
	return string(o)
}

// explain says which pods answered in a group that passed, whose address they saw, and how quickly.
func (g group) explain(times string) string {
	all := g.observations()
	var parts []string
	if who := tallyBackends(all); len(who) > 0 {
		text := who.String(times) + " answered"
		if g.source != "" {
			text += " and saw " + g.source + " (" + strings.Join(sources(all), ", ") + ")"
		}
		parts = append(parts, text)
	}
	if l, ok := latencyOf(all); ok {
		parts = append(parts, l.String())
	}
	if wait := patience(all); wait > 0 {
		parts = append(parts, "gave up after "+short(wait))
	}
	// The canonical name of a name that is no alias is the name itself, which says nothing.
	if cname := distinct(all, func(o reach.Observation) string { return o.CNAME }); len(cname) > 0 && g.cells[0].Cell.Target.Kind == reach.ExternalName {
		parts = append(parts, "through CNAME "+names(cname))
	}
	return strings.Join(parts, "; ")
}
