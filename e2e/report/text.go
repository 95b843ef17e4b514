package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Text writes a run: the cluster, every scenario, the summary.
func Text(w io.Writer, run Run, style Style) error {
	p := newPrinter(style)
	p.spread(0, inkBold, strings.TrimSpace(run.Tool+" "+run.Version), run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	p.para(0, 2, inkDim, clusterLine(run.Cluster, p.dot))
	p.blank()
	for _, v := range run.Verdicts {
		p.scenario(v)
		p.blank()
	}
	p.summary(run)
	return p.flush(w)
}

// Table writes one judged table and what explains it.
func Table(w io.Writer, t reach.Table, style Style) error {
	p := newPrinter(style)
	p.table(0, t)
	return p.flush(w)
}

// Grid writes one judged table without what explains it.
func Grid(w io.Writer, t reach.Table, style Style) error {
	p := newPrinter(style)
	p.printGrid(0, newView(t))
	return p.flush(w)
}

func (p *printer) flush(w io.Writer) error {
	if _, err := io.WriteString(w, p.buf.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// label is a result as a word of fixed width, with its mark.
func (p *printer) label(r reach.Result) string {
	return p.mark(r) + " " + resultWord(r)
}

func resultWord(r reach.Result) string {
	switch r {
	case reach.Pass:
		return "PASS"
	case reach.Fail:
		return "FAIL"
	case reach.Inconclusive:
		return "INCONCLUSIVE"
	}
	return "SKIPPED"
}

func (p *printer) scenario(v reach.Verdict) {
	title := p.label(v.Result) + "  " + v.Scenario
	if v.Title != "" {
		title += ": " + v.Title
	}
	p.spread(0, inkFor(v.Result), title, elapsedText(v))
	if len(v.Behaviours) > 0 {
		p.para(2, 2, inkDim, "verifies "+strings.Join(v.Behaviours, ", "))
	}
	if v.Result == reach.Skipped {
		p.para(2, 2, inkNone, "not run: "+skipReason(v))
		return
	}
	for i, s := range v.Steps {
		p.blank()
		p.spread(2, inkFor(s.Result), fmt.Sprintf("%s  %d/%d %s", p.label(s.Result), i+1, len(v.Steps), s.Name), short(s.Elapsed))
		p.stepBody(4, s)
	}
}

func (p *printer) stepBody(indent int, s reach.Step) {
	if s.Why != "" {
		p.para(indent, 2, inkNone, s.Why)
	}
	for _, l := range s.Lines {
		p.para(indent, 2, inkNone, l)
	}
	if s.Timeline != nil {
		for l := range strings.SplitSeq(TimelineText(*s.Timeline), "\n") { // broken lines would not be a picture
			p.line(indent, Printable(l))
		}
	}
	for _, t := range s.Tables {
		p.blank()
		if t.Title != "" && t.Title != s.Name {
			p.para(indent, 2, inkBold, t.Title)
		}
		p.table(indent, t)
	}
}

func (p *printer) table(indent int, t reach.Table) {
	v := newView(t)
	p.printGrid(indent, v)
	if p.Verbose {
		for _, ti := range v.byService {
			for vi, c := range v.cells[ti] {
				if c != nil {
					p.blank()
					p.verboseCell(indent, group{result: c.Result, at: []position{{ti, vi}}, cells: []*reach.CellVerdict{c}})
				}
			}
		}
		return
	}
	p.printGroups(indent, v)
}

// mostDifferences bounds the kinds of difference that one table explains unless Verbose: in a broken cluster every cell
// may have its own, and the first few are enough.
const mostDifferences = 10

func (p *printer) printGroups(indent int, v *view) {
	differing, hidden, hiddenCells := 0, 0, 0
	for _, g := range v.groups() {
		if g.result == reach.Fail {
			if differing++; differing > mostDifferences {
				hidden++
				hiddenCells += len(g.cells)
				continue
			}
		}
		p.blank()
		p.printGroup(indent, v, g)
	}
	if hidden > 0 {
		p.blank()
		p.para(indent, 2, inkBad, fmt.Sprintf("%s %d more %s in %s, each listed in the full report",
			p.bad, hiddenCells, verb(hiddenCells, "cell differs", "cells differ"), plural(hidden, "other way")))
	}
}

func (p *printer) printGroup(indent int, v *view, g group) {
	mark := p.mark(g.result)
	if g.result == reach.Pass && !reached(*g.cells[0]) {
		mark = " "
	}
	i := inkFor(g.result)
	if g.result == reach.Pass {
		i = inkNone
	}
	p.para(indent, 2, i, mark+" "+g.heading(v, p.ellipsis))
	switch g.result {
	case reach.Fail:
		p.difference(indent+2, g)
	case reach.Inconclusive:
		p.field(indent+2, "why", cmp.Or(g.cells[0].Why, "no reason was given"))
		p.repeat(indent+2, g)
	case reach.Skipped:
		p.para(indent+2, 2, inkNone, "because "+cmp.Or(g.cells[0].Why, "no reason was given"))
	default:
		if text := g.explain(p.times); text != "" {
			p.para(indent+2, 0, inkDim, text)
		}
		if text := g.reason(); text != "" {
			p.para(indent+2, 2, inkNone, "because "+text)
		}
	}
}

// difference explains cells that differ: what the oracle and the table expected, and what was observed.
func (p *printer) difference(indent int, g group) {
	c := g.cells[0]
	p.predictions(indent, g)
	p.field(indent, "observed", observed(g.observations(), p.times))
	for i, d := range c.Differences {
		for _, other := range g.cells[1:] {
			d.Count += other.Differences[i].Count
			d.Of += other.Differences[i].Of
		}
		p.field(indent, "differs", d.String())
	}
	p.field(indent, "alone", alone(*c))
	p.traced(indent, g)
	if c.Why != "" && !repeats(c) {
		p.field(indent, "why", c.Why)
	}
	p.repeat(indent, g)
}

// traced prints where a connection left the predicted path, once for each sentence.
func (p *printer) traced(indent int, g group) {
	label, printed := "traced", map[string]bool{}
	for _, c := range g.cells {
		if c.Traced == "" || printed[c.Traced] {
			continue
		}
		printed[c.Traced] = true
		text := c.Traced
		if len(g.cells) > 1 {
			text = fmt.Sprintf("from %s: %s", c.Cell.Vantage.Name, text)
		}
		p.field(indent, label, text)
		label = ""
	}
}

// predictions prints the oracle's prediction and its reason, and the expected table's where it differs.
func (p *printer) predictions(indent int, g group) {
	oracle, table := g.predictions()
	if table == nil || expected(*table) == expected(oracle) {
		p.field(indent, "expected", expected(oracle))
	} else {
		p.field(indent, "oracle", expected(oracle))
		p.field(indent, "expected", expected(*table))
	}
	if text := g.reason(); text != "" {
		p.field(indent, "because", text)
	}
}

// repeats reports whether the cell's Why only repeats its differences, which are already printed.
func repeats(c *reach.CellVerdict) bool {
	return len(c.Differences) > 0 && strings.Contains(c.Why, c.Differences[0].String())
}

// alone says which of the three stands alone against the other two.
func alone(c reach.CellVerdict) string {
	switch c.Alone {
	case "observation":
		if c.Expected == nil {
			return "the observation: it differs from the oracle's prediction, and there is no expected table"
		}
		return "the observation: the oracle and the expected table agree with each other"
	case "oracle":
		return "the oracle: the cluster did what the expected table says"
	case "expected table":
		return "the expected table: the cluster did what the oracle predicts"
	case "all three":
		return "all three: no two of oracle, expected table and observation agree"
	}
	return cmp.Or(c.Alone, "unknown")
}

func (p *printer) repeat(indent int, g group) {
	for _, c := range g.cells {
		if c.Cell.Repeat == "" {
			continue
		}
		label := "repeat"
		if len(g.cells) > 1 {
			p.field(indent, label, fmt.Sprintf("for example from %s at %s:", c.Cell.Vantage.Name, c.Cell.Target.Name()))
			label = ""
		}
		p.command(indent, label, c.Cell.Repeat)
		return
	}
}

// verboseCell prints everything that is known about one cell.
func (p *printer) verboseCell(indent int, g group) {
	c := g.cells[0]
	i := inkFor(c.Result)
	if c.Result == reach.Pass {
		i = inkNone
	}
	mark, text := p.gridCell(c)
	t := c.Cell.Target
	head := fmt.Sprintf("%s %s from %s", mark, t.Service+" "+string(t.Kind)+" "+place(t, false, textPlace, p.ellipsis), c.Cell.Vantage.Name)
	if text != "" {
		head += ": " + text
	}
	p.para(indent, 2, i, head)
	switch c.Result {
	case reach.Fail:
		p.difference(indent+2, g)
	case reach.Pass:
		p.predictions(indent+2, g)
		p.field(indent+2, "observed", observed(c.Cell.Observations, p.times))
	default:
		p.field(indent+2, "why", cmp.Or(c.Why, "no reason was given"))
	}
}
