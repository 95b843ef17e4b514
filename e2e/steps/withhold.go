package steps

import (
	"errors"

	"github.com/svclab/svclab/e2e/scenario"
)

// Withhold deletes objects that are not the scenario's own. Restore creates them again, at the latest when the scenario
// ends.
type Withhold []scenario.Ref

// Validate wants a scenario that may disturb others.
func (w Withhold) Validate(in scenario.Scenario) error { return mayWithhold(in, w) }

// Describe names the objects.
func (w Withhold) Describe() string { return "withhold " + list(w) }

// ReadOnly is false.
func (Withhold) ReadOnly() bool { return false }

// Uses pairs each object with the step that restores it.
func (w Withhold) Uses(scenario.Scenario) scenario.Uses { return withheld(w, scenario.Begins) }

// mayWithhold is what is valid for both halves of the pair.
func mayWithhold(in scenario.Scenario, refs []scenario.Ref) error {
	if len(refs) == 0 {
		return errors.New("no object is named")
	}
	if !in.MayDisturb() {
		return errors.New("cluster-wide objects may be withheld only with needs.features: [nodeControl] and a claim or serial: true")
	}
	return nil
}

func withheld(refs []scenario.Ref, role scenario.Role) (uses scenario.Uses) {
	for _, ref := range refs {
		uses.Pairs = append(uses.Pairs, scenario.Pair{Thing: ref.String(), First: "withhold", Second: "restore", Role: role})
	}
	return uses
}
