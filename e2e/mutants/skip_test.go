package mutants

import (
	"context"
	"io"
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// poor is a cluster that has no feature.
type poor struct {
	runner.Cluster
	lab *fakeLab
}

func (p poor) Client() kubernetes.Interface                          { return p.lab.Client() }
func (p poor) Facts(ctx context.Context) (world.Facts, error)        { return p.lab.Facts(ctx) }
func (p poor) Vantages(ctx context.Context) ([]reach.Vantage, error) { return p.lab.Vantages(ctx) }
func (p poor) Lacks(scenario.Feature) string                         { return "it is poor" }

// A scenario that the cluster cannot run leaves out its own mutants, and not those of the scenarios behind it.
func TestScenarioThatIsSkippedEndsNothing(t *testing.T) {
	lab := newFakeLab(t)
	var (
		scenarios []scenario.Scenario
		list      []Mutant
		ran       int
	)
	for _, name := range []string{"first", "second"} {
		sc := small()
		sc.Name = name
		sc.Needs.Features = []scenario.Feature{scenario.DualStack}
		scenarios = append(scenarios, sc)
		list = append(list, Mutant{Name: "of-" + name, Scenario: name, During: []string{"look"}})
	}
	runnerWith := func(opts ...runner.Option) *runner.Runner {
		ran++
		return runner.New(poor{lab: lab}, nil, opts...)
	}
	out, err := Run(t.Context(), lab, runnerWith, scenarios, nil, list, io.Discard)
	if err != nil || ran != 2 {
		t.Errorf("%d scenarios were begun, want 2: %v", ran, err)
	}
	for _, f := range out.Findings {
		if f.Fate != Skipped || f.Why == "" {
			t.Errorf("%s: %s (%s)", f.Mutant.Name, f.Fate, f.Why)
		}
	}
}

// A mutant of an IP family that the cluster does not have is reported as skipped, and its fault is not injected.
func TestMutantsOfAFamilyThatIsNotThere(t *testing.T) {
	lab := newFakeLab(t)
	list := []Mutant{{Name: "of-another-family", Scenario: "small", Family: "IPv5", During: []string{"look"}}}
	r := &run{lab: lab, log: io.Discard, findings: make([]*Finding, len(list)),
		runnerWith: func(...runner.Option) *runner.Runner {
			t.Error("a scenario is run")
			return nil
		}}
	if err := r.skip(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if f := r.findings[0]; f == nil || f.Fate != Skipped || f.Why == "" {
		t.Errorf("got %+v", f)
	}
	there := []Mutant{{Name: "of-this-one", Family: "IPv6"}, {Name: "of-none"}}
	r.findings = make([]*Finding, len(there))
	if err := r.skip(t.Context(), there); err != nil || r.findings[0] != nil || r.findings[1] != nil {
		t.Errorf("left out: %v (%v)", r.findings, err)
	}
	if (Outcome{Findings: []Finding{{Fate: Skipped}}}).Result() != reach.Inconclusive {
		t.Error("all left out proves nothing")
	}
}
