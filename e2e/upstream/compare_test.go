package upstream

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

var update = flag.Bool("update", false, "write testdata/comparison.txt afresh")

func sample() Comparison {
	theirs := Outcome{Version: "v1.37.2", Processes: 8, Elapsed: 74 * time.Second, Specs: []SpecResult{
		{Spec: Spec{Name: "[sig-network] Services one [Conformance]", Behaviours: []string{"port.multi"}}, Result: reach.Pass, Elapsed: 3 * time.Second},
		{Spec: Spec{Name: "[sig-network] Services two [Conformance]", Behaviours: []string{"port.multi"}}, Result: reach.Fail, Elapsed: 2 * time.Second, Why: "no answer"},
		{Spec: Spec{Name: "[sig-network] Services three [Conformance]", Else: "Endpoints objects"}, Result: reach.Pass, Elapsed: time.Second},
	}}
	ours := report.Run{Elapsed: 100 * time.Second, Plan: report.Plan{Planned: []string{"ports", "spread", "dual-stack"}, Run: []string{"ports", "spread"},
		Skipped: []report.Skip{{Scenario: "dual-stack", Reason: "one family"}}}, Verdicts: []reach.Verdict{
		{Scenario: "ports", Behaviours: []string{"port.multi", "port.mapping"}, Result: reach.Pass, Elapsed: 20 * time.Second},
		{Scenario: "spread", Behaviours: []string{"spread"}, Result: reach.Inconclusive, Elapsed: 5 * time.Second},
		{Scenario: "dual-stack", Behaviours: []string{"dualstack"}, Result: reach.Skipped, Skip: "one family"},
	}}
	return Compare(report.Cluster{Name: "lab", Kubernetes: "v1.37.2", ProxyMode: "nftables"}, theirs, &ours)
}

func TestCompare(t *testing.T) {
	c := sample()
	rows := map[string]Row{}
	for _, r := range c.Behaviours {
		rows[r.ID] = r
	}
	if r := rows["port.multi"]; len(r.Theirs.Names) != 2 || r.Theirs.Result != reach.Fail || r.Theirs.Elapsed != 5*time.Second || r.Ours.Result != reach.Pass {
		t.Errorf("port.multi: %+v", r)
	}
	if rows["dualstack"].Ours.Covered() {
		t.Error("a scenario that was skipped covers its behaviour")
	}
	if rows["spread"].Ours.Result != reach.Inconclusive || rows["spread"].Theirs.Covered() {
		t.Errorf("spread: %+v", rows["spread"])
	}
	if c.Ours.Passed != 1 || c.Ours.Failed != 1 || c.Ours.Skipped != 1 || c.Result() != reach.Fail {
		t.Errorf("got %+v, result %s", c.Ours, c.Result())
	}
	alone := Compare(report.Cluster{}, Outcome{Specs: []SpecResult{{Result: reach.Pass}}}, nil)
	if alone.Result() != reach.Pass {
		t.Errorf("upstream alone: %s", alone.Result())
	}
	var out bytes.Buffer
	if err := Text(&out, alone); err != nil || strings.Contains(out.String(), "svclab  ") {
		t.Errorf("upstream alone tells of scenarios that did not run (%v):\n%s", err, &out)
	}
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	if err := Text(&out, sample()); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/comparison.txt"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
