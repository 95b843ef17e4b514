package report

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// dealt are the results of two shards of the run mixed, and that of the run itself.
func dealt() (parts []Part, whole Run) {
	whole = mixed()
	all := slices.Clone(whole.Plan.Planned)
	for index, names := range [][]string{{all[0], all[2], all[4], "rollout"}, {all[1], all[3], all[5]}} {
		run := whole
		run.Verdicts = slices.DeleteFunc(slices.Clone(whole.Verdicts), func(v reach.Verdict) bool { return !slices.Contains(names, v.Scenario) })
		run.Plan = PlanFor(names, run.Verdicts)
		run.Shard = &Shard{Index: index + 1, Of: 2, All: all}
		run.Cluster.Engine = []string{"docker 28", "docker 29"}[index]
		run.Started = whole.Started.Add(time.Duration(index) * 10 * time.Second)
		run.Elapsed = whole.Elapsed - 10*time.Second
		parts = append(parts, Part{File: []string{"one.json", "two.json"}[index], Run: run})
	}
	whole.Cluster.Engine = "docker 28"
	whole.Plan = PlanFor(all, whole.Verdicts)
	return parts, whole
}

func TestMergedShardsAreTheRun(t *testing.T) {
	parts, want := dealt()
	slices.Reverse(parts)
	got, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got.Plan, want.Plan)
	}
	if got.Result() != reach.Fail {
		t.Errorf("the result is %s, and one scenario failed", got.Result())
	}
}

func TestMergeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(parts []Part) []Part
		want   string
	}{
		"nothing":                   {func([]Part) []Part { return nil }, "no result was named"},
		"a missing shard":           {func(p []Part) []Part { return p[:1] }, "the result of shard 2/2 is missing"},
		"a shard twice":             {func(p []Part) []Part { return append(p, p[0]) }, "shard 1/2 is there 2 times: one.json, one.json"},
		"no shard":                  {func(p []Part) []Part { p[1].Run.Shard = nil; return p }, "two.json is no result of a shard"},
		"another number of shards":  {func(p []Part) []Part { p[1].Run.Shard.Of = 3; return p }, "differ in the number of shards: 2 and 3"},
		"other scenarios":           {func(p []Part) []Part { p[1].Run.Shard.All = p[1].Run.Shard.All[1:]; return p }, "differ in the scenarios"},
		"another version":           {func(p []Part) []Part { p[1].Run.Version = "v9"; return p }, `differ in the version of svclab: "svclab v0.1.0" and "svclab v9"`},
		"another Kubernetes":        {func(p []Part) []Part { p[1].Run.Cluster.Kubernetes = "v1.36.0"; return p }, "version of Kubernetes"},
		"another mode":              {func(p []Part) []Part { p[1].Run.Cluster.ProxyMode = "iptables"; return p }, "proxy mode"},
		"another family":            {func(p []Part) []Part { p[1].Run.Cluster.Families = nil; return p }, "IP families"},
		"another cluster":           {func(p []Part) []Part { p[1].Run.Cluster.Name = "other"; return p }, "cluster's name"},
		"other nodes":               {func(p []Part) []Part { p[1].Run.Cluster.Nodes = p[1].Run.Cluster.Nodes[1:]; return p }, "differ in the nodes"},
		"another kind of run":       {func(p []Part) []Part { p[1].Run.Conformance = &Conformance{}; return p }, "kind of run"},
		"a scenario of two parts":   {func(p []Part) []Part { p[1].Run.Plan.Planned[0] = p[0].Run.Plan.Planned[0]; return p }, "two.json has scenario clusterip-basic, which is not its part (one.json)"},
		"a scenario of no part":     {func(p []Part) []Part { p[1].Run.Plan.Planned[0] = "moon"; return p }, "two.json has scenario moon"},
		"a verdict of another part": {func(p []Part) []Part { p[1].Run.Verdicts = append(p[1].Run.Verdicts, p[0].Run.Verdicts[0]); return p }, "which it did not plan"},
	} {
		parts, _ := dealt()
		got, err := Merge(tc.change(parts))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, %v; want %q", name, got.Plan, err, tc.want)
		}
	}
}

