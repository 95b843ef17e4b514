package main

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/world"
)

// shape is a world made by hand: it once had a defect of the oracle, or has what an exception is for.
type shape struct {
	name   string
	change func(b *builder)
}

// builder begins with a plain dual-stack world: the Service web of type LoadBalancer, whose pods are a on one and b on two.
type builder struct {
	w   world.World
	web *corev1.Service
}

func shapes() []shape {
	return []shape{
		{"plain", func(*builder) {}},
		{"affinity", func(b *builder) { b.affinity() }},
		{"loopback node port, policy Local, no endpoint on a node", func(b *builder) { b.local() }},
		{"external IP of another node, no endpoints", func(b *builder) { b.w.Slices = nil; b.web.Spec.ExternalIPs = []string{"172.18.0.4", "fc00::4"} }},
		{"external IP that is the load balancer's, with source ranges", func(b *builder) {
			b.web.Spec.ExternalIPs = []string{"172.18.255.1", "fc00::ff01"}
			b.web.Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24", "2001:db8:1::/64"}
		}},
		{"left to another proxy", func(b *builder) {
			b.web.Labels, b.web.Status.LoadBalancer.Ingress = map[string]string{world.ProxyNameLabel: "other"}, nil
		}},
		{"slices labelled headless", func(b *builder) {
			b.slices(func(s *discoveryv1.EndpointSlice) { s.Labels[corev1.IsHeadlessService] = "" })
		}},
		{"a node whose only endpoint is in a slice labelled headless", func(b *builder) { // migrate had taken all nodes for equal
			b.local()
			b.web.Status.LoadBalancer.Ingress = nil
			b.copySlices("-hidden", func(*discoveryv1.Endpoint) {})
			c := b.w.Pods[0]
			c.Name, c.Spec.NodeName, c.Status.PodIPs = "c", "cp", []corev1.PodIP{{IP: "10.244.0.13"}, {IP: "fd00:10:244::13"}}
			b.w.Pods = append(b.w.Pods, c)
			b.slices(func(s *discoveryv1.EndpointSlice) { // a and c are endpoints, b is hidden
				if strings.HasSuffix(s.Name, "-hidden") {
					s.Labels = map[string]string{discoveryv1.LabelServiceName: "web", corev1.IsHeadlessService: ""}
					s.Endpoints = s.Endpoints[1:]
				} else {
					s.Endpoints[1] = ofPod(&c, s.AddressType == discoveryv1.AddressTypeIPv4)
				}
			})
		}},
		{"a pod listed twice, at two ports", func(b *builder) { // another endpoint of its node sees its own address
			b.w.Pods[1] = b.w.Pods[0]
			b.w.Pods[1].Name, b.w.Pods[1].Status.PodIPs = "b", []corev1.PodIP{{IP: "10.244.1.12"}, {IP: "fd00:10:244:1::12"}}
			b.slices(func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[1] = ofPod(&b.w.Pods[1], s.AddressType == discoveryv1.AddressTypeIPv4)
			})
			b.copySlices("again", func(*discoveryv1.Endpoint) {})
			b.slices(func(s *discoveryv1.EndpointSlice) {
				if strings.HasSuffix(s.Name, "again") {
					number := int32(9090)
					s.Endpoints, s.Ports[0].Port = s.Endpoints[:1], &number
				}
			})
			b.w.Facts.PortsDeclared = false
		}},
		{"no local detection", func(b *builder) { b.w.Facts.PodCIDRs = nil; b.local(); b.routes() }},
		{"pods by their node's range", func(b *builder) { b.w.Facts.Detection = world.DetectNodeCIDR; b.local(); b.kept() }},
		{"pods by their interfaces", func(b *builder) { b.w.Facts.Detection = world.DetectUnknown; b.local(); b.kept(); b.routes() }},
		{"masqueradeAll", func(b *builder) { b.w.Facts.MasqueradeAll = true }},
		{"no node ports on the loopback", func(b *builder) { b.w.Facts.NoLocalhostNodePorts = true }},
		{"node ports at the primary addresses", func(b *builder) { b.second(); b.w.Facts.NodePortAddresses = []string{"primary"} }},
		{"node ports at second addresses", func(b *builder) {
			b.second()
			b.local()
			b.w.Facts.NodePortAddresses = []string{"172.18.1.0/24", "fc00:1::/64"}
		}},
		{"second addresses, health checks", func(b *builder) { b.second(); b.local() }},
		{"slices with another port name", func(b *builder) {
			b.local()
			b.slices(func(s *discoveryv1.EndpointSlice) { name := "other"; s.Ports[0].Name = &name })
		}},
		{"slices with another node than the pod's", func(b *builder) {
			b.local()
			b.endpoints(func(e *discoveryv1.Endpoint) { cp := "cp"; e.NodeName = &cp })
		}},
		{"hairpin across nodes, addresses kept", func(b *builder) { b.local(); b.kept() }},
		{"hairpin across nodes, and a host endpoint that the slices place on another node", func(b *builder) { // migrate had taken one and two for equal
			b.local()
			b.kept()
			b.web.Status.LoadBalancer.Ingress = nil
			b.slices(func(s *discoveryv1.EndpointSlice) {
				e, cp := ofPod(&b.w.Pods[2], s.AddressType == discoveryv1.AddressTypeIPv4), "cp"
				e.NodeName = &cp
				s.Endpoints = append(s.Endpoints, e)
			})
		}},
		{"endpoints outside, placed on a node", func(b *builder) {
			b.endpoints(func(e *discoveryv1.Endpoint) {
				four := netip.MustParseAddr(e.Addresses[0]).Is4()
				e.TargetRef, e.Addresses = nil, []string{inFamily(four, "172.18.0.8", "fc00::8")}
			})
		}},
		{"host endpoints, no local detection", func(b *builder) { b.w.Facts.PodCIDRs = nil; b.hostEndpoints() }},
		{"terminating endpoints only", func(b *builder) {
			b.local()
			b.endpoints(func(e *discoveryv1.Endpoint) {
				ready, yes := false, true
				e.Conditions.Ready, e.Conditions.Terminating = &ready, &yes
			})
		}},
		{"two Services at one address and port", func(b *builder) { // kube-proxy serves the one or the other
			b.web.Spec.ExternalIPs = []string{"203.0.113.1", "2001:db8::1"}
			for i := range 8 { // more than a few, so that the order differs
				s := b.add(fmt.Sprintf("other%d", i), 20+i)
				s.Spec.Type, s.Spec.ExternalIPs = corev1.ServiceTypeClusterIP, b.web.Spec.ExternalIPs
				s.Spec.Ports[0].NodePort, s.Status.LoadBalancer.Ingress = 0, nil
			}
		}},
		{"an external IP that is another Service's load balancer's, no endpoints", func(b *builder) { // migrate had taken all nodes for equal
			s := b.add("other", 20)
			s.Spec.Ports[0].Protocol = corev1.ProtocolUDP
			b.w.Slices, b.web.Status.LoadBalancer.Ingress = nil, nil
			b.web.Spec.Type, b.web.Spec.Ports[0].NodePort = corev1.ServiceTypeClusterIP, 0
			b.web.Spec.ExternalIPs = []string{"172.18.255.1", "fc00::ff01"}
		}},
		{"an endpoint in two slices that disagree", func(b *builder) {
			for i := range 8 {
				b.copySlices(fmt.Sprintf("again%d", i), func(e *discoveryv1.Endpoint) { e.Conditions.Ready, e.Conditions.Serving = new(bool), new(bool) })
			}
		}},
		{"an endpoint listed twice, once terminating", func(b *builder) {
			b.copySlices("again", func(e *discoveryv1.Endpoint) {
				yes := true
				e.Conditions = discoveryv1.EndpointConditions{Ready: new(bool), Serving: &yes, Terminating: &yes}
			})
		}},
		{"220 ready endpoints, in slices of at most 100", func(b *builder) { b.many(220) }},
		{"an endpoint that is a Service's address", func(b *builder) {
			b.hostEndpoints()
			s := b.add("other", 20)
			s.Spec.Type, s.Spec.ExternalIPs = corev1.ServiceTypeClusterIP, []string{"172.18.0.3", "fc00::3"}
			s.Spec.Ports[0].Port, s.Spec.Ports[0].NodePort, s.Status.LoadBalancer.Ingress = 8080, 0, nil
		}},
		{"health checks of one family", func(b *builder) {
			b.local()
			b.web.Spec.ClusterIPs, b.web.Spec.IPFamilies = b.web.Spec.ClusterIPs[:1], b.web.Spec.IPFamilies[:1]
		}},
	}
}

