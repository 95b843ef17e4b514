package steps

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/scenario"
)

// Delete deletes objects and waits until they are gone.
type Delete []scenario.Ref

// Validate wants objects of the scenario's own.
func (d Delete) Validate(in scenario.Scenario) error {
	if len(d) == 0 {
		return errors.New("delete names no object")
	}
	return ownOnly(in, "delete", d...)
}

// Describe names the objects.
func (d Delete) Describe() string { return "delete " + list(d) }

// ReadOnly is false.
func (Delete) ReadOnly() bool { return false }

// Do deletes the objects, one after the other, and waits until they are gone.
func (d Delete) Do(ctx context.Context, env *Env) (Report, error) {
	for _, ref := range d {
		at, err := env.resolve(ref)
		if err != nil {
			return Report{}, err
		}
		if env.foreign(at) {
			return Report{}, fmt.Errorf("delete %s: it is not in the scenario's namespace", ref)
		}
		if err := env.in(at).Delete(ctx, at.name, metav1.DeleteOptions{}); err != nil {
			return Report{}, fmt.Errorf("delete %s: %w", ref, err)
		}
		if err := env.awaitObject(ctx, at, "to be gone", 0, func(object *unstructured.Unstructured) (bool, string) {
			if object == nil {
				return true, "gone"
			}
			return false, fmt.Sprintf("still there, finalizers %v", object.GetFinalizers())
		}); err != nil {
			return Report{}, err
		}
	}
	return Report{}, nil
}
