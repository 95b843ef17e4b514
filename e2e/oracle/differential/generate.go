package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/world"
)

// The network of all worlds, by IP family:
//
//	node 0, 1, 2     172.18.0.2, .3, .4      fc00::2, ::3, ::4       second address 172.18.1.2, …  fc00:1::2, …
//	pods of node n   10.244.n.0/24           fd00:10:244:n::/64
//	Services         10.96.0.0/16            fd00:10:96::/112
//	load balancers   172.18.255.0/24         fc00::ff00/120
//	outside, host    172.18.0.9, .1          fc00::9, ::1            another host outside: 172.18.0.8, fc00::8
var nodeNames = [...]string{"cp", "one", "two"}

func podRanges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")}
}

func serviceRanges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
}

// hosts are the addresses of host n on the nodes' network, in the families of a world.
func hosts(n int, w world.World) []netip.Addr {
	var addrs []netip.Addr
	for _, r := range w.Facts.ServiceCIDRs {
		addrs = append(addrs, netip.MustParseAddr(inFamily(r.Addr().Is4(), fmt.Sprintf("172.18.0.%d", n), fmt.Sprintf("fc00::%d", n))))
	}
	return addrs
}

func inFamily(four bool, v4, v6 string) string {
	if four {
		return v4
	}
	return v6
}

// generator makes one world.
type generator struct {
	*rand.Rand
	w     world.World
	taken int // numbers of addresses and ports given away
}

// generate makes the i-th world of a seed. It does not depend on the others.
func generate(seed uint64, i int) world.World {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
	g.facts()
	g.nodes()
	g.pods()
	for range 1 + g.IntN(4) {
		g.service()
	}
	g.announcers()
	return g.w.Sorted()
}

// chance is true in n of 100 cases.
func (g *generator) chance(n int) bool { return g.IntN(100) < n }

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

func (g *generator) number() int {
	g.taken++
	return g.taken
}

func (g *generator) facts() {
	f := &g.w.Facts
	g.w.Namespaces = []string{"demo"}
	f.LoadBalancer, f.DropsStrays, f.PortsDeclared = true, g.chance(70), g.chance(85)
	f.PodToNode = pick(g, world.EgressNode, world.EgressNode, world.EgressPod, world.EgressPod, world.EgressUnknown)
	f.PodToOutside = pick(g, world.EgressNode, world.EgressNode, world.EgressPod, world.EgressUnknown)
	f.ServiceCIDRs, f.PodCIDRs = serviceRanges(), podRanges()
	switch g.IntN(6) { // of six: one IPv4, one IPv6, the rest dual-stack
	case 0:
		f.ServiceCIDRs, f.PodCIDRs = f.ServiceCIDRs[:1], f.PodCIDRs[:1]
	case 1:
		f.ServiceCIDRs, f.PodCIDRs = f.ServiceCIDRs[1:], f.PodCIDRs[1:]
	}
	switch roll := g.IntN(100); {
	case roll < 10:
		f.PodCIDRs = nil
	case roll < 15:
		f.PodCIDRs = f.PodCIDRs[:1]
	case roll < 30:
		f.Detection = world.DetectNodeCIDR
	case roll < 35:
		f.Detection = world.DetectUnknown
	}
	f.MasqueradeAll, f.NoLocalhostNodePorts = g.chance(10), g.chance(10)
	switch roll := g.IntN(100); {
	case roll < 6:
		f.NodePortAddresses = []string{"primary"}
	case roll < 12:
		f.NodePortAddresses = []string{"172.18.0.0/24"}
	case roll < 16:
		f.NodePortAddresses = []string{"172.18.1.0/24", "127.0.0.0/8", "fc00:1::/64"}
	case roll < 20:
		f.NodePortAddresses = []string{"0.0.0.0/0", "::/0"}
	case roll < 23:
		f.NodePortAddresses = []string{"192.0.2.0/24"}
	case roll < 26:
		f.NodePortAddresses = []string{pick(g, "localhost", "all"), pick(g, "172.18.1.0/24", "primary")}
	}
	f.Externals = externals(g.w)
	if g.chance(20) {
		f.OutsideRoutes = map[netip.Prefix]string{}
		for _, r := range f.ServiceCIDRs {
			f.OutsideRoutes[r] = pick(g, nodeNames[:]...)
			f.OutsideRoutes[netip.MustParsePrefix(inFamily(r.Addr().Is4(), "203.0.113.0/24", "2001:db8::/64"))] = pick(g, nodeNames[:]...)
		}
	}
	if g.chance(20) {
		f.NodeSources = map[string][]netip.Prefix{"one": {netip.MustParsePrefix("10.244.1.0/32")}, "two": {netip.MustParsePrefix("fd00:10:244:2::/128")}}
	}
}

