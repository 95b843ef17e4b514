package fuzz

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func testHistories(seed uint64, dual bool, count int) ([]History, Plan) {
	plan := Generate(seed, testScene(dual), 0)
	plan.Pods = gated(plan.Pods)
	return Histories(seed, testScene(dual), plan.Pods, 0, count, 10), plan
}

func TestSameSeedSameHistory(t *testing.T) {
	a, plan := testHistories(7, true, 20)
	b, _ := testHistories(7, true, 20)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed made two sets of histories")
	}
	if one := Histories(7, testScene(true), plan.Pods, 13, 1, 10)[0]; !reflect.DeepEqual(one, a[13]) {
		t.Error("a history depends on those before it")
	}
	if other, _ := testHistories(8, true, 20); reflect.DeepEqual(a, other) {
		t.Error("another seed made the same histories")
	}
}

// TestHistoriesAreValid plays many histories on the model: every kind of operation occurs, and each Service stays valid.
func TestHistoriesAreValid(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(30) {
		histories, plan := testHistories(seed, seed%2 == 0, 10)
		for _, h := range histories {
			if len(h.Operations) != 10 {
				t.Errorf("seed %d, %s: %d operations", seed, h.Name, len(h.Operations))
			}
			state := h.Start
			m := newModel(plan, seed%2 == 0)
			for _, o := range h.Operations {
				seen[o.Kind]++
				for _, next := range o.states(state) {
					for _, c := range next.Cases {
						if m := c.Manual; m != nil && len(m.Endpoints)+m.Many+m.Waiting > MaxEndpoints {
							t.Fatalf("seed %d, %s, %s: %s has more endpoints than %d: %+v", seed, h.Name, o, c.Name(), MaxEndpoints, m)
						}
						if problem := invalidNow(c); problem != "" {
							t.Fatalf("seed %d, %s, %s: %s: %s: %+v", seed, h.Name, o, c.Name(), problem, c.Service.Spec)
						}
					}
					if _, err := m.move(t.Context(), next); err != nil {
						t.Fatal(err)
					}
					state = next
				}
			}
		}
	}
	for name, k := range kinds() {
		if seen[name] < 3 && k.weight > 0 {
			t.Errorf("of 3000 operations %d are %s", seen[name], name)
		}
	}
}

// invalidNow is invalid for a Service that operations have changed: it may lack its selector, and have external IPs.
func invalidNow(c Case) string {
	spec := &c.Service.Spec
	if len(spec.ExternalIPs) > 0 {
		spec = spec.DeepCopy()
		spec.ExternalTrafficPolicy = ""
		c.Service.Spec = *spec
	}
	if problem := invalid(c); problem != "neither selector nor slices, or both" || c.Manual != nil {
		return problem
	}
	return ""
}

