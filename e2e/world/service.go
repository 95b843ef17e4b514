package world

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Headless reports whether a Service asks for no ClusterIP.
func Headless(s *corev1.Service) bool {
	return s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ClusterIP == corev1.ClusterIPNone
}

// ProxyNameLabel on a Service names another proxy that serves it. kube-proxy leaves it alone, whatever the value.
const ProxyNameLabel = "service.kubernetes.io/service-proxy-name"

// Proxied says whether kube-proxy handles a Service: it has a ClusterIP, is not an ExternalName, and is not left to another
// proxy.
func Proxied(s *corev1.Service) bool {
	_, other := s.Labels[ProxyNameLabel]
	return !other && s.Spec.Type != corev1.ServiceTypeExternalName && len(ClusterIPs(s)) > 0
}

// ClusterIPs are a Service's virtual addresses, at most one per IP family.
func ClusterIPs(s *corev1.Service) []netip.Addr {
	texts := s.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{s.Spec.ClusterIP}
	}
	return parseAddrs(texts)
}

// Families are the IP families a Service is served in.
func Families(s *corev1.Service) []corev1.IPFamily {
	if len(s.Spec.IPFamilies) > 0 {
		return s.Spec.IPFamilies
	}
	var families []corev1.IPFamily
	for _, addr := range ClusterIPs(s) {
		families = append(families, FamilyOf(addr))
	}
	return families
}

// ExternalIPs are the addresses of spec.externalIPs in the families the Service is served in.
func ExternalIPs(s *corev1.Service) []netip.Addr {
	return slices.DeleteFunc(parseAddrs(s.Spec.ExternalIPs), func(addr netip.Addr) bool {
		return !slices.ContainsFunc(ClusterIPs(s), func(c netip.Addr) bool { return c.Is4() == addr.Is4() })
	})
}

// Ingress is one address a load balancer gave a Service.
type Ingress struct {
	Addr netip.Addr
	// Proxy: the load balancer delivers to the node itself (ipMode Proxy), so kube-proxy leaves the address
	// alone. Otherwise packets arrive with it as their destination (ipMode VIP).
	Proxy bool
}

// Ingresses are the addresses load balancers gave a Service.
func Ingresses(s *corev1.Service) []Ingress {
	var list []Ingress
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		if addr, err := netip.ParseAddr(ingress.IP); err == nil {
			proxy := ingress.IPMode != nil && *ingress.IPMode == corev1.LoadBalancerIPModeProxy
			list = append(list, Ingress{Addr: addr.Unmap(), Proxy: proxy})
		}
	}
	return list
}

// BalancerAddrs are the addresses of Ingresses.
func BalancerAddrs(s *corev1.Service) []netip.Addr {
	var list []netip.Addr
	for _, ingress := range Ingresses(s) {
		list = append(list, ingress.Addr)
	}
	return list
}

// ExternallyAccessible says whether a Service has any address meant for clients outside the cluster. Only
// then does its externalTrafficPolicy matter.
func ExternallyAccessible(s *corev1.Service) bool {
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeClusterIP, "":
		return len(s.Spec.ExternalIPs) > 0
	default:
		return false
	}
}

// ExternalLocal says whether traffic from outside goes only to endpoints of the node it arrives at.
func ExternalLocal(s *corev1.Service) bool {
	return ExternallyAccessible(s) && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// InternalLocal says whether traffic to the ClusterIP goes only to endpoints of the client's node.
func InternalLocal(s *corev1.Service) bool {
	return s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
}

// HealthCheckPort is the port at which each node reports whether it has endpoints of the Service; 0 without one.
func HealthCheckPort(s *corev1.Service) uint16 {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || !ExternalLocal(s) {
		return 0
	}
	return uint16(s.Spec.HealthCheckNodePort)
}

func parseAddrs(texts []string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}