// externals are the hosts outside of all worlds: one.
func externals(w world.World) []world.External {
	return []world.External{{Name: "example.com", Backend: "outside", Addrs: hosts(8, w), TCP: []uint16{80, 8080}, UDP: []uint16{53}}}
}

// families are those of the world.
func (g *generator) families() []corev1.IPFamily {
	var list []corev1.IPFamily
	for _, r := range g.w.Facts.ServiceCIDRs {
		list = append(list, world.FamilyOf(r.Addr()))
	}
	return list
}

func (g *generator) nodes() {
	second := g.chance(30)
	for i := range nodeNames {
		g.node(i, second)
		if g.chance(10) {
			g.w.Nodes[i].Labels = nil
		}
	}
}

// node adds node i, with one address of each family or two.
func (g *generator) node(i int, second bool) {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeNames[i], Labels: map[string]string{corev1.LabelTopologyZone: [...]string{"a", "a", "b"}[i]}}}
	for _, f := range g.families() {
		four := f == corev1.IPv4Protocol
		n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, inFamily(four, fmt.Sprintf("10.244.%d.0/24", i), fmt.Sprintf("fd00:10:244:%d::/64", i)))
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: inFamily(four, fmt.Sprintf("172.18.0.%d", i+2), fmt.Sprintf("fc00::%d", i+2))})
		if second {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: pick(g, corev1.NodeInternalIP, corev1.NodeExternalIP),
				Address: inFamily(four, fmt.Sprintf("172.18.1.%d", i+2), fmt.Sprintf("fc00:1::%d", i+2))})
		}
	}
	g.w.Nodes = append(g.w.Nodes, n)
}

// pods are five on the pod network and one on a node's. One of them listens on another port.
func (g *generator) pods() {
	for i := range 6 {
		pod := g.pod(string(rune('a'+i)), g.IntN(len(nodeNames)), i == 5)
		if i == 4 {
			pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 9090, Protocol: corev1.ProtocolTCP}}
		}
	}
}

// pod adds a pod that listens on 8080/TCP and 53/UDP.
func (g *generator) pod(name string, node int, host bool) *corev1.Pod {
	n := len(g.w.Pods)
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name},
		Spec: corev1.PodSpec{NodeName: nodeNames[node], HostNetwork: host, Containers: []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{
			{ContainerPort: 8080, Protocol: corev1.ProtocolTCP}, {ContainerPort: 53, Protocol: corev1.ProtocolUDP}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for _, f := range g.families() {
		addr := inFamily(f == corev1.IPv4Protocol, fmt.Sprintf("10.244.%d.%d", node, 10+n), fmt.Sprintf("fd00:10:244:%d::%d", node, 10+n))
		if host {
			addr = inFamily(f == corev1.IPv4Protocol, fmt.Sprintf("172.18.0.%d", node+2), fmt.Sprintf("fc00::%d", node+2))
		}
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: addr})
	}
	g.w.Pods = append(g.w.Pods, pod)
	return &g.w.Pods[n]
}

func (g *generator) service() {
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: fmt.Sprintf("s%d", len(g.w.Services))}}
	s.Spec.Type = pick(g, corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeLoadBalancer)
	s.Spec.IPFamilies = g.families()
	if len(s.Spec.IPFamilies) == 2 {
		switch g.IntN(5) {
		case 0:
			s.Spec.IPFamilies = s.Spec.IPFamilies[:1]
		case 1:
			s.Spec.IPFamilies = s.Spec.IPFamilies[1:]
		case 2:
			slices.Reverse(s.Spec.IPFamilies)
		}
	}
	for _, f := range s.Spec.IPFamilies {
		n := g.number()
		s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, inFamily(f == corev1.IPv4Protocol, fmt.Sprintf("10.96.0.%d", n), fmt.Sprintf("fd00:10:96::%x", n)))
	}
	if g.chance(4) {
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	g.ports(&s)
	g.policies(&s)
	g.externalIPs(&s)
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		g.loadBalancer(&s)
	}
	if g.chance(6) && s.Spec.Type != corev1.ServiceTypeLoadBalancer { // whose address the other proxy serves
		s.Spec.ExternalIPs = nil
		s.Labels = map[string]string{world.ProxyNameLabel: pick(g, "", "other")}
	}
	g.w.Services = append(g.w.Services, s)
	for _, f := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if slices.Contains(s.Spec.IPFamilies, f) || g.chance(10) && slices.Contains(g.families(), f) {
			g.slices(&s, f)
		}
	}
}

