package fuzz

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// crowded is a hand-written Service on a model.
func crowded(t *testing.T, m Manual) (*model, Case) {
	t.Helper()
	plan := Generate(3, testScene(true), 0)
	m.Room = testScene(true).Room
	m.Ports = []discoveryv1.EndpointPort{{Name: ptr("p0"), Port: ptr(tcpMain), Protocol: ptr(corev1.ProtocolTCP)}, {Name: ptr("p1"), Port: ptr(udpMain), Protocol: ptr(corev1.ProtocolUDP)}}
	c := Case{Manual: &m, Service: corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: serviceName(0)},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{{Name: "p0", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "p1", Port: 53, Protocol: corev1.ProtocolUDP}},
			IPFamilyPolicy: ptr(corev1.IPFamilyPolicyRequireDualStack), IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}}}}
	model := newModel(plan, true)
	if _, err := model.move(t.Context(), State{Cases: []Case{c}}); err != nil {
		t.Fatal(err)
	}
	return model, c
}

// TestManyEndpoints: a Service has as many endpoints as it says, in objects that the API server admits, and duplicates add none.
func TestManyEndpoints(t *testing.T) {
	b00, b01 := ManualEndpoint{Pod: "b00", Referred: true, Placed: true}, ManualEndpoint{Pod: "b01"}
	for name, tc := range map[string]struct {
		Manual
		tcp, udp, ready, slices, largest, twice int
	}{
		"none":                          {},
		"two":                           {Manual: Manual{Endpoints: []ManualEndpoint{b00, b01}}, tcp: 2, udp: 2, ready: 2, slices: 1, largest: 2},
		"two, over three slices":        {Manual: Manual{Endpoints: []ManualEndpoint{b00, b01}, Parts: 2}, tcp: 2, udp: 2, ready: 2, slices: 3, largest: 1},
		"two, in each of three slices":  {Manual: Manual{Endpoints: []ManualEndpoint{b00, b01}, Parts: 2, Overlap: true}, tcp: 2, udp: 2, ready: 2, slices: 3, largest: 2, twice: 2},
		"the most, all ready":           {Manual: Manual{Many: MaxEndpoints}, tcp: MaxEndpoints, ready: MaxEndpoints, slices: 101, largest: podCount},
		"the most, some listed twice":   {Manual: Manual{Many: MaxEndpoints, Overlap: true}, tcp: MaxEndpoints, ready: MaxEndpoints, slices: 111, largest: podCount, twice: 10 * podCount},
		"not a multiple of the pods":    {Manual: Manual{Many: 100}, tcp: 100, ready: 100, slices: 10, largest: podCount},
		"the API's slices":              {Manual: Manual{Endpoints: []ManualEndpoint{b00, b01}, Waiting: 1198, Size: apiSlice}, tcp: MaxEndpoints, udp: MaxEndpoints, ready: 2, slices: 3, largest: apiSlice},
		"the controller's":              {Manual: Manual{Endpoints: []ManualEndpoint{b00}, Waiting: 1199, Size: controllerSlice}, tcp: MaxEndpoints, udp: MaxEndpoints, ready: 1, slices: 13, largest: controllerSlice},
		"the controller's, overlapping": {Manual: Manual{Endpoints: []ManualEndpoint{b00, b01}, Waiting: 980, Size: controllerSlice, Overlap: true}, tcp: 982, udp: 982, ready: 2, slices: 11, largest: controllerSlice, twice: 2},
	} {
		t.Run(name, func(t *testing.T) {
			m, c := crowded(t, tc.Manual)
			w := m.now
			for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
				list := w.SlicesOf(testNamespace+"/"+c.Name(), family)
				largest, names, listed := 0, map[string]bool{}, map[string]int{}
				for _, s := range list {
					largest, names[s.Name] = max(largest, len(s.Endpoints)), true
					for _, e := range s.Endpoints {
						if *s.Ports[0].Name == "p0" {
							listed[fmt.Sprint(e.Addresses[0], *s.Ports[0].Port)]++
						}
					}
				}
				ready, twice := 0, 0
				tcp := world.Endpoints(list, "p0", corev1.ProtocolTCP)
				for _, e := range tcp {
					ready += count(e.Ready)
				}
				for _, times := range listed {
					twice += count(times > 1)
				}
				empty := count(len(tc.Endpoints) == 0) // the slice of Endpoints is there nevertheless
				if len(tcp) != tc.tcp || len(world.Endpoints(list, "p1", corev1.ProtocolUDP)) != tc.udp || ready != tc.ready || len(list) != max(tc.slices, empty) || len(names) != len(list) || largest != tc.largest {
					t.Errorf("%s: %d TCP and %d UDP endpoints, %d ready, in %d slices, of at most %d", family, len(tcp), len(world.Endpoints(list, "p1", corev1.ProtocolUDP)), ready, len(list), largest)
				}
				if twice != tc.twice {
					t.Errorf("%s: %d endpoints are listed twice", family, twice)
				}
				for _, e := range tcp {
					if own := slices.ContainsFunc(w.Pods, func(p corev1.Pod) bool { return slices.Contains(world.PodAddrs(&p), e.Addr) }); own != e.Ready {
						t.Fatalf("%s: %+v has the address of a pod: %t", family, e, own)
					}
					if !slices.ContainsFunc(testFacts(true).PodCIDRs, func(r netip.Prefix) bool { return r.Contains(e.Addr) }) { // a node would let it out
						t.Fatalf("%s: %+v is in no pod range", family, e)
					}
				}
			}
		})
	}
}

