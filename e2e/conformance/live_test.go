//go:build e2e

// The proof of svclab conformance: against a cluster that kind's own command made, as a user runs it. make conformance-test
// runs it; SVCLAB_FOREIGN names the kubeconfig of such a cluster that is there already.
package conformance_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/svclab/svclab/e2e/reach"
)

// A server that takes connections and says nothing, and one that is not there, are told within 15 seconds.
func TestLiveUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "gone": gone.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			r := run(t, svclabBinary(t), "--kubeconfig", writeKubeconfig(t, "https://"+address, "", nil))
			t.Logf("exit %d after %s: %s", r.exit, r.took.Round(10*time.Millisecond), r.err)
			if r.exit != 2 || r.took > 15*time.Second || !strings.Contains(r.err, "does not answer") {
				t.Errorf("exit %d after %s: %s", r.exit, r.took, r.err)
			}
		})
	}
}

// For a user of one namespace, each missing permission is printed before anything is made.
func TestLiveOneNamespaceUser(t *testing.T) {
	l := foreign(t)
	const name = "narrow"
	ctx := t.Context()
	if _, err := l.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.client.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	if _, err := l.client.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.client.RbacV1().RoleBindings(name).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: name}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := l.client.CoreV1().ServiceAccounts(name).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, l.svclab, "--kubeconfig", writeKubeconfig(t, l.config.Host, token.Status.Token, l.config.CAData))
	t.Logf("exit %d after %s: %s", r.exit, r.took.Round(10*time.Millisecond), r.err)
	for _, want := range []string{"create, patch, delete namespaces", "get, list nodes", "get, create pods/exec", "nothing was made"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("it does not say %q: %s", want, r.err)
		}
	}
	if r.exit != 2 {
		t.Errorf("exit %d", r.exit)
	}
	l.mustBeClean(t)
}

// Where admission would refuse what a run needs, it ends with exit code 2 before it creates a pod, and names what to do.
func TestLiveAdmissionRefuses(t *testing.T) {
	l := foreign(t)
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--label", "pod-security.kubernetes.io/enforce=restricted", "--behaviour", "clusterip.basic")
	t.Logf("exit %d after %s: %s", r.exit, r.took.Round(time.Second), r.err)
	if r.exit != 2 || !strings.Contains(r.err, "PodSecurity") || !strings.Contains(r.err, "pod-security.kubernetes.io/enforce=privileged") {
		t.Errorf("exit %d: %s", r.exit, r.err)
	}
	l.mustBeClean(t)
}

func TestLiveSaysBeforeItMakes(t *testing.T) {
	l := foreign(t)
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--dry-run")
	if r.exit != 0 || !strings.Contains(r.out, "svclab-clients") || !strings.Contains(r.out, "3 of 3") {
		t.Errorf("exit %d: %s%s", r.exit, r.out, r.err)
	}
	for _, args := range [][]string{{"--features", "dualStack"}, {"--features", "outside"}, {"--features", "loadBalancer,-loadBalancer"}, {"--profile", "core", "--features", "loadBalancer"}} {
		r := run(t, l.svclab, append([]string{"--kubeconfig", l.kubeconfig}, args...)...)
		if r.exit != 2 || !strings.Contains(r.err, "contradictory features") {
			t.Errorf("%v: exit %d: %s", args, r.exit, r.err)
		}
	}
	l.mustBeClean(t)
}

// Ctrl-C removes all that was made; what a killed run leaves is removed by the next, a range of ClusterIPs included.
func TestLiveLeavesNothing(t *testing.T) {
	l := foreign(t)
	for what, there := range map[string]func(context.Context) bool{"the namespace of the dry run": l.trying, "a scenario's namespace": l.begun} {
		cmd, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core")
		await(t, what, there)
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if r := wait(); r.exit != 2 {
			t.Errorf("after Ctrl-C, with %s, it ended with exit code %d: %s", what, r.exit, r.err)
		}
		l.mustBeClean(t)
	}

	cmd, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core")
	await(t, "a scenario's namespace", l.begun)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait()
	if _, err := l.client.NetworkingV1().ServiceCIDRs().Create(t.Context(), &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "svclab-left", Labels: map[string]string{"app.kubernetes.io/managed-by": "svclab"}},
		Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.250.0.0/28"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := l.left(t); len(left) < 3 {
		t.Errorf("the killed run left only %v: the test is no test", left)
	}
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core", "--behaviour", "status")
	if r.exit != 0 || r.conformance.Result != reach.Pass {
		t.Errorf("the run after it: exit %d: %s", r.exit, r.err)
	}
	l.mustBeClean(t)
}

