package conformance

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/scenario"
)

func node(name string, change ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux"}},
		Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{ContainerRuntimeVersion: "containerd://2.2.0"}, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	for _, c := range change {
		c(&n)
	}
	return n
}

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
}

func TestChooseTakesKindsThreeNodes(t *testing.T) {
	s := choose([]corev1.Node{node("x-worker2"), node("x-control-plane", tainted), node("x-worker")}, 6, 1, nil)
	want := map[string]string{"control-plane": "x-control-plane", "worker": "x-worker", "worker2": "x-worker2"}
	if !maps.Equal(s.Slots, want) || !s.Whole() {
		t.Errorf("chose %v, whole %t", s.Slots, s.Whole())
	}
}

// A sample of one node takes a control plane only where there is no other.
func TestChooseOne(t *testing.T) {
	for want, nodes := range map[string][]corev1.Node{"a": {node("x", tainted), node("a")}, "x": {node("x", tainted)}} {
		if s := choose(nodes, 1, 1, nil); len(s.Slots) != 1 || s.Slots[s.Order[0]] != want {
			t.Errorf("chose %v, not %s", s.Slots, want)
		}
	}
}

// A trace needs the nodes that the packet may pass, and no others.
func TestChooseForTracing(t *testing.T) {
	nodes := []corev1.Node{node("x", tainted), node("a"), node("b"), node("c")}
	if s := chooseNear(nodes, []string{"x", "b"}, 2, 0, 1, nil); !slices.Equal(s.Order, []string{"b", "x"}) {
		t.Errorf("chose %v", s.Order)
	}
}

func TestChooseSamplesFiveHundred(t *testing.T) {
	var nodes []corev1.Node
	for i := range 500 {
		nodes = append(nodes, node(fmt.Sprintf("n%03d", i)))
	}
	a := choose(nodes, 6, 7, nil)
	slices.Reverse(nodes)
	b := choose(nodes, 6, 7, nil)
	if !maps.Equal(a.Slots, b.Slots) {
		t.Errorf("the order of the nodes decided: %v and %v", a.Slots, b.Slots)
	}
	if c := choose(nodes, 6, 8, nil); maps.Equal(a.Slots, c.Slots) {
		t.Error("another seed chose the same nodes")
	}
	if len(a.Slots) != 6 || a.Whole() || a.Total != 500 || !slices.Equal(a.Order, []string{"control-plane", "worker", "worker2", "worker3", "worker4", "worker5"}) {
		t.Errorf("%+v", a)
	}
	if distinct := slices.Compact(slices.Sorted(maps.Values(a.Slots))); len(distinct) != 6 {
		t.Errorf("a node stands in two slots: %v", a.Slots)
	}
}

func TestChooseLeavesOutWhereNoClientCanStand(t *testing.T) {
	s := choose([]corev1.Node{
		node("a"), node("b"), node("c"),
		node("windows", func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = "windows" }),
		node("down", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }),
		node("cordoned", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
		node("renamed", func(n *corev1.Node) { n.Labels[corev1.LabelHostname] = "other" }),
		node("fake", func(n *corev1.Node) { n.Labels["type"] = "kwok" }),
		node("kwok", func(n *corev1.Node) { n.Status.NodeInfo.ContainerRuntimeVersion = "kwok-v0.8.0" }),
		node("silent"),
	}, 6, 1, map[string]string{"silent": "does not answer", "down": "does not answer"})
	if len(s.Slots) != 3 || len(s.Left) != 7 || s.Left["does not answer"] != 1 || !s.Whole() {
		t.Errorf("%+v", s)
	}
}

func TestChooseImage(t *testing.T) {
	const manifest = appImage + ":2.66.1"
	with := func(names ...string) []corev1.Node {
		n := node("a")
		for _, name := range names {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{name}})
		}
		return []corev1.Node{n, n}
	}
	for _, c := range []struct {
		named, registry string
		nodes           []corev1.Node
		want            string
	}{
		{"", "", with(), manifest},
		{"", "", with(manifest, "example.com/agnhost:1.0"), manifest},
		{"", "", with("example.com:5000/agnhost:2.40"), "example.com:5000/agnhost:2.40"},
		{"", "", with("example.com/agnhost@sha256:00"), manifest},
		{"", "", append(with("example.com/agnhost:2.40"), node("b")), manifest},
		{"mine:1", "", with(manifest), "mine:1"},
		{"", "mirror.example.com/k8s/", with(manifest), "mirror.example.com/k8s/e2e-test-images/agnhost:2.66.1"},
	} {
		if got := chooseImage(manifest, c.named, c.registry, c.nodes); got.Name != c.want || got.Source == "" {
			t.Errorf("%q %q: %+v, want %s", c.named, c.registry, got, c.want)
		}
	}
}