// What a shard has lost, and what no shard planned, is no pass.
func TestMergedLoss(t *testing.T) {
	passed := func(name string) reach.Verdict { return reach.Verdict{Scenario: name, Result: reach.Pass} }
	shard := func(index int, all, planned []string, verdicts ...reach.Verdict) Part {
		return Part{Run: Run{Plan: PlanFor(planned, verdicts), Verdicts: verdicts, Shard: &Shard{Index: index, Of: 2, All: all}}}
	}
	for name, tc := range map[string]struct {
		second Part
		want   reach.Result
	}{
		"all ran":      {shard(2, []string{"a", "b"}, []string{"b"}, passed("b")), reach.Pass},
		"one was lost": {shard(2, []string{"a", "b"}, []string{"b"}), reach.Inconclusive},
		"nobody's":     {shard(2, []string{"a", "b"}, nil), reach.Inconclusive},
	} {
		got, err := Merge([]Part{shard(1, []string{"a", "b"}, []string{"a"}, passed("a")), tc.second})
		if err != nil || got.Result() != tc.want {
			t.Errorf("%s: %s, %v; want %s", name, got.Result(), err, tc.want)
		}
	}
}

// A behaviour is verified by the scenarios of all shards: the worst counts, and one that was skipped makes it partial.
func TestMergedConformance(t *testing.T) {
	part := func(index int, name string, result reach.Result, behaviours ...BehaviourResult) Part {
		v := reach.Verdict{Scenario: name, Result: result, Skip: "no IPv6"}
		return Part{Run: Run{Plan: PlanFor([]string{name}, []reach.Verdict{v}), Verdicts: []reach.Verdict{v}, Shard: &Shard{Index: index, Of: 2, All: []string{"a", "b"}},
			Conformance: &Conformance{Profile: "core", Reproduce: []string{name}, Scenarios: []ScenarioResult{{Name: name, Result: result}}, Behaviours: behaviours}}}
	}
	none := []string{"no planned scenario verifies it"}
	got, err := Merge([]Part{
		part(1, "a", reach.Pass, BehaviourResult{ID: "x", Result: reach.Pass, Scenarios: []string{"a"}}, BehaviourResult{ID: "y", Result: reach.Skipped, Reasons: none}, BehaviourResult{ID: "z", Result: reach.Skipped, Reasons: none}),
		part(2, "b", reach.Skipped, BehaviourResult{ID: "x", Result: reach.Skipped, Scenarios: []string{"b"}, Reasons: []string{"b: no IPv6"}},
			BehaviourResult{ID: "y", Result: reach.Skipped, Scenarios: []string{"b"}}, BehaviourResult{ID: "z", Result: reach.Skipped, Reasons: none}),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := got.Conformance
	want := []BehaviourResult{{ID: "x", Result: reach.Pass, Partial: true, Scenarios: []string{"a", "b"}, Reasons: []string{"b: no IPv6"}},
		{ID: "y", Result: reach.Skipped, Scenarios: []string{"b"}}, {ID: "z", Result: reach.Skipped, Reasons: none}}
	if !reflect.DeepEqual(c.Behaviours, want) {
		t.Errorf("got %+v\nwant %+v", c.Behaviours, want)
	}
	if c.Result != reach.Pass || c.Statistics.Behaviours != (ResultCount{Total: 3, Passed: 1, Skipped: 2}) || c.Statistics.Scenarios != (ResultCount{Total: 2, Passed: 1, Skipped: 1}) ||
		!slices.Equal(c.Reproduce, []string{"a", "b"}) {
		t.Errorf("%+v", c)
	}
}
