package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// undoIs is the annotation on a Service that a mutant edited: the merge patch that makes it what it was.
const undoIs = "svclab.io/mutant-undo"

// Edit is a merge patch of one of the scenario's Services, or of its subresource.
type Edit struct {
	Service     string          `json:"service"`
	Subresource string          `json:"subresource"`
	Patch       json.RawMessage `json:"patch"`
}

// edited changes a Service of the scenario without the scenario's knowledge.
func edited(e Edit) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			s, err := scene.service(e.Service)
			if err != nil {
				return err
			}
			return edit(ctx, lab, s, e.Subresource, string(e.Patch))
		},
		Revert: unedit,
	}
}

// edit stores in an annotation of a Service how to undo the patch, and then patches it.
func edit(ctx context.Context, lab Lab, service corev1.Service, subresource, body string) error {
	var patch map[string]any
	if err := json.Unmarshal([]byte(body), &patch); err != nil {
		return fmt.Errorf("edit service %s: %w", service.Name, err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&service)
	if err != nil {
		return fmt.Errorf("edit service %s: %w", service.Name, err)
	}
	undo, err := json.Marshal(inverse(object, patch))
	if err != nil {
		return fmt.Errorf("edit service %s: %w", service.Name, err)
	}
	if err := patchService(ctx, lab, service, noted(string(undo))); err != nil {
		return err
	}
	if subresource == "" {
		return patchService(ctx, lab, service, body)
	}
	return patchService(ctx, lab, service, body, subresource)
}

// noted is the patch that sets the annotation undoIs, or takes it away where the text is empty.
func noted(undo string) string {
	value := any(undo)
	if undo == "" {
		value = nil
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{undoIs: value}}})
	if err != nil {
		return "{}" // strings can always be written
	}
	return string(text)
}

func patchService(ctx context.Context, lab Lab, service corev1.Service, body string, subresources ...string) error {
	_, err := lab.Client().CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, []byte(body),
		metav1.PatchOptions{FieldManager: mutantMark}, subresources...)
	if err != nil {
		return fmt.Errorf("patch service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return nil
}

// unedit makes every Service that a mutant edited what it was.
func unedit(ctx context.Context, lab Lab) error {
	list, err := lab.Client().CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("find the services that were edited: %w", err)
	}
	var errs []error
	for i := range list.Items {
		service := list.Items[i]
		undo := service.Annotations[undoIs]
		if undo == "" || service.DeletionTimestamp != nil {
			continue
		}
		// each of the two takes what is its own of the patch
		err := errors.Join(patchService(ctx, lab, service, undo, "status"), patchService(ctx, lab, service, undo))
		if err == nil {
			err = patchService(ctx, lab, service, noted(""))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// inverse is the merge patch that takes a merge patch of object back.
func inverse(object, patch map[string]any) map[string]any {
	undo := map[string]any{}
	for key, value := range patch {
		was, there := object[key]
		inner, isMap := value.(map[string]any)
		if had, hadMap := was.(map[string]any); there && isMap && hadMap {
			undo[key] = inverse(had, inner)
			continue
		}
		undo[key] = was // nil, which takes it out, where it was not there
	}
	return undo
}
