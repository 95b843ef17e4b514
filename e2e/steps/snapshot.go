package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/scenario"
)

// journal holds snapshots of objects that are not the scenario's own, from before it touched them.
type journal struct{ entries []entry }

type entry struct {
	at     address
	ref    scenario.Ref // as the step wrote it; zero for patched objects
	before *unstructured.Unstructured
}

// record takes a snapshot of an object before its first change.
func (env *Env) record(ctx context.Context, at address) error {
	if slices.ContainsFunc(env.journal.entries, func(e entry) bool { return e.at.String() == at.String() && e.at.namespace == at.namespace }) {
		return nil
	}
	before, err := env.in(at).Get(ctx, at.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("snapshot of %s before it is changed: %w", at, err)
	}
	env.journal.entries = append(env.journal.entries, entry{at: at, before: before})
	return nil
}

// Undo restores all that the journal holds, last first.
func (env *Env) Undo(ctx context.Context) error {
	var errs []error
	for _, e := range slices.Backward(env.journal.entries) {
		errs = append(errs, env.restore(ctx, e))
	}
	env.journal.entries = nil
	return errors.Join(errs...)
}

// restore makes an object what it was: created again if it is gone, else with the labels, annotations and spec
// it had, those taken out that it did not have.
func (env *Env) restore(ctx context.Context, e entry) error {
	wanted := e.before.DeepCopy()
	// The server sets these; it refuses a create with a resourceVersion, and a patch with another uid.
	for _, field := range []string{"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink",
		"deletionTimestamp", "deletionGracePeriodSeconds"} {
		unstructured.RemoveNestedField(wanted.Object, "metadata", field)
	}
	delete(wanted.Object, "status")
	err := env.admitted(ctx, e.at.String(), func(ctx context.Context) error {
		current, err := env.in(e.at).Get(ctx, e.at.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = env.in(e.at).Create(ctx, wanted, metav1.CreateOptions{FieldManager: FieldManager})
			return err
		}
		if err != nil {
			return err
		}
		// A merge patch without a resourceVersion: controllers change the object's status meanwhile, and an update would conflict.
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
		_, err = env.in(e.at).Patch(ctx, e.at.name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", e.at, err)
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

// Snapshot is what a reference named at some time: an object, or none; with the name "*" all objects of a kind.
type Snapshot struct {
	Ref     scenario.Ref                 `json:"ref"`
	Objects []*unstructured.Unstructured `json:"objects"`
}

// Look returns the objects that a reference names; one that does not exist is no error.
func (env *Env) Look(ctx context.Context, ref scenario.Ref) ([]*unstructured.Unstructured, error) {
	at, err := env.resolve(ref)
	if err != nil {
		return nil, err
	}
	if ref.Name != "*" {
		object, err := env.in(at).Get(ctx, at.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", ref, err)
		}
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := env.in(at).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", ref, err)
	}
	objects := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		objects[i] = &list.Items[i]
	}
	return objects, nil
}

// RestoreAll makes what a reference names what it was. It deletes objects that are not in the snapshot first, because they may
// conflict with those that are, as two pools with the same addresses do.
func (env *Env) RestoreAll(ctx context.Context, snapshot Snapshot) error {
	at, err := env.resolve(snapshot.Ref)
	if err != nil {
		return err
	}
	var errs []error
	if snapshot.Ref.Name == "*" && at.mapping.Resource.Resource != "nodes" {
		errs = append(errs, env.removeOthers(ctx, at, snapshot))
	}
	for _, before := range snapshot.Objects {
		target := at
		target.name = before.GetName()
		errs = append(errs, env.restoreSoon(ctx, entry{at: target, before: before}))
	}
	return errors.Join(errs...)
}

// removeOthers deletes the objects of a kind that are not in the snapshot.
func (env *Env) removeOthers(ctx context.Context, at address, snapshot Snapshot) error {
	now, err := env.Look(ctx, snapshot.Ref)
	if err != nil {
		return err
	}
	var errs []error
	for _, object := range now {
		if slices.ContainsFunc(snapshot.Objects, func(o *unstructured.Unstructured) bool { return o.GetName() == object.GetName() }) {
			continue
		}
		other := at
		other.name = object.GetName()
		err := env.admitted(ctx, other.String(), func(ctx context.Context) error {
			return env.in(other).Delete(ctx, other.name, metav1.DeleteOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s, which was not there: %w", other, err))
		}
	}
	return errors.Join(errs...)
}

// seen is how long a webhook may take to see that what was deleted is gone: it looks at its own copy of the objects.
const seen = 5 * time.Second

// restoreSoon restores what was admitted once. A webhook that denies it at first is tried again: it may not have seen yet that
// another object is gone.
func (env *Env) restoreSoon(ctx context.Context, e entry) error {
	for bound := time.Now().Add(seen); ; {
		err := env.restore(ctx, e)
		if err == nil || !strings.Contains(err.Error(), "denied the request") || time.Now().After(bound) || !pause(ctx, relook/20) {
			return err
		}
	}
}
