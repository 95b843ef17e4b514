package steps

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/scenario"
)

// A rolling update marks the template of the Deployments whose pods are selected, and of no other.
func TestRoll(t *testing.T) {
	deployment := func(name, app string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: appsv1.DeploymentSpec{
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}}}}
	}
	client := fake.NewClientset(deployment("my-app", "my-app"), deployment("other", "other"))
	env := &Env{Cluster: typed{client: client}, Namespace: "ns"}
	replace := ReplacePods{Selector: "app=my-app", Rolling: true}
	if err := replace.roll(t.Context(), env, "ns"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"my-app": true, "other": false} {
		d, err := client.AppsV1().Deployments("ns").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Spec.Template.Annotations[ReplacedAnnotation] != ""; got != want {
			t.Errorf("%s is rolled out: %t, want %t", name, got, want)
		}
	}
	replace.Selector = "app=none"
	if err := replace.roll(t.Context(), env, "ns"); err == nil || !strings.Contains(err.Error(), "no deployment has pods with the labels app=none") {
		t.Errorf("without a Deployment: %v", err)
	}
	replace.Slot = "worker"
	if err := replace.Validate(scenario.Scenario{}); err == nil {
		t.Error("a rolling update of the pods of one slot is accepted")
	}
}
