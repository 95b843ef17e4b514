package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/scenario"
)

// journal holds objects that are not the scenario's own, as they were before it touched them.
type journal struct{ entries []entry }

type entry struct {
	at     address
	ref    scenario.Ref // as the step wrote it; zero for patched objects
	before *unstructured.Unstructured
}

// remember notes an object before it is changed, once.
func (s *session) remember(ctx context.Context, at address) error {
	if slices.ContainsFunc(s.journal.entries, func(e entry) bool { return e.at.String() == at.String() && e.at.namespace == at.namespace }) {
		return nil
	}
	before, err := s.in(at).Get(ctx, at.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("note %s before it is changed: %w", at, err)
	}
	s.journal.entries = append(s.journal.entries, entry{at: at, before: before})
	return nil
}

// withhold deletes objects that are not the scenario's own and keeps what they were.
func (s *session) withhold(ctx context.Context, refs []scenario.Ref) (stepReport, error) {
	var report stepReport
	for _, ref := range refs {
		places, err := s.expand(ctx, ref)
		if err != nil {
			return report, err
		}
		for _, at := range places {
			before, err := s.in(at).Get(ctx, at.name, metav1.GetOptions{})
			if err != nil {
				return report, fmt.Errorf("note %s before it is taken away: %w", at, err)
			}
			// Noted first: should the answer to the deletion be lost, the object is put back all the same.
			s.journal.entries = append(s.journal.entries, entry{at: at, ref: ref, before: before})
			if err := s.in(at).Delete(ctx, at.name, metav1.DeleteOptions{}); err != nil {
				return report, fmt.Errorf("take %s away: %w", at, err)
			}
			if err := s.awaitObject(ctx, at, "to be gone", 0, func(o *unstructured.Unstructured) (bool, string) {
				return o == nil, "still there"
			}); err != nil {
				return report, err
			}
			report.lines = append(report.lines, fmt.Sprintf("took away %s", at))
		}
	}
	return report, nil
}

// restore brings back what withhold took away.
func (s *session) restore(ctx context.Context, refs []scenario.Ref) (stepReport, error) {
	var report stepReport
	for _, ref := range refs {
		var keep []entry
		for _, e := range s.journal.entries {
			if e.ref != ref {
				keep = append(keep, e)
				continue
			}
			if err := s.putBack(ctx, e); err != nil {
				return report, err
			}
			report.lines = append(report.lines, fmt.Sprintf("put back %s", e.at))
		}
		s.journal.entries = keep
	}
	return report, nil
}

// undo puts back all that the journal holds, last first.
func (s *session) undo(ctx context.Context) error {
	var errs []error
	for _, e := range slices.Backward(s.journal.entries) {
		errs = append(errs, s.putBack(ctx, e))
	}
	s.journal.entries = nil
	return errors.Join(errs...)
}

// putBack makes an object what it was: created again if it is gone, else with the labels, annotations and spec
// it had, those taken out that it did not have.
func (s *session) putBack(ctx context.Context, e entry) error {
	wanted := e.before.DeepCopy()
	for _, field := range []string{"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink",
		"deletionTimestamp", "deletionGracePeriodSeconds"} {
		unstructured.RemoveNestedField(wanted.Object, "metadata", field)
	}
	delete(wanted.Object, "status")
	err := s.admitted(ctx, e.at.String(), func(ctx context.Context) error {
		current, err := s.in(e.at).Get(ctx, e.at.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = s.in(e.at).Create(ctx, wanted, metav1.CreateOptions{FieldManager: FieldManager})
			return err
		}
		if err != nil {
			return err
		}
		patch := map[string]any{}
		for key, value := range wanted.Object {
			if key != "metadata" && key != "apiVersion" && key != "kind" {
				patch[key] = difference(current.Object[key], value)
			}
		}
		metadata := map[string]any{}
		for _, key := range []string{"labels", "annotations"} {
			had, _, _ := unstructured.NestedMap(wanted.Object, "metadata", key)
			has, _, _ := unstructured.NestedMap(current.Object, "metadata", key)
			metadata[key] = difference(has, had)
		}
		patch["metadata"] = metadata
		body, err := json.Marshal(patch)
		if err != nil {
			return err
		}
		_, err = s.in(e.at).Patch(ctx, e.at.name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s back: %w", e.at, err)
	}
	return nil
}

// difference is the JSON merge patch that makes wanted of current: keys to be taken out are null.
func difference(current, wanted any) any {
	from, isMap := current.(map[string]any)
	to, wantMap := wanted.(map[string]any)
	if !isMap || !wantMap {
		return wanted
	}
	patch := map[string]any{}
	for key, value := range to {
		patch[key] = difference(from[key], value)
	}
	for key := range from {
		if _, stays := to[key]; !stays {
			patch[key] = nil
		}
	}
	return patch
}
