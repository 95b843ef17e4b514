package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Event waits for an event about an object, recorded since the scenario began.
type Event struct {
	Object scenario.Ref     `json:"object"`
	Reason string           `json:"reason"`
	Type   string           `json:"type,omitempty"`
	Has    scenario.Strings `json:"message,omitempty"`
}

// Validate wants an object and a reason.
func (e Event) Validate(scenario.Scenario) error {
	if e.Object.Kind == "" || e.Reason == "" {
		return errors.New("want object and reason")
	}
	return nil
}

// Describe says which event.
func (e Event) Describe() string {
	text := fmt.Sprintf("event %s about %s", e.Reason, e.Object)
	if len(e.Has) > 0 {
		text += ", with " + strings.Join(e.Has, ", ")
	}
	return text
}

// ReadOnly is true.
func (Event) ReadOnly() bool { return true }