// A killed run's app is still there, and does nothing for those who reach it. --clean removes all that the run left.
func TestLiveClean(t *testing.T) {
	l := foreign(t)
	cmd, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "nodeport.every-node")
	var app corev1.Pod
	await(t, "a pod of the app to be ready", func(ctx context.Context) bool {
		pods, err := l.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: ours + ",app=my-app"})
		if err != nil {
			t.Log(err)
			return false
		}
		i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready
		})
		if i >= 0 {
			app = pods.Items[i]
		}
		return i >= 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait()
	for path, want := range map[string]string{"hostname": app.Name, "shell": `"path":"/shell"`, "dial": `"path":"/dial"`} {
		got, err := l.client.CoreV1().Pods(app.Namespace).ProxyGet("http", app.Name, "8080", path, map[string]string{"cmd": "id"}).DoRaw(t.Context())
		if err != nil || !strings.Contains(string(got), want) || strings.Contains(string(got), "uid=") {
			t.Errorf("/%s: %s, %v", path, got, err)
		}
	}
	left := l.left(t)
	for _, args := range [][]string{{"--clean", "--dry-run"}, {"--clean"}} {
		r := run(t, l.svclab, append([]string{"--kubeconfig", l.kubeconfig}, args...)...)
		if r.exit != 0 || !strings.Contains(r.out, app.Namespace) {
			t.Errorf("%v: exit %d: %s%s", args, r.exit, r.out, r.err)
		}
		if now := l.left(t); len(args) == 2 && !slices.Equal(now, left) {
			t.Errorf("the dry run changed %v to %v", left, now)
		}
	}
	l.mustBeClean(t)
}

// RBAC lets the Job's ServiceAccount create pods everywhere. The policy of job.yaml confines it to svclab's namespaces.
func TestLiveJobIsConfined(t *testing.T) {
	l := foreign(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "manifests", "conformance", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rights, _, found := strings.Cut(string(text), "---\napiVersion: batch/v1\n")
	if !found {
		t.Fatal("job.yaml has no Job after its rights")
	}
	kubectl := func(verb string) {
		cmd := exec.Command("kubectl", "--kubeconfig", l.kubeconfig, verb, "-f", "-")
		cmd.Stdin = strings.NewReader(rights)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("kubectl %s: %v: %s", verb, err, out)
		}
	}
	defer kubectl("delete")
	kubectl("apply")
	config := rest.CopyConfig(l.config)
	config.Impersonate.UserName = "system:serviceaccount:svclab-conformance:svclab-conformance"
	job, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, dry := t.Context(), []string{metav1.DryRunAll}
	namespace := func(name, by string, dry []string) error {
		_, err := job.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name,
			Labels: map[string]string{"app.kubernetes.io/managed-by": by}}}, metav1.CreateOptions{DryRun: dry})
		return err
	}
	pod := func(namespace string, change func(*corev1.PodSpec)) error {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{HostNetwork: true,
			Containers: []corev1.Container{{Name: "c", Image: "x", SecurityContext: &corev1.SecurityContext{}}}}}
		change(&p.Spec)
		_, err := job.CoreV1().Pods(namespace).Create(ctx, p, metav1.CreateOptions{DryRun: dry})
		return err
	}
	const own = "svclab-confined"
	await(t, "the policy", func(context.Context) bool { return apierrors.IsForbidden(namespace("mine", "svclab", dry)) })
	if err := namespace(own, "svclab", nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.client.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), own, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	// a new namespace has no ServiceAccount at once
	await(t, "a pod in its own namespace to be admitted", func(context.Context) bool { return pod(own, func(*corev1.PodSpec) {}) == nil })
	yes := true
	for what, err := range map[string]error{
		"a namespace without the label": namespace("svclab-x", "Helm", dry),
		"the removal of a namespace":    job.CoreV1().Namespaces().Delete(ctx, "svclab-conformance", metav1.DeleteOptions{DryRun: dry}),
		"the removal of others' pods":   job.CoreV1().Pods("kube-system").DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{}),
		"a pod elsewhere":               pod("default", func(*corev1.PodSpec) {}),
		"a privileged pod":              pod(own, func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.Privileged = &yes }),
		"a pod with a node's processes": pod(own, func(s *corev1.PodSpec) { s.HostPID = true }),
		"a pod with more capabilities": pod(own, func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}
		}),
		"a pod with a node's files": pod(own, func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}),
	} {
		if err == nil || !strings.Contains(err.Error(), "svclab-conformance' denied request") {
			t.Errorf("%s is not refused by the policy: %v", what, err)
		}
	}
}

const heldMessage = "another run of svclab holds this cluster"

// A second run on the cluster, of conformance or explain, ends soon, says who holds it, and takes nothing from the first, which
// passes. After it explain has the cluster, without an engine, and leaves nothing either.
func TestLiveSecondRunIsKeptOut(t *testing.T) {
	l := foreign(t)
	_, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core", "--behaviour", "clusterip.basic,status,headless.dns")
	await(t, "a scenario's namespace", l.begun)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	second := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core")
	t.Logf("exit %d after %s: %s", second.exit, second.took.Round(10*time.Millisecond), second.err)
	if second.exit != 2 || second.took > 15*time.Second || !strings.Contains(second.err, heldMessage) || !strings.Contains(second.err, host) {
		t.Errorf("exit %d after %s: %s", second.exit, second.took, second.err)
	}
	if kept := l.visit(t, "explain", "kube-system/kube-dns"); kept.exit != 2 || kept.out != "" || !strings.Contains(kept.err, heldMessage) || !strings.Contains(kept.err, host) {
		t.Errorf("explain: exit %d: %s%s", kept.exit, kept.out, kept.err)
	}
	if first := wait(); first.exit != 0 || first.conformance.Result != reach.Pass {
		t.Errorf("the first run: exit %d: %s", first.exit, first.err)
	}
	l.mustBeClean(t)
	if alone := l.visit(t, "explain", "kube-system/kube-dns"); alone.exit != 0 {
		t.Errorf("explain: exit %d: %s%s", alone.exit, alone.out, alone.err)
	}
	l.mustBeClean(t)
}

