package runner

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

const appYAML = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app}
spec:
  replicas: 2
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec: {nodeName: svclab-worker, containers: [{name: app, image: app}]}
`

const serviceYAML = `
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  selector: {app: my-app}
  ports: [{port: 80, targetPort: 8080}]
`

const reachTable = `
tables:
  reach:
    app: app=my-app
    kinds: [clusterIP, endpoint]
    rows:
      - {from: [pod, node], to: clusterIP, outcome: Reached, by: all, sees: self}
      - {from: [pod, node], to: {kind: clusterIP, undeclared: true}, outcome: {byMode: {nftables: Refused, iptables: TimedOut}}}
      - {from: [pod, node], to: endpoint, outcome: Reached, by: itself}
      - {from: [outside, host], to: [clusterIP, endpoint], outcome: [Unreachable, TimedOut]}
      - {from: [outside, host], to: {kind: clusterIP, undeclared: true}, outcome: [Unreachable, TimedOut]}
`

const deployAndLook = `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: look, expect: reach}
`

// loaded loads one scenario of the given head and steps.
func loaded(t *testing.T, name, head, does, expect string) scenario.Scenario {
	t.Helper()
	files := map[string]string{
		"scenario.yaml": "title: " + name + "\nbehaviours: [clusterip.basic]\n" + head + "\nsteps:" + does,
		"app.yaml":      appYAML, "service.yaml": serviceYAML, "expect.yaml": expect,
	}
	fsys := fstest.MapFS{}
	for file, text := range files {
		if strings.HasSuffix(file, ".yaml") && file != "scenario.yaml" && file != "expect.yaml" && !strings.Contains(does, file) || text == "" {
			continue
		}
		fsys["scenarios/"+name+"/"+file] = &fstest.MapFile{Data: []byte(text)}
	}
	scenarios, err := scenario.LoadAll(fsys, steps.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	return scenarios[0]
}

func quickly() Settings {
	return Settings{StepTimeout: 5 * time.Second, Convergence: 300 * time.Millisecond, Cleanup: 5 * time.Second, Heartbeat: time.Hour, Workers: 4}
}

// lab is a fake cluster with a prober and a runner on it.
func lab(t *testing.T, opts ...Option) (*fakeCluster, *fakeProber, *Runner) {
	c := newFakeCluster(t)
	p := &fakeProber{cluster: c}
	return c, p, New(c, p, append([]Option{WithSettings(quickly())}, opts...)...)
}

func one(t *testing.T, r *Runner, sc scenario.Scenario) reach.Verdict {
	t.Helper()
	out, err := r.Run(context.Background(), []scenario.Scenario{sc})
	if err != nil {
		t.Fatalf("run: %v\n%+v", err, out.Verdicts)
	}
	return out.Verdicts[0]
}

func namespacesLeft(c *fakeCluster) []string {
	return slices.DeleteFunc(c.api.names("namespaces"), func(n string) bool { return !strings.HasPrefix(n, "svclab-") })
}

func TestRunJudgesATable(t *testing.T) {
	c, p, r := lab(t)
	v := one(t, r, loaded(t, "clusterip", "", deployAndLook, reachTable))
	if v.Result != reach.Pass || len(v.Steps) != 3 {
		t.Fatalf("verdict %s, steps %+v", v.Result, v.Steps)
	}
	table := v.Steps[1].Tables[0]
	// 8 vantages; ClusterIP declared and not, and two endpoints
	if len(table.Vantages) != 8 || len(table.Targets) != 4 || len(table.Cells) != 32 {
		t.Fatalf("%d vantages, %d targets, %d cells", len(table.Vantages), len(table.Targets), len(table.Cells))
	}
	for _, cell := range table.Cells {
		n := len(cell.Cell.Observations)
		switch {
		case cell.Cell.Vantage.Kind == reach.Host:
			if cell.Result != reach.Skipped || !strings.Contains(cell.Why, "no vantage") {
				t.Errorf("host cell: %s %q", cell.Result, cell.Why)
			}
		case cell.Expected.Allows(reach.Reached) && n < 8:
			t.Errorf("%s → %s was probed %d times, want 8 at least", cell.Cell.Vantage.Name, cell.Cell.Target.Name(), n)
		case !cell.Expected.Allows(reach.Reached) && n != 4:
			t.Errorf("denial %s → %s was probed %d times, want 2 in each of two passes", cell.Cell.Vantage.Name, cell.Cell.Target.Name(), n)
		}
	}
	if left := namespacesLeft(c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(p.requests) != 3 {
		t.Errorf("%d rounds of probes, want one to converge, one judged, one for denials", len(p.requests))
	}
	for _, d := range c.api.list("deployments", "") {
		t.Errorf("left behind: %v", d)
	}
}

// A cluster that lacks one backend, or has one node that does not serve, must fail in the judged pass with
// just those cells, though convergence was tried first.
func TestRunFindsBrokenCells(t *testing.T) {
	for name, c := range map[string]struct {
		broken func(round int, r probe.Request, o *reach.Observation)
		cell   [2]string
		field  string
		cells  int
	}{
		"a backend out of the rotation": {
			func(_ int, r probe.Request, o *reach.Observation) {
				if r.Vantage.Name == "pod/worker" && r.Target.Kind == reach.ClusterIP && len(r.Until) == 2 {
					o.Backend = r.Until[0]
				}
			}, [2]string{"pod/worker", "my-service clusterIP"}, "missing backend", 1},
		"a node that does not serve": {
			func(_ int, r probe.Request, o *reach.Observation) {
				if r.Vantage.Name == "node/worker2" && r.Target.Kind == reach.ClusterIP && !r.Target.Undeclared {
					*o = reach.Observation{Outcome: reach.TimedOut}
				}
			}, [2]string{"node/worker2", "my-service clusterIP"}, "outcome", 1},
		"a wrong source address": {
			func(_ int, r probe.Request, o *reach.Observation) {
				if r.Vantage.Name == "pod/control-plane" && r.Target.Kind == reach.ClusterIP && o.Outcome == reach.Reached {
					o.Source = r.Vantage.Addrs[0].Next()
				}
			}, [2]string{"pod/control-plane", "my-service clusterIP"}, "source", 1},
		"a hole that opens in the second pass": {
			func(round int, r probe.Request, o *reach.Observation) {
				if r.Target.Undeclared && r.Vantage.Name == "pod/worker" && round == 3 {
					*o = reach.Observation{Outcome: reach.Reached, Backend: "somebody"}
				}
			}, [2]string{"pod/worker", "my-service clusterIP"}, "outcome", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, r := lab(t)
			p.broken = c.broken
			v := one(t, r, loaded(t, "broken", "", deployAndLook, reachTable))
			if v.Result != reach.Fail {
				t.Fatalf("verdict %s: %+v", v.Result, v.Steps)
			}
			var failed []reach.CellVerdict
			for _, cell := range v.Steps[1].Tables[0].Cells {
				if cell.Result == reach.Fail {
					failed = append(failed, cell)
				}
			}
			if len(failed) != c.cells || failed[0].Cell.Vantage.Name != c.cell[0] || !strings.HasPrefix(failed[0].Cell.Target.Name(), c.cell[1]) {
				t.Fatalf("failed cells: %+v", failed)
			}
			if failed[0].Alone != "observation" || failed[0].Differences[0].Field != c.field {
				t.Errorf("alone %q, differences %v", failed[0].Alone, failed[0].Differences)
			}
			if !strings.Contains(v.Steps[1].Why, c.cell[0]) {
				t.Errorf("the step's why does not name the cell: %s", v.Steps[1].Why)
			}
		})
	}
}

// What is late but within the bound converges; what comes and goes does not pass, however it behaved before.
func TestConvergence(t *testing.T) {
	late := func(round int, r probe.Request, o *reach.Observation) {
		if round <= 2 && r.Target.Kind == reach.ClusterIP && r.Vantage.Kind == reach.Node && !r.Target.Undeclared {
			*o = reach.Observation{Outcome: reach.Refused}
		}
	}
	_, p, r := lab(t, WithSettings(Settings{Convergence: 5 * time.Second}))
	p.broken = late
	v := one(t, r, loaded(t, "late", "", deployAndLook, reachTable))
	if v.Result != reach.Pass || !strings.Contains(strings.Join(v.Steps[1].Lines, "\n"), "in round 3") {
		t.Errorf("late: %s, %v", v.Result, v.Steps[1].Lines)
	}
	if second := p.requests[1]; len(second) != 3 {
		t.Errorf("round 2 probed %d cells, want the 3 that were not as predicted", len(second))
	}

	_, p, r = lab(t)
	probes := 0
	p.broken = func(_ int, rq probe.Request, o *reach.Observation) { // every fifth connection is lost
		if rq.Target.Kind == reach.ClusterIP && rq.Vantage.Name == "pod/worker" && !rq.Target.Undeclared {
			if probes++; probes%5 == 0 {
				*o = reach.Observation{Outcome: reach.TimedOut}
			}
		}
	}
	v = one(t, r, loaded(t, "flapping", "", deployAndLook, reachTable))
	if v.Result != reach.Fail {
		t.Errorf("flapping: %s", v.Result)
	}
}

func TestWhoStandsAlone(t *testing.T) {
	_, _, r := lab(t)
	wrong := strings.Replace(reachTable, "outcome: {byMode: {nftables: Refused, iptables: TimedOut}}", "outcome: TimedOut", 1)
	v := one(t, r, loaded(t, "wrong", "", deployAndLook, wrong))
	if v.Result != reach.Fail {
		t.Fatalf("verdict %s", v.Result)
	}
	alone := map[string]int{}
	for _, cell := range v.Steps[1].Tables[0].Cells {
		if cell.Result == reach.Fail {
			alone[cell.Alone]++
		}
	}
	if alone["expected table"] != 6 || len(alone) != 1 {
		t.Errorf("alone: %v, want the expected table 6 times", alone)
	}
}

func TestProberThatCannotRun(t *testing.T) {
	_, p, r := lab(t)
	p.broken = func(_ int, rq probe.Request, o *reach.Observation) {
		if rq.Vantage.Name == "node/worker" {
			*o = reach.Observation{Outcome: reach.ProbeFailed, Detail: "exec format error"}
		}
	}
	v := one(t, r, loaded(t, "unable", "", deployAndLook, reachTable))
	if v.Result != reach.Inconclusive || !strings.Contains(v.Steps[1].Why, "exec format error") {
		t.Errorf("%s: %s", v.Result, v.Steps[1].Why)
	}
}

// A path that drops every packet fails and names its cell, though its probes take far longer than the step has: the step's
// time is for its waits.
func TestDroppedPathOutlastsTheStep(t *testing.T) {
	_, p, r := lab(t)
	p.broken = func(_ int, rq probe.Request, o *reach.Observation) {
		if rq.Vantage.Name == "node/worker" && rq.Target.Kind == reach.ClusterIP && !rq.Target.Undeclared {
			*o = reach.Observation{Outcome: reach.TimedOut}
		}
	}
	v := one(t, r, loaded(t, "dropped", "", deployAndLook, reachTable))
	if v.Result != reach.Fail || !strings.Contains(v.Steps[1].Why, "from node/worker to my-service clusterIP:80/TCP: outcome: want Reached, got TimedOut (") {
		t.Errorf("%s: %s", v.Result, v.Steps[1].Why)
	}
	if p.deadlines != 0 {
		t.Errorf("%d of %d times the prober got a deadline, of a step of %s", p.deadlines, p.rounds, quickly().StepTimeout)
	}
}

func TestRowsThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct{ old, text, want string }{
		"a cell without a row": {"[outside, host], to: [clusterIP, endpoint]", "[outside, host], to: clusterIP", "no row covers the cell from outside to my-service endpoint@"},
		"a cell with two rows": {"from: [pod, node], to: endpoint", "from: any, to: endpoint", "rows 3 and 4 all cover the cell from outside to my-service endpoint@"},
		"a row without a cell": {"    rows:", "    rows:\n      - {from: pod, to: nodePort, outcome: Refused}", "row 1 (from pod to nodePort: Refused) covers no cell"},
		"nobody to answer":     {"by: all", "by: {pods: app=other}", "row 1: from pod/control-plane to my-service clusterIP:80/TCP: the row expects an answer by every pod with app=other, but there is no such pod"},
		"no such service":      {"    app:", "    services: [other]\n    app:", `there is no Service "other"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, r := lab(t)
			v := one(t, r, loaded(t, "rows", "", deployAndLook, strings.Replace(reachTable, c.old, c.text, 1)))
			if v.Result != reach.Inconclusive || !strings.Contains(v.Steps[1].Why, c.want) {
				t.Errorf("%s: %s\nwant %s", v.Result, v.Steps[1].Why, c.want)
			}
			if len(p.requests) != 0 {
				t.Error("a table that does not fit was probed nevertheless")
			}
		})
	}
}

// lockedBuffer is written by several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
