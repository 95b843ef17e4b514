package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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

// Do patches the object.
func (p Patch) Do(ctx context.Context, env *Env) (Report, error) {
	var report Report
	places, err := env.expand(ctx, p.Object)
	if err != nil {
		return report, err
	}
	for _, at := range places {
		if env.foreign(at) {
			if !slices.Contains(env.Scenario.Needs.Features, scenario.NodeControl) {
				return report, fmt.Errorf("patch %s: it is not in the scenario's namespace, which needs the feature nodeControl", p.Object)
			}
			if err := env.record(ctx, at); err != nil {
				return report, err
			}
		}
		if err := env.patch(ctx, at, p); err != nil {
			return report, fmt.Errorf("patch %s: %w", at, err)
		}
		report.Lines = append(report.Lines, fmt.Sprintf("patched %s", at))
	}
	return report, nil
}

func (env *Env) patch(ctx context.Context, at address, p Patch) error {
	kind := map[string]types.PatchType{"": types.MergePatchType, "merge": types.MergePatchType,
		"strategic": types.StrategicMergePatchType, "json": types.JSONPatchType}[p.Type]
	var body any
	if err := json.Unmarshal(p.Body, &body); err != nil {
		return err
	}
	body, err := renamed(body, env.Facts.Slots)
	if err != nil {
		return err
	}
	if body, err = env.fillIn(ctx, body); err != nil {
		return err
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var subresources []string
	if p.Subresource != "" {
		subresources = append(subresources, p.Subresource)
	}
	return env.admitted(ctx, at.String(), func(ctx context.Context) error {
		_, err := env.in(at).Patch(ctx, at.name, kind, data,
			metav1.PatchOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict}, subresources...)
		return err
	})
}
