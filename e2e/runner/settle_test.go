package runner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A Service that MetalLB reports of no more is changed and changed back, once, and not before its time.
func TestMetalLBIsReminded(t *testing.T) {
	c, _, r := lab(t)
	c.api.put("services", object("v1", "Service", "ns", "my-service", map[string]any{"spec": map[string]any{"clusterIP": "None"}}))
	var changes []string
	c.api.react = func(_ *fakeAPI, _ string, o map[string]any, _ bool) {
		u := unstructured.Unstructured{Object: o}
		changes = append(changes, fmt.Sprintf("%s %v", u.GetName(), u.GetLabels()))
	}
	s := &session{runner: r, namespace: "ns"}
	for _, step := range []struct {
		bound       time.Duration
		unannounced []string
		want        []string
	}{
		{time.Minute, []string{"my-service"}, nil},
		{-time.Second, nil, nil},
		{-time.Second, []string{"my-service"}, []string{"my-service map[svclab.io/remind-metallb:1]", "my-service map[]"}},
	} {
		changes = nil
		reminder := reminder{bound: time.Now().Add(step.bound)}
		for range 2 {
			if err := reminder.remind(t.Context(), s, step.unannounced); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(changes, step.want) {
			t.Errorf("bound in %s, unannounced %v: got %q, want %q", step.bound, step.unannounced, changes, step.want)
		}
	}
	late := reminder{}
	if err := late.remind(t.Context(), s, []string{"gone"}); err == nil {
		t.Error("a Service that is gone was changed")
	}
}
