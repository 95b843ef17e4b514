package lesson

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	discoveryfake "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/course"
)

// fakeRunner records its calls. world has the objects that it finds, by reference.
type fakeRunner struct {
	did     []string
	verdict reach.Verdict
	world   map[string][]*unstructured.Unstructured
	back    []runner.Snapshot
	// then is done when namespaces are vacated, during while a goal is judged.
	then, during func()
}

func (f *fakeRunner) Lacks(context.Context, scenario.Needs) (string, error) { return "", nil }

func (f *fakeRunner) In(_ context.Context, at runner.Place, steps scenario.Scenario) reach.Verdict {
	f.did = append(f.did, "in "+at.Namespace+" "+strings.Join(at.Also, " ")+": "+steps.Title)
	return f.verdict
}

func (f *fakeRunner) Goal(_ context.Context, at runner.Place, _ scenario.Scenario) reach.Verdict {
	f.did = append(f.did, "goal in "+at.Namespace)
	if f.during != nil {
		f.during()
	}
	return f.verdict
}

func (f *fakeRunner) Rest(context.Context, runner.Place) error {
	f.did = append(f.did, "rest")
	return nil
}

func (f *fakeRunner) Look(_ context.Context, _ runner.Place, refs []scenario.Ref) ([]runner.Snapshot, error) {
	var taken []runner.Snapshot
	for _, ref := range refs {
		taken = append(taken, runner.Snapshot{Ref: ref, Objects: f.world[ref.String()]})
	}
	return taken, nil
}

func (f *fakeRunner) Restore(_ context.Context, _ runner.Place, snapshots []runner.Snapshot) error {
	f.back = slices.Clone(snapshots)
	f.did = append(f.did, "restore")
	return nil
}

func (f *fakeRunner) Vacate(_ context.Context, namespaces []string, _ bool) error {
	f.did = append(f.did, "vacate "+strings.Join(namespaces, " "))
	if f.then != nil {
		f.then()
	}
	return nil
}

// clients is a cluster; only its clients are used.
type clients struct {
	runner.Cluster
	client *fake.Clientset
}

func (c clients) Client() kubernetes.Interface { return c.client }

// essentialsRun is a world in which nothing is broken.
func essentialsRun() map[string][]*unstructured.Unstructured {
	world := map[string][]*unstructured.Unstructured{}
	for _, ref := range essentials() {
		o := &unstructured.Unstructured{Object: map[string]any{"kind": ref.Kind}}
		o.SetName(ref.Name)
		world[ref.String()] = []*unstructured.Unstructured{o}
	}
	return world
}

func environment(t *testing.T, objects ...runtime.Object) (Environment, *fakeRunner, *fake.Clientset) {
	t.Helper()
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "1234"}}
	client := fake.NewClientset(append(objects, system)...)
	f := &fakeRunner{verdict: reach.Verdict{Result: reach.Pass}, world: essentialsRun()}
	return Environment{Cluster: clients{client: client}, Runner: f, Folder: t.TempDir()}, f, client
}

var pools = scenario.Ref{Namespace: "metallb-system", Kind: "ipaddresspool", Name: "*"}

func exercise16() course.Exercise {
	return course.Exercise{ID: "16", Name: "16-x", Namespaces: []string{"other"}, Cluster: []scenario.Ref{pools}, Setup: course.Part{Title: "setup"}}
}

func TestBegin(t *testing.T) {
	r, f, client := environment(t)
	if err := r.Begin(t.Context(), exercise16(), "learn-16"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.did, []string{"in learn-16 learn-16-other: setup", "rest"}) {
		t.Errorf("did %q", f.did)
	}
	for _, name := range []string{"learn-16", "learn-16-other"} {
		namespace, err := client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || namespace.Labels[runner.ManagedByLabel] != runner.ManagedBy || namespace.Labels[ExerciseLabel] != "16" {
			t.Errorf("%s: %+v, %v", name, namespace, err)
		}
	}
	if begun, err := r.Begun(t.Context()); err != nil || !slices.Equal(begun, []string{"learn-16", "learn-16-other"}) {
		t.Errorf("begun: %v, %v", begun, err)
	}
	if _, err := os.Stat(filepath.Join(r.Folder, "cluster-1234.json")); err != nil {
		t.Error(err)
	}
	if err := r.Begin(t.Context(), exercise16(), "learn-16"); err == nil || !strings.Contains(err.Error(), "namespace learn-16") {
		t.Errorf("begun where one is: %v", err)
	}
	r, f, _ = environment(t)
	f.verdict = reach.Verdict{Title: "setup", Result: reach.Fail, Steps: []reach.Step{{Name: "deploy", Result: reach.Fail, Why: "no image"}}}
	if err := r.Begin(t.Context(), exercise16(), "learn-16"); err == nil || !strings.Contains(err.Error(), `step "deploy"`) || !strings.Contains(err.Error(), "no image") {
		t.Errorf("got %v", err)
	}
}

