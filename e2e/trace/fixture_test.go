package trace

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// lab is a cluster of two nodes, with pods a on one and b on two behind demo/web.
func lab(mode string) world.World {
	w := world.World{Namespaces: []string{"demo"}, Facts: world.Facts{ProxyMode: mode, DropsStrays: true, PortsDeclared: true,
		Slots:    map[string]string{"one": "lab-one", "two": "lab-two"},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		PodToNode: world.EgressNode, PodToOutside: world.EgressNode}}
	slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}}
	for i, slot := range []string{"one", "two"} {
		node, pod, client := "lab-"+slot, string(rune('a'+i)), "client-"+slot
		w.Nodes = append(w.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i+1)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)}},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
		for n, name := range []string{pod, client} {
			addr := fmt.Sprintf("10.244.%d.%d", i+1, n+10)
			w.Pods = append(w.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name},
				Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}}},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: addr}},
					Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
					ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}})
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.244.%d.10", i+1)}, NodeName: &node,
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "demo", Name: pod},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true)}})
	}
	w.Slices = append(w.Slices, slice)
	w.Services = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), NodePort: 30080, Protocol: corev1.ProtocolTCP}}}}}
	return w.Sorted()
}

func vantages() []reach.Vantage {
	return []reach.Vantage{
		{Name: "pod/one", Kind: reach.Pod, Node: "lab-one", Namespace: "demo", PodName: "client-one", Addrs: []netip.Addr{netip.MustParseAddr("10.244.1.11")}},
		{Name: "node/one", Kind: reach.Node, Node: "lab-one"},
		{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}},
	}
}

// path is what healthy kernels see of a way, and what the client observes.
func path(way oracle.Way) (list []Visit, seen reach.Observation) {
	seen.Outcome = way.Outcomes[0]
	var v *Visit
	port := uint16(40000)
	at := func(h oracle.Hop) Station {
		s := Station{Hook: h.Hook, Dst: h.Packet.Dst}
		if len(h.Packet.Src) > 0 {
			s.Src = netip.AddrPortFrom(h.Packet.Src[0].Addr(), port)
		}
		return s
	}
	for _, h := range way.Hops {
		switch h.Kind {
		case oracle.HopEnter:
			list = append(list, Visit{Node: h.At, Reply: h.Reply, Protocol: "TCP", Flags: flags(h.Reply, seen.Outcome), In: "in", Out: "eth0",
				Stations: []Station{at(h), at(h)}})
			v = &list[len(list)-1]
		case oracle.HopMatch:
			for i, name := range h.Chains {
				r := Rule{Hook: v.entered().Hook, Table: h.Table, Chain: name, Handle: uint64(i + 1), Verdict: "accept"}
				if i+1 < len(h.Chains) {
					r.Verdict, r.To = "goto", h.Chains[i+1]
				}
				v.Rules = append(v.Rules, r)
			}
		case oracle.HopDNAT:
			v.Stations[1].Dst = h.Packet.Dst
		case oracle.HopRoute, oracle.HopLeave:
			v.Stations = append(v.Stations, at(h))
		case oracle.HopPod:
			if seen.Outcome == reach.Reached {
				seen.Backend, seen.Source = h.At, h.Packet.Src[0].Addr()
			}
		case oracle.HopEnd:
			if v != nil && (h.Verdict == oracle.EndDropped || h.Verdict == oracle.EndRejected) {
				r := Rule{Hook: "forward", Table: h.Table, Chain: "guard", Handle: 9, Verdict: "drop"}
				if len(h.Chains) > 0 {
					r.Chain = h.Chains[0]
				}
				v.Rules, v.Drop = append(v.Rules, r), &r
			}
		}
	}
	return list, seen
}

func flags(reply bool, o reach.Outcome) string {
	switch {
	case !reply:
		return "S"
	case o == reach.Refused:
		return "RA"
	}
	return "SA"
}

// drops has a visit end at a rule in its first hook.
func drops(list []Visit, node string, reply bool) []Visit {
	i := slices.IndexFunc(list, func(v Visit) bool { return v.Node == node && v.Reply == reply })
	r := Rule{Hook: "prerouting", Table: "inet mutant", Chain: "raw", Handle: 7, Verdict: "drop"}
	list[i].Stations, list[i].Drop, list[i].Rules = list[i].Stations[:1], &r, []Rule{r}
	return list[:i+1]
}
