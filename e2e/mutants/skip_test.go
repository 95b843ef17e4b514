package mutants

import (
	"io"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
)

// A mutant of an IP family that the cluster does not have is told as left out, and nothing is broken for it.
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