func (g *generator) ports(s *corev1.Service) {
	for i := range 1 + g.IntN(2) {
		p := corev1.ServicePort{Name: fmt.Sprintf("p%d", i), Protocol: corev1.ProtocolTCP, Port: int32(80 + i), TargetPort: intstr.FromInt32(8080)}
		if g.chance(20) {
			p.Protocol, p.TargetPort = corev1.ProtocolUDP, intstr.FromInt32(53)
		}
		if g.chance(5) {
			p.Port = 8080 // also where endpoints listen
		}
		if s.Spec.Type != corev1.ServiceTypeClusterIP && (s.Spec.Type != corev1.ServiceTypeLoadBalancer || !g.chance(15)) {
			p.NodePort = int32(30000 + 2*g.number())
		}
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
	if len(s.Spec.Ports) == 2 && s.Spec.Ports[0].Port == s.Spec.Ports[1].Port && s.Spec.Ports[0].Protocol == s.Spec.Ports[1].Protocol {
		s.Spec.Ports = s.Spec.Ports[:1]
	}
	if len(s.Spec.Ports) == 1 && g.chance(50) {
		s.Spec.Ports[0].Name = ""
	}
}

func (g *generator) policies(s *corev1.Service) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	if g.chance(25) {
		s.Spec.InternalTrafficPolicy = &local
	}
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	if g.chance(50) {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
			s.Spec.HealthCheckNodePort = int32(31000 + 2*g.number())
		}
	}
	if g.chance(20) {
		seconds := int32(10800)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	s.Spec.PublishNotReadyAddresses = g.chance(10)
}

// address is one that an external IP or a load balancer may have.
func (g *generator) address(four bool) string {
	node := g.IntN(3) + 2
	switch roll := g.IntN(100); {
	case roll < 50:
		n := g.number()
		return inFamily(four, fmt.Sprintf("172.18.255.%d", n), fmt.Sprintf("fc00::ff%02x", n))
	case roll < 80:
		n := g.number()
		return inFamily(four, fmt.Sprintf("203.0.113.%d", n), fmt.Sprintf("2001:db8::%x", n))
	case roll < 92:
		return inFamily(four, fmt.Sprintf("172.18.0.%d", node), fmt.Sprintf("fc00::%d", node))
	default:
		return inFamily(four, fmt.Sprintf("172.18.1.%d", node), fmt.Sprintf("fc00:1::%d", node))
	}
}

func (g *generator) externalIPs(s *corev1.Service) {
	if !g.chance(30) {
		return
	}
	for _, f := range g.families() {
		for range g.IntN(3) {
			s.Spec.ExternalIPs = append(s.Spec.ExternalIPs, g.address(f == corev1.IPv4Protocol))
		}
	}
	for i := range g.w.Services { // an address of a load balancer's
		for _, ingress := range g.w.Services[i].Status.LoadBalancer.Ingress {
			if g.chance(15) && ingress.IPMode == nil {
				s.Spec.ExternalIPs = append(s.Spec.ExternalIPs, ingress.IP)
			}
		}
	}
}

