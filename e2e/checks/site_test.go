package checks

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// small is a site with two nodes, a pod on each, and a third pod that is not ready.
func small() table.Site {
	pod := func(name, node string, ready corev1.ConditionStatus) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", Labels: map[string]string{"app": "my-app"}},
			Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	node := func(name, addr, cidr string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr}}}}
	}
	going := pod("d", "n1", corev1.ConditionTrue)
	going.DeletionTimestamp = &metav1.Time{}
	elsewhere := pod("e", "n1", corev1.ConditionTrue)
	elsewhere.Namespace = "other"
	return table.Site{Namespace: "ns", World: world.World{
		Facts: world.Facts{ProxyMode: "nftables", Slots: map[string]string{"worker": "n1", "worker2": "n2"}},
		Nodes: []corev1.Node{node("n1", "172.18.0.3", "10.244.1.0/24"), node("n2", "172.18.0.4", "10.244.2.0/24")},
		Pods: []corev1.Pod{pod("a", "n1", corev1.ConditionTrue), pod("b", "n2", corev1.ConditionTrue),
			pod("c", "n2", corev1.ConditionFalse), going, elsewhere},
		Announcers: map[netip.Addr]string{netip.MustParseAddr("172.18.255.1"): "n2"},
	}, Vantages: []reach.Vantage{{Name: "host", Kind: reach.Host, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.1")}}}}
}

var (
	onPod     = reach.Vantage{Name: "pod/worker", Kind: reach.Pod, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.244.1.9")}}
	onOutside = reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}}
)

// addressed is small with addresses for pod a and a Service.
func addressed() table.Site {
	s := small()
	s.World.Pods[0].Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.7"}}
	s.World.Services = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "my-service", Namespace: "ns"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9"}}}}
	return s
}

// dual is addressed with a Service and a pod that have addresses of both IP families.
func dual() table.Site {
	s := addressed()
	s.World.Facts.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}
	s.World.Pods[0].Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.7"}, {IP: "fd00:1::7"}}
	service := &s.World.Services[0].Spec
	service.ClusterIPs = []string{"10.96.0.9", "fd00:96::9"}
	service.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	service.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	s.World.Services[0].Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.1"}, {IP: "fd00::1:1"}}
	s.Vantages = []reach.Vantage{onPod}
	return s
}
