package table

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// dual is addressed with a Service and a pod that have addresses of both IP families.
func dual() Site {
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

// A Service that lost an IP family which the cluster has fails a table that is for each family, and no other.
func TestTableForEachFamily(t *testing.T) {
	clusterIP := scenario.Kinds{reach.ClusterIP}
	table := scenario.Table{Services: []string{"my-service"}, Kinds: clusterIP, From: scenario.Strings{"pod"},
		Extra: []scenario.Extra{{Kind: reach.LoadBalancer, Service: "my-service", Host: "{loadBalancerIPs:my-service}", Port: 82}},
		Rows: []scenario.Row{{From: scenario.Strings{"pod"}, To: scenario.To{Kind: clusterIP}},
			{From: scenario.Strings{"pod"}, To: scenario.To{Kind: clusterIP, Undeclared: true}},
			{From: scenario.Strings{"pod"}, To: scenario.To{Kind: scenario.Kinds{reach.LoadBalancer}, Family: "IPv4"}},
			{From: scenario.Strings{"pod"}, To: scenario.To{Kind: scenario.Kinds{reach.LoadBalancer}, Family: "IPv6"}}}}
	single, lost := dual(), dual()
	single.World.Facts.ServiceCIDRs = single.World.Facts.ServiceCIDRs[:1]
	for _, s := range []*Site{&single, &lost} {
		s.World.Services[0].Spec.ClusterIPs = s.World.Services[0].Spec.ClusterIPs[:1]
		s.World.Services[0].Spec.IPFamilies = s.World.Services[0].Spec.IPFamilies[:1]
	}
	for name, c := range map[string]struct {
		site  Site
		each  bool
		want  reach.Result
		cells int
	}{
		"both there":              {dual(), true, reach.Pass, 6},
		"one lost":                {lost, true, reach.Fail, 4},
		"one lost, and allowed":   {lost, false, reach.Pass, 4},
		"the cluster has no more": {single, true, reach.Pass, 4},
	} {
		table.EachFamily = c.each
		g, err := c.site.Match(table)
		if reach.ResultOf(err) != c.want || len(g.Cells) != c.cells {
			t.Errorf("%s: %d cells, %v; want %d, %s", name, len(g.Cells), err, c.cells, c.want)
		}
	}
}

// An unknown load balancer may give a Service that prefers both families an address of one family only.
func TestLoadBalancerOfOneFamily(t *testing.T) {
	balancer := scenario.Kinds{reach.LoadBalancer}
	table := scenario.Table{Services: []string{"my-service"}, Kinds: balancer, EachFamily: true,
		Rows: []scenario.Row{{From: scenario.Strings{"pod"}, To: scenario.To{Kind: balancer}}}}
	known := dual()
	known.World.Services[0].Status.LoadBalancer.Ingress = known.World.Services[0].Status.LoadBalancer.Ingress[:1]
	unknown := known
	unknown.World.Announcers = nil
	for name, c := range map[string]struct {
		site Site
		want reach.Result
	}{"MetalLB": {known, reach.Fail}, "another one": {unknown, reach.Pass}} {
		if _, err := c.site.Match(table); reach.ResultOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
