package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/dynamic"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fakeCluster has two nodes, and Service demo/web over the pods a and b.
type fakeCluster struct {
	client  *fake.Clientset
	dynamic *fakedynamic.FakeDynamicClient
	// files are what a pod's /proc/net/ has, by "POD FILE"; one that is missing cannot be read.
	files    map[string]string
	facts    error
	vantages error

	lock sync.Mutex
	ran  []string
}

func (c *fakeCluster) Client() kubernetes.Interface { return c.client }
func (c *fakeCluster) Dynamic() dynamic.Interface   { return c.dynamic }

func (c *fakeCluster) Facts(context.Context) (world.Facts, error) {
	return world.Facts{ProxyMode: world.ModeNFTables, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}, DropsStrays: true, PortsDeclared: true,
		PodToNode: world.EgressNode, PodToOutside: world.EgressNode}, c.facts
}

func (c *fakeCluster) Vantages(context.Context) ([]reach.Vantage, error) {
	return []reach.Vantage{
		{Name: "pod/one", Kind: reach.Pod, Node: "one", Namespace: "clients", PodName: "client", Addrs: []netip.Addr{netip.MustParseAddr("10.244.0.200")}},
		{Name: "node/one", Kind: reach.Node, Node: "one", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.2")}}}, c.vantages
}

func (c *fakeCluster) Prober(context.Context, reach.Vantage) (string, error) { return "prober", nil }

func (c *fakeCluster) Exec(_ context.Context, v reach.Vantage, argv []string, _ io.Reader, stdout, _ io.Writer) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.ran = append(c.ran, v.Name+": "+strings.Join(argv, " "))
	if argv[1] == "synced" {
		_, err := io.WriteString(stdout, `{"done":true}`)
		return err
	}
	text, found := c.files[v.PodName+" "+strings.TrimPrefix(argv[1], "/proc/net/")]
	if !found || v.Kind != reach.Pod || v.Namespace != "demo" {
		return errors.New("command terminated with exit code 1")
	}
	_, err := io.WriteString(stdout, text)
	return err
}

func newFakeCluster(metallb bool) *fakeCluster {
	c := &fakeCluster{}
	var objects []runtime.Object
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-x", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new(""), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}}
	for i, name := range []string{"one", "two"} {
		objects = append(objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)}}}})
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: []string{"a", "b"}[i], Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.244.%d.11", i)}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: new(name),
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "demo", Name: pod.Name},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)}})
		objects = append(objects, pod)
	}
	objects = append(objects, slice, clusterIP("demo", "web", "10.96.0.1", 80), clusterIP("kube-system", "kube-dns", "10.96.0.10", 53),
		&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "event"}}, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "event"}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "policy"}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy-1", Labels: map[string]string{"k8s-app": "kube-proxy"}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}})
	c.client = fake.NewClientset(objects...)
	kinds := map[schema.GroupVersionResource]string{world.L2StatusResource(): "ServiceL2StatusList"}
	var balancing []runtime.Object
	if metallb {
		c.client.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{{GroupVersion: "metallb.io/v1beta1"}}
		for resource, kind := range map[string]string{"ipaddresspools": "IPAddressPool", "l2advertisements": "L2Advertisement", "bgpadvertisements": "BGPAdvertisement"} {
			kinds[schema.GroupVersionResource{Group: world.MetalLBGroup, Version: "v1beta1", Resource: resource}] = kind + "List"
		}
		balancing = []runtime.Object{
			metalLB("IPAddressPool", "lab", map[string]any{"addresses": []any{"172.18.255.1-172.18.255.9", "172.18.254.0/28"}}),
			metalLB("L2Advertisement", "l2", map[string]any{"ipAddressPools": []any{"lab"}, "nodeSelectors": []any{map[string]any{"matchLabels": map[string]any{"a": "b"}}}}),
			metalLB("BGPAdvertisement", "bgp", map[string]any{"ipAddressPoolSelectors": []any{map[string]any{"matchLabels": map[string]any{"a": "b"}}}}),
		}
	}
	c.dynamic = fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, balancing...)
	return c
}

func clusterIP(namespace, name, addr string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP,
		ClusterIP: addr, ClusterIPs: []string{addr}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Selector: map[string]string{"app": "web"},
		Ports: []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}}}}
}

func metalLB(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "metallb.io/v1beta1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": "metallb-system"}, "spec": spec}}
}

// refuse makes the API server answer a list with an error.
func refuse(f *clienttesting.Fake, resource string, err error) {
	f.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("not yours"))
}

// asPredicted is a prober that observes what the oracle predicts of a world, except where bent differs.
type asPredicted struct {
	cluster  *fakeCluster
	bent     func(r probe.Request, o *reach.Observation)
	requests []probe.Request
	err      error
}