func TestFitObjects(t *testing.T) {
	before := one(t, "nodeport")
	if name, err := manifestImage(all(t)); err != nil || !isApp(name) {
		t.Fatalf("the manifests' image is %q, %v", name, err)
	}
	after := adaptObjects(before, "mine:1", cluster.Extras{Labels: map[string]string{"team": "net", "app": "other"}, PullSecret: "{}", PriorityClass: "low"}, []string{"n1", "n2"})
	if secret := after.Objects["app/my-app.yaml"][0]; secret.GetKind() != "Secret" {
		t.Errorf("the pull secret is not applied before the pods: %v", secret)
	}
	template := cluster.PodOf(after.Objects["app/my-app.yaml"][1])
	pod := template["spec"].(map[string]any)
	if labels := template["metadata"].(map[string]any)["labels"].(map[string]any); labels["team"] != "net" || labels["app"] != "my-app" ||
		labels["sidecar.istio.io/inject"] != "false" || pod["priorityClassName"] != "low" || fmt.Sprint(pod["imagePullSecrets"]) != "[map[name:svclab-pull]]" {
		t.Errorf("the extras are not added: %v", template)
	}
	if got := pod["containers"].([]any)[0].(map[string]any)["image"]; got != "mine:1" {
		t.Errorf("the image is %v", got)
	}
	if pod["tolerations"] == nil {
		t.Error("the pods do not stand on tainted nodes")
	}
	affinity, _, err := unstructured.NestedSlice(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	if text := fmt.Sprint(affinity); err != nil || len(affinity) == 0 || strings.Count(text, "key:kubernetes.io/hostname operator:In values:[n1 n2]") != len(affinity) {
		t.Errorf("the pods may stand on nodes that are not of the sample: %v", affinity)
	}
	if name, _ := manifestImage([]scenario.Scenario{before}); !isApp(name) {
		t.Error("the scenario that was given changed")
	}
	if spec := after.Objects["service.yaml"][0].Object["spec"].(map[string]any); spec["tolerations"] != nil || spec["affinity"] != nil {
		t.Error("a Service got tolerations or an affinity")
	}
}

func TestParseFeatures(t *testing.T) {
	got, err := ParseFeatures(" loadBalancer, -dualStack ,")
	if err != nil || !reflect.DeepEqual(got, Declared{scenario.LoadBalancer: true, scenario.DualStack: false}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseFeatures("loadbalancer"); err == nil {
		t.Error("a misspelt feature passed")
	}
	if _, err := ParseFeatures("dualStack,-dualStack"); !errors.Is(err, ErrContradiction) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseFeatures("dualStack,dualStack"); err != nil {
		t.Errorf("saying it twice is no contradiction: %v", err)
	}
}

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		declared Declared
		profile  scenario.Profile
		refused  bool
	}{
		{Declared{scenario.Outside: true}, scenario.Extended, true},
		{Declared{scenario.NodeControl: true}, scenario.Extended, true},
		{Declared{scenario.LoadBalancer: true}, scenario.Core, true},
		{Declared{scenario.LoadBalancer: true}, scenario.Extended, false},
		{Declared{scenario.LoadBalancer: false, scenario.Outside: false}, scenario.Core, false},
	} {
		if err := c.declared.check(c.profile); errors.Is(err, ErrContradiction) != c.refused {
			t.Errorf("%v in %s: %v", c.declared, c.profile, err)
		}
	}
	four, both := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00::/112")}
	if _, err := dualStack(Declared{scenario.DualStack: true}, four, nil); !errors.Is(err, ErrContradiction) {
		t.Errorf("got %v", err)
	}
	if f, err := dualStack(nil, both, nil); err != nil || !f.Present || f.Source != "detected" {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := dualStack(Declared{scenario.DualStack: false}, both, nil); err != nil || f.Present || f.Source != "declared" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestJudgeAddress(t *testing.T) {
	for _, c := range []struct {
		given  []corev1.LoadBalancerIngress
		public bool
		want   bool
		detail string
	}{
		{nil, true, false, "no controller"},
		{[]corev1.LoadBalancerIngress{{Hostname: "elb.example.com"}}, true, false, "assigns names"},
		{[]corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}, true, true, "got an address"},
		{[]corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}, false, false, "192.0.2.1, which could be reached from the internet"},
		{[]corev1.LoadBalancerIngress{{IP: "10.0.0.9"}, {IP: "2001:db8::9"}}, false, false, "2001:db8::9"},
		{[]corev1.LoadBalancerIngress{{IP: "172.18.255.1"}, {IP: "fd00::9"}}, false, true, "got an address"},
		{[]corev1.LoadBalancerIngress{{IP: "100.64.3.1"}}, false, true, "got an address"},
	} {
		if present, detail := judgeAddress(c.given, time.Second, c.public); present != c.want || !strings.Contains(detail, c.detail) {
			t.Errorf("%v, public %t: %t, %s", c.given, c.public, present, detail)
		}
	}
}

// Half of a visit's sample are nodes of the Service's pods, as far as they are usable; the slots are the nodes' names.
func TestChooseNear(t *testing.T) {
	var nodes []corev1.Node
	for i := range 40 {
		nodes = append(nodes, node(fmt.Sprintf("n%02d", i), func(n *corev1.Node) { n.Spec.Unschedulable = i == 3 }))
	}
	for _, tc := range []struct {
		near      []string
		most      int
		of, total int // of near and in all
	}{
		{nil, 6, 0, 6}, {[]string{"n01", "n02"}, 6, 2, 6}, {[]string{"n01", "n02", "n04", "n05", "n06"}, 6, 3, 6}, {[]string{"n03"}, 6, 0, 6},
		{[]string{"n01"}, 1, 1, 1}, {nil, 1, 0, 1}, {[]string{"n01", "n02", "n04"}, 100, 3, 39}, {[]string{"gone"}, 2, 0, 2},
	} {
		s := chooseNear(nodes, tc.near, (tc.most+1)/2, tc.most, 7, nil)
		of := 0
		for slot, node := range s.Slots {
			if slot != node {
				t.Errorf("slot %s is %s", slot, node)
			}
			if slices.Contains(tc.near, node) {
				of++
			}
		}
		if of != tc.of || len(s.Slots) != tc.total || len(s.Order) != tc.total || s.Total != 40 {
			t.Errorf("near %v, at most %d: %v", tc.near, tc.most, s.Order)
		}
	}
}
