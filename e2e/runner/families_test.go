package runner

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// A table may have rows for an IP family that only some clusters have, and for no other kind of cell that is not there.
func TestRowsOfAFamilyThatIsNotThere(t *testing.T) {
	const table = `
tables:
  reach:
    app: app=my-app
    kinds: clusterIP
    from: pod
    rows:
      - {from: pod, to: {kind: clusterIP, family: IPv4}, outcome: Reached, by: all}
      - {from: pod, to: {kind: clusterIP, undeclared: true}, outcome: Refused}
      - {from: pod, to: {kind: FAMILY}, outcome: Refused}
`
	for row, want := range map[string]string{
		"localhost, family: IPv6": "",
		"localhost, family: IPv4": "is about no cell",
		"localhost":               "is about no cell",
	} {
		_, _, r := lab(t)
		v := one(t, r, loaded(t, "families", "", deployAndLook, strings.Replace(table, "FAMILY", row, 1)))
		if (v.Result == reach.Pass) != (want == "") || !strings.Contains(results(v), want) {
			t.Errorf("%s: %s", row, results(v))
		}
	}
}

func TestNodeAddressesOfAFamily(t *testing.T) {
	node := corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "172.18.0.3"}, {Type: corev1.NodeInternalIP, Address: "fd00::3"}}}}
	node.Name = "lab-worker"
	where := site{world: world.World{Nodes: []corev1.Node{node}, Facts: world.Facts{Slots: map[string]string{"worker": "lab-worker"},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}}}
	for text, want := range map[string]string{"{nodeIP:worker}": "172.18.0.3", "[{nodeIPv6:worker}]": "[fd00::3]", "{nodeIPv6:worker2}": ""} {
		if got, err := where.filled(text); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
}

// dual is addressed with a Service and a pod that have addresses of both IP families.
func dual() site {
	s := addressed()
	s.world.Facts.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}
	s.world.Pods[0].Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.7"}, {IP: "fd00:1::7"}}
	service := &s.world.Services[0].Spec
	service.ClusterIPs = []string{"10.96.0.9", "fd00:96::9"}
	service.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	service.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	s.world.Services[0].Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.1"}, {IP: "fd00::1:1"}}
	s.vantages = []reach.Vantage{onPod}
	return s
}

func TestPlaceholdersOfEveryAddress(t *testing.T) {
	for text, want := range map[string]string{
		"{podIP:a}":                    "10.244.1.7",
		"{podIPv6:a}":                  "fd00:1::7",
		"{podIPs:a}":                   "10.244.1.7,fd00:1::7",
		"0 80 {podLabels:a}.x":         "0 80 10-244-1-7.x,0 80 fd00-1--7.x",
		"{loadBalancerIPs:my-service}": "172.18.255.1,fd00::1:1",
		"{clusterIPv6:my-service}":     "fd00:96::9",
		"{podIPs:b}":                   "error", // it has no address yet
		"{nodeIPv6:worker}":            "error",
		"{podIPx:a}":                   "error",
	} {
		got, err := dual().filled(text)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
	body := map[string]any{"list": []any{"{podIPs:a}", "x"}, "text": "{loadBalancerIPs:my-service}"}
	filled, err := dual().filledAll(body)
	if got := fmt.Sprint(filled); err != nil || got != "map[list:[10.244.1.7 fd00:1::7 x] text:172.18.255.1,fd00::1:1]" {
		t.Errorf("a patch: %s (%v)", got, err)
	}
}

// A question about every address is asked of those that its record can hold, and of none where there are none.
func TestLookupsOfEveryAddress(t *testing.T) {
	args := lookupArgs{From: "pod/worker", Lookups: []lookupWant{
		{Name: "{podLabels:a}.x.", Record: probe.A, Want: []string{"{podIPs:a}"}},
		{Name: "{podLabels:a}.x.", Record: probe.AAAA, Want: []string{"{podIPs:a}"}},
		{Name: "x.", Record: probe.AAAA, Want: []string{"{podIPs:a}"}},
	}}
	asked := func(s site) string {
		s.vantages = []reach.Vantage{onPod}
		lookups, wants, err := args.prepare(s, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for i, l := range lookups {
			texts = append(texts, fmt.Sprintf("%s %s %v", l.Record, l.Name, wants[i]))
		}
		return strings.Join(texts, "; ")
	}
	if got, want := asked(dual()), "A 10-244-1-7.x. [10.244.1.7]; AAAA fd00-1--7.x. [fd00:1::7]; AAAA x. [fd00:1::7]"; got != want {
		t.Errorf("with both families: %s, want %s", got, want)
	}
	if got, want := asked(addressed()), "A 10-244-1-7.x. [10.244.1.7]; AAAA x. []"; got != want {
		t.Errorf("with one: %s, want %s", got, want)
	}
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
	single.world.Facts.ServiceCIDRs = single.world.Facts.ServiceCIDRs[:1]
	for _, s := range []*site{&single, &lost} {
		s.world.Services[0].Spec.ClusterIPs = s.world.Services[0].Spec.ClusterIPs[:1]
		s.world.Services[0].Spec.IPFamilies = s.world.Services[0].Spec.IPFamilies[:1]
	}
	for name, c := range map[string]struct {
		site  site
		each  bool
		want  reach.Result
		cells int
	}{
		"both there":                 {dual(), true, reach.Pass, 6},
		"one lost":                   {lost, true, reach.Fail, 4},
		"one lost, and nobody cares": {lost, false, reach.Pass, 4},
		"the cluster has no more":    {single, true, reach.Pass, 4},
	} {
		table.EachFamily = c.each
		g, err := c.site.match(table)
		if resultOf(err) != c.want || len(g.cells) != c.cells {
			t.Errorf("%s: %d cells, %v; want %d, %s", name, len(g.cells), err, c.cells, c.want)
		}
	}
}

// A load balancer of which nothing is known may give an address of one family only to who prefers both.
func TestLoadBalancerOfOneFamily(t *testing.T) {
	balancer := scenario.Kinds{reach.LoadBalancer}
	table := scenario.Table{Services: []string{"my-service"}, Kinds: balancer, EachFamily: true,
		Rows: []scenario.Row{{From: scenario.Strings{"pod"}, To: scenario.To{Kind: balancer}}}}
	known := dual()
	known.world.Services[0].Status.LoadBalancer.Ingress = known.world.Services[0].Status.LoadBalancer.Ingress[:1]
	unknown := known
	unknown.world.Announcers = nil
	for name, c := range map[string]struct {
		site site
		want reach.Result
	}{"MetalLB": {known, reach.Fail}, "another one": {unknown, reach.Pass}} {
		if _, err := c.site.match(table); resultOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// A step for an IP family that the cluster does not have is not there.
func TestStepsOfAFamilyThatIsNotThere(t *testing.T) {
	_, _, r := lab(t)
	v := one(t, r, loaded(t, "family-steps", "", deployAndLook+`
  - {name: here, family: IPv4, expect: reach}
  - {name: elsewhere, family: IPv6, delete: [service/none]}
`, reachTable))
	if got := results(v); v.Result != reach.Pass || !strings.Contains(got, "here: Pass") || strings.Contains(got, "elsewhere") {
		t.Error(got)
	}
}