func (p *asPredicted) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	p.requests = append(p.requests, requests...)
	facts, _ := p.cluster.Facts(ctx)
	facts.NodesUseClusterDNS = true
	w, err := world.Take(ctx, p.cluster.client, p.cluster.client.Discovery(), p.cluster.dynamic, facts, "demo")
	if err != nil {
		return nil, err
	}
	var cells []reach.Cell
	for _, r := range requests {
		cell, want := reach.Cell{Vantage: r.Vantage, Target: r.Target}, oracle.Predict(w, r.Vantage, r.Target)
		for n := range max(r.Min, len(r.Until)) {
			o := reach.Observation{Outcome: want.Outcomes[0], Addresses: want.Addresses}
			if len(want.Backends) > 0 {
				o.Backend = want.Backends[n%len(want.Backends)]
			}
			if len(want.Sources) > 0 {
				o.Source = want.Sources[0].Addr()
			}
			if p.bent != nil {
				p.bent(r, &o)
			}
			cell.Observations = append(cell.Observations, o)
		}
		cells = append(cells, cell)
	}
	return cells, p.err
}

func TestAbout(t *testing.T) {
	c := newFakeCluster(false)
	p := &asPredicted{cluster: c}
	found, err := about(t.Context(), c, "demo/web", Options{Probe: true, Prober: p})
	if err != nil {
		t.Fatal(err)
	}
	if found.Table.Result() != reach.Pass || found.Table.Title != "demo/web" || len(found.Table.Vantages) != 2 || len(found.Table.Cells) < 8 {
		t.Errorf("%s, %d cells: %+v", found.Table.Result(), len(found.Table.Cells), found.Table)
	}
	if found.Service != "demo/web" || len(found.World.Services) != 1 || !found.World.Facts.NodesUseClusterDNS || found.World.Facts.LoadBalancer {
		t.Errorf("%+v", found.World)
	}
	if len(found.Events) != 1 || len(found.Policies) != 1 || len(found.Proxies) != 1 || found.Balancer != nil || len(found.Sockets) != 0 {
		t.Errorf("%d events, %d policies, %d proxies, balancer %v, sockets %v", len(found.Events), len(found.Policies), len(found.Proxies), found.Balancer, found.Sockets)
	}
	if got := strings.Join(c.ran, "; "); got != "node/one: prober synced --wait 3s" {
		t.Errorf("ran %q", got)
	}
	for _, r := range p.requests {
		if byNode := r.Vantage.Kind == reach.Node && r.Target.Kind == reach.DNSName; byNode != (r.DNSServer.String() == "10.96.0.10:53") {
			t.Errorf("%s → %s: DNS server %s", r.Vantage.Name, r.Target.Name(), r.DNSServer)
		}
	}
}

func TestAboutWithoutProbing(t *testing.T) {
	c := newFakeCluster(false)
	p := &asPredicted{cluster: c}
	found, err := about(t.Context(), c, "demo/web", Options{Prober: p})
	if err != nil || len(p.requests) > 0 || len(c.ran) > 0 {
		t.Fatalf("%v; %d requests; ran %v", err, len(p.requests), c.ran)
	}
	if len(found.Events) != 1 || len(found.Table.Cells) < 8 || len(found.Table.Targets) < 3 {
		t.Errorf("%+v", found)
	}
	for _, cell := range found.Table.Cells {
		if cell.Result != reach.Skipped || len(cell.Oracle.Outcomes) == 0 || cell.Why != "only the prediction was asked for" {
			t.Errorf("%+v", cell)
		}
	}
}

