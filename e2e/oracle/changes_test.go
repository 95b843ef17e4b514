package oracle

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Changes to the fixture that more than one group of cases makes.

// deletedAt is a deletion timestamp.
func deletedAt() *metav1.Time { return ptr(metav1.NewTime(time.Unix(1700000000, 0))) }

func routes(prefix, node string) map[netip.Prefix]string {
	return map[netip.Prefix]string{netip.MustParsePrefix(prefix): node}
}

// elsewhere adds a Service of a namespace whose endpoints are not known.
func (f *fixture) elsewhere() {
	s := webService()
	s.Namespace, s.Name = "other", "api"
	s.Spec.ClusterIP, s.Spec.ClusterIPs = "10.96.0.99", []string{"10.96.0.99"}
	s.Spec.Ports[0].NodePort = 30099
	s.Status.LoadBalancer.Ingress[0].IP = "172.18.255.9"
	f.Elsewhere = append(f.Elsewhere, s)
}

// secondAddress gives node one another address of its own.
func (f *fixture) secondAddress() {
	f.Nodes[1].Status.Addresses = append(f.Nodes[1].Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "172.18.1.3"})
}

// externalName turns the Service into an ExternalName.
func (f *fixture) externalName(target string) {
	f.web().Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: target}
	f.web().Status = corev1.ServiceStatus{}
	f.Slices = nil
}

// headless turns the Service into a headless one.
func (f *fixture) headless() {
	f.web().Spec.Type = corev1.ServiceTypeClusterIP
	f.web().Spec.ClusterIP, f.web().Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
	f.web().Spec.Ports[0].NodePort = 0
	f.web().Status = corev1.ServiceStatus{}
}

// targetPort sends the Service's port to another number on its endpoints.
func (f *fixture) targetPort(number int32) {
	for i := range f.Slices {
		f.Slices[i].Ports[0].Port = ptr(number)
	}
}

// overUDP makes the Service's port, and its endpoints', UDP. The pods go on listening on TCP.
func overUDP(f *fixture) {
	f.web().Spec.Ports[0].Protocol = corev1.ProtocolUDP
	for i := range f.Slices {
		f.Slices[i].Ports[0].Protocol = ptr(corev1.ProtocolUDP)
	}
}

// byHand leaves the Service one endpoint, with neither pod nor node.
func (f *fixture) byHand(addr string, port int32) {
	f.Slices = f.Slices[:1]
	f.Slices[0].Endpoints = []discoveryv1.Endpoint{{Addresses: []string{addr}}}
	f.targetPort(port)
}

// local sets externalTrafficPolicy Local.
func (f *fixture) local() {
	f.web().Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	f.web().Spec.HealthCheckNodePort = 30200
}

// notReady makes a node not Ready.
func (f *fixture) notReady(name string) {
	for i := range f.Nodes {
		if f.Nodes[i].Name == name {
			f.Nodes[i].Status.Conditions[0].Status = corev1.ConditionUnknown
		}
	}
}

// hint sets an endpoint's hints.
func (f *fixture) hint(pod, zone, node string) {
	f.each(pod, func(e *discoveryv1.Endpoint) {
		e.Hints = &discoveryv1.EndpointHints{}
		if zone != "" {
			e.Hints.ForZones = []discoveryv1.ForZone{{Name: zone}}
		}
		if node != "" {
			e.Hints.ForNodes = []discoveryv1.ForNode{{Name: node}}
		}
	})
}

// announce moves the load-balancer address to a node.
func (f *fixture) announce(node string) {
	f.Announcers = map[netip.Addr]string{netip.MustParseAddr(lbIP): node}
}

// sourceOf gives a node a further address for what it masquerades.
func (f *fixture) sourceOf(node, prefix string) {
	f.Facts.NodeSources = map[string][]netip.Prefix{node: {netip.MustParsePrefix(prefix)}}
}
