package world

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestIdentity(t *testing.T) {
	long := strings.Repeat("a", 62) + ".bcd"
	for _, tc := range []struct {
		name   string
		change func(*corev1.Pod)
		want   string
	}{
		{"name", func(*corev1.Pod) {}, "a"},
		{"hostname", func(p *corev1.Pod) { p.Spec.Hostname = "web-0" }, "web-0"},
		{"override", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.HostnameOverride = "web-0", ptr("x.example") }, "x.example"},
		{"host network", func(p *corev1.Pod) { p.Spec.HostNetwork, p.Spec.Hostname = true, "web-0" }, "one"},
		{"cut", func(p *corev1.Pod) { p.Name = long }, strings.Repeat("a", 62)},
	} {
		pod := samplePod("a", "one", "10.244.1.11")
		tc.change(&pod)
		if got := Identity(&pod); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestListensOn(t *testing.T) {
	stop := func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
	}
	for _, tc := range []struct {
		name     string
		change   func(*corev1.Pod)
		port     uint16
		protocol corev1.Protocol
		strict   bool
		want     Listening
	}{
		{"declared", nil, 8080, corev1.ProtocolTCP, true, Listens},
		{"another port, strictly", nil, 80, corev1.ProtocolTCP, true, ListensNot},
		{"another port", nil, 80, corev1.ProtocolTCP, false, ListensMaybe},
		{"another protocol", nil, 8080, corev1.ProtocolUDP, true, ListensNot},
		{"second port", func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = append([]corev1.ContainerPort{{ContainerPort: 9000}}, p.Spec.Containers[0].Ports...)
		}, 8080, corev1.ProtocolTCP, true, Listens},
		{"waiting", func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}}}
		}, 8080, corev1.ProtocolTCP, true, ListensNot},
		{"state not reported", func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app"}} }, 8080, corev1.ProtocolTCP, true, Listens},
		{"nothing declared", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil }, 80, corev1.ProtocolTCP, true, Listens},
		{"nothing declared, nothing runs", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil; stop(p) }, 80, corev1.ProtocolTCP, true, ListensNot},
		{"not running", stop, 8080, corev1.ProtocolTCP, true, ListensNot},
		{"annotated", func(p *corev1.Pod) { p.Annotations = map[string]string{ListensAnnotation: "80/TCP, 81/UDP"} }, 81, corev1.ProtocolUDP, false, Listens},
		{"annotated differently", func(p *corev1.Pod) { p.Annotations = map[string]string{ListensAnnotation: "80/TCP"} }, 8080, corev1.ProtocolTCP, false, ListensNot},
		{"sidecar", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{ContainerPort: 9000}}}}
		}, 9000, corev1.ProtocolTCP, true, Listens},
		{"init container", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "s", Ports: []corev1.ContainerPort{{ContainerPort: 9000}}}}
		}, 9000, corev1.ProtocolTCP, true, ListensNot},
	} {
		pod := samplePod("a", "one", "10.244.1.11")
		if tc.change != nil {
			tc.change(&pod)
		}
		got, why := ListensOn(&pod, tc.port, tc.protocol, tc.strict)
		if got != tc.want || (why.Format == "") != (got == Listens) {
			t.Errorf("%s: %v (%s), want %v", tc.name, got, why, tc.want)
		}
	}
}

func TestWhyNothingListens(t *testing.T) {
	for annotation, want := range map[string]string{"": "pod a listens on nothing", "none": "pod a listens on nothing", "80/TCP": "pod a listens on 80/TCP only"} {
		pod := samplePod("a", "one", "10.244.1.11")
		pod.Annotations = map[string]string{ListensAnnotation: annotation}
		if _, why := ListensOn(&pod, 8080, corev1.ProtocolTCP, true); why.String() != want {
			t.Errorf("%q: %q, want %q", annotation, why, want)
		}
	}
}

func TestPodAddrs(t *testing.T) {
	pod := samplePod("a", "one", "10.244.1.11")
	pod.Status.PodIP = "10.244.1.11"
	if got := PodAddrs(&pod); len(got) != 1 {
		t.Errorf("podIPs and podIP: %v", got)
	}
	pod.Status.PodIPs = nil
	if got := PodAddrs(&pod); len(got) != 1 || got[0].String() != "10.244.1.11" {
		t.Errorf("podIP only: %v", got)
	}
	pod.Status.PodIP = ""
	if got := PodAddrs(&pod); got != nil {
		t.Errorf("no address yet: %v", got)
	}
}

func TestResolveTargetPort(t *testing.T) {
	pod := samplePod("a", "one", "10.244.1.11")
	for _, tc := range []struct {
		target   intstr.IntOrString
		protocol corev1.Protocol
		want     uint16
		ok       bool
	}{
		{intstr.FromString("http"), corev1.ProtocolTCP, 8080, true},
		{intstr.FromString("http"), "", 8080, true},
		{intstr.FromString("http"), corev1.ProtocolUDP, 0, false},
		{intstr.FromString("8080"), corev1.ProtocolTCP, 0, false},
		{intstr.FromInt32(9), corev1.ProtocolTCP, 9, true},
		{intstr.IntOrString{}, corev1.ProtocolTCP, 80, true},
	} {
		got, ok := ResolveTargetPort(&pod, corev1.ServicePort{Port: 80, TargetPort: tc.target, Protocol: tc.protocol})
		if got != tc.want || ok != tc.ok {
			t.Errorf("%s/%s: %d %v, want %d %v", tc.target.String(), tc.protocol, got, ok, tc.want, tc.ok)
		}
	}
}

