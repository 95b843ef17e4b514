package wait

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// However often the Services are needed, they are listed once.
func TestServicesAreListedOnce(t *testing.T) {
	service := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, Annotations: map[string]string{"a": "b"}},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{NodePort: 30080}}}}
	}
	client := fake.NewClientset(service("a"))
	list := Services(t.Context(), client)
	for range 5 {
		known, err := list(t.Context())
		if err != nil || len(known) != 1 || known[0].Spec.Ports[0].NodePort != 30080 || known[0].Annotations != nil {
			t.Fatalf("%v, %v", known, err)
		}
	}
	if _, err := client.CoreV1().Services("n").Create(t.Context(), service("b"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := For(t.Context(), "the watch to report b", Retry(func(ctx context.Context) (bool, string, error) {
		known, err := list(ctx)
		return len(known) == 2, "one", err
	})); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, action := range client.Actions() {
		if action.Matches("list", "services") {
			lists++
		}
	}
	if lists > 1 {
		t.Errorf("the Services were listed %d times", lists)
	}
}
