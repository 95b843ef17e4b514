package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// randomise changes nearly everything about the fixture's Service.
func (f *fixture) randomise(r *rand.Rand) {
	flip := func() bool { return r.IntN(2) == 0 }
	f.Facts.ProxyMode = []string{world.ModeNFTables, world.ModeIPTables, world.ModeIPVS}[r.IntN(3)]
	f.Facts.PortsDeclared, f.Facts.DropsStrays, f.Facts.NodesUseClusterDNS = flip(), flip(), flip()
	f.Facts.PodToNode = []world.Egress{world.EgressNode, world.EgressPod, world.EgressUnknown}[r.IntN(3)]
	f.hostPod("h", "cp")
	f.slice("web", []string{"a", "b", "h"}[:r.IntN(4)]...)
	for _, pod := range []string{"a", "b", "h"} {
		f.each(pod, func(e *discoveryv1.Endpoint) {
			e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(flip()), Serving: ptr(flip()), Terminating: ptr(flip())}
		})
		if flip() {
			f.hint(pod, "a", []string{"", "one"}[r.IntN(2)])
		}
	}
	s := f.web()
	if flip() {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	if flip() {
		s.Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if flip() {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	if flip() {
		s.Spec.ClusterIPs = s.Spec.ClusterIPs[:1]
	}
	if flip() {
		s.Spec.LoadBalancerSourceRanges = []string{"10.244.0.0/16"}
	}
	switch r.IntN(8) {
	case 0:
		f.headless()
	case 1:
		f.externalName("example.com")
	case 2:
		f.Announcers = nil
	case 3:
		f.notReady("two")
	}
}

// TestRandomWorlds holds every prediction of many worlds to what all of them have in common.
func TestRandomWorlds(t *testing.T) {
	vantages := []string{"pod/one", "pod/cp", "a", "node/one", "node/cp", "outside", "host"}
	rules := map[string]int{}
	for seed := range uint64(600) {
		f := newFixture()
		f.randomise(rand.New(rand.NewPCG(seed, 1)))
		w := f.Sorted()
		o, other := New(w), New(w)
		for _, target := range append(w.TargetsWith("demo/web", world.FormFull, world.FormShort, world.FormPod), at(lbIP+":80"), at(cp+":30080"), at(webIP+":80")) {
			for _, name := range vantages {
				v := vantage(name)
				if !world.Applicable(v, target) {
					continue
				}
				p := o.Predict(v, target)
				if problem := flaw(p); problem != "" {
					t.Fatalf("seed %d, %s to %s: %s: %+v", seed, name, target.Name(), problem, p)
				}
				if again := other.Predict(v, target); fmt.Sprint(again) != fmt.Sprint(p) {
					t.Fatalf("seed %d, %s to %s: %+v, then %+v", seed, name, target.Name(), p, again)
				}
				if walk := o.Walk(v, target); fmt.Sprint(walk.Prediction) != fmt.Sprint(p) {
					t.Fatalf("seed %d, %s to %s: predicted %+v, and for the walk %+v", seed, name, target.Name(), p, walk.Prediction)
				} else if problem := disagrees(walk); problem != "" {
					t.Fatalf("seed %d, %s to %s: %s: %+v\n%+v", seed, name, target.Name(), problem, p, walk.Ways)
				}
				rules[p.Rule]++
			}
		}
	}
	if len(rules) < 40 {
		t.Errorf("only %d rules were met: %v", len(rules), rules)
	}
}

// flaw is what is wrong with a prediction by itself.
func flaw(p reach.Prediction) string {
	reaches := p.Allows(reach.Reached)
	switch {
	case len(p.Outcomes) == 0:
		return "no outcome"
	case p.Reason == "" || p.Rule == "" || p.Doc == "":
		return "no reason, rule or document"
	case !reaches && len(p.Backends)+len(p.Sources) > 0:
		return "backends or sources, but no backend is reached"
	case !slices.IsSorted(p.Backends) || slices.Contains(p.Backends, ""):
		return "backends are not sorted, or have no name"
	case p.Sticky && !reaches:
		return "sticky, but no backend is reached"
	}
	for i, o := range p.Outcomes {
		if slices.Contains(p.Outcomes[:i], o) {
			return "an outcome is listed twice"
		}
	}
	everything := netip.MustParsePrefix("0.0.0.0/0")
	for _, source := range p.Sources {
		if source == everything || source.Bits() < 16 {
			return "sources that exclude nothing"
		}
	}
	return ""
}

// BenchmarkTable predicts 10,000 cells of a world with 1,000 Services and 10,000 endpoints.
func BenchmarkTable(b *testing.B) {
	w, cells := large()
	b.ReportAllocs()
	for b.Loop() {
		o := New(w)
		for _, c := range cells {
			if p := o.Predict(c.v, c.t); p.Rule == "" {
				b.Fatal("no rule")
			}
		}
	}
}

type cell struct {
	v reach.Vantage
	t reach.Target
}

// large makes the world of the benchmark and the first 10,000 cells of its table.
func large() (world.World, []cell) {
	f := newFixture()
	f.Services, f.Slices, f.Pods = nil, nil, nil
	for i := range 1000 {
		s := webService()
		s.Name = fmt.Sprintf("web-%d", i)
		s.Spec.ClusterIPs = []string{fmt.Sprintf("10.96.%d.%d", 1+i/250, 1+i%250)}
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
		s.Spec.Ports[0].NodePort = int32(30000 + i)
		s.Status.LoadBalancer.Ingress[0].IP = fmt.Sprintf("172.18.%d.%d", 200+i/250, 1+i%250)
		f.Services = append(f.Services, s)
		var names []string
		for j := range 10 {
			name := fmt.Sprintf("pod-%d-%d", i, j)
			node := []string{"cp", "one", "two"}[j%3]
			pod := f.pod(name, node, 1)
			pod.Status.PodIPs = []corev1.PodIP{{IP: fmt.Sprintf("10.244.%d.%d", 10+(i*10+j)/250, 1+(i*10+j)%250)}}
			names = append(names, name)
		}
		kept := f.Slices
		f.slicesAt(s.Name, names)
		f.Slices = append(kept, f.Slices...)
	}
	w := f.Sorted()
	var cells []cell
	for i := range w.Services {
		for _, target := range w.Targets(world.Name(&w.Services[i]))[:5] {
			for _, name := range []string{"pod/one", "node/two", "outside", "host"} {
				if world.Applicable(vantage(name), target) && len(cells) < 10_000 {
					cells = append(cells, cell{vantage(name), target})
				}
			}
		}
	}
	return w, cells
}

// slicesAt makes the IPv4 slice of a Service whose pods were added last, in that order.
func (f *fixture) slicesAt(service string, names []string) {
	first := len(f.Pods) - len(names)
	s := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}}}
	s.Namespace, s.Name, s.Labels = "demo", service, map[string]string{discoveryv1.LabelServiceName: service}
	for i, name := range names {
		pod := &f.Pods[first+i]
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: ptr(pod.Spec.NodeName),
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}})
	}
	f.Slices = []discoveryv1.EndpointSlice{s}
}

// TestLargeTable bounds the work for a large table: each Service port is routed at most once per node, however many cells
// it has. Without that, every cell would read all endpoints of its Service. BenchmarkTable measures the time.
func TestLargeTable(t *testing.T) {
	w, cells := large()
	if len(w.Services) != 1000 || len(w.Pods) != 10_000 || len(cells) != 10_000 {
		t.Fatalf("%d Services, %d pods, %d cells", len(w.Services), len(w.Pods), len(cells))
	}
	o := New(w)
	for _, c := range cells {
		o.Predict(c.v, c.t)
	}
	n := 0
	for _, at := range o.index.list {
		n += len(at.endpoints.routed)
	}
	if n == 0 || n > 3*len(w.Services) {
		t.Errorf("%d routings for %d Services on 3 nodes", n, len(w.Services))
	}
	predicted := testing.AllocsPerRun(1, func() {
		for _, c := range cells {
			o.Predict(c.v, c.t)
		}
	})
	if perCell := predicted / float64(len(cells)); perCell > 100 {
		t.Errorf("a prediction allocates %.0f times: it must not read all endpoints again", perCell)
	}
}
