package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/scenario"
)

// Apply applies manifest files by server-side apply, in the order given.
type Apply []string

// Validate wants a file.
func (a Apply) Validate(scenario.Scenario) error {
	if len(a) == 0 {
		return errors.New("apply names no manifest")
	}
	return nil
}

// Describe names the files.
func (a Apply) Describe() string { return "apply " + strings.Join(a, ", ") }

// ReadOnly is false.
func (Apply) ReadOnly() bool { return false }

// Uses are the files, and their objects as requests.
func (a Apply) Uses(in scenario.Scenario) scenario.Uses {
	uses := scenario.Uses{Files: a}
	for _, file := range a {
		for _, object := range in.Objects[file] {
			if data, err := object.MarshalJSON(); err == nil { // it was JSON before
				uses.Requests = append(uses.Requests, string(data))
			}
		}
	}
	return uses
}

// Do applies the manifests.
func (a Apply) Do(ctx context.Context, env *Env) (Report, error) { return env.applyFiles(ctx, a) }

// applyFiles applies manifests in the order given.
func (env *Env) applyFiles(ctx context.Context, files []string) (Report, error) {
	var report Report
	for _, file := range files {
		for _, object := range env.Scenario.Objects[file] {
			if err := env.apply(ctx, object); err != nil {
				return report, fmt.Errorf("apply %s: %w", file, err)
			}
			report.Lines = append(report.Lines, fmt.Sprintf("applied %s %s", object.GetKind(), object.GetName()))
		}
	}
	return report, nil
}

// apply applies one object in the scenario's namespace, by server-side apply. The server refuses fields it
// does not know. An admission webhook that cannot be called yet is waited for: MetalLB's refuses connections
// for a moment after its pod is ready.
func (env *Env) apply(ctx context.Context, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := env.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	name := gvk.Kind + " " + object.GetName()
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return fmt.Errorf("%s is of a kind that has no namespace: scenarios apply only what lives in their own", name)
	}
	content, err := renamed(object.Object, env.Facts.Slots)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at := address{mapping: mapping, namespace: cmp.Or(object.GetNamespace(), env.Namespace), name: object.GetName()}
	if env.foreign(at) && !slices.Contains(env.Scenario.Needs.Features, scenario.NodeControl) {
		return fmt.Errorf("%s is not for the scenario's namespace, which needs the feature nodeControl", name)
	}
	force := true
	return env.admitted(ctx, name, func(ctx context.Context) error {
		_, err := env.in(at).Patch(ctx, at.name, types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict})
		if err != nil && strings.Contains(err.Error(), "provided port is already allocated") {
			return fmt.Errorf("%w; if no Service has it, the API server keeps it for one whose creation was cut short (kill -9), for about 10 minutes: wait, or make a new cluster (svclab down, svclab up)", err)
		}
		return err
	})
}
