package table

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// small is a site with two nodes, a pod on each, and a third pod that is not ready.
func small() Site {
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
	return Site{Namespace: "ns", World: world.World{
		Facts: world.Facts{ProxyMode: "nftables", Slots: map[string]string{"worker": "n1", "worker2": "n2"}},
		Nodes: []corev1.Node{node("n1", "172.18.0.3", "10.244.1.0/24"), node("n2", "172.18.0.4", "10.244.2.0/24")},
		Pods: []corev1.Pod{pod("a", "n1", corev1.ConditionTrue), pod("b", "n2", corev1.ConditionTrue),
			pod("c", "n2", corev1.ConditionFalse), going, elsewhere},
		Announcers: map[netip.Addr]string{netip.MustParseAddr("172.18.255.1"): "n2"},
	}, Vantages: []reach.Vantage{{Name: "host", Kind: reach.Host, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.1")}}}}
}

var (
	onPod     = reach.Vantage{Name: "pod/worker", Kind: reach.Pod, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.244.1.9")}}
	onNode    = reach.Vantage{Name: "node/worker", Kind: reach.Node, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.3")}}
	onOutside = reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}}
)

func TestBackends(t *testing.T) {
	port := reach.Target{Kind: reach.NodePort, Service: "ns/my-service", Node: "n2", Slot: "worker2"}
	for name, c := range map[string]struct {
		by   scenario.By
		cell Cell
		want string
	}{
		"all":             {scenario.By{Need: "all"}, Cell{Vantage: onPod}, "a b"},
		"own node":        {scenario.By{On: scenario.Strings{"own"}}, Cell{Vantage: onPod}, "a"},
		"target's node":   {scenario.By{On: scenario.Strings{"target"}}, Cell{Vantage: onPod, Target: port}, "b"},
		"slot":            {scenario.By{On: scenario.Strings{"worker2"}}, Cell{Vantage: onPod}, "b"},
		"unready too":     {scenario.By{States: scenario.Strings{"ready", "unready"}}, Cell{Vantage: onPod}, "a b c"},
		"terminating":     {scenario.By{States: scenario.Strings{"terminating"}}, Cell{Vantage: onPod}, "d"},
		"names":           {scenario.By{Names: []string{"outside"}}, Cell{}, "outside"},
		"itself":          {scenario.By{Itself: true}, Cell{Target: reach.Target{Pod: "c"}}, "c"},
		"itself, no pod":  {scenario.By{Itself: true}, Cell{}, "error"},
		"other selector":  {scenario.By{Pods: "app=other"}, Cell{}, "error"},
		"no pod is there": {scenario.By{On: scenario.Strings{"control-plane"}}, Cell{}, "error"},
	} {
		names, err := small().backends(scenario.Table{App: "app=my-app"}, c.by, c.cell)
		got := strings.Join(names, " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestSources(t *testing.T) {
	port := reach.Target{Kind: reach.NodePort, Node: "n2"}
	balanced := reach.Target{Kind: reach.LoadBalancer, Host: "172.18.255.1"}
	unclaimed := reach.Target{Kind: reach.LoadBalancer, Host: "172.18.255.2"}
	for name, c := range map[string]struct {
		symbol string
		cell   Cell
		want   string
	}{
		"self of a pod":                     {"self", Cell{Vantage: onPod}, "10.244.1.9"},
		"self of a node":                    {"self", Cell{Vantage: onNode}, "10.244.1.1 172.18.0.3"},
		"own node":                          {"own-node", Cell{Vantage: onPod}, "10.244.1.1 172.18.0.3"},
		"own node of a client without one":  {"own-node", Cell{Vantage: onOutside}, "error"},
		"the node probed":                   {"node", Cell{Vantage: onPod, Target: port}, "10.244.2.1 172.18.0.4"},
		"the node that announces":           {"node", Cell{Vantage: onOutside, Target: balanced}, "10.244.2.1 172.18.0.4"},
		"a load balancer probed from a pod": {"node", Cell{Vantage: onPod, Target: balanced}, "10.244.1.1 172.18.0.3"},
		"the announcer is not reported":     {"node", Cell{Vantage: onOutside, Target: unclaimed}, "10.244.1.1 10.244.2.1 172.18.0.3 172.18.0.4"},
		"any node":                          {"any-node", Cell{Vantage: onPod}, "10.244.1.1 10.244.2.1 172.18.0.3 172.18.0.4"},
		"host":                              {"host", Cell{Vantage: onPod}, "172.18.0.1"},
		"an address":                        {"192.0.2.1", Cell{Vantage: onPod}, "192.0.2.1"},
		"a prefix":                          {"192.0.2.0/24", Cell{Vantage: onPod}, "192.0.2.0/24"},
	} {
		prefixes, err := small().sources(c.symbol, c.cell)
		var texts []string
		for _, p := range prefixes {
			texts = append(texts, reach.PrefixText(p))
		}
		slices.Sort(texts)
		got := strings.Join(slices.Compact(texts), " ")
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestMatches(t *testing.T) {
	own := reach.Target{Kind: reach.NodePort, Service: "ns/my-service", Host: "172.18.0.3", Port: 30080, Protocol: reach.TCP, Node: "n1"}
	other := own
	other.Node, other.Host = "n2", "172.18.0.4"
	free := own
	free.Undeclared = true
	name := reach.Target{Kind: reach.DNSName, Service: "ns/my-service", Host: "my-service.ns", Port: 80, Protocol: reach.TCP}
	endpoint := reach.Target{Kind: reach.Endpoint, Service: "ns/my-service", Host: "fd00::1", Port: 8080, Protocol: reach.TCP, Pod: "b"}
	for text, c := range map[string]struct {
		to   scenario.To
		want [5]bool // own, other, free, name, endpoint
	}{
		"everything declared": {scenario.To{}, [5]bool{true, true, false, true, true}},
		"undeclared":          {scenario.To{Undeclared: true}, [5]bool{false, false, true, false, false}},
		"own":                 {scenario.To{Node: "own"}, [5]bool{true, false, false, false, false}},
		"other":               {scenario.To{Node: "other"}, [5]bool{false, true, false, false, true}},
		"slot":                {scenario.To{Node: "worker2"}, [5]bool{false, true, false, false, true}},
		"kinds":               {scenario.To{Kind: scenario.Kinds{reach.DNSName, reach.Endpoint}}, [5]bool{false, false, false, true, true}},
		"port":                {scenario.To{Port: 80}, [5]bool{false, false, false, true, false}},
		"protocol":            {scenario.To{Protocol: reach.UDP}, [5]bool{}},
		"family":              {scenario.To{Family: "IPv6"}, [5]bool{false, false, false, false, true}},
		"service":             {scenario.To{Service: "other"}, [5]bool{}},
		"name":                {scenario.To{Name: "my-service.{namespace}"}, [5]bool{false, false, false, true, false}},
	} {
		for i, target := range []reach.Target{own, other, free, name, endpoint} {
			if got := small().Selects(c.to, onPod, target); got != c.want[i] {
				t.Errorf("%s: %s: %t", text, target.Name(), got)
			}
		}
	}
}

// A port that a table calls undeclared and the Service has is probed once, by the row of undeclared ports. In a scenario
// that is a fault of the table.
func TestUndeclaredAndDeclared(t *testing.T) {
	s := small()
	s.Vantages = []reach.Vantage{onPod}
	s.World.Services = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "my-service", Namespace: "ns"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9"}, Ports: []corev1.ServicePort{{Port: 30080, Protocol: corev1.ProtocolTCP}}}}}
	clusterIP := scenario.Kinds{reach.ClusterIP}
	table := scenario.Table{Services: []string{"my-service"}, Kinds: clusterIP, From: scenario.Strings{"pod"},
		Extra: []scenario.Extra{{Kind: reach.ClusterIP, Service: "my-service", Host: "{clusterIP}", Port: 30080, Undeclared: true}},
		Rows: []scenario.Row{{From: scenario.Strings{"pod"}, To: scenario.To{Kind: clusterIP, Port: 80}},
			{From: scenario.Strings{"pod"}, To: scenario.To{Kind: clusterIP, Undeclared: true}}}}
	g, missing, err := s.Lay(table)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, c := range g.Cells {
		if c.Target.Port == 30080 {
			rows = append(rows, numbers([]int{c.Row}))
		}
	}
	if got := strings.Join(rows, " "); got != "2" {
		t.Errorf("30080 is covered by rows %q, want 2; missing: %+v", got, missing)
	}
	if len(missing.Targets) > 0 || len(missing.Rows) != 1 {
		t.Errorf("missing: %+v, want only the row of port 80", missing)
	}
	if _, err := s.Match(table); err == nil || !strings.Contains(err.Error(), "in the table already") {
		t.Errorf("a scenario's table: %v", err)
	}
}

func TestWrittenKnowsTheMode(t *testing.T) {
	table := scenario.Table{App: "app=my-app", Rows: []scenario.Row{{
		Outcome: scenario.Outcomes{ByMode: map[string][]reach.Outcome{"nftables": {reach.Refused}, "iptables": {reach.Reached}}},
		By:      &scenario.By{Need: "all"}, Sees: scenario.Strings{"own-node"}}}}
	for mode, want := range map[string]string{"nftables": "Refused, by []", "iptables": "Reached, by [a b]"} {
		s := small()
		s.World.Facts.ProxyMode = mode
		p, err := s.Expected(table, Cell{Vantage: onNode})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Outcomes[0]) + ", by " + "[" + strings.Join(p.Backends, " ") + "]"; got != want {
			t.Errorf("%s: %s, want %s", mode, got, want)
		}
	}
}

func TestWrittenNeeds(t *testing.T) {
	for need, want := range map[string][2]bool{"all": {false, false}, "any": {false, true}, "one": {true, false}} {
		table := scenario.Table{App: "app=my-app", Rows: []scenario.Row{{
			Outcome: scenario.Outcomes{Any: []reach.Outcome{reach.Reached}}, By: &scenario.By{Need: need},
			CNAME: "a.{namespace}", Host: "b.{namespace}.svc.{domain}", Because: "so"}}}
		p, err := small().Expected(table, Cell{Vantage: onPod})
		if err != nil {
			t.Fatal(err)
		}
		if p.Sticky != want[0] || p.AnyBackend != want[1] || strings.Join(p.Backends, " ") != "a b" {
			t.Errorf("%s: %+v", need, p)
		}
		if p.Rule != "row 1" {
			t.Errorf("%s: rule %q", need, p.Rule)
		}
		if p.CNAME != "a.ns" || p.HostSeen != "b.ns.svc.cluster.local" || p.Reason != "so" {
			t.Errorf("%s: %+v", need, p)
		}
	}
}
