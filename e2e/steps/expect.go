package steps

import (
	"errors"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Expect sends the requests of the named tables of expect.yaml and judges the answers.
type Expect []string

// Validate wants a table.
func (e Expect) Validate(scenario.Scenario) error {
	if len(e) == 0 {
		return errors.New("expect names no table")
	}
	return nil
}

// Describe names the tables.
func (e Expect) Describe() string { return "expect " + strings.Join(e, ", ") }

// ReadOnly is true.
func (Expect) ReadOnly() bool { return true }

// Uses are the tables.
func (e Expect) Uses(scenario.Scenario) scenario.Uses { return scenario.Uses{Tables: e} }