// A snapshot has the state from before any exercise. Leave restores it, and keeps the snapshots of the essentials.
func TestLeaveRestoresTheFirstState(t *testing.T) {
	r, f, _ := environment(t)
	pool := func(name string) []*unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"kind": "IPAddressPool"}}
		o.SetName(name)
		return []*unstructured.Unstructured{o}
	}
	f.world[pools.String()] = pool("lab")
	if err := r.Begin(t.Context(), exercise16(), "learn-16"); err != nil {
		t.Fatal(err)
	}
	f.world[pools.String()] = pool("learners")
	if err := r.snapshot(t.Context(), exercise16().Cluster, nil); err != nil { // as a second beginning does
		t.Fatal(err)
	}
	f.did = nil
	if err := r.Leave(t.Context(), []string{"learn-16", "learn-16-other"}, true); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.did, []string{"vacate learn-16 learn-16-other", "restore"}) {
		t.Errorf("did %q", f.did)
	}
	i := slices.IndexFunc(f.back, func(n runner.Snapshot) bool { return n.Ref == pools })
	if i < 0 || f.back[i].Objects[0].GetName() != "lab" || len(f.back) != len(essentials())+1 {
		t.Errorf("restored %+v", f.back)
	}
	left, err := r.load(t.Context())
	if err != nil || len(left.Snapshots) != len(essentials()) {
		t.Errorf("%d snapshots are left, %v", len(left.Snapshots), err)
	}
}

