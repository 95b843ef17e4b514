package steps

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// typed is a Cluster that only has a client.
type typed struct {
	Cluster
	client kubernetes.Interface
}

func (c typed) Client() kubernetes.Interface { return c.client }

// A Service that MetalLB reports of no more is changed and changed back, once, and not before its time.
func TestMetalLBIsReminded(t *testing.T) {
	client := fake.NewClientset(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "my-service"}})
	env := &Env{Cluster: typed{client: client}, Namespace: "ns"}
	for _, step := range []struct {
		bound       time.Duration
		unannounced []string
		want        []string
	}{
		{time.Minute, []string{"my-service"}, nil},
		{-time.Second, nil, nil},
		{-time.Second, []string{"my-service"}, []string{`my-service {"metadata":{"labels":{"svclab.io/remind-metallb":"1"}}}`,
			`my-service {"metadata":{"labels":{"svclab.io/remind-metallb":null}}}`}},
	} {
		client.ClearActions()
		reminder := reminder{bound: time.Now().Add(step.bound)}
		for range 2 {
			if err := reminder.remind(t.Context(), env, step.unannounced); err != nil {
				t.Fatal(err)
			}
		}
		var changes []string
		for _, action := range client.Actions() {
			patch := action.(clienttesting.PatchAction)
			changes = append(changes, fmt.Sprintf("%s %s", patch.GetName(), patch.GetPatch()))
		}
		if !slices.Equal(changes, step.want) {
			t.Errorf("bound in %s, unannounced %v: got %q, want %q", step.bound, step.unannounced, changes, step.want)
		}
	}
	late := reminder{}
	if err := late.remind(t.Context(), env, []string{"gone"}); err == nil {
		t.Error("a Service that is gone was changed")
	}
}
