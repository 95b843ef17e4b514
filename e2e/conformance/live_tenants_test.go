//go:build e2e

package conformance_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/svclab/svclab/e2e/reach"
)

// Clusters with tenants change what is created in them: by admission, and by controllers that put policies into new namespaces.
// Policies of the API server's own stand in for admission webhooks, and the test for those controllers.

// brief are behaviours that do not take long. One has pods and traffic.
const brief = "port.named,status"

// Where new namespaces are PodSecurity "restricted" unless they say otherwise, a run names the label that it needs, and passes with it.
func TestLivePodSecurityByDefault(t *testing.T) {
	l := foreign(t)
	const enforce = "pod-security.kubernetes.io/enforce"
	defer l.mutate(t, "namespaces", `!("`+enforce+`" in object.metadata.labels)`,
		`JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("`+enforce+`"), value: "restricted"}`, func(ctx context.Context) bool {
			made, err := l.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tried", Labels: managed()}},
				metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err == nil && made.Labels[enforce] == "restricted"
		})()
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief)
	l.mustRefuse(t, r, "PodSecurity", enforce+"=privileged")
	l.mustPass(t, run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief, "--label", enforce+"=privileged"))
}

// A ResourceQuota on limits in each new namespace refuses pods without limits: it is named. With a LimitRange that gives limits the
// run passes, although what is used of a new quota is not counted at once.
func TestLiveQuota(t *testing.T) {
	l := foreign(t)
	quota := func(ctx context.Context, namespace string) error {
		_, err := l.client.CoreV1().ResourceQuotas(namespace).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "tenant"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceLimitsCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("20")}}}, metav1.CreateOptions{})
		return err
	}
	defaults := func(ctx context.Context, namespace string) error {
		_, err := l.client.CoreV1().LimitRanges(namespace).Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "tenant"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}}, metav1.CreateOptions{})
		return err
	}
	t.Run("without defaults", func(t *testing.T) {
		defer l.inEachNamespace(t, quota)()
		l.mustRefuse(t, run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief), "must specify limits.cpu", "LimitRange with the defaults")
	})
	t.Run("with defaults", func(t *testing.T) {
		defer l.inEachNamespace(t, defaults, quota)()
		l.mustPass(t, run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief))
	})
}

// A NetworkPolicy in each new namespace denies all traffic. That is no fault of Services: no verdict, and the policy is named. Packet
// rules on the nodes stand in for the CNI, as not every one enforces policies.
func TestLiveDefaultDeny(t *testing.T) {
	l := foreign(t)
	defer l.inEachNamespace(t, func(ctx context.Context, namespace string) error {
		_, err := l.client.NetworkingV1().NetworkPolicies(namespace).Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "default-deny"},
			Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}}, metav1.CreateOptions{})
		return err
	})()
	const table = "svclab_test_deny"
	for _, node := range l.nodes(t) {
		onNode(t, node, "nft", "add table inet "+table+"; delete table inet "+table+"; add table inet "+table+"; add chain inet "+table+" forward { type filter hook forward priority 0; }; "+
			"add rule inet "+table+" forward ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 drop")
		defer onNode(t, node, "nft", "delete table inet "+table)
	}
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief)
	t.Logf("exit %d after %s", r.exit, r.took.Round(time.Second))
	if r.exit != 2 || r.conformance.Result != reach.Inconclusive || !strings.Contains(r.out, "default-deny (ingress and egress of all pods)") {
		t.Errorf("exit %d, %s: %s%s", r.exit, r.conformance.Result, r.out, r.err)
	}
	l.mustBeClean(t)
}

// An injector that heeds no opt-out puts a container before each pod's own. Programs run in the right one.
func TestLiveInjectedSidecar(t *testing.T) {
	l := foreign(t)
	var injected *corev1.Pod
	defer l.mutate(t, "pods", "true", `JSONPatch{op: "add", path: "/spec/containers/0", value: Object.spec.containers{name: "mesh", image: object.spec.containers[0].image, args: ["pause"]}}`,
		func(ctx context.Context) bool {
			var err error
			injected, err = l.client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "tried", Labels: managed()},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "own", Image: "x"}}}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err == nil && injected.Spec.Containers[0].Name == "mesh"
		})()
	l.mustPass(t, run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief))
}

