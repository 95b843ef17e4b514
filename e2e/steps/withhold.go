package steps

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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

// Do deletes the objects that are not the scenario's own and keeps what they were.
func (w Withhold) Do(ctx context.Context, env *Env) (Report, error) {
	var report Report
	for _, ref := range w {
		places, err := env.expand(ctx, ref)
		if err != nil {
			return report, err
		}
		for _, at := range places {
			before, err := env.in(at).Get(ctx, at.name, metav1.GetOptions{})
			if err != nil {
				return report, fmt.Errorf("snapshot of %s before it is withheld: %w", at, err)
			}
			// Recorded first: if the response to the deletion is lost, the object is restored all the same.
			env.journal.entries = append(env.journal.entries, entry{at: at, ref: ref, before: before})
			if err := env.in(at).Delete(ctx, at.name, metav1.DeleteOptions{}); err != nil {
				return report, fmt.Errorf("withhold %s: %w", at, err)
			}
			if err := env.awaitObject(ctx, at, "to be gone", 0, func(o *unstructured.Unstructured) (bool, string) {
				return o == nil, "still there"
			}); err != nil {
				return report, err
			}
			report.Lines = append(report.Lines, fmt.Sprintf("withheld %s", at))
		}
	}
	return report, nil
}
