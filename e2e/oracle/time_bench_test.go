package oracle

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// many adds the i-th of many Services, demo/s<i>, with TCP and UDP at an address and at node ports of its own. Pods a and b are its endpoints.
// It returns the Service's slice.
func (f *fixture) many(i int) discoveryv1.EndpointSlice {
	s := webService()
	s.Name, s.Spec.Type, s.Status = fmt.Sprintf("s%d", i), corev1.ServiceTypeNodePort, corev1.ServiceStatus{}
	s.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", 1+i/250, i%250)
	s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, NodePort: int32(31000 + i), Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, NodePort: int32(31000 + i), Protocol: corev1.ProtocolUDP}}
	f.Services = append(f.Services, s)
	made := withUDPSlices(&fixture{World: world.World{Slices: f.slicesNamed(s.Name, "a", "b")[:1]}}).Slices
	f.Slices = append(f.Slices, made...)
	return made[0]
}

// flowTo is a flow to the i-th of many Services: of each kind in turn, from a pod to the ClusterIP or from outside to a node port.
func flowTo(i int) reach.Flow {
	kinds := reach.FlowKinds()
	f := reach.Flow{Kind: kinds[i%len(kinds)], Vantage: vantage("pod/one")}
	f.Target = reach.Target{Kind: reach.ClusterIP, Service: fmt.Sprintf("demo/s%d", i), Host: fmt.Sprintf("10.96.%d.%d", 1+i/250, i%250), Port: 80, Protocol: reach.TCP}
	if f.Kind != reach.FlowNew && f.Kind != reach.FlowKept {
		f.Target.Port, f.Target.Protocol = 53, reach.UDP
	}
	if i/len(kinds)%2 == 1 {
		f.Vantage, f.Target.Kind, f.Target.Host, f.Target.Node, f.Target.Port = vantage("outside"), reach.NodePort, two, "two", uint16(31000+i)
	}
	return f
}

// operation is what a Service and its slices become.
type operation struct {
	service *corev1.Service
	slices  []discoveryv1.EndpointSlice
}

// operationsOn are ten operations on a Service. Each second one takes back the one before.
func operationsOn(s *corev1.Service, slice discoveryv1.EndpointSlice) (list [10]operation) {
	edited := func(edit func(f *fixture, pods ...string), pods ...string) []discoveryv1.EndpointSlice {
		f := &fixture{World: world.World{Slices: []discoveryv1.EndpointSlice{*slice.DeepCopy()}}}
		edit(f, pods...)
		return f.Slices
	}
	for i := range list {
		list[i] = operation{s, []discoveryv1.EndpointSlice{slice}}
	}
	list[0].slices = edited((*fixture).drop, "b")
	list[2].slices = edited((*fixture).unready, "a")
	list[4].slices = edited((*fixture).drop, "a", "b")
	list[6].service, list[8].service = s.DeepCopy(), s.DeepCopy()
	list[6].service.Spec.InternalTrafficPolicy, list[6].service.Spec.ExternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal), corev1.ServiceExternalTrafficPolicyLocal
	list[8].service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	return list
}

// BenchmarkOverTime is 10,000 operations, each on one of 100 Services in the world that those before it left. After each it asks what becomes
// of the flow to that Service, and of the flow to another one, which must not notice. It must take less than a second.
func BenchmarkOverTime(b *testing.B) {
	const operations, services = 10_000, 100
	var (
		f     = withUDP()
		made  [services]discoveryv1.EndpointSlice
		flows [services]reach.Flow
		to    [services][10]operation
	)
	for i := range services {
		made[i], flows[i] = f.many(i), flowTo(i)
	}
	start := New(f.World)
	for i := range services {
		to[i] = operationsOn(start.index.service(flows[i].Target.Service).Service, made[i])
	}
	for b.Loop() {
		var (
			o        = start
			fates    = map[reach.FateKind]int{}
			backends = slices.Repeat([]string{"a"}, services) // who answered each flow last
		)
		for n := range operations {
			i, other := n%services, (n+1+n/services%(services-1))%services
			op := to[i][n/services%10]
			change := Change{Before: o, After: o.With(op.service, op.slices), Touched: map[string]bool{flows[i].Target.Service: true}}
			o = change.After
			fate := change.Fate(flows[i], backends[i])
			fates[fate.Kind]++
			if then := fate.Then.Backends; len(then) == 0 {
				backends[i] = ""
			} else if !slices.Contains(then, backends[i]) {
				backends[i] = then[0]
			}
			if bystander := change.Fate(flows[other], backends[other]); bystander.Kind != reach.Unnoticed && bystander.Kind != reach.Keeps || fate.Reason == "" || bystander.Reason == "" {
				b.Fatalf("operation %d: %s; another flow %s: %s", n, fate.Reason, bystander.Kind, bystander.Reason)
			}
		}
		want := map[reach.FateKind]int{
			reach.MayMove:  8 * 200,                           // new connections, but in the rounds in which all endpoints leave and come back
			reach.MustEnd:  200 + 300,                         // these, and datagrams to a ClusterIP, when all endpoints leave
			reach.MustMove: 200 + 300 + 270 + 600,             // the same when they come back; datagrams when b leaves, though ten flows to it had not begun, and when a is not ready
			reach.Keeps:    10_000 - 8*200 - 500 - 270 - 1100, // TCP connections, and all other datagrams
		}
		if !maps.Equal(fates, want) {
			b.Fatalf("fates are %v, want %v", fates, want)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/10k-operations")
}
