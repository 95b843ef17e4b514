package checks

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/table"
)

func TestWantedAddressesAreOfTheRecordsFamily(t *testing.T) {
	s := addressed()
	s.World.Services[0].Spec.ClusterIPs = []string{"10.96.0.9", "fd00::9"}
	for record, want := range map[probe.Record]string{probe.A: "10.96.0.9", probe.AAAA: "fd00::9"} {
		got, err := wanted(s, lookupWant{Record: record, Want: []string{"{clusterIPs:my-service}"}})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v (%v), want %s", record, got, err, want)
		}
	}
	s.World.Services[0].Spec.ClusterIPs = s.World.Services[0].Spec.ClusterIPs[:1]
	if got, err := wanted(s, lookupWant{Record: probe.AAAA, Want: []string{"{clusterIPs:my-service}"}}); err != nil || len(got) != 0 {
		t.Errorf("a Service without an IPv6 address: %v, %v", got, err)
	}
	if _, err := wanted(s, lookupWant{Record: probe.A, Want: []string{"{clusterIPs:nobody}"}}); err == nil {
		t.Error("a Service that is not there has addresses")
	}
}

// A pod of the DNS whose answer differs is found, whichever pod a client reaches.
func TestLookupsGoToEachPodOfTheDNS(t *testing.T) {
	service := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Namespace: "kube-system", Labels: map[string]string{"k8s-app": "kube-dns"}},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"}, Ports: []corev1.ServicePort{
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "metrics", Port: 9153, Protocol: corev1.ProtocolTCP}}}}
	port := func(name string, protocol corev1.Protocol) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Port: new(int32(53)), Protocol: &protocol}
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "kube-dns-x", Namespace: "kube-system", Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{port("dns", corev1.ProtocolUDP), port("dns-tcp", corev1.ProtocolTCP)},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}},
			{Addresses: []string{"10.244.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}},
			{Addresses: []string{"10.244.0.4"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}}}}
	env := Env{Namespace: "ns", World: addressed().World, Client: fake.NewClientset(slice)}
	if pods, err := dnsPods(t.Context(), env); err != nil || len(pods) > 0 {
		t.Errorf("without a DNS Service: %v, %v", pods, err)
	}
	env.World.Elsewhere = []corev1.Service{service}
	pods, err := dnsPods(t.Context(), env)
	if err != nil || len(pods) != 2 || pods[0].String() != "10.244.0.2:53" || pods[1].String() != "10.244.0.3:53" {
		t.Fatalf("got %v, %v; want the two that are ready", pods, err)
	}
	lookups, wants := multiplied([]probe.Lookup{{Name: "x", Vantage: onPod}, {Name: "y.", Vantage: onPod}, {Name: "z", Vantage: onPod}}, [][]string{{"1"}, nil, nil}, pods)
	var ways []string
	for i, l := range lookups {
		ways = append(ways, l.Name+strings.Join(wants[i], "")+way(l))
	}
	if got := strings.Join(ways, "; "); got != "x1; y.; z; x1, over TCP; y., over TCP; x1, to 10.244.0.2; y., to 10.244.0.2; z, to 10.244.0.2; x1, to 10.244.0.3; y., to 10.244.0.3; z, to 10.244.0.3" {
		t.Error(got)
	}
	found := []probe.Found{{Lookup: probe.Lookup{Name: "x", Record: probe.A, Vantage: onPod, Server: pods[1]}, Observation: reach.Observation{Outcome: reach.NoSuchHost}}}
	if _, err := judgeLookups(found, [][]string{{"10.0.0.1"}}); err == nil || !strings.Contains(err.Error(), "A x from pod/worker, to 10.244.0.3: got no such record") {
		t.Errorf("the error does not say which pod answered: %v", err)
	}
}

func TestJudgeLookups(t *testing.T) {
	found := func(record probe.Record, o reach.Outcome, change func(*probe.Found)) probe.Found {
		f := probe.Found{Lookup: probe.Lookup{Name: "x", Record: record, Vantage: onPod}, Observation: reach.Observation{Outcome: o}}
		if change != nil {
			change(&f)
		}
		return f
	}
	two := found(probe.A, reach.Reached, func(f *probe.Found) {
		f.Observation.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")}
	})
	srv := found(probe.SRV, reach.Reached, func(f *probe.Found) {
		f.Services = []probe.Service{{Target: "a.b", Port: 80, Weight: 50}}
	})
	for name, c := range map[string]struct {
		found probe.Found
		want  []string
		as    reach.Result
	}{
		"all, in any order":   {two, []string{"10.0.0.1", "10.0.0.2"}, reach.Pass},
		"one too many":        {two, []string{"10.0.0.1"}, reach.Fail},
		"one is missing":      {two, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, reach.Fail},
		"srv":                 {srv, []string{"0 80 a.b"}, reach.Pass},
		"srv of another port": {srv, []string{"0 8080 a.b"}, reach.Fail},
		"none, as wanted":     {found(probe.A, reach.NoSuchHost, nil), nil, reach.Pass},
		"none":                {found(probe.A, reach.NoSuchHost, nil), []string{"10.0.0.1"}, reach.Fail},
		"no reply":            {found(probe.A, reach.TimedOut, nil), nil, reach.Fail},
		"an error":            {found(probe.A, reach.WrongAnswer, nil), nil, reach.Fail},
		"not sent":            {found(probe.A, reach.ProbeFailed, nil), nil, reach.Inconclusive},
	} {
		if _, err := judgeLookups([]probe.Found{c.found}, [][]string{c.want}); reach.ResultOf(err) != c.as {
			t.Errorf("%s: %v (%v), want %s", name, reach.ResultOf(err), err, c.as)
		}
	}
	unsent := found(probe.A, reach.ProbeFailed, nil)
	if _, err := judgeLookups([]probe.Found{unsent, two}, [][]string{nil, {"10.0.0.1"}}); reach.ResultOf(err) != reach.Fail {
		t.Errorf("a wrong answer after a lookup that could not be sent: %v", err)
	}
	if _, err := judgeLookups([]probe.Found{unsent, two}, [][]string{nil, {"10.0.0.1", "10.0.0.2"}}); reach.ResultOf(err) != reach.Inconclusive {
		t.Errorf("a right answer after a lookup that could not be sent: %v", err)
	}
}

// A placeholder for all addresses in a name makes a query for each address that the record can hold; there may be none.
func TestLookupsOfEveryAddress(t *testing.T) {
	args := lookupArgs{From: "pod/worker", Lookups: []lookupWant{
		{Name: "{podLabels:a}.x.", Record: probe.A, Want: []string{"{podIPs:a}"}},
		{Name: "{podLabels:a}.x.", Record: probe.AAAA, Want: []string{"{podIPs:a}"}},
		{Name: "x.", Record: probe.AAAA, Want: []string{"{podIPs:a}"}},
	}}
	queries := func(s table.Site) string {
		s.Vantages = []reach.Vantage{onPod}
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
	if got, want := queries(dual()), "A 10-244-1-7.x. [10.244.1.7]; AAAA fd00-1--7.x. [fd00:1::7]; AAAA x. [fd00:1::7]"; got != want {
		t.Errorf("with both families: %s, want %s", got, want)
	}
	if got, want := queries(addressed()), "A 10-244-1-7.x. [10.244.1.7]; AAAA x. []"; got != want {
		t.Errorf("with one: %s, want %s", got, want)
	}
}
