package oracle

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// The cluster of the tests: three nodes, two of them running a pod each of an app behind demo/web, which has
// every kind of address. Dual-stack, though most cases use IPv4.
//
//	node cp       172.18.0.2  zone a  pods 10.244.0.0/24  client-cp 10.244.0.9
//	node one      172.18.0.3  zone a  pods 10.244.1.0/24  client-one 10.244.1.9  a 10.244.1.11
//	node two      172.18.0.4  zone b  pods 10.244.2.0/24  client-two 10.244.2.9  b 10.244.2.12
//	outside       172.18.0.9
//	demo/web      10.96.0.10:80 → 8080, nodePort 30080, load balancer 172.18.255.1
const (
	webIP, webIP6 = "10.96.0.10", "fd00:10:96::10"
	lbIP          = "172.18.255.1"
	extIP         = "203.0.113.7"
	cp, one, two  = "172.18.0.2", "172.18.0.3", "172.18.0.4"
	gw1, gw2      = "10.244.1.1", "10.244.2.1"
	pod1, pod2    = "10.244.1.9", "10.244.2.9"
	outsideIP     = "172.18.0.9"
)

// fixture is a world in the making.
type fixture struct {
	world.World
}

func newFixture() *fixture {
	f := &fixture{}
	f.Namespaces = []string{"demo"}
	f.Facts = world.Facts{
		ProxyMode:    world.ModeNFTables,
		PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")},
		LoadBalancer: true, DropsStrays: true, PortsDeclared: true,
		PodToNode: world.EgressNode, PodToOutside: world.EgressNode,
		Externals: []world.External{{Name: "example.com", Addrs: []netip.Addr{netip.MustParseAddr(outsideIP)}, Backend: "outside", TCP: []uint16{80, 443}}},
	}
	for i, name := range []string{"cp", "one", "two"} {
		zone := "a"
		if name == "two" {
			zone = "b"
		}
		f.Nodes = append(f.Nodes, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}},
			Spec:       corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i), fmt.Sprintf("fd00:10:244:%d::/64", i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)},
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fc00::%d", i+2)},
				{Type: corev1.NodeHostName, Address: name},
			}, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		})
	}
	f.pod("a", "one", 11)
	f.pod("b", "two", 12)
	f.Services = append(f.Services, webService())
	f.slice("web", "a", "b")
	f.Announcers = map[netip.Addr]string{netip.MustParseAddr(lbIP): "one"}
	return f
}

func webService() corev1.Service {
	return corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: webIP, ClusterIPs: []string{webIP, webIP6},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Selector:   map[string]string{"app": "web"},
			Ports:      []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), NodePort: 30080, Protocol: corev1.ProtocolTCP}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: lbIP}}}},
	}
}

// web is the Service that most cases change.
func (f *fixture) web() *corev1.Service { return &f.Services[0] }

// second adds demo/other, which has the port of demo/web at an address of its own, and no endpoints.
func (f *fixture) second() *corev1.Service {
	s := *f.web().DeepCopy()
	s.Name, s.Spec.ClusterIP, s.Spec.ClusterIPs, s.Spec.Type = "other", "10.96.0.11", []string{"10.96.0.11"}, corev1.ServiceTypeClusterIP
	s.Spec.Ports[0].NodePort, s.Status.LoadBalancer.Ingress = 0, nil
	f.Services = append(f.Services, s)
	return &f.Services[len(f.Services)-1]
}

// slicesNamed makes the slices of a Service with pods, next to those that there are.
func (f *fixture) slicesNamed(service string, pods ...string) []discoveryv1.EndpointSlice {
	kept := f.Slices
	f.slice(service, pods...)
	made := f.Slices
	f.Slices = kept
	return made
}

// pod adds a running pod that declares 8080/TCP, at host number n of its node's pod ranges.
func (f *fixture) pod(name, node string, n int) *corev1.Pod {
	i := map[string]int{"cp": 0, "one": 1, "two": 2}[node]
	f.Pods = append(f.Pods, corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app",
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			PodIPs:            []corev1.PodIP{{IP: fmt.Sprintf("10.244.%d.%d", i, n)}, {IP: fmt.Sprintf("fd00:10:244:%d::%d", i, n)}},
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
	})
	return &f.Pods[len(f.Pods)-1]
}

// hostPod adds a host-network pod to a node.
func (f *fixture) hostPod(name, node string) {
	pod := f.pod(name, node, 1)
	pod.Spec.HostNetwork = true
	pod.Status.PodIPs = []corev1.PodIP{{IP: map[string]string{"cp": cp, "one": one, "two": two}[node]}}
}

