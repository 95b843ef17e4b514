package steps

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/scenario"
)

// Scale sets the replicas of a Deployment, ReplicaSet or StatefulSet, and waits until that many are ready and the others
// gone.
type Scale struct {
	Object   scenario.Ref `json:"object"`
	Replicas int32        `json:"replicas"`
}

// Validate wants a workload of the scenario's own.
func (s Scale) Validate(in scenario.Scenario) error { return ownOnly(in, "scale", s.Object) }

// Describe names the workload and the number.
func (s Scale) Describe() string { return fmt.Sprintf("scale %s to %d", s.Object, s.Replicas) }

// ReadOnly is false.
func (Scale) ReadOnly() bool { return false }

// Do sets the workload's replicas and waits until it has them, ready, and no others.
func (s Scale) Do(ctx context.Context, env *Env) (Report, error) {
	at, err := env.resolve(s.Object)
	if err != nil {
		return Report{}, err
	}
	if env.foreign(at) {
		return Report{}, fmt.Errorf("scale %s: it is not in the scenario's namespace", s.Object)
	}
	body := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, s.Replicas)
	if _, err := env.in(at).Patch(ctx, at.name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager}); err != nil {
		return Report{}, fmt.Errorf("scale %s: %w", s.Object, err)
	}
	return Report{}, env.awaitObject(ctx, at, fmt.Sprintf("to have %d ready replicas", s.Replicas), 0, func(o *unstructured.Unstructured) (bool, string) {
		return scaled(o, int64(s.Replicas))
	})
}

// scaled reports whether a workload, as its controller tells, has want replicas, all ready and no others.
func scaled(o *unstructured.Unstructured, want int64) (done bool, seen string) {
	if o == nil {
		return false, "it is gone"
	}
	count := func(field string) int64 {
		n, _, err := unstructured.NestedInt64(o.Object, "status", field)
		if err != nil {
			return -1
		}
		return n
	}
	seen = fmt.Sprintf("%d replicas, %d ready, generation %d of %d seen", count("replicas"), count("readyReplicas"),
		count("observedGeneration"), o.GetGeneration())
	// Until the controller has seen the new generation, the status counts the pods of the old one, which may all be ready.
	return count("observedGeneration") >= o.GetGeneration() && count("replicas") == want && count("readyReplicas") == want, seen
}
