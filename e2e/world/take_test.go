package world

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakediscovery "k8s.io/client-go/discovery/fake"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func l2Status(name, node string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
		"metadata": map[string]any{"name": name, "namespace": "metallb-system"},
		"status":   map[string]any{"node": node, "serviceName": "web", "serviceNamespace": "demo"},
	}}
}

// clients hold the sample's objects, in no particular order, and more that must not be in the snapshot.
func clients(metallb bool, statuses ...runtime.Object) (*fake.Clientset, *fakedynamic.FakeDynamicClient) {
	w := sample()
	var objects []runtime.Object
	for i := len(w.Nodes) - 1; i >= 0; i-- {
		objects = append(objects, &w.Nodes[i])
	}
	stranger := samplePod("x", "one", "10.244.1.99")
	stranger.Namespace = "other"
	elsewhere := w.Services[0].DeepCopy()
	elsewhere.Namespace, elsewhere.Spec.Ports[0].NodePort = "other", 30081
	objects = append(objects, &w.Pods[1], &w.Pods[0], &w.Services[0], elsewhere, &stranger, &w.Slices[0], &w.Deployments[0],
		&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16", "10.97.0.1/16"}}})
	client := fake.NewClientset(objects...)
	if metallb {
		client.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{{GroupVersion: "metallb.io/v1beta1"}}
	}
	kinds := map[schema.GroupVersionResource]string{L2StatusResource(): "ServiceL2StatusList"}
	return client, fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, statuses...)
}

func TestTake(t *testing.T) {
	client, dyn := clients(true, l2Status("l2-a", "one"), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status", "metadata": map[string]any{"name": "new", "namespace": "metallb-system"}}})
	facts := Facts{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}
	w, err := Take(context.Background(), client, client.Discovery(), dyn, facts, "demo", "demo")
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Nodes) != 3 || w.Nodes[0].Name != "cp" || len(w.Pods) != 2 || w.Pods[0].Name != "a" || len(w.Slices) != 1 || len(w.Deployments) != 1 {
		t.Errorf("nodes %d, pods %d, slices %d, deployments %d; sorted?", len(w.Nodes), len(w.Pods), len(w.Slices), len(w.Deployments))
	}
	if len(w.Services) != 1 || len(w.Elsewhere) != 1 || w.Elsewhere[0].Namespace != "other" {
		t.Errorf("services %d, elsewhere %d", len(w.Services), len(w.Elsewhere))
	}
	if got := w.Announcers[netip.MustParseAddr("172.18.255.1")]; got != "one" || len(w.Claims) != 1 {
		t.Errorf("announced by %q, claims %v", got, w.Claims)
	}
	if len(w.Facts.ServiceCIDRs) != 2 || w.Facts.ServiceCIDRs[1] != netip.MustParsePrefix("10.97.0.0/16") {
		t.Errorf("Service ranges %v", w.Facts.ServiceCIDRs)
	}
	if len(facts.ServiceCIDRs) != 1 {
		t.Error("Take changed the caller's facts")
	}
	// the port that a Service of another namespace has is not taken for a free one
	for _, target := range w.Targets("demo/web") {
		if target.Undeclared && target.Port == 30081 {
			t.Errorf("%s is another Service's", target.Name())
		}
	}
}

// What a watch knows takes the place of the lists that it is of.
func TestWith(t *testing.T) {
	client, dyn := clients(true, l2Status("l2-a", "one"))
	w, err := Take(context.Background(), client, client.Discovery(), dyn, Facts{}, "demo")
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for kind, object := range map[string]any{"Pod": &w.Pods[0], "Service": &w.Services[0], "EndpointSlice": &w.Slices[0], "Deployment": &w.Deployments[0]} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetKind(kind)
		objects = append(objects, u)
	}
	got, err := w.With(append(objects, l2Status("l2-a", "two")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Pods) != 1 || got.Pods[0].Name != w.Pods[0].Name || len(got.Services) != 1 || len(got.Slices) != 1 || len(got.Deployments) != 1 || len(got.Nodes) != 3 {
		t.Errorf("%+v", got)
	}
	if node := got.Announcers[netip.MustParseAddr("172.18.255.1")]; node != "two" || len(w.Pods) != 2 {
		t.Errorf("announced by %q; the snapshot has %d pods", node, len(w.Pods))
	}
	node := &unstructured.Unstructured{Object: map[string]any{"kind": "Node", "metadata": map[string]any{"name": "new"}}}
	if got, err := w.With(append(objects, node)); err != nil || len(got.Nodes) != 1 || got.Nodes[0].Name != "new" {
		t.Errorf("nodes %v, %v", got.Nodes, err)
	}
	objects[0].Object["metadata"] = "nonsense"
	if _, err := w.With(objects); err == nil {
		t.Error("an object that cannot be read is no error")
	}
}

func TestTakeWithoutMetalLB(t *testing.T) {
	client, dyn := clients(false)
	dyn.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("MetalLB's API was called though the cluster has none")
	})
	w, err := Take(context.Background(), client, client.Discovery(), dyn, Facts{}, "demo")
	if err != nil || w.Announcers != nil {
		t.Errorf("announcers %v, %v", w.Announcers, err)
	}
}

