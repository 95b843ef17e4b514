package fuzz

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

const testNamespace = "svclab-fuzz-test"

func testFacts(dual bool) world.Facts {
	f := world.Facts{ProxyMode: world.ModeNFTables, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}, LoadBalancer: true, DropsStrays: true, PortsDeclared: true,
		PodToNode: world.EgressNode, PodToOutside: world.EgressNode, NodesUseClusterDNS: true,
		Externals: []world.External{{Name: "example.com", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}, Backend: "outside", TCP: []uint16{80}}}}
	if dual {
		f.PodCIDRs = append(f.PodCIDRs, netip.MustParsePrefix("fd00:10:244::/56"))
		f.ServiceCIDRs = append(f.ServiceCIDRs, netip.MustParsePrefix("fd00:10:96::/112"))
	}
	return f
}

func testNodes() []corev1.Node {
	var nodes []corev1.Node
	for i, name := range []string{"cp", "one", "two"} {
		nodes = append(nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i), fmt.Sprintf("fd00:10:244:%d::/64", i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)},
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fc00::%d", i+2)}}}})
	}
	return nodes
}

func testScene(dual bool) Scene { return SceneOf(testNamespace, testFacts(dual), testNodes()) }

func testVantages() []reach.Vantage {
	list := []reach.Vantage{{Name: "outside", Kind: reach.Outside, Addrs: addrs("172.18.0.9", "fc00::9")}, {Name: "host", Kind: reach.Host, Addrs: addrs("172.18.0.1", "fc00::1")}}
	for i, node := range []string{"cp", "one", "two"} {
		list = append(list,
			reach.Vantage{Name: "pod/" + node, Kind: reach.Pod, Node: node, Namespace: "clients", PodName: "client-" + node,
				Addrs: addrs(fmt.Sprintf("10.244.%d.200", i), fmt.Sprintf("fd00:10:244:%d::200", i))},
			reach.Vantage{Name: "node/" + node, Kind: reach.Node, Node: node, Addrs: addrs(fmt.Sprintf("172.18.0.%d", i+2))})
	}
	return list
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// model is a sandbox without a cluster: it does what the API server, the controllers and MetalLB do.
type model struct {
	facts   world.Facts
	nodes   []corev1.Node
	pods    []corev1.Pod
	now     world.World
	applied int
}

func newModel(plan Plan, dual bool) *model {
	return &model{facts: testFacts(dual), nodes: testNodes(), pods: plan.Pods}
}

func (m *model) snapshot(context.Context) (world.World, error) { return m.now, nil }

func (m *model) apply(ctx context.Context, cases []Case, in func(string) bool) (string, error) {
	m.applied++
	to := State{Cases: cases, Pods: map[string]PodState{}}
	for i := range m.pods {
		if name := m.pods[i].Name; in != nil && !in(name) {
			to.Pods[name] = PodState{Apart: true}
		}
	}
	_, err := m.move(ctx, to)
	return "", err
}

func (m *model) settle(context.Context) (string, error) { return "", nil }

func (m *model) move(_ context.Context, to State) ([]string, error) {
	w := world.World{Facts: m.facts, Namespaces: []string{testNamespace}, Nodes: m.nodes, Announcers: map[netip.Addr]string{}}
	for i := range m.pods {
		if state := to.Pods[m.pods[i].Name]; !state.Gone {
			w.Pods = append(w.Pods, m.run(i, state))
		}
	}
	for i, c := range to.Cases {
		s := c.Service.DeepCopy()
		m.complete(s, i)
		w.Services = append(w.Services, *s)
		w.Slices = append(w.Slices, c.Slices(s, w.Pods)...)
		if len(s.Spec.Selector) > 0 {
			w.Slices = append(w.Slices, selected(s, w.Pods)...)
		}
		for _, ingress := range world.Ingresses(s) {
			w.Announcers[ingress.Addr] = "one"
		}
	}
	m.now = w.Sorted()
	return []string{"moved"}, nil
}

// run is a pod as the kubelet reports it.
func (m *model) run(i int, state PodState) corev1.Pod {
	pod := *m.pods[i].DeepCopy()
	pod.Spec.NodeName = pod.Spec.NodeSelector[corev1.LabelHostname]
	if state.Apart {
		pod.Labels = nil
	}
	if state.Leaving {
		pod.DeletionTimestamp = ptr(metav1.Now())
	}
	n := slices.Index([]string{"cp", "one", "two"}, pod.Spec.NodeName)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.244.%d.%d", n, 10+i)}, {IP: fmt.Sprintf("fd00:10:244:%d::%d", n, 10+i)}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: map[bool]corev1.ConditionStatus{true: corev1.ConditionFalse, false: corev1.ConditionTrue}[never(&pod) || state.Unready]}}}
	return pod
}

// complete is what the API server and the load balancer add to the i-th Service.
func (m *model) complete(s *corev1.Service, i int) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if s.Spec.IPFamilies == nil {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if policy := s.Spec.IPFamilyPolicy; policy != nil && *policy != corev1.IPFamilyPolicySingleStack && len(s.Spec.IPFamilies) == 1 {
		other := map[corev1.IPFamily]corev1.IPFamily{corev1.IPv4Protocol: corev1.IPv6Protocol, corev1.IPv6Protocol: corev1.IPv4Protocol}
		s.Spec.IPFamilies = []corev1.IPFamily{s.Spec.IPFamilies[0], other[s.Spec.IPFamilies[0]]}
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
	} else {
		s.Spec.ClusterIPs = nil
		for _, family := range s.Spec.IPFamilies {
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, fmt.Sprintf(map[corev1.IPFamily]string{corev1.IPv4Protocol: "10.96.1.%d", corev1.IPv6Protocol: "fd00:10:96::1%d"}[family], i+1))
		}
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	for k := range s.Spec.Ports {
		p := &s.Spec.Ports[k]
		if p.TargetPort.String() == "0" {
			p.TargetPort.IntVal = p.Port
		}
		if s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer && (s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts) {
			p.NodePort = int32(30100 + 10*i + k)
		}
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("172.18.255.%d", i+1)}}
		if s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
			s.Spec.HealthCheckNodePort = int32(32000 + i)
		}
	}
}

