package fuzz

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/manifests"
)

// ownServices are svclab's own Services, which a proof has if no others are named.
func ownServices(t *testing.T) (w world.World, from, to world.Facts) {
	t.Helper()
	file, err := manifests.FS().Open("migrate/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	found, err := migrate.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	w = found.World
	from, to = testFacts(false), testFacts(false)
	from.ProxyMode, to.ProxyMode = world.ModeIPTables, world.ModeNFTables
	return w, from, to
}

// All of svclab's own Services get stand-ins that the API server takes, and the switch changes some of them.
func TestOwnServices(t *testing.T) {
	w, from, to := ownServices(t)
	r := migrate.Between(w, from, to)
	if len(r.Changed) < 3 || len(r.Changed) == r.Services {
		t.Errorf("the switch changes %v of %d Services", r.Changed, r.Services)
	}
	for _, g := range r.Groups {
		if g.ID == "other" {
			t.Errorf("no cause is named for %s: %s", g.Services, g.Why)
		}
	}
	both := NewStandIns(w, r, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol})
	if n := len(slices.DeleteFunc(both.services, func(one standIn) bool {
		return one.service.Spec.IPFamilyPolicy == nil || *one.service.Spec.IPFamilyPolicy != corev1.IPFamilyPolicyRequireDualStack
	})); n < 4 {
		t.Errorf("%d Services have both families on a dual-stack cluster", n)
	}
	list := NewStandIns(w, r, []corev1.IPFamily{corev1.IPv4Protocol})
	if len(list.services) != len(w.Services) || len(list.Notes) > 0 {
		t.Errorf("%d of %d Services: %v", len(list.services), len(w.Services), list.Notes)
	}
	scene := testScene(false)
	pods := standInPods(scene)
	for _, c := range list.in(scene) {
		if problem := invalid(c); problem != "" {
			t.Errorf("%s: %s: %+v", c.Name(), problem, c.Service.Spec)
		}
		for _, e := range c.Manual.Endpoints {
			if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == e.Pod }) {
				t.Errorf("%s: no pod is %s", c.Name(), e.Pod)
			}
		}
	}
}

// A Service of another cluster keeps what decides how it behaves, and nothing that names that cluster.
func TestStandInKeepsOnlyBehaviour(t *testing.T) {
	w := world.World{Nodes: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "far"}}, {ObjectMeta: metav1.ObjectMeta{Name: "near"}}}}
	s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "7shop", Name: "web", Labels: map[string]string{"secret": "label"}, Annotations: map[string]string{"secret": "annotation"}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.7.7", ClusterIPs: []string{"10.96.7.7"}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Selector: map[string]string{"secret": "selector"}, ExternalIPs: []string{"198.18.0.7"}, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			SessionAffinity: corev1.ServiceAffinityClientIP, Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30777, Protocol: corev1.ProtocolTCP}}}}
	w.Services = []corev1.Service{s}
	w.Slices = []discoveryv1.EndpointSlice{{ObjectMeta: metav1.ObjectMeta{Namespace: "7shop", Name: "web-a", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(9999)), Protocol: ptr(corev1.ProtocolTCP)}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.7.7"}, NodeName: ptr("near"), Conditions: discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "secret-pod"}}}}}
	cases := NewStandIns(w, migrate.Report{}, []corev1.IPFamily{corev1.IPv4Protocol}).in(testScene(false))
	if len(cases) != 1 || cases[0].Name() != "n7shop-web" {
		t.Fatalf("%+v", cases)
	}
	c := cases[0]
	spec := c.Service.Spec
	if spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || spec.SessionAffinity != corev1.ServiceAffinityClientIP || spec.Ports[0].NodePort != 30777 ||
		len(c.Manual.Endpoints) != 1 || *c.Manual.Endpoints[0].Conditions.Ready || c.Manual.Endpoints[0].Pod != standInName(1, 0) {
		t.Errorf("%+v, %+v", spec, c.Manual)
	}
	for _, part := range []string{"secret", "10.96.7.7", "198.18.0.7", "10.244.7.7", "9999"} {
		if strings.Contains(fmt.Sprintf("%+v %+v", c.Service, *c.Manual), part) {
			t.Errorf("%q of the other cluster is in it", part)
		}
	}
}

