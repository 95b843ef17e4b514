package coach

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/course"
)

// mostShown is how many kinds of differences are explained for each table. The first few say what is wrong.
const mostShown = 3

// Feedback writes the result of a check: each step of the goal, the tables before and now, and what differs. With why it also
// writes the reasons, which name the fault. before is the verdict of the previous check; the zero value if there was none.
func (p *Renderer) Feedback(e course.Exercise, before reach.Verdict, seen Seen, why bool) {
	drawn := false
	last := -1 // the step whose tables are shown although it passed
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
			drawn = p.found(before, step, why) || drawn
		}
	}
	if drawn && p.Language == course.Chinese { // the words in tables are English
		p.Quiet(Legend)
	}
}

// step writes whether a step of the goal passed.
func (p *Renderer) step(e course.Exercise, step reach.Step) {
	want := e.Say(p.Language, course.StepID(step.Name))
	if want == "" { // a step that the runner added, which the exercise has no message for
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

// found writes what a step observed, and reports whether that has a table.
func (p *Renderer) found(before reach.Verdict, step reach.Step, why bool) (shown bool) {
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
		p.differences(table, why)
	}
	explained := slices.ContainsFunc(step.Tables, showsFailure)
	for _, missing := range step.Missing {
		if missing.From != "" {
			p.para(2, 2, plain, p.noTarget(missing))
			explained = true
		}
	}
	if step.Why != "" && !explained {
		line, _, _ := strings.Cut(step.Why, "\n")
		p.Field("  "+Say(p.Language, Detail), line)
	}
	return shown
}

// showsFailure reports whether the marks in a table show that it differs from the goal.
func showsFailure(t reach.Table) bool { return len(t.Cells) > 0 && t.Result() != reach.Pass }

// Start writes the first table of the verdict from before the learner did anything.
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
	if p.HTML {
		p.gridHTML(t)
		return
	}
	var b strings.Builder
	style := p.Style
	style.Width, style.Merge = max(60, p.columns()-2), true
	if err := report.Grid(&b, t, style); err != nil {
		p.err = err
		return
	}
	for line := range strings.Lines(b.String()) {
		p.line("  " + strings.TrimRight(line, "\n"))
	}
}

// noTarget says which clients and targets of the goal do not exist yet. An expected table writes them as "outside, pod" or "any",
// and "clusterIP, dns:80".
func (p *Renderer) noTarget(m reach.Missing) string {
	if m.From == "any" {
		return Say(p.Language, NoTargetAny, m.To)
	}
	return Say(p.Language, NoTarget, m.To, m.From)
}

// differences writes what a table was expected to show and what was observed, and with why the reason, if it explains what was
// observed. Cells that differ in the same way are explained once.
func (p *Renderer) differences(t reach.Table, withWhy bool) {
	type kind struct {
		what, why string
		// alike is equal for cells that differ only in the names of nodes and pods.
		alike string
		// more is how many cells are alike, in addition to the first.
		more int
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
			if withWhy && len(reach.Compare(c.Oracle, c.Cell)) == 0 { // otherwise the reason explains what did not happen
				why = Reason(p.Language, c.Oracle)
			}
			target := c.Cell.Target
			alike = fmt.Sprintf("%s %s %s %s:%d/%s: %s, %s", c.Cell.Vantage.Kind, c.Oracle.Rule, target.Service, target.Kind, target.Port,
				target.Protocol, want, got)
		}
		if i := slices.IndexFunc(kinds, func(k kind) bool { return alike != "" && k.alike == alike }); i >= 0 {
			kinds[i].more++
			continue
		}
		if slices.ContainsFunc(kinds, func(k kind) bool { return why != "" && k.why == why }) {
			why = ""
		}
		kinds = append(kinds, kind{what: what, why: why, alike: alike})
	}
	for i, k := range kinds {
		if i == mostShown {
			p.Raw(fmt.Sprintf("  … +%d", len(kinds)-mostShown))
			return
		}
		if k.more > 0 {
			k.what = Say(p.Language, Alike, k.what, k.more)
		}
		p.para(2, 2, plain, k.what)
		if k.why != "" {
			p.Field("  "+Say(p.Language, Why), k.why)
		}
	}
}

// Reason returns the reason of a prediction.
func Reason(l course.Language, prediction reach.Prediction) string {
	if l == course.Chinese && prediction.Said.Format != "" {
		return prediction.Said.In(reasonsInChinese())
	}
	return prediction.Reason
}

// tableOf returns the n-th table of a verdict's step.
func tableOf(v reach.Verdict, step string, n int) (reach.Table, bool) {
	for _, s := range v.Steps {
		if s.Name == step && n < len(s.Tables) && len(s.Tables[n].Cells) > 0 {
			return s.Tables[n], true
		}
	}
	return reach.Table{}, false
}

// Same reports whether two verdicts have the same result for every step and every cell.
func Same(a, b reach.Verdict) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y reach.Step) bool {
		return x.Name == y.Name && x.Result == y.Result && x.Why == y.Why && slices.EqualFunc(x.Tables, y.Tables, same)
	})
}

// same reports whether two tables have the same cells with the same outcomes.
func same(a, b reach.Table) bool {
	return slices.EqualFunc(a.Cells, b.Cells, func(x, y reach.CellVerdict) bool {
		return x.Result == y.Result && x.Cell.Vantage.Name == y.Cell.Vantage.Name && x.Cell.Target.Name() == y.Cell.Target.Name() &&
			slices.Equal(outcomes(x), outcomes(y))
	})
}

// outcomes returns the outcomes that a cell had, each once, sorted.
func outcomes(c reach.CellVerdict) []reach.Outcome {
	var all []reach.Outcome
	for _, o := range c.Cell.Observations {
		all = append(all, o.Outcome)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
