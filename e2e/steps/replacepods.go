package steps

import (
	"errors"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/scenario"
)

// ReplacePods deletes the pods selected, whose owner makes new ones, and waits until as many are ready.
type ReplacePods struct {
	Selector string `json:"selector"`
	// Namespace is the scenario's own where it is empty. Another one needs nodeControl and serial.
	Namespace string `json:"namespace,omitempty"`
	// Slot limits it to the pods of one node.
	Slot string `json:"slot,omitempty"`
}

// Validate wants a selector, and pods that the scenario may touch.
func (r ReplacePods) Validate(in scenario.Scenario) error {
	if r.Namespace != "" && !in.MayDisturbAlone() {
		return errors.New("pods of another namespace may be replaced only with serial: true and needs.features: [nodeControl]")
	}
	if r.Selector == "" {
		return errors.New("selector is missing")
	}
	_, err := labels.Parse(r.Selector)
	return err
}

// Describe says which pods.
func (r ReplacePods) Describe() string {
	text := "replace the pods with " + r.Selector
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	if r.Slot != "" {
		text += " on " + r.Slot
	}
	return text
}

// ReadOnly is false.
func (ReplacePods) ReadOnly() bool { return false }
