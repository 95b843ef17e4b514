package steps

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestScaled(t *testing.T) {
	workload := func(generation, observed, replicas, ready int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"generation": generation},
			"status": map[string]any{"observedGeneration": observed, "replicas": replicas, "readyReplicas": ready}}}
	}
	for _, c := range []struct {
		o    *unstructured.Unstructured
		want bool
	}{{workload(2, 2, 2, 2), true}, {workload(2, 1, 2, 2), false}, {workload(2, 2, 3, 2), false}, {workload(2, 2, 2, 1), false}, {nil, false}} {
		if got, seen := scaled(c.o, 2); got != c.want || seen == "" {
			t.Errorf("%v: %t, seen %q", c.o, got, seen)
		}
	}
}
