package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/world"
)

// TestHoldings has a line for each condition: Services as "name[.type] [has ADDR] [asks ADDR]", and what becomes of them.
func TestHoldings(t *testing.T) {
	const a, b, six = "172.18.255.1", "172.18.255.2", "fc00::1"
	covered := map[string]bool{}
	for name, tc := range map[string]struct {
		pool     string
		services []string
		want     string
	}{
		"kept":                             {a, []string{"one has " + a}, "one must keep its address " + a + " holding-kept"},
		"kept where nothing is free":       {a, []string{"one has " + a, "two"}, "one must keep its address " + a + " holding-kept, two must stay without an address holding-none-free"},
		"kept where it is asked for":       {a, []string{"one has " + a + " asks " + a}, "one must keep its address " + a + " holding-kept"},
		"kept where another asks":          {a + " " + b, []string{"one has " + a, "two asks " + a}, "one must keep its address " + a + " holding-kept, two must stay without an address " + a + " holding-taken"},
		"a name of no order":               {a, []string{"two", "one has " + a}, "one must keep its address " + a + " holding-kept, two must stay without an address holding-none-free"},
		"given":                            {a, []string{"one"}, "one must get an address " + a + " holding-free"},
		"given where there are enough":     {a + " " + b, []string{"one", "two"}, "one must get an address " + a + " " + b + " holding-free, two must get an address " + a + " " + b + " holding-free"},
		"given when another gives it up":   {a, []string{"one.ClusterIP has " + a, "two"}, "one must give its address up holding-freed, two must get an address " + a + " holding-free"},
		"two for one":                      {a, []string{"one", "two"}, "one may get an address " + a + " holding-free, two may get an address " + a + " holding-free"},
		"asked for":                        {a + " " + b, []string{"one asks " + b}, "one must get an address " + b + " holding-asked"},
		"asked for another than it has":    {a + " " + b, []string{"one has " + a + " asks " + b}, "one must get an address " + b + " holding-asked"},
		"asked for by two":                 {a, []string{"one asks " + a, "two asks " + a}, "one may get an address " + a + " holding-asked, two may get an address " + a + " holding-asked"},
		"asked for, and wanted":            {a, []string{"one asks " + a, "two"}, "one may get an address " + a + " holding-asked, two may get an address " + a + " holding-free"},
		"asked for when it is given up":    {a, []string{"one.ClusterIP has " + a, "two asks " + a}, "one must give its address up holding-freed, two must get an address " + a + " holding-asked"},
		"asked for where no pool has it":   {a, []string{"one asks 192.0.2.1"}, "one must stay without an address 192.0.2.1 holding-taken"},
		"asked for and to be shared":       {a, []string{"one has " + a, "two.shared asks " + a}, "one must keep its address " + a + " holding-kept, two may get an address " + a + " holding-taken"},
		"asked for in the spec":            {a, []string{"one.spec asks " + a}, "one must get an address " + a + " holding-asked"},
		"another class":                    {a, []string{"one.class"}, ""},
		"no load balancer":                 {a, []string{"one.ClusterIP"}, ""},
		"another family is free":           {six, []string{"one"}, "one must stay without an address holding-none-free"},
		"both families":                    {a + " " + six, []string{"one.both"}, "one must get an address " + a + " " + six + " holding-free"},
		"one of both families":             {a, []string{"one.both"}, "one must stay without an address holding-none-free"},
		"one of both, preferred":           {a, []string{"one.prefers"}, "one may get an address " + a + " holding-free"},
		"enough, and another asks for one": {a + " " + b, []string{"one", "two asks " + b}, "one must get an address " + a + " " + b + " holding-free, two may get an address " + b + " holding-asked"},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				pool     []netip.Addr
				services []corev1.Service
				got      []string
			)
			for _, text := range strings.Fields(tc.pool) {
				pool = append(pool, netip.MustParseAddr(text))
			}
			for _, line := range tc.services {
				services = append(services, holder(line))
			}
			for _, h := range Holdings(world.Facts{LoadBalancer: true}, pool, services) {
				covered[h.Rule] = true
				if h.Reason == "" || !strings.HasPrefix(h.Doc, "https://") {
					t.Errorf("%+v", h)
				}
				text := fmt.Sprintf("%s %s", strings.TrimPrefix(h.Service, "demo/"), h.Kind)
				for _, addr := range h.Of {
					text += " " + addr.String()
				}
				got = append(got, text+" "+h.Rule)
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), tc.want)
			}
		})
	}
	for _, r := range RulesOfHoldings() {
		if !covered[r.ID] || !strings.HasSuffix(r.Statement, ".") {
			t.Errorf("rule %s has no case, or its statement does not end", r.ID)
		}
	}
}

// holder is a Service of a line of TestHoldings.
func holder(line string) corev1.Service {
	words := strings.Fields(line)
	name, kind, _ := strings.Cut(words[0], ".")
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, ClusterIPs: []string{"10.96.0.1"}}}
	for i := 1; i < len(words); i += 2 {
		switch {
		case words[i] == "has":
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: words[i+1]})
		case kind == "spec":
			s.Spec.LoadBalancerIP = words[i+1]
		default:
			s.Annotations[world.AskAnnotation] = words[i+1]
		}
	}
	both := []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	switch kind {
	case "ClusterIP":
		s.Spec.Type = corev1.ServiceTypeClusterIP
	case "class":
		s.Spec.LoadBalancerClass = ptr("other")
	case "shared":
		s.Annotations[world.ShareAnnotation] = "yes"
	case "both":
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy, s.Spec.ClusterIPs = both, ptr(corev1.IPFamilyPolicyRequireDualStack), []string{"10.96.0.1", "fd00:10:96::1"}
	case "prefers":
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy, s.Spec.ClusterIPs = both, ptr(corev1.IPFamilyPolicyPreferDualStack), []string{"10.96.0.1", "fd00:10:96::1"}
	}
	return s
}

// TestHoldingReasons: a reason names the Service that is in the way.
func TestHoldingReasons(t *testing.T) {
	const a = "172.18.255.1"
	list := Holdings(world.Facts{LoadBalancer: true}, []netip.Addr{netip.MustParseAddr(a)}, []corev1.Service{holder("one has " + a), holder("two asks " + a), holder("three")})
	for i, want := range []string{"demo/one has " + a + " already", "no IPv4 address of the pool is free for demo/three", "demo/two asks for " + a + ", which demo/one has"} {
		if list[i].Reason != want {
			t.Errorf("%s, want %s", list[i].Reason, want)
		}
	}
}

func TestHoldingMet(t *testing.T) {
	const a, b = "172.18.255.1", "172.18.255.2"
	none, hasA, hasB := holder("one"), holder("one has "+a), holder("one has "+b)
	for kind, want := range map[HoldingKind][]bool{ // none, a, b, not there
		HoldingKept: {false, true, false, false}, HoldingGiven: {false, true, false, false}, HoldingPending: {true, false, false, true},
		HoldingFreed: {true, false, false, true}, HoldingOpen: {true, true, false, true},
	} {
		h := Holding{Kind: kind, Of: []netip.Addr{netip.MustParseAddr(a)}}
		if got := []bool{h.Met(&none), h.Met(&hasA), h.Met(&hasB), h.Met(nil)}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	both := holder("one.both has " + a)
	if (Holding{Kind: HoldingGiven, Of: []netip.Addr{netip.MustParseAddr(a)}}).Met(&both) {
		t.Error("one address of two is enough")
	}
}
