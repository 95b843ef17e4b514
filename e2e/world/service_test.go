package world

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What the fields of a Service mean for kube-proxy and for clients outside.
func TestServiceKinds(t *testing.T) {
	for name, c := range map[string]struct {
		change                                     func(*corev1.ServiceSpec)
		proxied, external, externalLocal, itpLocal bool
		healthPort                                 uint16
	}{
		"ClusterIP":    {func(*corev1.ServiceSpec) {}, true, false, false, false, 0},
		"headless":     {func(s *corev1.ServiceSpec) { s.ClusterIP, s.ClusterIPs = "None", []string{"None"} }, false, false, false, false, 0},
		"ExternalName": {func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeExternalName }, false, false, false, false, 0},
		"external IPs": {func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"203.0.113.9"} }, true, true, true, false, 0},
		"NodePort":     {func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }, true, true, true, false, 0},
		"LoadBalancer": {func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeLoadBalancer }, true, true, true, false, 30200},
		"policy Cluster": {func(s *corev1.ServiceSpec) {
			s.Type, s.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, "Cluster"
		}, true, true, false, false, 0},
		"internal Local":   {func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }, true, false, false, true, 0},
		"internal Cluster": {func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyCluster) }, true, false, false, false, 0},
	} {
		s := corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.10", HealthCheckNodePort: 30200,
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal}}
		c.change(&s.Spec)
		if Proxied(&s) != c.proxied || ExternallyAccessible(&s) != c.external || ExternalLocal(&s) != c.externalLocal || InternalLocal(&s) != c.itpLocal || HealthCheckPort(&s) != c.healthPort {
			t.Errorf("%s: proxied %t, external %t, Local %t, internal Local %t, health check port %d", name, Proxied(&s), ExternallyAccessible(&s), ExternalLocal(&s), InternalLocal(&s), HealthCheckPort(&s))
		}
	}
}

func TestIngresses(t *testing.T) {
	s := corev1.Service{Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
		{IP: "172.18.255.1"}, {IP: "172.18.255.2", IPMode: ptr(corev1.LoadBalancerIPModeVIP)}, {IP: "172.18.255.3", IPMode: ptr(corev1.LoadBalancerIPModeProxy)}, {Hostname: "lb.example.com"}}}}}
	var proxy []bool
	for _, ingress := range Ingresses(&s) {
		proxy = append(proxy, ingress.Proxy)
	}
	if !slices.Equal(proxy, []bool{false, false, true}) {
		t.Errorf("ipMode Proxy: %v", proxy)
	}
}

func TestFamilies(t *testing.T) {
	s := corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10"}}
	if got := Families(&s); !slices.Equal(got, []corev1.IPFamily{corev1.IPv4Protocol}) {
		t.Errorf("without ipFamilies: %v", got)
	}
	s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
	if got := Families(&s); !slices.Equal(got, s.Spec.IPFamilies) {
		t.Errorf("ipFamilies: %v", got)
	}
	v4, v6 := netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")
	facts := Facts{PodCIDRs: []netip.Prefix{v6, v4}, ServiceCIDRs: []netip.Prefix{v4}}
	if got, ok := facts.PodRange(netip.MustParseAddr("192.0.2.1")); !ok || got != v4 {
		t.Errorf("pod range of IPv4: %v, %t", got, ok)
	}
	for family, want := range map[string]bool{"": true, "IPv4": true, "IPv6": false} {
		if facts.HasFamily(family) != want || (Facts{}).HasFamily(family) != (family == "") {
			t.Errorf("HasFamily(%q) is not %t", family, want)
		}
	}
}
