package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

// call runs the command as a person does and returns what it printed and its exit code.
func call(t *testing.T, args ...string) (out, err string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(context.Background(), args, console.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, manifests.FS(), exercises.FS())
	return stdout.String(), stderr.String(), code
}

func TestVerifyList(t *testing.T) {
	out, err, code := call(t, "verify", "--list")
	if code != 0 || err != "" {
		t.Fatalf("exit code %d, %q", code, err)
	}
	for _, name := range []string{"clusterip", "nodeport", "loadbalancer", "externalname"} {
		if !strings.Contains(out, name+" ") {
			t.Errorf("%s is missing from\n%s", name, out)
		}
	}
}

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, result reach.Result) string {
		run := report.Run{Tool: "svclab", Plan: report.Plan{Planned: []string{"s"}, Run: []string{"s"}}, Verdicts: []reach.Verdict{{
			Scenario: "s", Title: "t", Behaviours: []string{"clusterip.basic"}, Result: result, Steps: []reach.Step{{Name: "look", Result: result}}}}}
		if err := report.WriteAll(filepath.Join(dir, name), run); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name, report.JSONFile)
	}
	good, bad := write("good", reach.Pass), write("bad", reach.Fail)
	for _, tc := range []struct {
		name, before, after string
		code                int
	}{{"worse", good, bad, 1}, {"better", bad, good, 0}, {"alike", good, good, 0}} {
		if out, err, code := call(t, "diff", tc.before, tc.after); code != tc.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", tc.name, code, tc.code, out, err)
		}
	}
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(`{"apiVersion":"svclab.dev/v9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err, code := call(t, "diff", good, broken); code != 2 || !strings.Contains(err, "broken.json") {
		t.Errorf("a file of another version: exit code %d, %q", code, err)
	}
}

func TestPicture(t *testing.T) {
	vantage := reach.Vantage{Name: "outside", Kind: reach.Outside}
	target := reach.Target{Kind: reach.ClusterIP, Service: "lab/my-service", Host: "10.96.14.7", Port: 80, Protocol: reach.TCP}
	cell := reach.CellVerdict{Result: reach.Pass, Cell: reach.Cell{Vantage: vantage, Target: target, Observations: []reach.Observation{{Outcome: reach.Refused}}}}
	table := reach.Table{Vantages: []reach.Vantage{vantage}, Targets: []reach.Target{target}, Cells: []reach.CellVerdict{cell}}
	run := report.Run{Tool: "svclab", Plan: report.Plan{Planned: []string{"s"}, Run: []string{"s"}}, Verdicts: []reach.Verdict{{
		Scenario: "s", Result: reach.Pass, Steps: []reach.Step{{Name: "look", Result: reach.Pass, Tables: []reach.Table{table}}}}}}
	dir := t.TempDir()
	if err := report.WriteAll(dir, run); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, report.JSONFile)
	if out, err, code := call(t, "picture", file, "s/look"); code != 0 || err != "" || !strings.HasPrefix(out, "<svg ") || !strings.Contains(out, "refused") {
		t.Errorf("exit code %d, %q, %q", code, err, out)
	}
	if out, err, code := call(t, "picture", file, "s/see"); code != 2 || out != "" || !strings.Contains(err, "s/look") {
		t.Errorf("a step that is not there: exit code %d, %q, %q", code, err, out)
	}
}

// Merged shards are one report with the worst exit code.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	write := func(index int, name string, result reach.Result) string {
		verdicts := []reach.Verdict{{Scenario: name, Result: result, Steps: []reach.Step{{Name: "look", Result: result}}}}
		run := report.Run{Tool: "svclab", Plan: report.PlanFor([]string{name}, verdicts), Verdicts: verdicts, Shard: &report.Shard{Index: index, Of: 2, All: []string{"a", "b"}}}
		folder := filepath.Join(dir, name+string(result))
		if err := report.WriteAll(folder, run); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(folder, report.JSONFile)
	}
	a, good, bad, unclear := write(1, "a", reach.Pass), write(2, "b", reach.Pass), write(2, "b", reach.Fail), write(2, "b", reach.Inconclusive)
	for _, tc := range []struct {
		second string
		code   int
		want   string
	}{{good, 0, "2 planned, 2 run: 2 passed"}, {bad, 1, "1 failed"}, {unclear, 2, "1 inconclusive"}} {
		whole := filepath.Join(dir, "whole")
		out, err, code := call(t, "merge", a, tc.second, "--output", whole)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("exit code %d, want %d and %q\n%s%s", code, tc.code, tc.want, out, err)
		}
		for _, file := range []string{report.JSONFile, report.JUnitFile, report.HTMLFile, report.TextFile, report.MarkdownFile} {
			if info, err := os.Stat(filepath.Join(whole, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
		if out, _, code := call(t, "diff", filepath.Join(whole, report.JSONFile), filepath.Join(whole, report.JSONFile)); code != 0 {
			t.Errorf("the merged result is not read: exit code %d, %s", code, out)
		}
	}
	if out, err, code := call(t, "merge", bad); code != 2 || out != "" || !strings.Contains(err, "the result of shard 1/2 is missing") {
		t.Errorf("a missing shard: exit code %d, %q, %q", code, out, err)
	}
}