func (f *fixture) byName(name string) *corev1.Pod {
	for i := range f.Pods {
		if f.Pods[i].Name == name {
			return &f.Pods[i]
		}
	}
	panic("no pod " + name)
}

// slice replaces the EndpointSlices of a Service by ones that list the pods as ready, at 8080/TCP as "http".
func (f *fixture) slice(service string, pods ...string) {
	f.Slices = nil
	for i, kind := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		s := discoveryv1.EndpointSlice{AddressType: kind,
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: service + string(kind), Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			Ports:      []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}}}
		for _, name := range pods {
			pod := f.byName(name)
			if i < len(pod.Status.PodIPs) {
				s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
					Addresses:  []string{pod.Status.PodIPs[i].IP},
					Conditions: discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(true), Terminating: ptr(false)},
					NodeName:   ptr(pod.Spec.NodeName), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "demo", Name: name},
				})
			}
		}
		f.Slices = append(f.Slices, s)
	}
}

// each changes the endpoint of a pod in every slice.
func (f *fixture) each(pod string, change func(*discoveryv1.Endpoint)) {
	for i := range f.Slices {
		for j := range f.Slices[i].Endpoints {
			if e := &f.Slices[i].Endpoints[j]; e.TargetRef != nil && e.TargetRef.Name == pod {
				change(e)
			}
		}
	}
}

func (f *fixture) unready(pods ...string) {
	for _, pod := range pods {
		f.each(pod, func(e *discoveryv1.Endpoint) { e.Conditions.Ready, e.Conditions.Serving = ptr(false), ptr(false) })
	}
}

func (f *fixture) terminating(pods ...string) {
	for _, pod := range pods {
		f.each(pod, func(e *discoveryv1.Endpoint) { e.Conditions.Ready, e.Conditions.Terminating = ptr(false), ptr(true) })
	}
}

// vantage makes a vantage by the short names of the cases: "pod/one", "node/two", "outside", "host"; "a" is the
// pod of that name.
func vantage(name string) reach.Vantage {
	kind, slot, _ := strings.Cut(name, "/")
	i := map[string]string{"cp": "0", "one": "1", "two": "2", "three": "3"}[slot]
	switch kind {
	case "pod":
		return reach.Vantage{Name: name, Kind: reach.Pod, Node: slot, Namespace: "clients", PodName: "client-" + slot, Addrs: addrs("10.244."+i+".9", "fd00:10:244:"+i+"::9")}
	case "node":
		return reach.Vantage{Name: name, Kind: reach.Node, Node: slot, Addrs: addrs(map[string]string{"cp": cp, "one": one, "two": two}[slot])}
	case "outside":
		return reach.Vantage{Name: name, Kind: reach.Outside, Addrs: addrs(outsideIP, "fc00::9")}
	case "host":
		return reach.Vantage{Name: name, Kind: reach.Host, Addrs: addrs("172.18.0.1", "fc00::1")}
	case "v4pod":
		return reach.Vantage{Name: name, Kind: reach.Pod, Node: "one", Namespace: "clients", PodName: "v4", Addrs: addrs(pod1)}
	case "bare":
		return reach.Vantage{Name: name, Kind: reach.Pod, Node: "one", Namespace: "clients", PodName: "bare"}
	case "known":
		return reach.Vantage{Name: name, Kind: reach.Pod, Namespace: "demo", PodName: "a"}
	case "hostpod":
		return reach.Vantage{Name: name, Kind: reach.Pod, Node: "cp", Namespace: "demo", PodName: "h"}
	case "a":
		return reach.Vantage{Name: name, Kind: reach.Pod, Node: "one", Namespace: "demo", PodName: "a", Addrs: addrs("10.244.1.11", "fd00:10:244:1::11")}
	default:
		panic("no vantage " + name)
	}
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// at makes a target of "host:port" or "host:port/UDP".
func at(hostPort string) reach.Target {
	text, protocol, _ := strings.Cut(hostPort, "/")
	i := strings.LastIndex(text, ":")
	t := reach.Target{Service: "demo/web", Host: strings.Trim(text[:i], "[]"), Protocol: reach.TCP}
	if protocol != "" {
		t.Protocol = reach.Protocol(protocol)
	}
	if _, err := fmt.Sscan(text[i+1:], &t.Port); err != nil {
		panic(err)
	}
	t.Kind = reach.ClusterIP
	if _, err := netip.ParseAddr(t.Host); err != nil {
		t.Kind = reach.DNSName
	}
	return t
}

func ptr[T any](v T) *T { return &v }