func TestLastBackend(t *testing.T) {
	at := time.Unix(100, 0)
	record := []reach.Observation{{Outcome: reach.Reached, Backend: "a", At: at}, {Outcome: reach.Reached, Backend: "b", At: at.Add(time.Second)},
		{Outcome: reach.TimedOut, At: at.Add(2 * time.Second), Latency: 10 * time.Second}}
	for after, want := range map[time.Duration]string{time.Second / 2: "a", 3 * time.Second: "b", time.Minute: ""} {
		if got := lastBackend(record, at.Add(after)); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
}

// TestDuring: each history notices what is done to the complete cluster in its period, and only that.
func TestDuring(t *testing.T) {
	began := time.Unix(1000, 0)
	period := reach.Period{Began: began, InForce: began.Add(4 * time.Second), Ended: began.Add(8 * time.Second)}
	at := func(kind string, from, to int) disturbance {
		return disturbance{Operation: Operation{Kind: kind, Node: "one"}, began: began.Add(time.Duration(from) * time.Second), ended: began.Add(time.Duration(to) * time.Second)}
	}
	for name, tc := range map[string]struct {
		list []disturbance
		want oracle.Change
	}{
		"nothing":                    {nil, oracle.Change{}},
		"before":                     {[]disturbance{at("proxy-restarted", -4, -1)}, oracle.Change{}},
		"after":                      {[]disturbance{at("proxy-restarted", 9, 12)}, oracle.Change{}},
		"it goes on":                 {[]disturbance{{Operation: Operation{Kind: "proxy-restarted"}, began: began.Add(-time.Second)}}, oracle.Change{Resynced: true}},
		"it ends in the period":      {[]disturbance{at("proxy-restarted", -4, 1)}, oracle.Change{Resynced: true}},
		"it begins in the period":    {[]disturbance{at("proxy-paused", 7, 12)}, oracle.Change{Resynced: true}},
		"killed":                     {[]disturbance{at("proxy-killed", 1, 2)}, oracle.Change{Resynced: true}},
		"a sync fails":               {[]disturbance{at(syncFails, 1, 2)}, oracle.Change{Resynced: true}},
		"speakers restarted":         {[]disturbance{at("speakers-restarted", 1, 2)}, oracle.Change{Announcing: true}},
		"speakers partitioned":       {[]disturbance{at("speakers-partitioned", 1, 2)}, oracle.Change{Announcing: true}},
		"another mode":               {[]disturbance{at(modeSwitched, 1, 2)}, oracle.Change{Switched: map[string]bool{"one": true}}},
		"nothing that traffic meets": {[]disturbance{at("dns-restarted", 1, 2), at("api-server-restarted", 1, 2), at("controller-restarted", 1, 2), at(poolExhausted, 1, 2), at(addressMoved, 1, 2)}, oracle.Change{}},
	} {
		var got oracle.Change
		if (&disturbances{list: tc.list}).during(period, &got); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// TestFollowedWithin: a sync that fails is tried again after kube-proxy's syncPeriod only.
func TestFollowedWithin(t *testing.T) {
	s := &session{Settings: Settings{Convergence: time.Second}}
	for kind, want := range map[string]time.Duration{"recreated": time.Second, "proxy-restarted": time.Second, syncFails: 31 * time.Second} {
		if got := s.followedWithin(Operation{Kind: kind}); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// TestExcuse: what other histories do to cells is no disagreement, and nothing else is excused.
func TestExcuse(t *testing.T) {
	pod, node := reach.Vantage{Kind: reach.Pod, Node: "one"}, reach.Vantage{Kind: reach.Node, Node: "one"}
	port := reach.Target{Kind: reach.NodePort, Node: "two", Protocol: reach.UDP}
	own, tcp, undeclared := port, port, port
	own.Node, tcp.Protocol, undeclared.Undeclared = "one", reach.TCP, true
	cell := func(v reach.Vantage, target reach.Target, result reach.Result, differences ...reach.Difference) reach.CellVerdict {
		return reach.CellVerdict{Cell: reach.Cell{Vantage: v, Target: target}, Result: result, Differences: differences}
	}
	lost := func(n int) reach.Difference { return reach.Difference{Field: "outcome", Got: "TimedOut", Count: n} }
	unsent := cell(pod, undeclared, reach.Inconclusive)
	unsent.Cell.Observations = []reach.Observation{{Outcome: reach.ProbeFailed}}
	for name, tc := range map[string]struct {
		cell reach.CellVerdict
		want reach.Result
	}{
		"answers lost on the way":         {cell(pod, port, reach.Fail, lost(3)), reach.Pass},
		"too many":                        {cell(pod, port, reach.Fail, lost(4)), reach.Fail},
		"refused":                         {cell(pod, port, reach.Fail, reach.Difference{Field: "outcome", Got: "Refused", Count: 1}), reach.Fail},
		"and another source":              {cell(pod, port, reach.Fail, lost(1), reach.Difference{Field: "source"}), reach.Fail},
		"of a node":                       {cell(node, port, reach.Fail, lost(1)), reach.Fail},
		"at the pod's own node":           {cell(pod, own, reach.Fail, lost(1)), reach.Fail},
		"of a connection":                 {cell(pod, tcp, reach.Fail, lost(1)), reach.Fail},
		"a number that was given away":    {cell(pod, undeclared, reach.Inconclusive), reach.Skipped},
		"a number that could not be sent": {unsent, reach.Inconclusive},
		"a declared one":                  {cell(pod, port, reach.Inconclusive), reach.Inconclusive},
	} {
		o := observation{cells: []reach.CellVerdict{tc.cell}}
		if o.excuse(); o.cells[0].Result != tc.want || (len(o.lines) == 1) != (tc.want != tc.cell.Result) {
			t.Errorf("%s: %s, %v", name, o.cells[0].Result, o.lines)
		}
	}
}

// silentFor is a flow that has no answer at first.
type silentFor struct {
	standing
	asked, silent int
}

func (f *silentFor) Observed() []reach.Observation {
	if f.asked++; f.asked <= f.silent {
		return nil
	}
	return []reach.Observation{{Outcome: reach.Reached}}
}

func TestAnswered(t *testing.T) {
	late := &silentFor{silent: 3}
	if err := answered(t.Context(), []standing{&silentFor{}, late}); err != nil || late.asked != 4 {
		t.Errorf("it was waited until request %d: %v", late.asked, err)
	}
}

// TestPassing: what a history passes through on its way is known to the oracle.
func TestPassing(t *testing.T) {
	histories, plan := testHistories(5, false, 1)
	from := histories[0].Start
	from.Cases = from.Cases[:1]
	from.Cases[0].Manual, from.Cases[0].Service.Spec.Selector = nil, map[string]string{appLabel: appName}
	from.Cases[0].Service.Spec.Type = corev1.ServiceTypeLoadBalancer
	for _, tc := range []struct {
		operation             Operation
		gone, unready, inside bool
		states                int
	}{
		{Operation{Kind: "affinity", Service: "s000", Value: "ClientIP"}, false, false, false, 0},
		{Operation{Kind: "zero-and-back", Service: "s000"}, true, false, false, 1},
		{Operation{Kind: "recreated", Service: "s000"}, true, false, false, 2},
		{Operation{Kind: "pod-flaps", Pod: "b00"}, false, true, false, 1},
		{Operation{Kind: "type-and-back", Service: "s000"}, false, false, true, 1},
	} {
		m := newModel(plan, false)
		if _, err := m.move(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		list := passing(oracle.New(m.now), from, tc.operation.states(from), testNamespace)
		if len(list) != tc.states {
			t.Fatalf("%s: %d states, want %d", tc.operation, len(list), tc.states)
		}
		gone, unready, inside := false, false, false
		for _, o := range list {
			w := o.World()
			gone = gone || len(w.Slices) == 0
			for _, e := range world.Endpoints(w.Slices, "p0", "TCP") {
				unready = unready || e.Pod == "b00" && !e.Serving
			}
			for i := range w.Services {
				inside = inside || len(world.BalancerAddrs(&w.Services[i])) == 0 && w.Services[i].Spec.Ports[0].NodePort == 0
			}
		}
		if gone != tc.gone || unready != tc.unready || inside != tc.inside {
			t.Errorf("%s: without endpoints %t, b00 not ready %t, reached inside only %t", tc.operation, gone, unready, inside)
		}
	}
}

func TestMinimal(t *testing.T) {
	tries := 0
	got := minimal([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, func(list []int) bool {
		tries++
		return slices.Contains(list, 3) && slices.Contains(list, 8)
	})
	if !slices.Equal(got, []int{3, 8}) || tries > 60 {
		t.Errorf("%v after %d tries", got, tries)
	}
	if got := minimal([]int{1}, func([]int) bool { return true }); len(got) != 0 {
		t.Errorf("%v, nothing is needed", got)
	}
}

// TestHistoryShrinks plants a fault that needs two operations on one Service, and sees everything else go.
func TestHistoryShrinks(t *testing.T) {
	s, _ := on(t, 1, nil)
	histories, plan := testHistories(5, false, 12)
	m := newModel(plan, false)
	s.sandbox, s.plan, s.Shrinks = m, plan, 3
	s.observer.engine.Snapshot = m.snapshot
	fault := func(w world.World, r probe.Request, p *reach.Prediction) {
		service, _ := w.Service(r.Target.Service)
		if r.Target.Kind == reach.ClusterIP && service.Spec.SessionAffinity == "ClientIP" && len(service.Spec.Ports) > 2 && service.Name == "s000" {
			p.Outcomes = []reach.Outcome{reach.WrongAnswer}
		}
	}
	s.observer.engine.Prober = &obedient{model: m, bent: fault}
	base := histories[0]
	base.Flows = false
	base.Start.Cases[0].Service.Spec.SessionAffinity = ""
	base.Operations = append([]Operation{{Kind: "affinity", Service: "s000", Value: "ClientIP"}, {Kind: "pod-leaves", Pod: "b03"}, {Kind: "external-ips", Service: "s000", Value: "192.0.2.7"}},
		Operation{Kind: "port-added", Service: "s000", Value: "5001"}, Operation{Kind: "pod-joins", Pod: "b03"}, Operation{Kind: "port-added", Service: "s000", Value: "5002"})
	v := s.history(t.Context(), 0, base)
	if v.Result != reach.Fail || len(s.outcome.Disagreements) == 0 {
		t.Fatalf("%s with %d disagreements", v.Result, len(s.outcome.Disagreements))
	}
	d := s.outcome.Disagreements[0]
	var kept []string
	for _, o := range d.History.Operations {
		kept = append(kept, o.Kind)
	}
	if !slices.Equal(kept, []string{"affinity", "port-added"}) || len(d.History.Start.Cases) != 1 || d.Repeated != repeats || !d.Reproduced {
		t.Errorf("the smallest has %v on %d Services, seen in %d of %d", kept, len(d.History.Start.Cases), d.Repeated, d.Tries)
	}
	if len(d.Commands) != 2 || !strings.Contains(d.YAML, "kind: Service") {
		t.Errorf("commands %v for %s", d.Commands, d.YAML)
	}
}