func TestEndpoints(t *testing.T) {
	w := sample()
	slice := w.Slices[0]
	unknown := sampleEndpoint("c", "one", "10.244.1.13")
	unknown.Conditions = discoveryv1.EndpointConditions{}
	empty := sampleEndpoint("d", "one", "")
	empty.Addresses = nil
	slice.Endpoints = append(slice.Endpoints, unknown, empty)
	reused := *slice.DeepCopy() // an address that a pod which is going has handed on
	reused.Endpoints = reused.Endpoints[:1]
	reused.Endpoints[0].TargetRef.Name, reused.Endpoints[0].Conditions = "old", discoveryv1.EndpointConditions{Ready: ptr(false), Terminating: ptr(true)}
	nameless := *slice.DeepCopy()
	nameless.Ports[0].Name = nil
	nameless.Endpoints[0].Addresses = []string{"10.244.9.9"}

	for _, order := range [][]discoveryv1.EndpointSlice{{slice, reused}, {reused, slice}} {
		if first := Endpoints(order, "http", corev1.ProtocolTCP)[0]; first.Pod != "a" {
			t.Errorf("the address of a is %s's, which is going", first.Pod)
		}
	}
	got := Endpoints([]discoveryv1.EndpointSlice{slice, reused, nameless}, "http", corev1.ProtocolTCP)
	if len(got) != 3 || got[0].Pod != "a" || !got[0].Ready || got[0].Port != 8080 || got[0].Node != "one" {
		t.Errorf("%+v", got)
	}
	if c := got[1]; c.Pod != "c" || !c.Ready || !c.Serving || c.Terminating {
		t.Errorf("conditions that are not set: %+v", c)
	}
	several := *slice.DeepCopy()
	several.Ports = append([]discoveryv1.EndpointPort{{Name: ptr("other"), Port: ptr(int32(1)), Protocol: ptr(corev1.ProtocolTCP)},
		{Name: ptr("http"), Port: ptr(int32(2)), Protocol: ptr(corev1.ProtocolUDP)}}, several.Ports...)
	several.Endpoints = append([]discoveryv1.Endpoint{empty}, several.Endpoints...)
	several.Endpoints[1].TargetRef = nil
	several.Endpoints[2].TargetRef.Kind = "VirtualMachine"
	if list := Endpoints([]discoveryv1.EndpointSlice{several}, "http", corev1.ProtocolTCP); len(list) != 3 || list[0].Port != 8080 || list[0].Pod != "" || list[2].Pod != "" {
		t.Errorf("among other ports, two endpoints that are no pods: %+v", list)
	}
	if list := Endpoints([]discoveryv1.EndpointSlice{reused}, "http", corev1.ProtocolTCP); len(list) != 1 || !list[0].Terminating {
		t.Errorf("only a terminating endpoint: %+v", list)
	}
	if other := Endpoints([]discoveryv1.EndpointSlice{slice}, "http", corev1.ProtocolUDP); len(other) != 0 {
		t.Errorf("another protocol: %+v", other)
	}
	slice.Ports[0].Port = nil
	if none := Endpoints([]discoveryv1.EndpointSlice{slice}, "http", corev1.ProtocolTCP); len(none) != 0 {
		t.Errorf("addresses without a port: %+v", none)
	}
	if names := Addresses([]discoveryv1.EndpointSlice{slice, reused}); len(names) != 3 {
		t.Errorf("addresses of the name: %+v", names)
	}
	slice.Endpoints[1].Conditions.Ready = ptr(false)
	if names := Addresses([]discoveryv1.EndpointSlice{slice}); len(names) != 2 {
		t.Errorf("addresses of the name, one of them not ready: %+v", names)
	}
}

func TestDashedAddr(t *testing.T) {
	for addr, want := range map[string]string{"10.244.1.11": "10-244-1-11", "fd00::11": "fd00--11", "fd00::": "fd00--0"} {
		if got := DashedAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestServes(t *testing.T) {
	for _, tc := range []struct {
		facts Facts
		class *string
		want  bool
	}{
		{Facts{}, nil, false},
		{Facts{LoadBalancer: true}, nil, true},
		{Facts{LoadBalancer: true}, ptr("x"), false},
		{Facts{LoadBalancer: true, LoadBalancerClass: "x"}, ptr("x"), true},
		{Facts{LoadBalancer: true, LoadBalancerClass: "x"}, nil, false},
	} {
		if got := tc.facts.Serves(tc.class); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestNodeAddresses(t *testing.T) {
	node := corev1.Node{Spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24", "fd00:10:244:1::/64"}}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeExternalIP, Address: "198.51.100.3"}, {Type: corev1.NodeHostName, Address: "one"},
		{Type: corev1.NodeInternalIP, Address: "172.18.0.3"}, {Type: corev1.NodeInternalIP, Address: "172.19.0.3"}}}}
	if addr, ok := PrimaryAddr(&node, corev1.IPv4Protocol); !ok || addr.String() != "172.18.0.3" {
		t.Errorf("primary address %s", addr)
	}
	if addr, ok := PrimaryAddr(&node, corev1.IPv6Protocol); ok {
		t.Errorf("primary IPv6 address %s", addr)
	}
	if got := Gateways(&node); len(got) != 2 || got[0].String() != "10.244.1.1" || got[1].String() != "fd00:10:244:1::1" {
		t.Errorf("gateways %v", got)
	}
	old := corev1.Node{Spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24"}}
	if got := Gateways(&old); len(got) != 1 || got[0].String() != "10.244.1.1" {
		t.Errorf("gateways by podCIDR alone: %v", got)
	}
	if got := NodeAddrs(&node); len(got) != 3 {
		t.Errorf("addresses %v", got)
	}
	if !NodeReady(&node) {
		t.Error("a node without conditions is not ready")
	}
}