func (s shape) world() world.World {
	g := &generator{}
	g.w.Namespaces = []string{"demo"}
	g.w.Facts = world.Facts{LoadBalancer: true, DropsStrays: true, PortsDeclared: true, PodToNode: world.EgressNode, PodToOutside: world.EgressNode,
		PodCIDRs: podRanges(), ServiceCIDRs: serviceRanges()}
	g.w.Facts.Externals = externals(g.w)
	for i := range nodeNames {
		g.node(i, false)
	}
	g.pod("a", 1, false)
	g.pod("b", 2, false)
	g.pod("h", 1, true)
	b := &builder{w: g.w}
	b.web = b.add("web", 10)
	for _, four := range []bool{true, false} {
		name, number, protocol := "http", int32(8080), corev1.ProtocolTCP
		slice := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(inFamily(four, "IPv4", "IPv6")),
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-" + inFamily(four, "v4", "v6"), Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &protocol}}}
		for i := range 2 {
			slice.Endpoints = append(slice.Endpoints, ofPod(&b.w.Pods[i], four))
		}
		b.w.Slices = append(b.w.Slices, slice)
	}
	b.w.Announcers = map[netip.Addr]string{netip.MustParseAddr("172.18.255.1"): "one", netip.MustParseAddr("fc00::ff01"): "two"}
	s.change(b)
	if n := len(b.w.Services); n > 0 {
		b.w.Services[0] = *b.web
	}
	return b.w.Sorted()
}