// What is left out is said.
func TestStandInsAreBounded(t *testing.T) {
	w, from, to := ownServices(t)
	first := w.Services[0]
	for i := range 40 {
		s := *first.DeepCopy()
		s.Name, s.Spec.Type = fmt.Sprintf("more-%d", i), []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer}[i%2]
		w.Services = append(w.Services, s)
	}
	w.Services = append(w.Services, corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prove", Name: "name"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "x.example.com"}})
	list := NewStandIns(w, migrate.Between(w, from, to), []corev1.IPFamily{corev1.IPv4Protocol})
	balanced := 0
	for _, one := range list.services {
		if one.service.Spec.Type == corev1.ServiceTypeLoadBalancer {
			balanced++
		}
	}
	if len(list.services) != mostStandIns || balanced > mostBalanced {
		t.Errorf("%d Services, %d of them with a load balancer's address", len(list.services), balanced)
	}
	notes := strings.Join(list.Notes, "\n")
	for _, part := range []string{"at most 24 are applied", "few addresses", "1 Service left out: kube-proxy does not serve"} {
		if !strings.Contains(notes, part) {
			t.Errorf("the notes do not say %q:\n%s", part, notes)
		}
	}
	six := NewStandIns(w, migrate.Between(w, from, to), []corev1.IPFamily{corev1.IPv6Protocol})
	if len(six.services) != 4 || !strings.Contains(strings.Join(six.Notes, "\n"), "no addresses of their IP family") {
		t.Errorf("%d, %v", len(six.services), six.Notes)
	}
}

// The summary of a switch counts what was lost through the node apart from what other nodes decided about.
func TestSwitched(t *testing.T) {
	began := time.Now()
	period := reach.Period{Began: began, InForce: began.Add(4 * time.Second), Ended: began.Add(8 * time.Second)}
	at := func(after time.Duration, outcome reach.Outcome, latency time.Duration) reach.Observation {
		return reach.Observation{At: began.Add(after), Outcome: outcome, Latency: latency}
	}
	flow := func(kind reach.FlowKind, rule string, requests ...reach.Observation) reach.FlowVerdict {
		return reach.FlowVerdict{Flow: reach.Flow{Kind: kind}, Fate: reach.Fate{Rule: rule}, Period: period, Requests: requests}
	}
	cell := func(outcome reach.Outcome, result reach.Result) reach.CellVerdict {
		return reach.CellVerdict{Cell: reach.Cell{Vantage: reach.Vantage{Name: "node/one"}, Target: reach.Target{Kind: reach.Localhost, Host: "127.0.0.1", Port: 30080},
			Observations: []reach.Observation{{Outcome: outcome}}}, Result: result}
	}
	free := func(outcome reach.Outcome) reach.CellVerdict { // an address that no host has
		c := cell(outcome, reach.Pass)
		c.Cell.Target.Kind, c.Oracle.Outcomes = reach.LoadBalancer, []reach.Outcome{reach.Unreachable, reach.TimedOut}
		return c
	}
	p := played{moments: []moment{{all: reach.Table{Cells: []reach.CellVerdict{cell(reach.Reached, reach.Pass), free(reach.Unreachable)}}},
		{operation: Operation{Kind: modeSwitched, Node: "one", Value: world.ModeNFTables}, period: period, took: 3 * time.Second, left: []string{"iptables nat KUBE-SERVICES"},
			verdict: reach.Step{Result: reach.Fail, Why: "a chain"}, all: reach.Table{Cells: []reach.CellVerdict{cell(reach.Refused, reach.Fail), free(reach.TimedOut)}}}},
		flows: []reach.FlowVerdict{
			flow(reach.FlowNew, oracle.RuleOverSwitch, at(time.Second, reach.Reached, time.Millisecond), at(2*time.Second, reach.TimedOut, 5*time.Second), at(2500*time.Millisecond, reach.Reached, time.Second)),
			flow(reach.FlowNew, "over-time-bystander", at(time.Second, reach.Reached, time.Millisecond), at(2*time.Second, reach.Refused, 0)),
			flow(reach.FlowKept, "over-time-tcp", at(time.Second, reach.Reached, time.Millisecond)),
			flow(reach.FlowConnected, "over-time-udp", at(time.Second, reach.TimedOut, 0)),
		}}
	got := p.switched()
	if len(got) != 1 || got[0].Through != (Count{3, 1, 1, 1}) || got[0].Elsewhere != (Count{2, 1, 0, 1}) || got[0].Kept != (Count{1, 0, 0, 1}) || got[0].Datagrams.Lost != 1 ||
		got[0].Window != 500*time.Millisecond || got[0].Changed != 1 || got[0].Wrong != 1 || got[0].Cells != 2 {
		t.Errorf("%+v", got)
	}
	var text bytes.Buffer
	if err := ProofText(&text, Outcome{Switches: got}, Switch{From: "iptables", To: "nftables"}, report.Style{Width: 120, Plain: true}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one → nftables", "3, 1 lost, 1 late within 500ms", "1 of 2, 1 changed", "left on one by kube-proxy in nftables mode: iptables nat KUBE-SERVICES", "Fail: a chain"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text does not say %q:\n%s", part, text.String())
		}
	}
}

// Every node switches, and switches back, the control plane last.
func TestSwitchOrder(t *testing.T) {
	s := &session{vantages: []reach.Vantage{{Kind: reach.Node, Node: "lab-control-plane"}, {Kind: reach.Node, Node: "lab-worker"}, {Kind: reach.Pod, Node: "lab-worker"}, {Kind: reach.Node, Node: "lab-down", Unusable: "down"}}}
	if got := s.nodes(); !slices.Equal(got, []string{"lab-worker", "lab-control-plane"}) {
		t.Errorf("%v", got)
	}
}
