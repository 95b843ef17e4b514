package steps

import "github.com/svclab/svclab/e2e/scenario"

// Settle waits until the namespace's objects agree with each other. Expect and Check do so by themselves.
type Settle struct {
	Allow scenario.Allow `json:"allow,omitempty"`
}

// Validate has nothing to check.
func (Settle) Validate(scenario.Scenario) error { return nil }

// Describe says that it waits.
func (Settle) Describe() string { return "wait until the objects have settled" }

// ReadOnly is false: later steps rest on objects that have settled.
func (Settle) ReadOnly() bool { return false }