// add adds a Service with a number of its own. The first one is b.web's copy.
func (b *builder) add(name string, n int) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer,
		ClusterIPs: []string{fmt.Sprintf("10.96.0.%d", n), fmt.Sprintf("fd00:10:96::%d", n)}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyCluster,
		Ports:                 []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8080), NodePort: int32(30000 + n)}}}}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.1"}, {IP: "fc00::ff01"}}
	b.w.Services = append(b.w.Services, *s)
	if name != "web" {
		return &b.w.Services[len(b.w.Services)-1]
	}
	return s
}

func (b *builder) local() {
	b.web.Spec.ExternalTrafficPolicy, b.web.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 31000
}

func (b *builder) affinity() {
	seconds := int32(10800)
	b.web.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	b.web.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
}

// kept lets pods keep their addresses on the way to other nodes.
func (b *builder) kept() { b.w.Facts.PodToNode = world.EgressPod }

// routes gives the client outside a route to the Service ranges, through two.
func (b *builder) routes() {
	b.w.Facts.OutsideRoutes = map[netip.Prefix]string{}
	for _, r := range serviceRanges() {
		b.w.Facts.OutsideRoutes[r] = "two"
	}
}

// second gives each node a second address of each family.
func (b *builder) second() {
	for i := range b.w.Nodes {
		for _, addr := range []string{fmt.Sprintf("172.18.1.%d", i+2), fmt.Sprintf("fc00:1::%d", i+2)} {
			b.w.Nodes[i].Status.Addresses = append(b.w.Nodes[i].Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr})
		}
	}
}

func (b *builder) slices(change func(*discoveryv1.EndpointSlice)) {
	for i := range b.w.Slices {
		change(&b.w.Slices[i])
	}
}

func (b *builder) endpoints(change func(*discoveryv1.Endpoint)) {
	b.slices(func(s *discoveryv1.EndpointSlice) {
		for i := range s.Endpoints {
			change(&s.Endpoints[i])
		}
	})
}

// copySlices adds a changed copy of web's slices.
func (b *builder) copySlices(name string, change func(*discoveryv1.Endpoint)) {
	for i := range b.w.Slices {
		if s := b.w.Slices[i].DeepCopy(); s.Name == "web-v4" || s.Name == "web-v6" {
			s.Name += name
			for j := range s.Endpoints {
				change(&s.Endpoints[j])
			}
			b.w.Slices = append(b.w.Slices, *s)
		}
	}
}

// many gives web n more pods, and lists them as ready, as the EndpointSlice controller does: at most 100 in a slice.
func (b *builder) many(n int) {
	g := &generator{w: b.w}
	first := len(g.w.Pods)
	for i := range n {
		g.pod(fmt.Sprintf("m%03d", i), 1+i%2, false)
	}
	b.w = g.w
	for _, like := range b.w.Slices {
		for i, pod := range b.w.Pods[first:] {
			if i%100 == 0 {
				s := like.DeepCopy()
				s.Name, s.Endpoints = fmt.Sprintf("%s-%d", like.Name, i), nil
				b.w.Slices = append(b.w.Slices, *s)
			}
			last := &b.w.Slices[len(b.w.Slices)-1]
			last.Endpoints = append(last.Endpoints, ofPod(&pod, last.AddressType == discoveryv1.AddressTypeIPv4))
		}
	}
}

// hostEndpoints puts the host-network pod in the place of a.
func (b *builder) hostEndpoints() {
	b.slices(func(s *discoveryv1.EndpointSlice) {
		s.Endpoints[0] = ofPod(&b.w.Pods[2], s.AddressType == discoveryv1.AddressTypeIPv4)
	})
}

// ofPod lists a pod as ready.
func ofPod(pod *corev1.Pod, four bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{NodeName: &pod.Spec.NodeName, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "demo", Name: pod.Name}}
	for _, addr := range world.PodAddrs(pod) {
		if addr.Is4() == four {
			e.Addresses = []string{addr.String()}
		}
	}
	return e
}