// Taints of its nodes do not keep a run's pods off.
func TestLiveTaints(t *testing.T) {
	l := foreign(t)
	for i, node := range l.nodes(t) {
		if strings.Contains(node, "control-plane") {
			continue // it has one
		}
		effect := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute}[i%2]
		l.taint(t, node, fmt.Sprintf(`[{"key":"svclab-test","effect":%q}]`, effect))
		defer l.dnsRuns(t)
		defer l.taint(t, node, "null")
	}
	l.dnsRuns(t)
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", brief)
	l.mustPass(t, r)
	if r.conformance.Vantages.Sampled != 3 {
		t.Errorf("the clients run on %d nodes, want 3; left out %v", r.conformance.Vantages.Sampled, r.conformance.Vantages.Left)
	}
}

// mutate has the API server change objects of svclab's when they are created, where a condition holds, and waits until it does so.
func (l lab) mutate(t *testing.T, resource, condition, patch string, works func(context.Context) bool) (end func()) {
	t.Helper()
	const name = "svclab-test"
	policies, bindings := l.client.AdmissionregistrationV1().MutatingAdmissionPolicies(), l.client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	end = func() {
		ctx := context.WithoutCancel(t.Context())
		for _, err := range []error{bindings.Delete(ctx, name, metav1.DeleteOptions{}), policies.Delete(ctx, name, metav1.DeleteOptions{})} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end) // if this fails
	_, err := policies.Create(t.Context(), &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ObjectSelector: &metav1.LabelSelector{MatchLabels: managed()},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}}}}}},
		MatchConditions:    []admissionv1.MatchCondition{{Name: "condition", Expression: condition}},
		Mutations:          []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: "[" + patch + "]"}}},
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bindings.Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the policy", works)
	return end
}

// inEachNamespace creates objects in each namespace of svclab's, as controllers of tenants do, until the function that it returns is called.
func (l lab) inEachNamespace(t *testing.T, create ...func(ctx context.Context, namespace string) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	namespaces, err := l.client.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		t.Fatal(err)
	}
	ended, seen := make(chan struct{}), 0
	go func() {
		defer close(ended)
		for event := range namespaces.ResultChan() {
			namespace, is := event.Object.(*corev1.Namespace)
			if !is || event.Type != watch.Added {
				continue
			}
			seen++
			for _, one := range create {
				if err := one(ctx, namespace.Name); err != nil && ctx.Err() == nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) { // it is going
					t.Errorf("namespace %s: %v", namespace.Name, err)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		if seen == 0 {
			t.Error("no namespace of svclab's was seen")
		}
	}
}

func managed() map[string]string {
	key, value, _ := strings.Cut(ours, "=")
	return map[string]string{key: value}
}

// mustPass fails the test unless a run passed and left nothing.
func (l lab) mustPass(t *testing.T, r result) {
	t.Helper()
	t.Logf("exit %d after %s", r.exit, r.took.Round(time.Second))
	if r.exit != 0 || r.conformance.Result != reach.Pass {
		t.Errorf("exit %d, %s: %s%s", r.exit, r.conformance.Result, r.out, r.err)
	}
	l.mustBeClean(t)
}

// mustRefuse fails the test unless a run ended without a verdict before its first scenario, said the texts, and left nothing.
func (l lab) mustRefuse(t *testing.T, r result, texts ...string) {
	t.Helper()
	t.Logf("exit %d after %s: %s", r.exit, r.took.Round(time.Second), r.err)
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if r.exit != 2 || r.took > time.Minute || len(r.conformance.Scenarios) > 0 {
		t.Errorf("exit %d after %s, want 2 within a minute", r.exit, r.took)
	}
	l.mustBeClean(t)
}

func (l lab) nodes(t *testing.T) []string {
	t.Helper()
	list, err := l.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, node := range list.Items {
		names = append(names, node.Name)
	}
	return names
}

// onNode runs a program on a node.
func onNode(t *testing.T, node string, argv ...string) {
	t.Helper()
	if out, err := exec.Command("docker", append([]string{"exec", node}, argv...)...).CombinedOutput(); err != nil {
		t.Errorf("%s on %s: %v: %s", argv[0], node, err, out)
	}
}

// taint sets the taints of a node.
func (l lab) taint(t *testing.T, node, taints string) {
	t.Helper()
	if _, err := l.client.CoreV1().Nodes().Patch(context.WithoutCancel(t.Context()), node, types.MergePatchType, []byte(`{"spec":{"taints":`+taints+`}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
}

// dnsRuns waits until the cluster's DNS is complete: a taint may have ended a pod of it.
func (l lab) dnsRuns(t *testing.T) {
	t.Helper()
	await(t, "CoreDNS", func(ctx context.Context) bool {
		dns, err := l.client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		return err == nil && dns.Status.ReadyReplicas == *dns.Spec.Replicas && dns.Status.UnavailableReplicas == 0
	})
}