// MetalLB in BGP mode reports no node, and so do CRDs that are left of it: that is no address without announcer.
func TestTakeWithoutLayer2(t *testing.T) {
	for _, noLayer2 := range []bool{false, true} {
		client, dyn := clients(true)
		w, err := Take(context.Background(), client, client.Discovery(), dyn, Facts{NoLayer2: noLayer2}, "demo")
		if err != nil || (w.Announcers == nil) != noLayer2 {
			t.Errorf("NoLayer2 %t: announcers %v, %v", noLayer2, w.Announcers, err)
		}
	}
}

func TestTakeFails(t *testing.T) {
	for _, tc := range []struct{ resource, want string }{
		{"nodes", "list nodes"}, {"services", "list services of all namespaces"}, {"services", "list services of namespace demo"}, {"pods", "list pods of namespace demo"},
		{"endpointslices", "list endpointslices of namespace demo"}, {"deployments", "list deployments of namespace demo"},
		{"statefulsets", "list statefulsets of namespace demo"}, {"daemonsets", "list daemonsets of namespace demo"},
		{"servicecidrs", "list servicecidrs"}, {"servicel2statuses", "list servicel2statuses.metallb.io"},
	} {
		client, dyn := clients(true)
		// Services are listed twice at the same time: only one of the two lists fails.
		forbidden := func(action clienttesting.Action) (bool, runtime.Object, error) {
			if tc.resource == "services" && strings.HasSuffix(tc.want, " demo") != (action.GetNamespace() == "demo") {
				return false, nil, nil
			}
			return true, nil, errors.New("forbidden")
		}
		client.PrependReactor("list", tc.resource, forbidden)
		dyn.PrependReactor("list", tc.resource, forbidden)
		_, err := Take(context.Background(), client, client.Discovery(), dyn, Facts{}, "demo")
		if err == nil || !strings.HasPrefix(err.Error(), tc.want+": ") || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("%s: %v", tc.resource, err)
		}
	}
	client, dyn := clients(false)
	if _, err := Take(context.Background(), client, client.Discovery(), dyn, Facts{}); err == nil {
		t.Error("a snapshot of no namespace")
	}
}

func TestClaims(t *testing.T) {
	w := sample()
	w.Nodes[1].Status.Conditions[0].Status = corev1.ConditionFalse
	w = w.WithClaims([]Claim{{"demo/web", "two"}, {"demo/web", "one"}, {"demo/other", "cp"}})
	if got := w.Announcers[netip.MustParseAddr("172.18.255.1")]; got != "two" {
		t.Errorf("announced by %q, want the node that is Ready", got)
	}
	for name, c := range map[string]struct {
		ready corev1.ConditionStatus
	}{"both are Ready": {corev1.ConditionTrue}, "neither is Ready": {corev1.ConditionFalse}} {
		even := sample()
		even.Nodes[1].Status.Conditions[0].Status, even.Nodes[2].Status.Conditions[0].Status = c.ready, c.ready
		even = even.WithClaims([]Claim{{"demo/web", "two"}, {"demo/web", "one"}})
		if got := even.Announcers[netip.MustParseAddr("172.18.255.1")]; got != "one" {
			t.Errorf("%s: announced by %q, want the first by name", name, got)
		}
	}
	if w.Claims[0].Service != "demo/other" || w.Claims[1].Node != "one" {
		t.Errorf("claims %v are not sorted", w.Claims)
	}
	if len(sample().WithClaims(nil).Announcers) != 0 || sample().WithClaims(nil).Announcers == nil {
		t.Error("no claims mean that no node announces, not that the announcer is unknown")
	}
}

// What MetalLB leaves when a speaker took a Service over before the other one had taken its report back.
func TestParseClaim(t *testing.T) {
	labels := map[string]any{"metallb.io/node": "one", "metallb.io/service-name": "web", "metallb.io/service-namespace": "demo"}
	status := map[string]any{"node": "two", "serviceName": "web", "serviceNamespace": "demo"}
	for name, tc := range map[string]struct {
		labels, status map[string]any
		node           string
	}{
		"the label is newer":          {labels, status, "one"},
		"no labels":                   {nil, status, "two"},
		"no status yet":               {labels, nil, "one"},
		"neither":                     {nil, nil, ""},
		"labels that name no service": {map[string]any{"metallb.io/node": "one"}, nil, ""},
	} {
		object := map[string]any{"metadata": map[string]any{"name": "l2-x"}}
		if tc.labels != nil {
			object["metadata"].(map[string]any)["labels"] = tc.labels
		}
		if tc.status != nil {
			object["status"] = tc.status
		}
		claim, ok := ParseClaim(&unstructured.Unstructured{Object: object})
		if ok != (tc.node != "") || ok && claim != (Claim{Service: "demo/web", Node: tc.node}) {
			t.Errorf("%s: got %+v, %v, want node %q", name, claim, ok, tc.node)
		}
	}
}
