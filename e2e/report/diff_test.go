package report

import (
	"io"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// outcome makes a one-cell scenario in which everything is as predicted or, without ok, is not.
func single(scenario string, o reach.Outcome, ok bool) reach.Verdict {
	want := denied("made up", "rule", o)
	if !ok {
		want = denied("made up", "rule", reach.Unreachable)
	}
	table := tableOf("", places()[6:7], []reach.Target{nodePort("worker", "172.18.0.3")},
		func(reach.Vantage, reach.Target) (seen, reach.Prediction, *reach.Prediction) {
			return failures(o, "detail", 2), want, nil
		})
	return verdictOf(scenario, "", []string{scenario + ".behaviour"}, stepOf("probe", time.Second, table))
}

func twoRuns() (before, after Run) {
	before = runOf(single("stays", reach.Refused, true), single("breaks", reach.Refused, true), single("recovers", reach.TimedOut, false),
		single("turns", reach.Refused, true), single("leaves", reach.Refused, true), single("vanishes", reach.Refused, true), unsure(), skipped())
	gone := reach.Verdict{Scenario: "leaves", Behaviours: []string{"leaves.behaviour"}, Result: reach.Skipped, Skip: "no load-balancer controller"}
	sctp := single("sctp", reach.Refused, true)
	lb := unsure()
	outside := &lb.Steps[0].Tables[0].Cells[5] // no longer probed
	outside.Result, outside.Why = reach.Skipped, "outside has no route to the address"
	lb.Result, lb.Steps[0].Result, lb.Steps[0].Why = reach.Fail, reach.Fail, "no node announced the address"
	after = runOf(single("stays", reach.Refused, true), single("breaks", reach.TimedOut, false), single("recovers", reach.Unreachable, true),
		single("turns", reach.TimedOut, true), gone, lb, sctp)
	after.Cluster.ProxyMode = "iptables"
	return before, after
}

func TestDiff(t *testing.T) {
	before, after := twoRuns()
	changes := Diff(before, after)
	type key struct {
		level Level
		name  string
	}
	got := map[key]ChangeKind{}
	for _, c := range changes.List {
		got[key{c.Level, c.Name}] = c.Kind
	}
	cell := " / probe: my-service nodePort@worker:30080/TCP from outside"
	want := map[key]ChangeKind{
		{LevelCell, "loadbalancer / probe the address: my-service loadBalancer:80/TCP from outside"}: Gone,
		{LevelBehaviour, "breaks.behaviour"}: Regression, {LevelScenario, "breaks"}: Regression, {LevelStep, "breaks / probe"}: Regression,
		{LevelCell, "breaks" + cell}:           Regression,
		{LevelBehaviour, "recovers.behaviour"}: Fix, {LevelScenario, "recovers"}: Fix, {LevelStep, "recovers / probe"}: Fix, {LevelCell, "recovers" + cell}: Fix,
		{LevelCell, "turns" + cell}:          Altered,
		{LevelBehaviour, "leaves.behaviour"}: Regression, {LevelScenario, "leaves"}: Gone, {LevelStep, "leaves / probe"}: Gone,
		{LevelBehaviour, "vanishes.behaviour"}: Regression, {LevelScenario, "vanishes"}: Gone, {LevelStep, "vanishes / probe"}: Gone,
		{LevelBehaviour, "lb.assign"}: Regression, {LevelBehaviour, "lb.reach"}: Regression, {LevelScenario, "loadbalancer"}: Regression,
		{LevelStep, "loadbalancer / probe the address"}: Regression,
		{LevelScenario, "sctp"}:                         New, {LevelStep, "sctp / probe"}: New, {LevelBehaviour, "sctp.behaviour"}: New,
	}
	for k, kind := range want {
		if got[k] != kind {
			t.Errorf("%s %s: got %q, want %q", k.level, k.name, got[k], kind)
		}
	}
	for k, kind := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s %s is %s, and was not to be listed", k.level, k.name, kind)
		}
	}
	if !changes.Regressed() {
		t.Error("a scenario broke, and the comparison does not say so")
	}
	golden(t, "diff.txt", func(w io.Writer) error { return changes.Text(w, Style{}) })
	golden(t, "diff-plain.txt", func(w io.Writer) error { return changes.Text(w, Style{Plain: true, Width: 80}) })
}

func TestDiffOfRunsThatAreAlike(t *testing.T) {
	slower := mixed()
	slower.Elapsed *= 2
	changes := Diff(mixed(), slower)
	if len(changes.List) > 0 || changes.Regressed() {
		t.Errorf("two runs with the same results differ: %+v", changes.List)
	}
	golden(t, "diff-none.txt", func(w io.Writer) error { return changes.Text(w, Style{}) })
}

// A gate must notice a run that probes less than the one before, and a failure of what was not probed before.
func TestDiffAsAGate(t *testing.T) {
	passes, fails := single("x", reach.Refused, true), single("x", reach.TimedOut, false)
	skips := reach.Verdict{Scenario: "x", Behaviours: []string{"x.behaviour"}, Result: reach.Skipped, Skip: "no load-balancer controller"}
	other := single("other", reach.Refused, true)
	other.Behaviours = passes.Behaviours
	for name, test := range map[string]struct {
		before, after []reach.Verdict
		regressed     bool
	}{
		"a behaviour vanished":                    {[]reach.Verdict{passes}, nil, true},
		"a behaviour is skipped":                  {[]reach.Verdict{passes}, []reach.Verdict{skips}, true},
		"a behaviour that failed vanished":        {[]reach.Verdict{fails}, nil, true},
		"another scenario verifies the behaviour": {[]reach.Verdict{passes}, []reach.Verdict{other}, false},
		"a new scenario passes":                   {nil, []reach.Verdict{passes}, false},
		"a new scenario fails":                    {nil, []reach.Verdict{fails}, true},
		"a skipped scenario now fails":            {[]reach.Verdict{skips}, []reach.Verdict{fails}, true},
		"both skip":                               {[]reach.Verdict{skips}, []reach.Verdict{skips}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Diff(runOf(test.before...), runOf(test.after...)); got.Regressed() != test.regressed {
				t.Errorf("regressed: %t, want %t: %+v", got.Regressed(), test.regressed, got.List)
			}
		})
	}
}

// A fix alone is no regression; the same two runs the other way round are one.
func TestRegressed(t *testing.T) {
	good, bad := runOf(single("x", reach.Refused, true)), runOf(single("x", reach.Refused, false))
	if Diff(bad, good).Regressed() {
		t.Error("a fix counts as a regression")
	}
	if !Diff(good, bad).Regressed() {
		t.Error("a regression does not count as one")
	}
}
