package drill

import (
	"slices"
	"testing"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func all(t *testing.T) ([]scenario.Scenario, []mutants.Mutant) {
	t.Helper()
	scenarios, err := scenario.LoadAll(manifests.FS(), steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	list, err := mutants.Load(manifests.FS())
	if err != nil {
		t.Fatal(err)
	}
	return scenarios, list
}

func every(scenario.Scenario) string { return "" }

// The same seed gives the same incident, others give others, and the faults of one never share a node.
func TestChoose(t *testing.T) {
	scenarios, list := all(t)
	slots := []string{"control-plane", "worker", "worker2"}
	seen := map[string]bool{}
	for seed := range uint64(60) {
		for faults := 1; faults <= 3; faults++ {
			d, err := Choose(manifests.FS(), scenarios, list, slots, every, seed, faults)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Choose(manifests.FS(), scenarios, list, slots, every, seed, faults)
			if err != nil || again.Faults[0].Name != d.Faults[0].Name || again.Exercise.Goal.Name != d.Exercise.Goal.Name {
				t.Fatalf("seed %d: %v, then %v (%v)", seed, d.Faults, again.Faults, err)
			}
			var nodes []string
			key := ""
			for _, m := range d.Faults {
				nodes = append(nodes, m.Fault.Slots...)
				key += m.Name + " "
				if m.Scenario != d.Exercise.Goal.Name {
					t.Errorf("seed %d: fault %s is of scenario %s, not of %s", seed, m.Name, m.Scenario, d.Exercise.Goal.Name)
				}
			}
			seen[key] = true
			if slices.Sort(nodes); len(slices.Compact(slices.Clone(nodes))) != len(nodes) || len(d.Faults) != faults {
				t.Errorf("seed %d: %s on %v", seed, key, nodes)
			}
			if len(d.Exercise.Goal.Steps) != 1 || len(d.Exercise.Setup.Steps) < 2 || len(d.Exercise.Undo) != len(slots) {
				t.Errorf("seed %d: %d steps of the goal, %d of the setup", seed, len(d.Exercise.Goal.Steps), len(d.Exercise.Setup.Steps))
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d different incidents", len(seen))
	}
}

func TestChooseRefuses(t *testing.T) {
	scenarios, list := all(t)
	for _, faults := range []int{0, 9} {
		if _, err := Choose(manifests.FS(), scenarios, list, nil, every, 1, faults); err == nil {
			t.Errorf("%d faults", faults)
		}
	}
	if _, err := Choose(manifests.FS(), scenarios, list, nil, func(scenario.Scenario) string { return "no" }, 1, 1); err == nil {
		t.Error("a cluster that can run no scenario")
	}
}
