package steps

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/svclab/svclab/e2e/scenario"
)

// Patch changes a living object. One that is not the scenario's own is restored when the scenario ends.
type Patch struct {
	Object scenario.Ref `json:"object"`
	// Type is merge (the default), strategic or json.
	Type string `json:"type,omitempty"`
	// Subresource is empty or "status".
	Subresource string `json:"subresource,omitempty"`
	// Body is the patch, written as YAML.
	Body json.RawMessage `json:"body"`
}

// Validate wants an object and a body, of objects that the scenario may touch.
func (p Patch) Validate(in scenario.Scenario) error {
	if p.Object.Kind == "" || len(p.Body) == 0 {
		return errors.New("patch wants object and body")
	}
	if !slices.Contains([]string{"", "merge", "strategic", "json"}, p.Type) {
		return fmt.Errorf("patch type %q: want merge, strategic or json", p.Type)
	}
	if p.Subresource != "" && p.Subresource != "status" {
		return fmt.Errorf("patch subresource %q: want status or none", p.Subresource)
	}
	if (p.Object.Namespace != "" || p.Object.Name == "*") && !in.MayDisturb() {
		return fmt.Errorf("patch %s: objects of other namespaces may be patched only with needs.features: [nodeControl] and a claim or serial: true", p.Object)
	}
	return nil
}

// Describe shows the patch.
func (p Patch) Describe() string {
	what := p.Object.String()
	if p.Subresource != "" {
		what += " (" + p.Subresource + ")"
	}
	return fmt.Sprintf("patch %s, %s: %s", what, cmp.Or(p.Type, "merge"), p.Body)
}

// ReadOnly is false.
func (Patch) ReadOnly() bool { return false }

// Uses has the body as a request.
func (p Patch) Uses(scenario.Scenario) scenario.Uses {
	return scenario.Uses{Requests: []string{string(p.Body)}}
}
