package coach

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/course"
)

// mostShown is how many kinds of difference a check explains of one table: the first few say what is wrong.
const mostShown = 3

// Feedback writes what a check found: each step of the goal, the tables before and now, what differs and why. before is
// the verdict of the check before this one; the zero value: there was none.
func (p *Renderer) Feedback(e course.Exercise, before reach.Verdict, seen Seen) {
	drawn := false
	last := -1 // the table that is shown though its step passed
	if seen.Verdict.Result == reach.Pass {
		for i, step := range seen.Verdict.Steps {
			if len(step.Tables) > 0 {
				last = i
			}
		}
	}
	for i, step := range seen.Verdict.Steps {
		p.step(e, step)
		if step.Result == reach.Fail || step.Result == reach.Inconclusive || i == last {
			drawn = p.found(before, step) || drawn
		}
	}
	if drawn && p.Language == course.Chinese { // the tables' words are English
		p.Quiet(Legend)
	}
}

// step says whether a step of the goal is met.
func (p *Renderer) step(e course.Exercise, step reach.Step) {
	want := e.Say(p.Language, course.StepID(step.Name))
	if want == "" { // none of the exercise's own
		want = step.Name
	}
	mark, ink := "✓ ", good
	id := Met
	switch step.Result {
	case reach.Fail:
		mark, ink, id = "✗ ", bad, NotYet
	case reach.Inconclusive:
		mark, ink, id = "? ", bad, Unjudged
	case reach.Skipped:
		mark, ink, id = "– ", dim, NotRun
	}
	if p.Style.Plain {
		mark = ""
	}
	p.para(0, 2, ink, mark+Say(p.Language, id, want))
}

// found shows what a step saw, and reports whether there was a table in it.
func (p *Renderer) found(before reach.Verdict, step reach.Step) (shown bool) {
	for i, table := range step.Tables {
		if len(table.Cells) == 0 {
			continue
		}
		shown = true
		old, had := tableOf(before, step.Name, i)
		switch {
		case had && same(old, table):
			p.Quiet(Unchanged)
			p.Grid(table)
		case had:
			p.Quiet(Before)
			p.Grid(old)
			p.Quiet(Now)
			p.Grid(table)
		default:
			p.Quiet(Now)
			p.Grid(table)
		}
		p.differences(table)
	}
	if !p.lacking(step.Why) && step.Why != "" && !slices.ContainsFunc(step.Tables, told) {
		p.Field("  "+Say(p.Language, Detail), firstLine(step.Why))
	}
	return shown
}

// noCell is what a runner says of a row of a goal for which there is nothing to ask.
var noCell = regexp.MustCompile(`row \d+ \(from (.+?) to (.+?): .*?\) covers no cell`)

// told reports whether a table shows by itself that it is not as it should be.
func told(t reach.Table) bool { return len(t.Cells) > 0 && t.Result() != reach.Pass }

// lacking says of which rows of a goal there is nothing to ask, and reports whether there are any.
func (p *Renderer) lacking(why string) bool {
	matches := noCell.FindAllStringSubmatch(why, -1)
	for _, match := range matches {
		p.para(2, 2, plain, Say(p.Language, NoTarget, match[1], match[2]))
	}
	return len(matches) > 0
}

// Start writes the tables of a verdict that was taken before the learner did anything.
func (p *Renderer) Start(v reach.Verdict) {
	for _, step := range v.Steps {
		for _, table := range step.Tables {
			if len(table.Cells) > 0 {
				p.Say(FirstGrid)
				p.Grid(table)
				return
			}
		}
	}
	p.Say(Nothing)
}

// Grid writes a table, indented.
func (p *Renderer) Grid(t reach.Table) {
	var b strings.Builder
	style := p.Style
	style.Width = max(60, p.columns()-2)
	if err := report.Grid(&b, t, style); err != nil {
		p.err = err
		return
	}
	for line := range strings.Lines(b.String()) {
		p.line("  " + strings.TrimRight(line, "\n"))
	}
}

// differences says of a table what was wanted, what came, and why; cells that differ in the same way once.
func (p *Renderer) differences(t reach.Table) {
	type kind struct {
		what, why string
		// alike says what cells have in common whose reasons differ in names only.
		alike string
	}
	var kinds []kind
	for _, c := range t.Cells {
		if c.Result != reach.Fail && c.Result != reach.Inconclusive {
			continue
		}
		what, why, alike := c.Why, "", ""
		if len(c.Differences) > 0 {
			d := c.Differences[0]
			want, got := d.Want, d.Got
			if d.Field != "outcome" {
				want, got = d.Field+" "+want, d.Field+" "+got
			}
			what = Say(p.Language, Differs, c.Cell.Vantage.Name, c.Cell.Target.Name(), want, got)
			why = Reason(p.Language, c.Oracle)
			alike = fmt.Sprintf("%s %s: %s, %s", c.Oracle.Rule, c.Cell.Target.Name(), want, got)
		}
		if slices.ContainsFunc(kinds, func(k kind) bool { return why != "" && (k.why == why || k.alike == alike) }) {
			continue
		}
		kinds = append(kinds, kind{what, why, alike})
	}
	for i, k := range kinds {
		if i == mostShown {
			p.line(fmt.Sprintf("  … +%d", len(kinds)-mostShown))
			return
		}
		p.para(2, 2, plain, k.what)
		if k.why != "" {
			p.Field("  "+Say(p.Language, Why), k.why)
		}
	}
}

// Reason says why something is as predicted: in English of this very case, in Chinese the rule behind it.
func Reason(l course.Language, prediction reach.Prediction) string {
	if rule, known := rulesInChinese()[prediction.Rule]; known && l == course.Chinese {
		return rule
	}
	return prediction.Reason
}

// tableOf is the n-th table of a verdict's step.
func tableOf(v reach.Verdict, step string, n int) (reach.Table, bool) {
	for _, s := range v.Steps {
		if s.Name == step && n < len(s.Tables) && len(s.Tables[n].Cells) > 0 {
			return s.Tables[n], true
		}
	}
	return reach.Table{}, false
}

// Same reports whether two verdicts say the same of every step and every cell.
func Same(a, b reach.Verdict) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y reach.Step) bool {
		return x.Name == y.Name && x.Result == y.Result && x.Why == y.Why && slices.EqualFunc(x.Tables, y.Tables, same)
	})
}

// same reports whether two tables have the same cells, answered alike.
func same(a, b reach.Table) bool {
	return slices.EqualFunc(a.Cells, b.Cells, func(x, y reach.CellVerdict) bool {
		return x.Result == y.Result && x.Cell.Vantage.Name == y.Cell.Vantage.Name && x.Cell.Target.Name() == y.Cell.Target.Name() &&
			slices.Equal(outcomes(x), outcomes(y))
	})
}

// outcomes are those that a cell had, each once, sorted.
func outcomes(c reach.CellVerdict) []reach.Outcome {
	var all []reach.Outcome
	for _, o := range c.Cell.Observations {
		all = append(all, o.Outcome)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
