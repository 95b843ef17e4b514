package report

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// conforming is mixed as a conformance run.
func conforming() Run {
	run := mixed()
	c := Conformance{Tool: run.Tool, Version: run.Version, Started: run.Started, Elapsed: "1m23.4s", Profile: "extended", Result: reach.Fail, Cluster: facts(),
		ProxySource: "reported by the kube-proxy of 3 of 3 nodes", Image: "registry.example.com/agnhost:1",
		Features: []Feature{{Name: "loadBalancer", Source: Detected, Detail: "no controller gave an address within 15s"}, {Name: "dualStack", Present: true, Source: Declared}},
		Vantages: Vantages{Nodes: 500, Sampled: 3, Seed: 7, Left: map[string]int{"is cordoned": 2}, Unusable: map[string]string{"outside": "no machine there"}},
		Behaviours: []BehaviourResult{
			{ID: "clusterip.basic", Text: "VIP and DNS name reach every endpoint", Profile: "core", Result: reach.Pass, Scenarios: []string{"clusterip"}},
			{ID: "nodeport.every-node", Text: "30080 answers on every node | <b>really</b>", Profile: "core", Result: reach.Fail, Scenarios: []string{"nodeport"}, Reasons: []string{"nodeport: worker2 refuses"}},
			{ID: "terminating", Text: "fallback", Profile: "extended", Result: reach.Pass, Partial: true, Reasons: []string{"terminating: left out \"x\": no machine there"}},
			{ID: "lb.assign", Text: "an address from the pool", Profile: "extended", Result: reach.Skipped, Reasons: []string{"loadbalancer: needs loadBalancer"}},
			{ID: "udp", Text: "UDP Services", Profile: "core", Result: reach.Inconclusive, Reasons: []string{"udp: could not probe"}}},
		Scenarios: []ScenarioResult{{Name: "clusterip", Title: "A ClusterIP", Result: reach.Pass}, {Name: "terminating", Title: "Going", Result: reach.Pass, LeftOut: []LeftOut{{Step: "x", Reason: "no machine there"}}},
			{Name: "loadbalancer", Title: "An address", Result: reach.Skipped, Reason: "needs loadBalancer"}},
		Reproduce: []string{"svclab conformance --kubeconfig kubeconfig --profile extended --sample=3 --seed=7"}}
	for _, b := range c.Behaviours {
		c.Statistics.Behaviours.Add(b.Result)
	}
	run.Conformance = &c
	return run
}

func TestConformanceRenderings(t *testing.T) {
	run := conforming()
	golden(t, "conformance.txt", func(w io.Writer) error { return ConformanceText(w, run, Style{}) })
	golden(t, "conformance.yaml", func(w io.Writer) error { return ConformanceYAML(w, *run.Conformance) })
	golden(t, "conformance.json", func(w io.Writer) error { return ConformanceJSON(w, *run.Conformance) })
	markdown := golden(t, "conformance.md", func(w io.Writer) error { return Markdown(w, run) })
	junit := golden(t, "conformance.xml", func(w io.Writer) error { return JUnit(w, run) })
	for _, want := range []string{"nodeport.every-node", "lb.assign", "needs loadBalancer"} {
		if !strings.Contains(markdown, want) || !strings.Contains(junit, want) {
			t.Errorf("the summary or the JUnit report has no %q", want)
		}
	}
	if strings.Contains(markdown, "<b>really") {
		t.Error("a behaviour's text is markup in the summary")
	}
}

func TestConformanceIsReadBack(t *testing.T) {
	want := *conforming().Conformance
	for name, write := range map[string]func(io.Writer, Conformance) error{"YAML": ConformanceYAML, "JSON": ConformanceJSON} {
		var text bytes.Buffer
		if err := write(&text, want); err != nil {
			t.Fatal(err)
		}
		got, err := DecodeConformance(bytes.NewReader(text.Bytes()))
		if err != nil || len(got.Behaviours) != len(want.Behaviours) || got.Vantages.Seed != 7 || !got.Started.Equal(want.Started) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for _, bad := range []string{strings.Replace(text.String(), APIVersion, "svclab.dev/v9", 1), strings.Replace(text.String(), "wholeCluster", "wholeClusters", 1),
			strings.Replace(text.String(), "Inconclusive", "Perhaps", 1)} {
			if _, err := DecodeConformance(strings.NewReader(bad)); err == nil {
				t.Errorf("%s: a report was read that says %.80q", name, bad)
			}
		}
		old := strings.NewReplacer(APIVersion, "svclab.dev/v1", "couldNotBeProbed", "couldNotBeAsked").Replace(text.String())
		if _, err := DecodeConformance(strings.NewReader(old)); err == nil || !strings.Contains(err.Error(), `"svclab.dev/v1"`) {
			t.Errorf("%s: the error about a report of the last version names no version: %v", name, err)
		}
	}
}

func TestWriteAllWritesTheConformanceReport(t *testing.T) {
	dir := t.TempDir()
	if err := WriteAll(dir, conforming()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ConformanceYAMLFile, ConformanceJSONFile, JSONFile} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		run, err := Read(file)
		if err != nil || run.Conformance == nil || run.Conformance.Profile != "extended" {
			t.Errorf("%s: %v", name, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Two conformance reports are compared by behaviour and scenario, as runs are.
func TestDiffOfConformanceReports(t *testing.T) {
	before, after := *conforming().Conformance, *conforming().Conformance
	before.Started = before.Started.Add(-time.Hour)
	after.Behaviours = slices.Clone(after.Behaviours)
	after.Behaviours[0].Result, after.Behaviours[0].Reasons = reach.Fail, []string{"clusterip: no pod answers"}
	after.Behaviours[1].Result = reach.Pass
	after.Behaviours[3].Result = reach.Pass
	changes := Diff(before.Run(), after.Run())
	want := map[string]ChangeKind{"clusterip.basic": Regression, "nodeport.every-node": Fix, "lb.assign": New}
	if len(changes.List) != len(want) || !changes.Regressed() {
		t.Fatalf("%+v", changes.List)
	}
	for _, c := range changes.List {
		if c.Level != LevelBehaviour || c.Kind != want[c.Name] {
			t.Errorf("%+v", c)
		}
	}
	if same := Diff(before.Run(), before.Run()); len(same.List) != 0 {
		t.Errorf("a report differs from itself: %+v", same.List)
	}
}
