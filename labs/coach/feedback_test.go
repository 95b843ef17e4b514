package coach

import (
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/course"
)

// The feedback names rows that cover no cell, next to a table too: nothing in the table shows them.
func TestFeedbackTellsWhatIsMissing(t *testing.T) {
	vantage, target := reach.Vantage{Name: "pod/worker"}, reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80}
	table := func(result reach.Result) []reach.Table {
		cell := reach.CellVerdict{Result: result, Why: "not as wanted", Cell: reach.Cell{Vantage: vantage, Target: target,
			Observations: []reach.Observation{{Outcome: reach.Refused}}}}
		return []reach.Table{{Vantages: []reach.Vantage{vantage}, Targets: []reach.Target{target}, Cells: []reach.CellVerdict{cell}}}
	}
	row := reach.Missing{What: "row 1 (from outside, pod to clusterIP, dns:80: Reached by all) covers no cell", From: "outside, pod", To: "clusterIP, dns:80"}
	other := reach.Missing{What: "row 2 covers no cell", From: "pod", To: "clusterIP, nodePort:80"}
	service := reach.Missing{What: `there is no Service "second"`}
	for name, c := range map[string]struct {
		step      reach.Step
		want, not []string
	}{
		"no table":             {reach.Step{Why: row.What, Missing: []reach.Missing{row}}, []string{"Missing: clusterIP, dns:80, to be reached from outside, pod."}, []string{"Observed:"}},
		"two rows":             {reach.Step{Why: row.What, Missing: []reach.Missing{row, other}}, []string{"dns:80", "nodePort:80"}, nil},
		"with a table":         {reach.Step{Why: row.What, Missing: []reach.Missing{row}, Tables: table(reach.Fail)}, []string{"dns:80", "not as wanted"}, []string{"Observed:"}},
		"nothing in the table": {reach.Step{Why: service.What, Missing: []reach.Missing{service}, Tables: table(reach.Pass)}, []string{"Observed:", `"second"`}, nil},
		"all in the table":     {reach.Step{Why: "from a to b", Tables: table(reach.Fail)}, []string{"not as wanted"}, []string{"Observed:"}},
	} {
		c.step.Name, c.step.Result = "reached", reach.Fail
		var out strings.Builder
		paper := Renderer{W: &out, Language: course.English}
		paper.Feedback(course.Exercise{}, reach.Verdict{}, Seen{Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{c.step}}}, true)
		if err := paper.Done(); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
		for _, not := range c.not {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: %q is in\n%s", name, not, out.String())
			}
		}
	}
}

// A check shows the tables of what failed, and of a goal that is met the last one; next to it the one before, if it differs.
func TestFeedbackShowsTables(t *testing.T) {
	vantage, target := reach.Vantage{Name: "pod/worker"}, reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80}
	step := func(name string, result reach.Result, outcome reach.Outcome) reach.Step {
		cell := reach.CellVerdict{Result: result, Cell: reach.Cell{Vantage: vantage, Target: target, Observations: []reach.Observation{{Outcome: outcome}}}}
		return reach.Step{Name: name, Result: result, Tables: []reach.Table{{}, {Vantages: []reach.Vantage{vantage}, Targets: []reach.Target{target}, Cells: []reach.CellVerdict{cell}}}}
	}
	verdict := func(result reach.Result, steps ...reach.Step) reach.Verdict {
		return reach.Verdict{Result: result, Steps: steps}
	}
	refused, lost, met := step("a", reach.Fail, reach.Refused), step("a", reach.Fail, reach.TimedOut), step("a", reach.Pass, reach.Reached)
	last := step("b", reach.Pass, reach.Reached)
	unjudged := step("a", reach.Inconclusive, reach.ProbeFailed)
	for name, c := range map[string]struct {
		before, now reach.Verdict
		shown       map[Message]int
		tables      int
	}{
		"first check":      {reach.Verdict{}, verdict(reach.Fail, refused), map[Message]int{Now: 1}, 1},
		"nothing changed":  {verdict(reach.Fail, refused), verdict(reach.Fail, refused), map[Message]int{Unchanged: 1}, 1},
		"changed":          {verdict(reach.Fail, refused), verdict(reach.Fail, lost), map[Message]int{Before: 1, Now: 1}, 2},
		"another step":     {verdict(reach.Fail, last), verdict(reach.Fail, refused), map[Message]int{Now: 1}, 1},
		"no such table":    {verdict(reach.Fail, reach.Step{Name: "a"}), verdict(reach.Fail, refused), map[Message]int{Now: 1}, 1},
		"met":              {reach.Verdict{}, verdict(reach.Pass, met, last), map[Message]int{Now: 1}, 1},
		"met, no table":    {reach.Verdict{}, verdict(reach.Pass, reach.Step{Name: "a", Result: reach.Pass}), nil, 0},
		"met, then failed": {reach.Verdict{}, verdict(reach.Fail, met, reach.Step{Name: "c", Result: reach.Fail}), nil, 0},
		"not judged":       {reach.Verdict{}, verdict(reach.Inconclusive, unjudged), map[Message]int{Now: 1}, 1},
	} {
		for _, language := range course.Languages() {
			var out strings.Builder
			p := Renderer{W: &out, Language: language}
			p.Feedback(course.Exercise{}, c.before, Seen{Verdict: c.now}, true)
			if err := p.Done(); err != nil {
				t.Fatal(err)
			}
			for _, id := range []Message{Now, Before, Unchanged} {
				if got := strings.Count(out.String(), Say(language, id)+"\n"); got != c.shown[id] {
					t.Errorf("%s: %q is written %d times, want %d, in\n%s", name, Say(language, id), got, c.shown[id], out.String())
				}
			}
			if got := strings.Count(out.String(), "  clusterIP 10.96.0.9:80 │"); got != c.tables {
				t.Errorf("%s: %d tables, want %d, in\n%s", name, got, c.tables, out.String())
			}
			legend, _, _ := strings.Cut(Say(language, Legend), "，")
			if strings.Contains(out.String(), legend) != (language == course.Chinese && c.tables > 0) {
				t.Errorf("%s: the legend explains English words of a table in Chinese:\n%s", name, out.String())
			}
		}
	}
	var out strings.Builder
	p := Renderer{W: &out, Language: course.English}
	p.Start(verdict(reach.Fail, refused))
	p.Start(verdict(reach.Fail, reach.Step{Name: "a", Tables: []reach.Table{{}}}))
	if strings.Count(out.String(), Say(course.English, FirstGrid)) != 1 || strings.Count(out.String(), Say(course.English, Nothing)) != 1 {
		t.Errorf("the start shows\n%s", out.String())
	}
}

