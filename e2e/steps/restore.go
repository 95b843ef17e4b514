package steps

import (
	"context"
	"fmt"

	"github.com/svclab/svclab/e2e/scenario"
)

// Restore creates again what Withhold deleted.
type Restore []scenario.Ref

// Validate wants what Withhold wants.
func (r Restore) Validate(in scenario.Scenario) error { return mayWithhold(in, r) }

// Describe names the objects.
func (r Restore) Describe() string { return "restore " + list(r) }

// ReadOnly is false.
func (Restore) ReadOnly() bool { return false }

// Uses ends the pairs that Withhold began.
func (r Restore) Uses(scenario.Scenario) scenario.Uses { return withheld(r, scenario.Ends) }

// Do creates again what withhold took away.
func (r Restore) Do(ctx context.Context, env *Env) (Report, error) {
	var report Report
	for _, ref := range r {
		var keep []entry
		for _, e := range env.journal.entries {
			if e.ref != ref {
				keep = append(keep, e)
				continue
			}
			if err := env.restore(ctx, e); err != nil {
				return report, err
			}
			report.Lines = append(report.Lines, fmt.Sprintf("restored %s", e.at))
		}
		env.journal.entries = keep
	}
	return report, nil
}
