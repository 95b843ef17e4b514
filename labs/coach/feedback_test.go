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
	const row = "row 1 (from outside, pod to clusterIP, dns:80: Reached by all) is about no cell"
	for name, c := range map[string]struct {
		step      reach.Step
		want, not []string
	}{
		"no table":             {reach.Step{Why: row}, []string{"from outside, pod at clusterIP, dns:80"}, []string{"Seen:"}},
		"two rows":             {reach.Step{Why: row + "; " + strings.Replace(row, "dns", "nodePort", 1)}, []string{"dns:80", "nodePort:80"}, nil},
		"beside a table":       {reach.Step{Why: row, Tables: table(reach.Fail)}, []string{"dns:80", "wanted otherwise"}, []string{"Seen:"}},
		"nothing in the table": {reach.Step{Why: `there is no Service "second"`, Tables: table(reach.Pass)}, []string{"Seen:", `"second"`}, nil},
		"all in the table":     {reach.Step{Why: "from a to b", Tables: table(reach.Fail)}, []string{"wanted otherwise"}, []string{"Seen:"}},
	} {
		c.step.Name, c.step.Result = "reached", reach.Fail
		var out strings.Builder
		paper := Paper{W: &out, Language: course.English}
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
