package runner

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rangeOf is a range of ClusterIPs; ours are those that a scenario made.
func rangeOf(name string, ours bool) map[string]any {
	o := object("networking.k8s.io/v1", "ServiceCIDR", "", name, map[string]any{"spec": map[string]any{"cidrs": []any{"10.250.0.0/28"}}})
	if ours {
		o["metadata"].(map[string]any)["labels"] = map[string]any{ManagedByLabel: ManagedBy}
	}
	return o
}

// A sweep removes the ranges of ClusterIPs that scenarios made, and no other, after the namespaces whose Services have
// addresses of them; and it waits until they are gone.
func TestSweepRemovesClusterScopedLeftovers(t *testing.T) {
	c, _, r := lab(t)
	const held = 200 * time.Millisecond
	finalizing := false
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		controllers(api, resource, o, deleted)
		u := unstructured.Unstructured{Object: o}
		if resource != "servicecidrs" || !deleted || u.GetName() != "svclab-held" || finalizing {
			return
		}
		finalizing = true // as one with the protection finalizer, it goes later than it was deleted
		going := rangeOf(u.GetName(), true)
		going["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		api.put(resource, going)
		time.AfterFunc(held, func() {
			api.mu.Lock()
			defer api.mu.Unlock()
			api.drop("servicecidrs//svclab-held")
		})
	}
	c.api.mu.Lock()
	namespace := object("v1", "Namespace", "", "svclab-servicecidr-old", nil)
	namespace["metadata"].(map[string]any)["labels"] = map[string]any{ManagedByLabel: ManagedBy, ScenarioLabel: "servicecidr"}
	c.api.put("namespaces", namespace)
	c.api.put("servicecidrs", rangeOf("svclab-held", true))
	c.api.put("servicecidrs", rangeOf("svclab-second", true))
	c.api.put("servicecidrs", rangeOf("kubernetes", false))
	c.api.mu.Unlock()

	began := time.Now()
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < held {
		t.Errorf("it returned after %s, while a range was still going", took)
	}
	if left := c.api.names("servicecidrs"); !slices.Equal(left, []string{"kubernetes"}) {
		t.Errorf("ranges %v, want only the one that is not ours", left)
	}
	c.api.mu.Lock()
	defer c.api.mu.Unlock()
	deleted := func(object string) int {
		return slices.IndexFunc(c.api.log, func(e fakeEvent) bool { return e.kind == "DELETED" && e.object == object })
	}
	if before, after := deleted("namespaces//svclab-servicecidr-old"), deleted("servicecidrs//svclab-held"); before < 0 || after < before {
		t.Errorf("the namespace was deleted at event %d, a range at event %d: a range is in use until its namespaces are gone", before, after)
	}
}
