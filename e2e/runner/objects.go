package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
)

// FieldManager is the manager of every field that a scenario's manifests set.
const FieldManager = "svclab"

// address is an object's place in the API.
type address struct {
	mapping   *meta.RESTMapping
	namespace string // empty for cluster-scoped objects
	name      string
}

func (a address) String() string { return a.mapping.Resource.Resource + "/" + a.name }

func (s *session) in(a address) dynamic.ResourceInterface {
	resource := s.runner.cluster.Dynamic().Resource(a.mapping.Resource)
	if a.namespace == "" {
		return resource
	}
	return resource.Namespace(a.namespace)
}

// resolve finds the place a reference means. The kind is singular, plural or with its group, as for kubectl.
func (s *session) resolve(ref scenario.Ref) (address, error) {
	group := schema.ParseGroupResource(ref.Kind)
	gvk, err := s.mapper.KindFor(group.WithVersion(""))
	if err != nil {
		return address{}, fmt.Errorf("object %s: %w", ref, err)
	}
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return address{}, fmt.Errorf("object %s: %w", ref, err)
	}
	name, err := renamedText(ref.Name, s.facts.Slots)
	if err != nil {
		return address{}, err
	}
	at := address{mapping: mapping, name: name, namespace: ref.Namespace}
	switch {
	case mapping.Scope.Name() == meta.RESTScopeNameRoot:
		at.namespace = ""
	case at.namespace == "":
		at.namespace = s.namespace
	}
	return at, nil
}

// foreign reports whether the object is not in the scenario's own namespaces.
func (s *session) foreign(a address) bool {
	return a.namespace != s.namespace && !slices.Contains(s.also, a.namespace)
}

// applyFiles applies manifests in the order given.
func (s *session) applyFiles(ctx context.Context, files []string) (stepReport, error) {
	var report stepReport
	for _, file := range files {
		for _, object := range s.scenario.Objects[file] {
			if err := s.apply(ctx, object); err != nil {
				return report, fmt.Errorf("apply %s: %w", file, err)
			}
			report.lines = append(report.lines, fmt.Sprintf("applied %s %s", object.GetKind(), object.GetName()))
		}
	}
	return report, nil
}

// apply applies one object in the scenario's namespace, by server-side apply. The server refuses fields it
// does not know. An admission webhook that cannot be called yet is waited for: MetalLB's refuses connections
// for a moment after its pod is ready.
func (s *session) apply(ctx context.Context, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	name := gvk.Kind + " " + object.GetName()
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return fmt.Errorf("%s is of a kind that has no namespace: scenarios apply only what lives in their own", name)
	}
	content, err := renamed(object.Object, s.facts.Slots)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at := address{mapping: mapping, namespace: cmp.Or(object.GetNamespace(), s.namespace), name: object.GetName()}
	if s.foreign(at) && !slices.Contains(s.scenario.Needs.Features, scenario.NodeControl) {
		return fmt.Errorf("%s is not for the scenario's namespace, which needs the feature nodeControl", name)
	}
	force := true
	return s.admitted(ctx, name, func(ctx context.Context) error {
		_, err := s.in(at).Patch(ctx, at.name, types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict})
		return err
	})
}

// admitted calls do until no admission webhook is unreachable, in the bounds of the step.
func (s *session) admitted(ctx context.Context, name string, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil || !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed calling webhook") {
			return err
		}
		s.progress.say("a webhook to admit "+name, err.Error())
		if !pause(ctx, relook/20) {
			return fmt.Errorf("gave up waiting for a webhook: %w", err)
		}
	}
}

// deleteAll deletes objects and waits until they are gone.
func (s *session) deleteAll(ctx context.Context, refs []scenario.Ref) error {
	for _, ref := range refs {
		at, err := s.resolve(ref)
		if err != nil {
			return err
		}
		if s.foreign(at) {
			return fmt.Errorf("delete %s: it is not in the scenario's namespace", ref)
		}
		if err := s.in(at).Delete(ctx, at.name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("delete %s: %w", ref, err)
		}
		if err := s.awaitObject(ctx, at, "to be gone", 0, func(object *unstructured.Unstructured) (bool, string) {
			if object == nil {
				return true, "gone"
			}
			return false, fmt.Sprintf("still there, finalizers %v", object.GetFinalizers())
		}); err != nil {
			return err
		}
	}
	return nil
}

