package mutants

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
)

var update = flag.Bool("update", false, "write the golden files in testdata again")

// outcomeOf reads what a run of the small scenario with two mutants would be judged as; results are by step.
func outcomeOf(t *testing.T, results map[string]reach.Step) Outcome {
	t.Helper()
	sign := Notice{Signs: []Sign{{From: []string{"pod/worker"}, Field: "outcome", Got: []string{"Refused"}}}}
	p, err := planFor(small(), []Mutant{
		{Name: "first", Effect: "on worker, connections are refused", Scenario: "small", During: []string{"look"}, Notice: sign},
		{Name: "second", Effect: "kube-proxy is stopped while every pod is replaced", Scenario: "small", During: []string{"replace", "look again"}, Notice: sign},
	})
	if err != nil {
		t.Fatal(err)
	}
	verdict := reach.Verdict{Scenario: "small"}
	for _, step := range p.scenario.Steps {
		result, told := results[step.Name]
		if !told {
			result = reach.Step{Result: reach.Pass}
			if p.marks[step.Name].phase == injected && len(step.Tables()) > 0 {
				result = refused()
			}
		}
		result.Name, result.Elapsed = step.Name, 1500*time.Millisecond
		verdict.Steps = append(verdict.Steps, result)
	}
	findings, baseline := p.read(verdict)
	out := Outcome{Baseline: baseline, Elapsed: 7 * time.Second}
	for i, f := range findings {
		if f == nil {
			f = &Finding{Mutant: p.mutants[i], Fate: NotRun, Why: "its scenario did not get so far"}
		}
		out.Findings = append(out.Findings, *f)
	}
	return out
}

func refused() reach.Step {
	target := reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80, Protocol: reach.TCP}
	return table("", cell("pod/worker", target, reach.Fail, reach.Difference{Field: "outcome", Want: "Reached", Got: "Refused", Count: 8, Of: 8}))
}

func TestFates(t *testing.T) {
	pass := reach.Step{Result: reach.Pass}
	skipped := reach.Step{Result: reach.Skipped, Why: "not run"}
	failed := reach.Step{Result: reach.Fail, Why: "no answer"}
	elsewhere := table("", cell("pod/worker2", reach.Target{Kind: reach.ClusterIP, Port: 80}, reach.Fail, reach.Difference{Field: "outcome", Want: "Reached", Got: "Refused", Count: 1, Of: 8}))
	for _, c := range []struct {
		about         string
		steps         map[string]reach.Step
		first, second Fate
		result        reach.Result
	}{
		{"all is noticed", nil, Noticed, Noticed, reach.Pass},
		{"one survives", map[string]reach.Step{"look … with fault first": pass}, Survived, Noticed, reach.Fail},
		{"the wrong cell tells", map[string]reach.Step{"look … with fault first": elsewhere}, Elsewhere, Noticed, reach.Fail},
		{"one lasts", map[string]reach.Step{"look … after the revert of first": failed}, NotRecovered, Noticed, reach.Fail},
		{"one survives, and the revert changes something else", map[string]reach.Step{"look … with fault first": pass, "look … after the revert of first": failed}, Survived, Noticed, reach.Fail},
		{"one cannot be injected", map[string]reach.Step{"look … with fault first": {Result: reach.Inconclusive, Why: "before the step: no nft"}}, NotRun, Noticed, reach.Inconclusive},
		{"the scenario fails before one", map[string]reach.Step{"look again": failed}, Noticed, NotRun, reach.Fail},
		{"the scenario ends before one", map[string]reach.Step{"replace … with fault second": skipped, "look again … with fault second": skipped, "look again … after the revert of second": skipped}, Noticed, NotRun, reach.Inconclusive},
		{"the cluster lacks a feature gate", map[string]reach.Step{"replace … with fault second": {Result: reach.Skipped, Why: "needs the feature gate X"}, "look again … with fault second": skipped}, Noticed, Skipped, reach.Pass},
		{"a step that changes something fails", map[string]reach.Step{"replace … with fault second": failed, "look again … with fault second": skipped, "look again … after the revert of second": skipped}, Noticed, Elsewhere, reach.Fail},
		{"it is not seen whether it is reverted", map[string]reach.Step{"look … after the revert of first": skipped}, NotRecovered, Noticed, reach.Fail},
	} {
		out := outcomeOf(t, c.steps)
		if out.Findings[0].Fate != c.first || out.Findings[1].Fate != c.second || out.Result() != c.result {
			t.Errorf("%s: got %q, %q, %s (%s; %s; %v); want %q, %q, %s", c.about, out.Findings[0].Fate, out.Findings[1].Fate, out.Result(),
				out.Findings[0].Why, out.Findings[1].Why, out.Baseline, c.first, c.second, c.result)
		}
	}
	if (Outcome{}).Result() != reach.Inconclusive {
		t.Error("no mutant at all proves nothing")
	}
}