// A packet is traced only where the user permits privileged pods, and these are removed.
func TestLiveTrace(t *testing.T) {
	l := foreign(t)
	nodes, err := l.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	from, to := "pod/"+nodes.Items[0].Name, "kube-system/kube-dns:dns-tcp"
	if r := l.visit(t, "trace", from, to); r.exit != 0 || !strings.Contains(r.out, "read only with --privileged-trace") {
		t.Errorf("without permission: exit %d: %s%s", r.exit, r.out, r.err)
	}
	r := l.visit(t, "trace", from, to, "--privileged-trace")
	if r.exit != 0 || !strings.Contains(r.out, "as predicted") || !strings.Contains(r.err, "are privileged and see the node's processes") {
		t.Errorf("exit %d: %s%s", r.exit, r.out, r.err)
	}
	l.mustBeClean(t)
}

// The whole of both profiles on a cluster without a load balancer: what needs one is skipped and says so.
func TestLiveWithoutLoadBalancer(t *testing.T) {
	l := foreign(t)
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "extended")
	c := r.conformance
	t.Logf("exit %d after %s: behaviours %s; cells %+v; %d probes", r.exit, r.took.Round(time.Second), c.Statistics.Behaviours, c.Statistics.Cells, c.Statistics.Probes)
	if r.exit != 0 || c.Result != reach.Pass {
		t.Errorf("exit %d, %s:\n%s", r.exit, c.Result, r.out)
	}
	for _, b := range c.Behaviours {
		switch {
		case strings.HasPrefix(b.ID, "lb."):
			if b.Result != reach.Skipped || !strings.Contains(strings.Join(b.Reasons, "\n"), "no controller assigned an address to a Service of type LoadBalancer") &&
				!strings.Contains(strings.Join(b.Reasons, "\n"), "MetalLB") && !strings.Contains(strings.Join(b.Reasons, "\n"), "outside") {
				t.Errorf("%s is %s: %q", b.ID, b.Result, b.Reasons)
			}
		case b.Profile == "core" && b.ID != "external.cname" && b.Result != reach.Pass:
			t.Errorf("%s is %s: %q", b.ID, b.Result, b.Reasons)
		}
	}
	if c.Cluster.ProxyMode == "unknown" || !strings.Contains(c.ProxySource, "kube-proxy") {
		t.Errorf("proxy mode %s: %s", c.Cluster.ProxyMode, c.ProxySource)
	}
	l.mustBeClean(t)
}

// With kube-proxy stopped what was there goes on, and no Service that comes later is served: those rows fail, and those
// that need no kube-proxy pass.
func TestLiveProxyStopped(t *testing.T) {
	l := foreign(t)
	selectNodes := func(nodes string) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"nodeSelector":{"svclab.io/proxy":%s}}}}}`, nodes)
		if _, err := l.client.AppsV1().DaemonSets("kube-system").Patch(context.WithoutCancel(t.Context()), "kube-proxy", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	running := func(want int) func(context.Context) bool {
		return func(ctx context.Context) bool {
			list, err := l.client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy"})
			ready := 0
			if err == nil {
				for _, pod := range list.Items {
					if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
						return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
					}) {
						ready++
					}
				}
			}
			return err == nil && ready == want && (want > 0 || len(list.Items) == 0)
		}
	}
	selectNodes(`"stopped"`)
	defer func() {
		selectNodes("null")
		await(t, "kube-proxy to be back", running(3))
	}()
	await(t, "kube-proxy to be stopped", running(0))
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--profile", "core", "--behaviour", "clusterip.basic,nodeport.every-node,headless.dns,slices,status,port.mapping")
	c := r.conformance
	t.Logf("exit %d after %s: behaviours %s", r.exit, r.took.Round(time.Second), c.Statistics.Behaviours)
	if r.exit != 1 || c.Result != reach.Fail {
		t.Errorf("exit %d, %s:\n%s", r.exit, c.Result, r.err)
	}
	want := map[string]reach.Result{"clusterip.basic": reach.Fail, "nodeport.every-node": reach.Fail, "port.mapping": reach.Fail,
		"headless.dns": reach.Pass, "slices": reach.Pass, "status": reach.Pass}
	for _, b := range c.Behaviours {
		if b.Result != want[b.ID] {
			t.Errorf("%s is %s, want %s: %q", b.ID, b.Result, want[b.ID], b.Reasons)
		}
	}
	l.mustBeClean(t)
}
