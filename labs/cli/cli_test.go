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

func TestBadInput(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock") // nothing here may get as far as an engine
	t.Setenv("SVCLAB_ENGINE", "")
	for _, tc := range []struct {
		name string
		args []string
		env  map[string]string
		want []string
	}{
		{"unknown verb", []string{"fly"}, nil, []string{`unknown command "fly"`}},
		{"unknown flag", []string{"verify", "--speed=9"}, nil, []string{"unknown flag: --speed"}},
		{"a flag that the verb does not read", []string{"diff", "--workers", "7", "a.json", "b.json"}, nil, []string{"unknown flag: --workers", "the lab's cluster", "svclab diff does not read it", "svclab diff --help"}},
		{"unknown mode", []string{"up", "--mode=ipvs"}, nil, []string{`"ipvs"`, "nftables or iptables"}},
		{"unknown mode by the environment", []string{"up"}, map[string]string{"SVCLAB_MODE": "userspace"}, []string{`"userspace"`, "nftables or iptables"}},
		{"a flag goes before the environment", []string{"up", "--mode=ipvs"}, map[string]string{"SVCLAB_MODE": "iptables"}, []string{`"ipvs"`}},
		{"unknown mode of a matrix", []string{"matrix", "--modes=nftables,ipvs"}, nil, []string{`"ipvs"`, "nftables or iptables"}},
		{"a matrix of nothing", []string{"matrix", "--families="}, nil, []string{"at least one of --modes and one of --families"}},
		{"unknown family", []string{"up", "--family=ipv5"}, nil, []string{`"ipv5"`, "ipv4 or dual"}},
		{"a name that is no name", []string{"up", "--name=My_Cluster"}, nil, []string{`"My_Cluster"`, "lower-case"}},
		{"too many workers", []string{"up", "--workers=100"}, nil, []string{`"100"`, "0 to 9"}},
		{"a port that is no node port", []string{"up", "--host-port=80"}, nil, []string{`"80"`, "30000 to 32767"}},
		{"a port that 16 bits cut to a node port", []string{"up", "--host-port=95616"}, nil, []string{"--host-port=95616 is no port", "30000 to 32767"}},
		{"an unknown source of images", []string{"up", "--images=PULL"}, nil, []string{"--images=PULL", "auto, pull or build"}},
		{"an unknown Kubernetes", []string{"up", "--kubernetes=latest"}, nil, []string{"--kubernetes=latest", "1.34, 1.35, 1.36, 1.37"}},
		{"a focus that is no expression", []string{"e2e", "--focus=("}, nil, []string{"--focus: ", "missing closing )"}},
		{"no spec at once", []string{"e2e", "--procs=0"}, nil, []string{"--procs=0: at least one"}},
		{"no spec of a matrix at once", []string{"matrix", "--procs=-1"}, nil, []string{"--procs=-1: at least one"}},
		{"no answer at once", []string{"learn", "prove", "--procs=0"}, nil, []string{"--procs=0: at least one"}},
		{"no number", []string{"up"}, map[string]string{"SVCLAB_WORKERS": "two"}, []string{"SVCLAB_WORKERS=two is not a number"}},
		{"unknown scenario", []string{"verify", "teleport"}, nil, []string{"teleport"}},
		{"unknown root", []string{"up"}, map[string]string{"SVCLAB_ROOT": "/nowhere"}, []string{"SVCLAB_ROOT=/nowhere", "checkout"}},
		{"explain: a flag of another cluster", []string{"explain", "web", "--sample=3"}, nil, []string{"--sample needs --kubeconfig"}},
		{"explain: a flag of the lab's cluster", []string{"explain", "web", "--kubeconfig=/nowhere", "--mode=nftables"}, nil, []string{"--mode=nftables describes the lab's cluster"}},
		{"explain: another cluster needs no checkout and no engine", []string{"explain", "web", "--kubeconfig=/nowhere"}, map[string]string{"SVCLAB_ROOT": "/nowhere"}, []string{"the kubeconfig /nowhere cannot be used"}},
		{"diff without a file", []string{"diff", "/nowhere/a.json", "/nowhere/b.json"}, nil, []string{"/nowhere/a.json", "result.json"}},
		{"diff of one", []string{"diff", "a.json"}, nil, []string{"accepts 2 arg(s)"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for key, value := range tc.env {
				t.Setenv(key, value)
			}
			out, err, code := call(t, tc.args...)
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if out != "" {
				t.Errorf("an error printed a result: %q", out)
			}
			for _, want := range tc.want {
				if !strings.Contains(err, want) {
					t.Errorf("%q is missing from %q", want, err)
				}
			}
		})
	}
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