func TestSnapshotsAreOfOneCluster(t *testing.T) {
	r, f, client := environment(t)
	if err := r.snapshot(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "5678"}}
	if _, err := client.CoreV1().Namespaces().Update(t.Context(), other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Leave(t.Context(), nil, false); err != nil || f.back != nil {
		t.Errorf("another cluster's objects were restored: %v, %v", f.back, err)
	}
	if err := os.WriteFile(filepath.Join(r.Folder, "cluster-5678.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.snapshot(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "cluster-5678.json, are damaged") || !strings.Contains(err.Error(), "svclab up") {
		t.Errorf("got %v", err)
	}
}

func TestBroken(t *testing.T) {
	r, f, client := environment(t)
	if broken, err := r.Broken(t.Context()); err != nil || len(broken) != 0 {
		t.Errorf("before any snapshot: %v, %v", broken, err)
	}
	if err := r.snapshot(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	f.world["kube-system/deployment/coredns"] = nil
	if broken, err := r.Broken(t.Context()); err != nil || !slices.Equal(broken, []string{"kube-system deployment coredns"}) {
		t.Errorf("%v, %v", broken, err)
	}
	f.then = func() { // the restored Deployment becomes available
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Status: appsv1.DeploymentStatus{AvailableReplicas: 2}}
		if _, err := client.AppsV1().Deployments("kube-system").Create(context.Background(), d, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	if err := r.Leave(t.Context(), nil, true); err != nil {
		t.Error(err)
	}
	f.then = nil
	if err := client.AppsV1().Deployments("kube-system").Delete(t.Context(), "coredns", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Leave(ctx, nil, true); err == nil || !strings.Contains(err.Error(), "the cluster's DNS does not run again") {
		t.Errorf("without a DNS: %v", err)
	}
}

func TestMissing(t *testing.T) {
	namespace := func(name, exercise string, ending bool) *corev1.Namespace {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{ExerciseLabel: exercise}}}
		if ending {
			now := metav1.Now()
			n.DeletionTimestamp, n.Finalizers = &now, []string{"kubernetes"}
		}
		return n
	}
	for _, tc := range []struct {
		name  string
		there []runtime.Object
		want  string
	}{
		{"none", nil, "learn-16"},
		{"all", []runtime.Object{namespace("learn-16", "16", false), namespace("learn-16-other", "16", false)}, ""},
		{"the second", []runtime.Object{namespace("learn-16", "16", false)}, "learn-16-other"},
		{"one that ends", []runtime.Object{namespace("learn-16", "16", true), namespace("learn-16-other", "16", false)}, "learn-16"},
		{"one of the learner's own making", []runtime.Object{namespace("learn-16", "", false), namespace("learn-16-other", "16", false)}, "learn-16"},
	} {
		r, _, _ := environment(t, tc.there...)
		if got, err := r.Missing(t.Context(), exercise16(), "learn-16"); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestLost(t *testing.T) {
	r, f, _ := environment(t)
	deployment := func(name, namespace string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"kind": "Deployment"}}
		o.SetName(name)
		o.SetNamespace(namespace)
		return o
	}
	e := exercise16()
	e.Setup.Objects = map[string][]*unstructured.Unstructured{"a.yaml": {deployment("my-app", ""), deployment("holder", "learn-16-other")}, "b.yaml": {deployment("another", "learn-16")}}
	f.world["deployment/another"] = []*unstructured.Unstructured{deployment("another", "learn-16")}
	if lost, err := r.Lost(t.Context(), e, "learn-16"); err != nil || !slices.Equal(lost, []string{"deployment my-app"}) {
		t.Errorf("%v, %v", lost, err)
	}
}

func TestCheck(t *testing.T) {
	r, f, _ := environment(t)
	e := exercise16()
	e.Misconceptions = []course.Misconception{{ID: "m", When: []course.Condition{{Object: &steps.Object{Ref: scenario.Ref{Kind: "service", Name: "s"}, Absent: true}}}}}
	f.verdict = reach.Verdict{Result: reach.Fail}
	seen, err := r.Check(t.Context(), e, "learn-16")
	if err != nil || seen.Verdict.Result != reach.Fail || len(seen.Objects) != 1 || seen.Objects[0].Ref.Name != "s" {
		t.Errorf("%+v, %v", seen, err)
	}
	hand := seen.Hand
	if now, err := r.Hand(t.Context(), e, "learn-16"); err != nil || now != hand || hand == "" {
		t.Errorf("it is %q, %v; it was %q", now, err, hand)
	}
	service := func(port string) []*unstructured.Unstructured {
		return []*unstructured.Unstructured{parsed(t, `{kind: Service, metadata: {name: s, namespace: learn-16}, spec: {ports: [{port: `+port+`}]}}`)}
	}
	// The verdict and the objects belong together: what changes during the probes is judged once more, but not for ever.
	for name, tc := range map[string]struct {
		goals   int
		changes []string
	}{"nothing": {1, nil}, "once": {2, []string{"80"}}, "always": {2, []string{"80", "81", "82"}}} {
		left := tc.changes
		f.did, f.world["service/s"], f.world["learn-16/services/*"] = nil, nil, service("79")
		f.during = func() {
			if len(left) > 0 {
				f.world["learn-16/services/*"], left = service(left[0]), left[1:]
			}
		}
		if seen, err := r.Check(t.Context(), e, "learn-16"); err != nil || len(f.did) != tc.goals || seen.Hand == hand {
			t.Errorf("%s changes: %d goals, %v", name, len(f.did), err)
		}
	}
	f.during = nil
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted)
	if _, err := r.Check(ctx, e, "learn-16"); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

func TestDone(t *testing.T) {
	v := reach.Verdict{Title: "solution 01", Result: reach.Inconclusive, Steps: []reach.Step{{Name: "a", Result: reach.Pass}, {Name: "b", Result: reach.Inconclusive, Why: "no kubectl"}}}
	if err := Done(v); err == nil || !strings.Contains(err.Error(), `solution 01: step "b"`) || !strings.Contains(err.Error(), "no kubectl") {
		t.Errorf("got %v", err)
	}
	if err := Done(reach.Verdict{Result: reach.Pass}); err != nil {
		t.Error(err)
	}
	if err := Done(reach.Verdict{Result: reach.Fail}); err == nil {
		t.Error("a verdict without a step is no verdict")
	}
}

func TestWatched(t *testing.T) {
	r, _, client := environment(t)
	resource := func(name, kind string, namespaced bool) metav1.APIResource {
		return metav1.APIResource{Name: name, SingularName: strings.ToLower(kind), Kind: kind, Namespaced: namespaced}
	}
	client.Discovery().(*discoveryfake.FakeDiscovery).Resources = []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{resource("pods", "Pod", true), resource("services", "Service", true),
			resource("configmaps", "ConfigMap", true), resource("serviceaccounts", "ServiceAccount", true), resource("namespaces", "Namespace", false), resource("nodes", "Node", false)}},
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{resource("deployments", "Deployment", true), resource("statefulsets", "StatefulSet", true), resource("daemonsets", "DaemonSet", true)}},
		{GroupVersion: "discovery.k8s.io/v1", APIResources: []metav1.APIResource{resource("endpointslices", "EndpointSlice", true)}},
		{GroupVersion: "networking.k8s.io/v1", APIResources: []metav1.APIResource{resource("networkpolicies", "NetworkPolicy", true)}},
		{GroupVersion: "metallb.io/v1beta1", APIResources: []metav1.APIResource{resource("ipaddresspools", "IPAddressPool", true)}},
	}
	e := exercise16()
	e.Goal.Steps = []scenario.Step{{Name: "the node", Action: steps.Object{Ref: scenario.Ref{Kind: "node", Name: "worker"}}}}
	objects, err := r.watched(e, "learn-16")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.Namespace+"/"+o.Resource.Resource+"/"+o.Name)
	}
	for _, want := range []string{"learn-16/services/", "learn-16-other/services/", "learn-16/pods/", "learn-16/deployments/", "learn-16/endpointslices/",
		"metallb-system/ipaddresspools/", "kube-system/deployments/coredns", "/namespaces/learn-16", "/namespaces/learn-16-other", "/nodes/"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not watched: %v", want, got)
		}
	}
	for i, one := range got {
		if slices.Contains(got[:i], one) {
			t.Errorf("%s is watched twice", one)
		}
	}
	e.Cluster = []scenario.Ref{{Kind: "flyingcarpet", Name: "*"}}
	if _, err := r.watched(e, "learn-16"); err == nil || !strings.Contains(err.Error(), "flyingcarpet") {
		t.Errorf("got %v", err)
	}
}

