package coach

import (
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/course"
)

// What a goal speaks of and is not there must be told, beside a table as well: nothing in the table shows it.
func TestFeedbackTellsWhatIsMissing(t *testing.T) {
	vantage, target := reach.Vantage{Name: "pod/worker"}, reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80}
	table := func(result reach.Result) []reach.Table {
		cell := reach.CellVerdict{Result: result, Why: "wanted otherwise", Cell: reach.Cell{Vantage: vantage, Target: target,
			Observations: []reach.Observation{{Outcome: reach.Refused}}}}
		return []reach.Table{{Vantages: []reach.Vantage{vantage}, Targets: []reach.Target{target}, Cells: []reach.CellVerdict{cell}}}
	}
	const row = "row 1 (from outside, pod to clusterIP, dns:80: Reached by all) covers no cell"
	for name, c := range map[string]struct {
		step      reach.Step
		want, not []string
	}{
		"no table":             {reach.Step{Why: row}, []string{"from outside, pod to clusterIP, dns:80"}, []string{"Seen:"}},
		"two rows":             {reach.Step{Why: row + "; " + strings.Replace(row, "dns", "nodePort", 1)}, []string{"dns:80", "nodePort:80"}, nil},
		"beside a table":       {reach.Step{Why: row, Tables: table(reach.Fail)}, []string{"dns:80", "wanted otherwise"}, []string{"Seen:"}},
		"nothing in the table": {reach.Step{Why: `there is no Service "second"`, Tables: table(reach.Pass)}, []string{"Seen:", `"second"`}, nil},
		"all in the table":     {reach.Step{Why: "from a to b", Tables: table(reach.Fail)}, []string{"wanted otherwise"}, []string{"Seen:"}},
	} {
		c.step.Name, c.step.Result = "reached", reach.Fail
		var out strings.Builder
		paper := Renderer{W: &out, Language: course.English}
		paper.Feedback(course.Exercise{}, reach.Verdict{}, Seen{Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{c.step}}})
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

// Cells that differ alike are told once, though the reason of each names its own node; other answers are told too.
func TestFeedbackTellsAlikeOnce(t *testing.T) {
	var table reach.Table
	for i, got := range []reach.Outcome{reach.Refused, reach.Refused, reach.TimedOut} {
		node := string("abc"[i])
		cell := reach.CellVerdict{Result: reach.Fail, Differences: []reach.Difference{{Field: "outcome", Want: "Reached", Got: string(got)}},
			Oracle: reach.Prediction{Rule: "clusterip-no-endpoints", Reason: "kube-proxy on " + node + " rejects it"},
			Cell: reach.Cell{Vantage: reach.Vantage{Name: "pod/" + node}, Target: reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80},
				Observations: []reach.Observation{{Outcome: got}}}}
		table.Vantages, table.Targets = append(table.Vantages, cell.Cell.Vantage), []reach.Target{cell.Cell.Target}
		table.Cells = append(table.Cells, cell)
	}
	var out strings.Builder
	paper := Renderer{W: &out, Language: course.English}
	paper.Feedback(course.Exercise{}, reach.Verdict{}, Seen{Verdict: reach.Verdict{Result: reach.Fail,
		Steps: []reach.Step{{Name: "reached", Result: reach.Fail, Tables: []reach.Table{table}}}}})
	for text, times := range map[string]int{"on a rejects": 1, "on b rejects": 0, "on c rejects": 1} {
		if got := strings.Count(out.String(), text); got != times {
			t.Errorf("%q is told %d times, want %d:\n%s", text, got, times, out.String())
		}
	}
}