// selected are the slices the controller makes of a selector: one for each set of port numbers.
func selected(s *corev1.Service, pods []corev1.Pod) []discoveryv1.EndpointSlice {
	var list []discoveryv1.EndpointSlice
	for _, family := range world.Families(s) {
		byPorts := map[string]*discoveryv1.EndpointSlice{}
		for i := range pods {
			pod := &pods[i]
			if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
				continue
			}
			var ports []discoveryv1.EndpointPort
			for _, p := range s.Spec.Ports {
				if number, ok := world.ResolveTargetPort(pod, p); ok {
					ports = append(ports, discoveryv1.EndpointPort{Name: ptr(p.Name), Port: ptr(int32(number)), Protocol: ptr(p.Protocol)})
				}
			}
			key := ""
			for _, p := range ports {
				key += p.String()
			}
			if byPorts[key] == nil {
				byPorts[key] = &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(family), Ports: ports, ObjectMeta: metav1.ObjectMeta{
					Namespace: s.Namespace, Name: fmt.Sprintf("%s-%s-%d", s.Name, family, len(byPorts)), Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}}}
			}
			for _, addr := range world.PodAddrs(pod) {
				if world.FamilyOf(addr) == family {
					ready, leaving := world.Ready(pod), pod.DeletionTimestamp != nil
					byPorts[key].Endpoints = append(byPorts[key].Endpoints, discoveryv1.Endpoint{Addresses: []string{addr.String()}, NodeName: ptr(pod.Spec.NodeName),
						TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod.Name, Namespace: pod.Namespace},
						Conditions: discoveryv1.EndpointConditions{Ready: ptr(ready && !leaving || s.Spec.PublishNotReadyAddresses), Serving: ptr(ready), Terminating: ptr(leaving)}})
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(byPorts)) {
			list = append(list, *byPorts[key])
		}
	}
	return list
}

// obedient is a prober on a model: it observes what the oracle predicts, except where bent differs.
type obedient struct {
	model         *model
	bent          func(w world.World, r probe.Request, p *reach.Prediction)
	probed, calls int
	waited        int // for kube-proxy
}

func (o *obedient) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	predict := oracle.New(o.model.now)
	var cells []reach.Cell
	o.calls++
	for _, r := range requests {
		o.probed++
		p := predict.Predict(r.Vantage, r.Target)
		if o.bent != nil {
			o.bent(o.model.now, r, &p)
		}
		cell := reach.Cell{Vantage: r.Vantage, Target: r.Target}
		for i := range max(r.Min, len(p.Backends), 1) {
			seen := reach.Observation{Outcome: p.Outcomes[0], CNAME: p.CNAME, Addresses: p.Addresses, HostSeen: p.HostSeen}
			if seen.Outcome == reach.Reached && len(p.Backends) > 0 {
				seen.Backend = p.Backends[i%len(p.Backends)]
				if p.Sticky {
					seen.Backend = p.Backends[0]
				}
			}
			if len(p.Sources) > 0 {
				seen.Source = p.Sources[0].Addr()
			}
			cell.Observations = append(cell.Observations, seen)
		}
		cells = append(cells, cell)
	}
	return cells, nil
}
