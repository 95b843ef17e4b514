package steps

import (
	"errors"

	"github.com/svclab/svclab/e2e/scenario"
)

// Delete deletes objects and waits until they are gone.
type Delete []scenario.Ref

// Validate wants objects of the scenario's own.
func (d Delete) Validate(in scenario.Scenario) error {
	if len(d) == 0 {
		return errors.New("delete names no object")
	}
	return ownOnly(in, "delete", d...)
}

// Describe names the objects.
func (d Delete) Describe() string { return "delete " + list(d) }

// ReadOnly is false.
func (Delete) ReadOnly() bool { return false }