// awaitObject waits until look is content with an object; look gets nil while there is none.
func (s *session) awaitObject(ctx context.Context, at address, what string, holds scenario.Duration, look func(*unstructured.Unstructured) (bool, string)) error {
	source := watched{resource: at.mapping.Resource, namespace: at.namespace, name: at.name}
	return s.await(ctx, fmt.Sprintf("%s %s", at, what), []watched{source}, holds.Or(0), func(ctx context.Context) (bool, string, error) {
		object, err := s.in(at).Get(ctx, at.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			object = nil
		case err != nil:
			return false, err.Error(), nil
		}
		done, seen := look(object)
		return done, seen, nil
	})
}

// patchStep patches an object. One that is not the scenario's own is put back when the scenario ends.
func (s *session) patchStep(ctx context.Context, p steps.Patch) (stepReport, error) {
	var report stepReport
	places, err := s.expand(ctx, p.Object)
	if err != nil {
		return report, err
	}
	for _, at := range places {
		if s.foreign(at) {
			if !slices.Contains(s.scenario.Needs.Features, scenario.NodeControl) {
				return report, fmt.Errorf("patch %s: it is not in the scenario's namespace, which needs the feature nodeControl", p.Object)
			}
			if err := s.remember(ctx, at); err != nil {
				return report, err
			}
		}
		if err := s.patch(ctx, at, p); err != nil {
			return report, fmt.Errorf("patch %s: %w", at, err)
		}
		report.lines = append(report.lines, fmt.Sprintf("patched %s", at))
	}
	return report, nil
}

func (s *session) patch(ctx context.Context, at address, p steps.Patch) error {
	kind := map[string]types.PatchType{"": types.MergePatchType, "merge": types.MergePatchType,
		"strategic": types.StrategicMergePatchType, "json": types.JSONPatchType}[p.Type]
	var body any
	if err := json.Unmarshal(p.Body, &body); err != nil {
		return err
	}
	body, err := renamed(body, s.facts.Slots)
	if err != nil {
		return err
	}
	if body, err = s.fillIn(ctx, body); err != nil {
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
	return s.admitted(ctx, at.String(), func(ctx context.Context) error {
		_, err := s.in(at).Patch(ctx, at.name, kind, data,
			metav1.PatchOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict}, subresources...)
		return err
	})
}

// expand resolves a reference; the name * stands for all objects of the kind there. None is an error.
func (s *session) expand(ctx context.Context, ref scenario.Ref) ([]address, error) {
	at, err := s.resolve(ref)
	if err != nil {
		return nil, err
	}
	if ref.Name != "*" {
		return []address{at}, nil
	}
	list, err := s.in(at).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref, err)
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("%s: there is none", ref)
	}
	places := make([]address, len(list.Items))
	for i, item := range list.Items {
		places[i] = address{mapping: at.mapping, namespace: at.namespace, name: item.GetName()}
	}
	return places, nil
}

// reject tries what must be refused and compares the API's reason.
func (s *session) reject(ctx context.Context, r steps.Reject) (stepReport, error) {
	var err error
	what := r.Apply
	if r.Patch != nil {
		at, resolveErr := s.resolve(r.Patch.Object)
		if resolveErr != nil {
			return stepReport{}, resolveErr
		}
		if s.foreign(at) {
			return stepReport{}, fmt.Errorf("patch %s: it is not in the scenario's namespace", r.Patch.Object)
		}
		what = "the patch of " + r.Patch.Object.String()
		err = s.patch(ctx, at, *r.Patch)
	} else {
		_, err = s.applyFiles(ctx, []string{r.Apply})
	}
	if err == nil {
		return stepReport{}, failf("%s was accepted; want it refused with %q", what, []string(r.Reason))
	}
	if !refused(err) {
		return stepReport{}, fmt.Errorf("%s was neither accepted nor refused: %w", what, err)
	}
	report := stepReport{lines: []string{"refused: " + err.Error()}}
	for _, reason := range r.Reason {
		if !strings.Contains(err.Error(), reason) {
			return report, failf("%s was refused for another reason: want %q in %q", what, reason, err.Error())
		}
	}
	return report, nil
}

// refused reports whether the API server judged the request, as against not having been asked.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500 &&
		!apierrors.IsTooManyRequests(err) && !apierrors.IsUnauthorized(err)
}

// fillIn fills in the placeholders of a patch.
func (s *session) fillIn(ctx context.Context, value any) (any, error) {
	if !table.HasPlaceholder(value) {
		return value, nil
	}
	w, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return table.Site{Namespace: s.namespace, World: w, Vantages: s.vantages}.FillValue(value)
}
