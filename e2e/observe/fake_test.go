package observe

import (
	"context"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

var (
	fromPod  = reach.Vantage{Name: "pod/a", Kind: reach.Pod, Node: "a"}
	fromNode = reach.Vantage{Name: "node/a", Kind: reach.Node, Node: "a"}
	service  = reach.Target{Kind: reach.ClusterIP, Service: "ns/web", Host: "10.96.0.1", Port: 80, Protocol: reach.TCP}
	closed   = reach.Target{Kind: reach.ClusterIP, Service: "ns/web", Host: "10.96.0.1", Port: 81, Protocol: reach.TCP, Undeclared: true}
	named    = reach.Target{Kind: reach.DNSName, Service: "ns/web", Host: "web.ns.svc.cluster.local", Port: 80, Protocol: reach.TCP}
)

func outcome(outcomes ...reach.Outcome) reach.Prediction {
	return reach.Prediction{Outcomes: outcomes, Reason: "of the objects"}
}

func answeredBy(backends ...string) reach.Prediction {
	return reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: backends, Reason: "they are ready"}
}

// bench is an engine on a world of two backends, over a network that a test programs.
type bench struct {
	t *testing.T
	// network decides what one probe sees; round counts the calls of Observe from 1, n the probes of the request from 0.
	network func(round, n int, r probe.Request) reach.Observation
	// predict is what the oracle says in the n-th snapshot, from 1.
	predict   func(snapshot int, t reach.Target) reach.Prediction
	expected  *reach.Prediction
	version   func(snapshot int) string
	rounds    [][]probe.Request
	snapshots int
	deadlines []time.Time
}

func (b *bench) engine(policy Policy) Engine {
	return Engine{Policy: policy, Prober: b, Timeouts: DefaultTimeouts(), Within: 2 * time.Second, Snapshot: b.snapshot,
		Predict: func(world.World) func(reach.Vantage, reach.Target) reach.Prediction {
			at := b.snapshots
			return func(_ reach.Vantage, t reach.Target) reach.Prediction { return b.predict(at, t) }
		},
		Tables: func(world.World) ([]Table, error) {
			t := Table{Title: "web", Vantages: []reach.Vantage{fromPod}, Targets: []reach.Target{service, closed}}
			for _, target := range t.Targets {
				t.Cells = append(t.Cells, Cell{Vantage: fromPod, Target: target})
			}
			t.Cells[0].Expected = b.expected
			return []Table{t}, nil
		}}
}

func (b *bench) snapshot(context.Context) (world.World, error) {
	b.snapshots++
	w := world.World{Services: []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", ResourceVersion: "1"}}}}
	if b.version != nil {
		w.Services[0].ResourceVersion = b.version(b.snapshots)
	}
	return w, nil
}

// Observe is a prober: it keeps Min, Max and Until, gives up after three probes without an answer, and when a deadline
// of ctx leaves no time for the next probe, that probe is a ProbeFailed, as probe.Client has it. Probes without a reply
// take their timeout.
func (b *bench) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	b.rounds = append(b.rounds, requests)
	end, bounded := ctx.Deadline()
	b.deadlines = append(b.deadlines, end)
	cells := make([]reach.Cell, len(requests))
	for i, r := range requests {
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target}
		missing, silent, spent := map[string]bool{}, 0, time.Duration(0)
		for _, name := range r.Until {
			missing[name] = true
		}
		for n := 0; n < max(r.Max, r.Min, 1); n++ {
			o := b.network(len(b.rounds), n, r)
			if o.Outcome == reach.TimedOut {
				spent += r.Timeout
			}
			if bounded && spent > time.Until(end) {
				o = reach.Observation{Outcome: reach.ProbeFailed, Detail: "the run's deadline passed"}
			}
			cells[i].Observations = append(cells[i].Observations, o)
			if o.Outcome == reach.ProbeFailed {
				break
			}
			delete(missing, o.Backend)
			if silent++; o.Outcome == reach.Reached {
				silent = 0
			}
			if n+1 >= r.Min && (len(missing) == 0 || silent >= 3) {
				break
			}
		}
	}
	return cells, nil
}

// healthy is a network in which the Service answers from two backends in turn, and its undeclared port refuses.
func healthy(_, n int, r probe.Request) reach.Observation {
	if r.Target.Undeclared {
		return reach.Observation{Outcome: reach.Refused}
	}
	return reach.Observation{Outcome: reach.Reached, Backend: []string{"x", "y"}[n%2]}
}

// asIntended is the oracle for healthy.
func asIntended(_ int, t reach.Target) reach.Prediction {
	if t.Undeclared {
		return outcome(reach.Refused)
	}
	return answeredBy("x", "y")
}

func newBench(t *testing.T) *bench { return &bench{t: t, network: healthy, predict: asIntended} }

// worldWith has a Service with as many endpoints of each family.
func worldWith(v4, v6 int) world.World {
	var w world.World
	for family, count := range map[discoveryv1.AddressType]int{discoveryv1.AddressTypeIPv4: v4, discoveryv1.AddressTypeIPv6: v6} {
		w.Slices = append(w.Slices, discoveryv1.EndpointSlice{AddressType: family, Endpoints: make([]discoveryv1.Endpoint, count),
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(family), Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}})
	}
	w.Elsewhere = []corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"}},
			Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"}}}}
	return w
}

var clusterDNS = netip.MustParseAddrPort("10.96.0.10:53")

func snapshotOf(w world.World) func(context.Context) (world.World, error) {
	return func(context.Context) (world.World, error) { return w, nil }
}
