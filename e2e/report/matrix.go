package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Column is one run of a comparison, under a heading of its own: "nftables ipv4".
type Column struct {
	Head string
	Run  Run
}

// Matrix compares several runs of the same scenarios: a line for each scenario with every run's verdict and time, then
// each run's counts, and the reasons of what did not pass or was skipped. The runs differ in mode, family or version, so
// a scenario may be skipped in one and run in another.
func Matrix(w io.Writer, columns []Column, style Style) error {
	p := newPrinter(style)
	scenarios := scenariosOf(columns)
	label := Width("scenario")
	for _, name := range scenarios {
		label = max(label, Width(name))
	}
	widths := make([]int, len(columns))
	head := padRight("scenario", label)
	for i, c := range columns {
		widths[i] = max(Width(c.Head), 9)
		head += p.bar + p.edge + padRight(c.Head, widths[i])
	}
	p.line(0, p.paint(inkBold, head))
	rule := strings.Repeat(p.rule, label)
	for _, w := range widths {
		rule += p.cross + strings.Repeat(p.rule, w+1)
	}
	p.line(0, rule)
	for _, name := range scenarios {
		line := p.paint(inkNone, padRight(name, label))
		for i, c := range columns {
			ink, text := p.matrixCell(c.Run, name)
			line += p.bar + p.edge + p.paint(ink, padRight(text, widths[i]))
		}
		p.line(0, line)
	}
	p.blank()
	for _, c := range columns {
		t := c.Run.Totals()
		p.para(0, 2, inkFor(c.Run.Result()), fmt.Sprintf("%s  %s: %s; %s; %s probes; %s", p.label(c.Run.Result()), c.Head,
			scenarioCounts(t), cellCounts(t.Cells), thousands(t.Probes), short(c.Run.Elapsed)))
	}
	p.matrixWhy(columns)
	return p.flush(w)
}

// MatrixResult is the worst of the runs.
func MatrixResult(columns []Column) reach.Result {
	worst := reach.Skipped
	for _, c := range columns {
		worst = reach.Worse(worst, c.Run.Result())
	}
	return worst
}

// matrixCell is a scenario's verdict in one run.
func (p *printer) matrixCell(run Run, scenario string) (ink, string) {
	for _, v := range run.Verdicts {
		if v.Scenario == scenario && v.Result != reach.Skipped {
			return inkFor(v.Result), p.mark(v.Result) + " " + short(v.Elapsed)
		}
	}
	if slices.ContainsFunc(run.Skips(), func(s Skip) bool { return s.Scenario == scenario }) {
		return inkDim, p.skipped + " skipped"
	}
	return inkWarn, p.unsure + " lost"
}

// matrixWhy prints why steps did not pass and why scenarios were skipped; a reason that several runs share once.
func (p *printer) matrixWhy(columns []Column) {
	var (
		texts []string
		heads = map[string][]string{}
		inks  = map[string]ink{}
	)
	note := func(head string, i ink, text string) {
		if heads[text] == nil {
			texts = append(texts, text)
		}
		heads[text], inks[text] = append(heads[text], head), i
	}
	for _, c := range columns {
		for _, t := range troublesOf(c.Run) {
			note(c.Head, inkFor(t.result), p.mark(t.result)+" "+t.text)
		}
		for _, s := range c.Run.Skips() {
			note(c.Head, inkDim, p.skipped+" "+s.Scenario+": "+s.Reason)
		}
	}
	if len(texts) > 0 {
		p.blank()
	}
	for _, text := range texts {
		p.para(0, 2, inks[text], text+" ("+strings.Join(heads[text], ", ")+")")
	}
}

// scenariosOf are the scenarios of all columns, in the order of the first that has them.
func scenariosOf(columns []Column) []string {
	var names []string
	for _, c := range columns {
		for _, name := range c.Run.Plan.Planned {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		for _, v := range c.Run.Verdicts {
			if !slices.Contains(names, v.Scenario) {
				names = append(names, v.Scenario)
			}
		}
	}
	slices.Sort(names)
	return names
}