func TestAboutAServiceThatIsNotThere(t *testing.T) {
	c := newFakeCluster(false)
	found, err := about(t.Context(), c, "demo/wbe", Options{Probe: true, Prober: &asPredicted{cluster: c}})
	if err != nil || len(found.Table.Cells) > 0 || len(found.World.Pods) != 2 || len(found.Events) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// What refuses at its own address is looked into, where that can be done.
func TestSockets(t *testing.T) { synctest.Test(t, testSockets) }

func testSockets(t *testing.T) {
	c := newFakeCluster(false)
	c.files = map[string]string{"a tcp": tcp, "a udp": udp}
	p := &asPredicted{cluster: c, bent: func(r probe.Request, o *reach.Observation) {
		if r.Target.Kind == reach.Endpoint {
			*o = reach.Observation{Outcome: reach.Refused}
		}
	}}
	found, err := about(t.Context(), c, "demo/web", Options{Probe: true, ReadSockets: true, Prober: p})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(found.Sockets); got != "map[a:[{127.0.0.1 8080 TCP} {0.0.0.0 8081 UDP}]]" {
		t.Errorf("got %s", got)
	}
	if found.Table.Result() != reach.Fail || fmt.Sprint(found.Unread, found.Tried) != "[b] true" {
		t.Errorf("%s, %v could not be read, tried %v", found.Table.Result(), found.Unread, found.Tried)
	}
	for command, times := range map[string]int{"pod a: cat /proc/net/tcp6": 1, "pod b: cat /proc/net/tcp": 1, "pod b: cat /proc/net/tcp6": 0} {
		if n := len(c.ran) - len(slices.DeleteFunc(slices.Clone(c.ran), func(r string) bool { return r == command })); n != times {
			t.Errorf("%d times %q, want %d", n, command, times)
		}
	}
}

func TestWhatMayNotBeRead(t *testing.T) {
	for _, resource := range []string{"events", "networkpolicies"} {
		c := newFakeCluster(false)
		refuse(&c.client.Fake, resource, forbidden(resource))
		found, err := about(t.Context(), c, "demo/web", Options{})
		if err != nil || len(found.Events)+len(found.Policies) != 1 || len(found.Proxies) != 1 {
			t.Errorf("%s: %d events, %d policies, %v", resource, len(found.Events), len(found.Policies), err)
		}
		c = newFakeCluster(false)
		refuse(&c.client.Fake, resource, errors.New("down"))
		if _, err := about(t.Context(), c, "demo/web", Options{}); err == nil || err.Error() != "list "+resource+": down" {
			t.Errorf("%s: %v", resource, err)
		}
	}
	// Pods of the Service's namespace are needed, those of kube-proxy are not.
	for _, broken := range []error{forbidden("pods"), errors.New("down")} {
		c := newFakeCluster(false)
		c.client.PrependReactor("list", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
			return a.GetNamespace() == metav1.NamespaceSystem, nil, broken
		})
		found, err := about(t.Context(), c, "demo/web", Options{})
		if apierrors.IsForbidden(broken) != (err == nil) || len(found.Proxies) > 0 {
			t.Errorf("%v: %d proxies, %v", broken, len(found.Proxies), err)
		}
	}
}

func TestBalancer(t *testing.T) {
	c := newFakeCluster(true)
	found, err := about(t.Context(), c, "demo/web", Options{})
	if err != nil || found.Balancer == nil || !found.World.Facts.LoadBalancer {
		t.Fatalf("%+v, %v", found.Balancer, err)
	}
	want := &explain.Balancer{Pools: []world.Pool{{Name: "lab", Blocks: []string{"172.18.255.1-172.18.255.9", "172.18.254.0/28"}}},
		Advertisements: []explain.Advertisement{{Kind: "L2Advertisement", Name: "l2", Pools: []string{"lab"}, Nodes: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}},
			{Kind: "BGPAdvertisement", Name: "bgp", ByLabel: true}}}
	if got, want := fmt.Sprintf("%+v", *found.Balancer), fmt.Sprintf("%+v", *want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"forbidden":  {forbidden("l2advertisements"), ""},
		"not served": {apierrors.NewNotFound(schema.GroupResource{}, ""), ""},
		"down":       {errors.New("down"), "list MetalLB's l2advertisements: down"},
	} {
		c := newFakeCluster(true)
		refuse(&c.dynamic.Fake, "l2advertisements", tc.err)
		found, err := about(t.Context(), c, "demo/web", Options{})
		if found.Balancer != nil || fmt.Sprint(err) != fmt.Sprint(map[bool]any{true: nil, false: tc.want}[tc.want == ""]) {
			t.Errorf("%s: %+v, %v", name, found.Balancer, err)
		}
	}
	odd := metalLB("L2Advertisement", "odd", map[string]any{"nodeSelectors": "all"})
	if _, err := advertisement(odd); err == nil || !strings.HasPrefix(err.Error(), "read L2Advertisement odd: ") {
		t.Errorf("%v", err)
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, spoil := range map[string]func(c *fakeCluster, p *asPredicted){
		"facts":    func(c *fakeCluster, _ *asPredicted) { c.facts = broken },
		"vantages": func(c *fakeCluster, _ *asPredicted) { c.vantages = broken },
		"snapshot": func(c *fakeCluster, _ *asPredicted) { refuse(&c.client.Fake, "nodes", broken) },
		"prober":   func(_ *fakeCluster, p *asPredicted) { p.err = broken },
	} {
		c := newFakeCluster(false)
		p := &asPredicted{cluster: c}
		spoil(c, p)
		if _, err := about(t.Context(), c, "demo/web", Options{Probe: true, Prober: p}); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "prober" {
			continue
		}
		if _, err := About(t.Context(), c, "demo/web", explain.Intent{}, Options{}); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "look at service demo/web: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found, err := About(t.Context(), newFakeCluster(false), "demo/web", explain.Intent{Port: 80}, Options{}); err != nil || found.Intent.Port != 80 {
		t.Errorf("%+v, %v", found.Intent, err)
	}
}