// Where cells that differ were traced, a fault in a packet filter counts as noticed only if its own rules were named.
func TestTracesMustNameTheFault(t *testing.T) {
	var (
		fault   = filter(Filter{Nodes: []string{"worker"}, EveryClientRaw: []string{"drop"}})
		nodes   = map[string]string{"worker": "lab-worker", "worker2": "lab-worker2"}
		differs = func(node, table, chain string) string {
			lost := fmt.Sprintf("dropped by %s's %s, in prerouting", node, trace.Rule{Table: table, Chain: chain, Handle: 4, Verdict: "drop"})
			return trace.Summary(trace.Trace{Result: reach.Fail, Lost: lost, Steps: []trace.Step{{Hop: oracle.Hop{At: node, Kind: oracle.HopEnter}, Mark: trace.Differs}}})
		}
		right = differs("lab-worker", "inet svclab-mutant", "arriving-raw")
		same  = trace.Summary(trace.Trace{Result: reach.Pass})
	)
	for about, c := range map[string]struct {
		traced   []string // of each cell that differs
		untraced string
		fault    Fault
		fate     Fate
		hop      string // its beginning
	}{
		"the fault's rules":               {[]string{right}, "", fault, Noticed, "named"},
		"those sent by the node":          {[]string{differs("lab-worker", "inet svclab-mutant", "sent-raw")}, "", fault, Noticed, "named"},
		"no cell was traced":              {[]string{""}, "", fault, Noticed, ""},
		"another connection passed":       {[]string{same, right, same}, "", fault, Noticed, "named"},
		"all connections passed":          {[]string{same, same}, "", fault, WrongHop, "pod/worker → my-service clusterIP:80/TCP: as predicted"},
		"another node":                    {[]string{differs("lab-worker2", "inet svclab-mutant", "arriving-raw")}, "", fault, WrongHop, "pod/worker → my-service clusterIP:80/TCP: differs"},
		"another table":                   {[]string{differs("lab-worker", "inet svclab-mutant-2", "arriving-raw")}, "", fault, WrongHop, "pod/worker → "},
		"a chain without rules":           {[]string{differs("lab-worker", "inet svclab-mutant", "arriving")}, "", fault, WrongHop, "pod/worker → "},
		"another hop too":                 {[]string{right, differs("lab-worker", "ip kube-proxy", "services")}, "", fault, WrongHop, "pod/worker → "},
		"another hop, and the reason why": {[]string{differs("lab-worker", "ip kube-proxy", "services")}, "by chance", fault, Noticed, "pod/worker → "},
		"a fault without rules":           {[]string{differs("lab-worker", "ip kube-proxy", "services")}, "", Fault{}, Noticed, ""},
	} {
		step := refused()
		for _, says := range c.traced[1:] {
			step.Tables[0].Cells = append(step.Tables[0].Cells, step.Tables[0].Cells[0])
			step.Tables[0].Cells[len(step.Tables[0].Cells)-1].Traced = says
		}
		step.Tables[0].Cells[0].Traced = c.traced[0]
		m := Mutant{Name: "m", Fault: c.fault, Untraced: c.untraced, Notice: Notice{Signs: []Sign{{From: []string{"pod/worker"}, Field: "outcome"}}}}
		f := judge(m, nodes, []reach.Step{step}, []reach.Step{{Result: reach.Pass}})
		if f.Fate != c.fate || !strings.HasPrefix(f.Hop, c.hop) || c.hop == "" && f.Hop != "" {
			t.Errorf("%s: %s, hop %q; want %s, %q", about, f.Fate, f.Hop, c.fate, c.hop)
		}
		want := reach.Pass
		if c.fate == WrongHop {
			want = reach.Fail
		}
		if got := (Outcome{Findings: []Finding{*f}}).Result(); got != want {
			t.Errorf("%s: the run came to %s, want %s", about, got, want)
		}
		if left := judge(m, nodes, []reach.Step{step}, []reach.Step{{Result: reach.Fail}}); left.Fate != NotRecovered {
			t.Errorf("%s, and it lasts: %s", about, left.Fate)
		}
	}
}

func TestTable(t *testing.T) {
	var got bytes.Buffer
	for _, steps := range []map[string]reach.Step{nil, {
		"look … with fault first": {Result: reach.Pass},
		"look again":              {Result: reach.Fail, Why: "from pod/worker to my-service: no answer"},
	}} {
		if err := Text(&got, outcomeOf(t, steps), 100); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\n")
	}
	elsewhere := "pod/worker → my-service clusterIP:80/TCP: differs at hop 3 (lab-worker, match): no rule led to chain services"
	traced := Outcome{Findings: []Finding{
		{Mutant: Mutant{Name: "third", Effect: "worker drops connections", Scenario: "small"}, Fate: WrongHop, Why: elsewhere, Hop: elsewhere},
		{Mutant: Mutant{Name: "fourth", Effect: "worker drops few", Scenario: "small", Untraced: "few are traced"}, Fate: Noticed, Told: Told{By: "look: no answer"}, Hop: "pod/worker → it: as predicted"},
		{Mutant: Mutant{Name: "fifth", Effect: "worker drops all", Scenario: "small"}, Fate: Noticed, Told: Told{By: "look: no answer"}, Hop: named},
	}}
	if err := Text(&got, traced, 100); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "table.txt")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./e2e/mutants -update", err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the table is not as in %s; look at it with: go test ./e2e/mutants -update && git diff e2e/mutants/testdata\n%s", path, got.String())
	}
}