// Only the first three kinds of difference are explained; a cell that passed is not one.
func TestFeedbackExplainsAFew(t *testing.T) {
	for n, want := range map[int]string{3: "", 5: "  … +2\n"} {
		table := reach.Table{Cells: []reach.CellVerdict{{Result: reach.Pass}}}
		for i := range n {
			table.Cells = append(table.Cells, reach.CellVerdict{Result: reach.Fail, Differences: []reach.Difference{{Field: "source", Want: "10.0.0.1", Got: "none"}},
				Oracle: reach.Prediction{Rule: strings.Repeat("x", i+1), Reason: strings.Repeat("why ", i+1)}})
		}
		var out strings.Builder
		p := Renderer{W: &out, Language: course.English}
		p.differences(table, true)
		_, more, _ := strings.Cut(out.String(), "  …")
		if more != strings.TrimPrefix(want, "  …") || strings.Count(out.String(), "source 10.0.0.1") != 3 {
			t.Errorf("%d kinds:\n%s", n, out.String())
		}
	}
}

// alike are cells of three nodes that refuse where an answer is wanted, two of them as the oracle predicts.
func alike() reach.Table {
	var table reach.Table
	for i, got := range []reach.Outcome{reach.Refused, reach.Refused, reach.TimedOut} {
		node := string("abc"[i])
		cell := reach.CellVerdict{Result: reach.Fail, Differences: []reach.Difference{{Field: "outcome", Want: "Reached", Got: string(got)}},
			Oracle: reach.Prediction{Rule: "no-endpoints", Reason: "kube-proxy on " + node + " rejects it", Outcomes: []reach.Outcome{reach.Refused}},
			Cell: reach.Cell{Vantage: reach.Vantage{Name: "pod/" + node}, Target: reach.Target{Kind: reach.NodePort, Host: "172.18.0.2", Port: 30080, Slot: node},
				Observations: []reach.Observation{{Outcome: got}}}}
		table.Vantages, table.Targets = append(table.Vantages, cell.Cell.Vantage), append(table.Targets, cell.Cell.Target)
		table.Cells = append(table.Cells, cell)
	}
	return table
}

// Cells that differ in the same way are explained once, although each names its own node. Others are explained too, but a reason
// that predicts something else than what happened explains nothing.
func TestFeedbackExplainsAlikeOnce(t *testing.T) {
	for _, why := range []bool{true, false} {
		var out strings.Builder
		paper := Renderer{W: &out, Language: course.English}
		paper.Feedback(course.Exercise{}, reach.Verdict{}, Seen{Verdict: reach.Verdict{Result: reach.Fail,
			Steps: []reach.Step{{Name: "reached", Result: reach.Fail, Tables: []reach.Table{alike()}}}}}, why)
		reasons := map[bool]int{true: 1}[why]
		for text, times := range map[string]int{"from pod/a": 1, "(and 1 more like it)": 1, "from pod/b": 0, "from pod/c": 1,
			"on a rejects": reasons, "on b rejects": 0, "on c rejects": 0, "Why:": reasons} {
			if got := strings.Count(out.String(), text); got != times {
				t.Errorf("with reasons: %t: %q is printed %d times, want %d:\n%s", why, text, got, times, out.String())
			}
		}
	}
}

// What a learner wrote into an object is quoted, and controls no terminal.
func TestRendererPrintsNoControlCharacters(t *testing.T) {
	var out strings.Builder
	p := Renderer{W: &out, Language: course.English}
	bell := "https://x\a\x1b[2J\u202e"
	p.Say(Lost, bell)
	p.Field("Observed:", bell)
	p.Raw(bell)
	p.Markdown(bell + "\n```\n" + bell + "\n```")
	if strings.ContainsAny(out.String(), "\a\x1b\u202e") || strings.Count(out.String(), "https://x") != 5 {
		t.Errorf("got %q", out.String())
	}
}