// Only an exercise that a learner does keeps other commands away: no proof, and no scenario.
func TestNoneOpen(t *testing.T) {
	space := func(name, label string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "04"}}}
	}
	client := fake.NewClientset(space("prove-04-bcdfg", ExerciseLabel), space("learn-of-somebody", "app"), space("svclab-nodeport", "svclab.io/scenario"))
	if err := NoneOpen(t.Context(), client, "lab"); err != nil {
		t.Errorf("no exercise is open: %v", err)
	}
	if err := client.Tracker().Add(space("learn-04", ExerciseLabel)); err != nil {
		t.Fatal(err)
	}
	err := NoneOpen(t.Context(), client, "lab")
	if err == nil || !strings.Contains(err.Error(), "cluster lab (namespace learn-04)") || !strings.Contains(err.Error(), "svclab learn stop") {
		t.Errorf("exercise 04 is open: %v", err)
	}
	client.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if err := NoneOpen(t.Context(), client, "lab"); err == nil {
		t.Error("a cluster that does not answer has no exercise open")
	}
}

// What an exercise did on nodes is undone when it is left, once, also if this process did not begin it; an undo that fails stays.
func TestLeaveUndoesOnNodes(t *testing.T) {
	r, f, _ := environment(t)
	e := exercise16()
	e.Undo = []steps.Node{{Slot: "worker", Action: "exec", Command: []string{"true"}}}
	if err := r.Begin(t.Context(), e, "learn-16"); err != nil {
		t.Fatal(err)
	}
	undo := "in  : restore the nodes"
	f.verdict, f.did = reach.Verdict{Title: "restore the nodes", Result: reach.Fail, Steps: []reach.Step{{Name: "1", Result: reach.Fail, Why: "no"}}}, nil
	if err := r.Leave(t.Context(), []string{"learn-16"}, false); err == nil || !slices.Contains(f.did, undo) {
		t.Errorf("did %q, %v", f.did, err)
	}
	f.verdict, f.did = reach.Verdict{Result: reach.Pass}, nil
	if err := r.Leave(t.Context(), []string{"learn-16"}, false); err != nil || slices.Index(f.did, undo) != 0 {
		t.Errorf("did %q, %v", f.did, err)
	}
	f.did = nil
	if err := r.Leave(t.Context(), []string{"learn-16"}, false); err != nil || slices.Contains(f.did, undo) {
		t.Errorf("again: did %q, %v", f.did, err)
	}
}
