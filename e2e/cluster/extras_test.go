package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
)

func TestExtras(t *testing.T) {
	extras := Extras{Labels: map[string]string{"team": "net", "app": "theirs"}, Annotations: map[string]string{"owner": "me"}, PriorityClass: "low", PullSecret: `{"auths":{}}`}
	objects, err := decode([]byte(`kind: Namespace
metadata: {name: n}
spec: {finalizers: [kubernetes]}
---
kind: Pod
metadata: {name: p, labels: {app: mine}}
spec: {containers: [{name: c}]}
---
kind: Deployment
metadata: {name: d}
spec: {template: {spec: {containers: [{name: c}]}}}
---
kind: Service
metadata: {name: s}
spec: {ports: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		extras.Add(object)
	}
	text := func(o *unstructured.Unstructured) string {
		data, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for i, want := range [][]string{
		{`"labels":{"app":"theirs","team":"net"}`, `"annotations":{"owner":"me"}`},
		{`"app":"mine"`, `"team":"net"`, `"sidecar.istio.io/inject":"false"`, `"linkerd.io/inject":"disabled"`, `"priorityClassName":"low"`, `"imagePullSecrets":[{"name":"svclab-pull"}]`},
		{`"template":{"metadata":{"annotations":{`, `"sidecar.istio.io/inject":"false"`, `"priorityClassName":"low"`},
		{`"spec":{"ports":[]}`},
	} {
		for _, part := range want {
			if got := text(objects[i]); !strings.Contains(got, part) {
				t.Errorf("%s is not in %s", part, got)
			}
		}
	}
	if got := text(objects[0]) + text(objects[3]); strings.Contains(got, "istio") || strings.Contains(got, "priorityClassName") || strings.Contains(text(objects[3]), "team") {
		t.Errorf("a namespace or a Service got what pods get: %s", got)
	}
	if secret := extras.Secret(); len(secret) != 1 || !strings.Contains(text(secret[0]), `".dockerconfigjson":"eyJhdXRocyI6e319"`) || len(Extras{}.Secret()) != 0 {
		t.Errorf("%v", secret)
	}
}

// An injector may put its proxy first, under any name; without a name exec then runs there.
func TestContainerOfAnInjectedPod(t *testing.T) {
	objects, err := decode([]byte("kind: Pod\nmetadata: {name: p, namespace: svclab-x}\nspec: {containers: [{name: app}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	Extras{}.Add(objects[0])
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[0].Object, pod); err != nil {
		t.Fatal(err)
	}
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, corev1.Container{Name: "mesh"})
	c := &Cluster{client: sampled{Interface: fake.NewClientset(pod)}}
	for namespace, want := range map[string]string{"svclab-x": "app", ClientsNamespace: "client"} {
		if got, err := c.containerOf(t.Context(), namespace, "p"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", namespace, got, err, want)
		}
	}
}

// Messages as the API server of v1.37 writes them.
func TestRefusal(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for message, fix := range map[string]string{
		`violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`:                                  "--label pod-security.kubernetes.io/enforce=privileged",
		`exceeded quota: team, requested: pods=1, used: pods=0, limited: pods=0`:                                      "ResourceQuota",
		`failed quota: team: must specify limits.cpu for: client`:                                                     "LimitRange with the defaults",
		`minimum cpu usage per Container is 100m, but request is 10m`:                                                 "change the LimitRange",
		`no PriorityClass with name low was found`:                                                                    "--priority-class",
		`ValidatingAdmissionPolicy 'no-nodeport' with binding 'all' denied request: no Service of type NodePort here`: "exempt the namespaces",
		`admission webhook "policy.example.com" denied the request: team is missing`:                                  "--label, --annotation",
		`status unknown for quota: team, resources: limits.cpu`:                                                       "",
		`error looking up service account svclab-clients/default: serviceaccount "default" not found`:                 "",
	} {
		err := refusal(apierrors.NewForbidden(pods, "client", errors.New(message)))
		if fix == "" && err != nil || fix != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), fix) || !strings.Contains(err.Error(), message)) {
			t.Errorf("%s: %v", message, err)
		}
	}
	if err := refusal(apierrors.NewInternalError(errors.New(`failed calling webhook "x"`))); err != nil {
		t.Errorf("a webhook that does not answer yet refuses nothing: %v", err)
	}
}

// A full node and a node that pulls for ever do not end a run; that all others are ready decides.
func TestStarted(t *testing.T) {
	pod := func(name string, phase corev1.PodPhase, reason string) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Phase: phase, Reason: reason}}
		if phase == corev1.PodRunning {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		return p
	}
	wanted := []clientPod{{Name: "a", Node: "n1"}, {Name: "b", Node: "n2"}, {Name: "c", Node: "n3"}}
	full := pod("b", corev1.PodFailed, "OutOfpods")
	broken, waiting, ended, seen := started([]corev1.Pod{pod("a", corev1.PodRunning, ""), full, pod("c", corev1.PodPending, "")}, wanted)
	if len(broken) != 2 || broken["n2"].Error() != "b is OutOfpods" || waiting != 2 || ended || !strings.Contains(seen, "c is pending") {
		t.Errorf("%v, %d, %t, %s", broken, waiting, ended, seen)
	}
	if broken, _, ended, _ := started([]corev1.Pod{pod("a", corev1.PodRunning, ""), full, pod("c", corev1.PodRunning, "")}, wanted); len(broken) != 1 || !ended {
		t.Errorf("%v, %t", broken, ended)
	}
}
