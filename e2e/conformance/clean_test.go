package conformance

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// Only what carries svclab's label is a leftover, whatever it is called, and only what a run creates.
func TestLeftovers(t *testing.T) {
	const managed = "app.kubernetes.io/managed-by"
	namespace := func(name string, labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	client := fake.NewClientset(
		namespace("svclab-nodeport-x", map[string]string{managed: "svclab", "svclab.io/scenario": "nodeport"}),
		namespace("svclab-clients", map[string]string{managed: "svclab"}),
		namespace("svclab-lock", map[string]string{managed: "svclab"}),
		namespace("svclab-mine", nil),
		namespace("svclab-helm", map[string]string{managed: "Helm", "svclab.io/scenario": "nodeport"}),
		namespace("svclab-other", map[string]string{managed: "svclab"}),
		namespace("default", nil))
	got, err := Leftovers(t.Context(), client)
	if slices.Sort(got); err != nil || !slices.Equal(got, []string{"svclab-clients", "svclab-lock", "svclab-nodeport-x"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNamesOfThePlan(t *testing.T) {
	p, _ := planOn(t, 3, 0)
	p.Cluster.Name, p.Server, p.Image.Name = "prod", "https://api.corp.example.com:6443", "registry.corp.example.com:5000/agnhost:1"
	names := p.Names()
	for name, want := range map[string]string{"prod": "context", "api.corp.example.com": "server", p.Sample.Slots["worker"]: "worker", "registry.corp.example.com:5000": "registry.example"} {
		if names[name] != want {
			t.Errorf("%s becomes %q, want %q", name, names[name], want)
		}
	}
	p.Server, p.Image.Name = "https://127.0.0.1:6443", appImage+":1"
	if names = p.Names(); names["127.0.0.1"] != "" || names["registry.k8s.io"] != "" {
		t.Errorf("loopback, which addresses of the report may be, or the public registry is renamed: %v", names)
	}
}
