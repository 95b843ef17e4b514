package mutants

import (
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// small is a scenario with one step of each kind that matters.
func small() scenario.Scenario {
	return scenario.Scenario{Name: "small", Steps: []scenario.Step{
		{Name: "deploy", Action: steps.Apply{"app.yaml"}},
		{Name: "look", Action: steps.Expect{"t"}},
		{Name: "replace", Action: steps.ReplacePods{Selector: "app=my-app"}},
		{Name: "look again", Action: steps.Expect{"t"}},
		{Name: "ask", Action: steps.Check{Name: "c"}},
	}}
}

func TestPlanKeepsTheScenarioWholeUpToTheLastMutant(t *testing.T) {
	p, err := planFor(small(), []Mutant{
		{Name: "late", During: []string{"replace", "look again"}},
		{Name: "first", During: []string{"look"}},
		{Name: "second", During: []string{"look"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range p.scenario.Steps {
		m := p.marks[step.Name]
		line := step.Name
		if m.first {
			line += " !"
		}
		got = append(got, line)
		if stepOf(step.Name) != strings.Split(step.Name, " …")[0] {
			t.Errorf("the scenario's name of %q is %q", step.Name, stepOf(step.Name))
		}
	}
	want := []string{
		"deploy",
		"look",
		"look … with fault first !", "look … after the revert of first !",
		"look … with fault second !", "look … after the revert of second !",
		"replace",
		"look again",
		"replace … with fault late !", "look again … with fault late", "look again … after the revert of late !",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(small().Steps) != 5 {
		t.Error("the scenario itself was changed")
	}
}

func TestPlanRefusesStepsThatSayNothing(t *testing.T) {
	for during, want := range map[string]string{
		"":                 "it names no step",
		"none":             `has no step "none"`,
		"look again,look":  "does not come after",
		"deploy":           "none of its steps looks",
		"replace,replaced": `has no step "replaced"`,
	} {
		m := Mutant{Name: "m"}
		if during != "" {
			m.During = strings.Split(during, ",")
		}
		if _, err := planFor(small(), []Mutant{m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("during %q: got %v, want %q", during, err, want)
		}
	}
}