// TestCrowdsDoNotGrow: neither the plan, nor its text, nor the cells grow with the endpoints.
func TestCrowdsDoNotGrow(t *testing.T) {
	two := []ManualEndpoint{{Pod: "b00", Referred: true, Placed: true}, {Pod: "b01", Referred: true, Placed: true}}
	one, small := crowded(t, Manual{Endpoints: two})
	cells := len(pairs(one.now, testVantages(), testNamespace+"/s000"))
	for name, manual := range map[string]Manual{
		"ready": {Endpoints: two, Many: MaxEndpoints - 2}, "not ready": {Endpoints: two, Waiting: MaxEndpoints - 2, Size: apiSlice},
		"overlapping": {Endpoints: two, Many: 500, Waiting: 698, Size: controllerSlice, Overlap: true},
	} {
		m, c := crowded(t, manual)
		if text := YAML(Trial{Case: c}, nil); len(text) > len(YAML(Trial{Case: small}, nil))+500 || !strings.Contains(text, "# and ") {
			t.Errorf("%s: a start of %d bytes:\n%s", name, len(text), text)
		}
		commands := c.Manual.applied(c.Slices(&m.now.Services[0], m.now.Pods), "kubectl apply")
		if size := len(strings.Join(commands, "")); len(commands) > 36 || size > 25_000 {
			t.Errorf("%s: %d commands of %d bytes", name, len(commands), size)
		}
		if n := len(pairs(m.now, testVantages(), testNamespace+"/s000")); n > cells+len(testVantages())*mostEndpoints {
			t.Errorf("%s: %d cells, %d with two endpoints", name, n, cells)
		}
		predict := oracle.New(m.now).Predict
		for _, p := range pairs(m.now, testVantages(), testNamespace+"/s000") {
			if p.target.Kind == reach.ClusterIP && p.target.Protocol == reach.TCP && !p.target.Undeclared && p.vantage.Kind == reach.Pod {
				if want := predict(p.vantage, p.target); !want.Wants() || len(want.Backends) != map[bool]int{true: podCount, false: 2}[c.Manual.Many > 0] {
					t.Errorf("%s: from %s %v by %v", name, p.vantage.Name, want.Outcomes, want.Backends)
				}
			}
		}
	}
}

// TestAppliedByHand runs the commands in a shell whose kubectl prints what it is given, and compares the slices.
func TestAppliedByHand(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	m, c := crowded(t, Manual{Endpoints: []ManualEndpoint{{Pod: "b00", Referred: true, Placed: true}}, Parts: 1, Many: 100, Waiting: 520, Size: controllerSlice, Overlap: true})
	wanted := c.Slices(&m.now.Services[0], m.now.Pods)
	script := strings.Join(c.Manual.applied(wanted, "apply"), "\n")
	out, err := exec.Command("bash", "-euc", "apply() { cat; echo ---; }\n"+script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, script)
	}
	var got []discoveryv1.EndpointSlice
	for document := range strings.SplitSeq(strings.TrimSuffix(string(out), "---\n"), "---\n") {
		var s discoveryv1.EndpointSlice
		if err := yaml.UnmarshalStrict([]byte(document), &s); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		got = append(got, s)
	}
	if len(got) != len(wanted) {
		t.Errorf("%d slices by hand, want %d", len(got), len(wanted))
	}
	for _, want := range wanted {
		i := slices.IndexFunc(got, func(s discoveryv1.EndpointSlice) bool { return s.Name == want.Name })
		if i < 0 || text(&got[i]) != text(&want) {
			t.Errorf("slice %s by hand differs", want.Name)
		}
	}
}