func (g *generator) loadBalancer(s *corev1.Service) {
	for _, f := range s.Spec.IPFamilies {
		if !g.chance(85) {
			continue
		}
		ingress := corev1.LoadBalancerIngress{IP: g.address(f == corev1.IPv4Protocol)}
		for _, ip := range s.Spec.ExternalIPs {
			if g.chance(15) && strings.Contains(ip, ":") == (f == corev1.IPv6Protocol) {
				ingress.IP = ip
			}
		}
		mode := pick(g, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy)
		if g.chance(50) && !slices.Contains(s.Spec.ExternalIPs, ingress.IP) { // else the mode would decide nothing
			ingress.IPMode = &mode
		}
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, ingress)
	}
	for g.chance(40) && len(s.Spec.LoadBalancerSourceRanges) < 3 {
		s.Spec.LoadBalancerSourceRanges = append(s.Spec.LoadBalancerSourceRanges, pick(g, "172.18.0.9/32", "172.18.0.0/30", "172.18.0.0/16", "10.244.0.0/16",
			"10.244.1.0/24", " 192.0.2.0/24 ", "0.0.0.0/0", "fc00::9/128", "fc00::/112", "fd00:10:244::/56", "2001:db8:1::/64", "::/0"))
	}
}

// slices are the EndpointSlices of a Service in one IP family: mostly as the controller makes them, else as only people do.
func (g *generator) slices(s *corev1.Service, family corev1.IPFamily) {
	four := family == corev1.IPv4Protocol
	zones, nodes := g.chance(20), g.chance(20)
	for i := range pick(g, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2) {
		slice := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(family),
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: fmt.Sprintf("%s-%s-%d", s.Name, inFamily(four, "v4", "v6"), i), Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}}}
		if g.chance(4) {
			slice.Labels[corev1.IsHeadlessService] = ""
		}
		for _, p := range s.Spec.Ports {
			slice.Ports = append(slice.Ports, g.endpointPort(p))
		}
		order := g.Perm(len(g.w.Pods))
		for j := range g.IntN(5) {
			if g.chance(3) {
				order[j] = order[0] // listed twice
			}
			e := g.endpoint(four, &g.w.Pods[order[j]])
			if zones && g.chance(95) {
				e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: pick(g, "a", "b")}}}
			}
			if nodes && g.chance(95) {
				if e.Hints == nil {
					e.Hints = &discoveryv1.EndpointHints{}
				}
				e.Hints.ForNodes = []discoveryv1.ForNode{{Name: pick(g, nodeNames[:]...)}}
			}
			slice.Endpoints = append(slice.Endpoints, e)
		}
		g.w.Slices = append(g.w.Slices, slice)
	}
}

func (g *generator) endpointPort(p corev1.ServicePort) discoveryv1.EndpointPort {
	name, protocol, number := p.Name, p.Protocol, p.TargetPort.IntVal
	port := discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
	switch roll := g.IntN(100); {
	case roll < 3:
		name = "other"
	case roll < 5:
		protocol = pick(g, corev1.ProtocolTCP, corev1.ProtocolUDP)
	case roll < 7:
		port.Port = nil
	case roll < 10:
		number = pick[int32](g, 8080, 9090, 53)
	}
	return port
}

func (g *generator) endpoint(four bool, pod *corev1.Pod) discoveryv1.Endpoint {
	yes, no := true, false
	e, node := ofPod(pod, four), pod.Spec.NodeName
	e.NodeName = nil
	switch roll := g.IntN(100); {
	case roll < 70:
	case roll < 78:
		e.TargetRef = nil
	case roll < 86:
		e.TargetRef, e.Addresses = nil, []string{pick(g, inFamily(four, "172.18.0.8", "fc00::8"), inFamily(four, "192.0.2.7", "2001:db8:7::7"), inFamily(four, "172.18.0.3", "fc00::3"))}
	case roll < 93:
		node = ""
	default:
		node = pick(g, nodeNames[:]...)
	}
	if node != "" {
		e.NodeName = &node
	}
	switch roll := g.IntN(100); {
	case roll < 45:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}
	case roll < 55:
	case roll < 70:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
	case roll < 80:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &yes}
	case roll < 90:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &no}
	default:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &yes, Serving: &no, Terminating: pick(g, &yes, &no)}
	}
	return e
}

// announcers say which node announces which load-balancer address: nothing says it, or some are announced.
func (g *generator) announcers() {
	if g.chance(15) {
		return
	}
	g.w.Announcers = map[netip.Addr]string{}
	for i := range g.w.Services {
		for _, ingress := range world.Ingresses(&g.w.Services[i]) {
			if g.chance(85) {
				g.w.Announcers[ingress.Addr] = pick(g, nodeNames[:]...)
			}
		}
	}
}
