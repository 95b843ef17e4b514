package steps

import "github.com/svclab/svclab/e2e/scenario"

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