// One mutant is not "1 mutants".
func TestSummaryOfOne(t *testing.T) {
	if got := (Outcome{Findings: []Finding{{Fate: Noticed}}}).summary(); !strings.HasPrefix(got, "1 mutant: 1 noticed") {
		t.Errorf("%q", got)
	}
}

// A fault in a packet filter counts among those that a trace had to name also when no cell was traced.
func TestSummaryOfTraces(t *testing.T) {
	of := func(hop string, fate Fate) Finding {
		return Finding{Mutant: Mutant{Fault: Fault{Table: "inet t"}}, Fate: fate, Hop: hop}
	}
	out := Outcome{Findings: []Finding{of(named, Noticed), of("", Noticed), of("differs at hop 2", WrongHop), of("", Skipped), {Fate: Noticed}}}
	if got, want := out.summary(), "; a trace named the fault's rules for 1 of 3 in a packet filter (1 had no cell to trace)"; !strings.Contains(got, want) {
		t.Errorf("got %q, want in it %q", got, want)
	}
}

// A fault is injected right before a mutant's first step, reverted right before what comes behind its last, and reverted
// when the run ends in between.
func TestBreaker(t *testing.T) {
	lab := newFakeLab(t)
	refused := errors.New("no such program")
	var done []string
	fault := func(name string, fails error) Fault {
		return Fault{
			Inject: func(_ context.Context, _ Lab, s Scene) error {
				done = append(done, "inject "+name+" at "+s.VIP.String())
				return fails
			},
			Revert: func(context.Context, Lab) error { done = append(done, "revert "+name); return nil },
		}
	}
	p, err := planFor(small(), []Mutant{
		{Name: "first", During: []string{"look"}, Fault: fault("first", nil)},
		{Name: "second", During: []string{"look"}, Fault: fault("second", refused)},
		{Name: "third", During: []string{"replace", "look again"}, Fault: fault("third", nil)},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &injector{plan: p, lab: lab, revert: map[int]func(context.Context) error{}}
	for _, step := range p.scenario.Steps {
		err := b.before(t.Context(), "small", step, "ns")
		if (err != nil) != (step.Name == "look … with fault second") || err != nil && !errors.Is(err, refused) {
			t.Errorf("%s: %v", step.Name, err)
		}
		done = append(done, step.Name)
		if step.Name == "replace … with fault third" {
			break // as a cancelled run does
		}
	}
	if !slices.Equal(lab.pending(), []string{"mutant third"}) {
		t.Errorf("the lab would undo %v", lab.pending())
	}
	if err := b.revertAll(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{"deploy", "look",
		"inject first at 10.96.0.9", "look … with fault first", "revert first", "look … after the revert of first",
		"inject second at 10.96.0.9", "look … with fault second", "revert second", "look … after the revert of second",
		"replace", "look again", "inject third at 10.96.0.9", "replace … with fault third", "revert third"}
	if !slices.Equal(done, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(done, "\n"), strings.Join(want, "\n"))
	}
	if len(lab.pending()) != 0 {
		t.Errorf("the lab would still undo %v", lab.pending())
	}
}

func TestLook(t *testing.T) {
	scene, err := Look(t.Context(), newFakeLab(t), "ns")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	if scene.VIP != addr("10.96.0.9") || scene.LoadBalancer.IsValid() || scene.Outside != addr("172.18.0.9") || scene.Domain != "cluster.local" ||
		scene.Services != netip.MustParsePrefix("10.96.0.0/16") || scene.Image != "agnhost" {
		t.Errorf("scene: %+v", scene)
	}
	if !slices.Equal(scene.Backends, []Backend{{"b", "worker", addr("10.244.1.5")}, {"a", "worker2", addr("10.244.2.5")}}) {
		t.Errorf("backends, ready and by slot: %v", scene.Backends)
	}
	if !slices.Equal(scene.DNS, []netip.Addr{addr("10.244.0.2")}) {
		t.Errorf("DNS: %v", scene.DNS)
	}
	if want := (Node{Name: "lab-worker", Addr: addr("172.18.0.3"), Pods: netip.MustParsePrefix("10.244.1.0/24")}); scene.Nodes["worker"] != want {
		t.Errorf("worker: %v, want %v", scene.Nodes["worker"], want)
	}
}
