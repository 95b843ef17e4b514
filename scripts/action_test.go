package scripts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// action is what is read of a composite action.
type action struct {
	Inputs map[string]any `json:"inputs"`
	Runs   struct {
		Steps []struct {
			Uses string            `json:"uses"`
			Env  map[string]string `json:"env"`
			Run  string            `json:"run"`
		} `json:"steps"`
	} `json:"runs"`
}

// The reusable action's step builds svclab, runs it with what the action was given, and hands on its summary, its result
// and its exit code. The workflow engine and the compiler are the test's.
func TestConformanceAction(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", ".github", "actions", "conformance", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	step := a.Runs.Steps[len(a.Runs.Steps)-1]
	for input := range a.Inputs {
		if !strings.Contains(strings.Join(values(step.Env), " "), "inputs."+input+" ") {
			t.Errorf("input %s goes nowhere", input)
		}
	}
	const compiler = `while [ "$1" != -o ]; do shift; done
cat >"$2" <<'SVCLAB'
#!/bin/sh
echo "svclab $*"
while [ "$1" != --output ]; do shift; done
mkdir -p "$2"
echo '## summary' >"$2/summary.md"
echo "result: $RESULT" >"$2/conformance.yaml"
exit "$EXIT"
SVCLAB
chmod 755 "$2"`
	for _, tc := range []struct {
		context, merge, result, exit string
		args                         string
		code                         int
	}{
		{"", "", "Pass", "0", "svclab conformance --kubeconfig staging.yaml --output OUT", 0},
		{"blue", "", "Fail", "1", "svclab conformance --kubeconfig staging.yaml --output OUT --context blue", 1},
		{"", "WORK/*/result.json", "Inconclusive", "2", "svclab merge WORK/1/result.json WORK/2/result.json --output OUT", 2},
	} {
		work := t.TempDir()
		for _, shard := range []string{"1", "2"} {
			if err := os.MkdirAll(filepath.Join(work, shard, "result.json"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(work, "reports")
		script := filepath.Join(work, "step.sh")
		if err := os.WriteFile(script, []byte("set -eo pipefail\n"+step.Run), 0o644); err != nil {
			t.Fatal(err)
		}
		env := []string{"ROOT=" + work, "KUBECONFIG_FILE=staging.yaml", "CONTEXT=" + tc.context, "OUTPUT=" + out, "RESULT=" + tc.result, "EXIT=" + tc.exit,
			"MERGE=" + strings.ReplaceAll(tc.merge, "WORK", work),
			"GITHUB_OUTPUT=" + filepath.Join(work, "output"), "GITHUB_STEP_SUMMARY=" + filepath.Join(work, "summary")}
		got := run(t, map[string]string{"go": compiler}, env, script)
		if want := strings.NewReplacer("OUT", out, "WORK", work).Replace(tc.args); got.code != tc.code || strings.TrimSpace(got.stdout) != want {
			t.Errorf("exit code %d, want %d; ran %q, want %q; %s", got.code, tc.code, got.stdout, want, got.stderr)
		}
		for file, want := range map[string]string{"output": "result=" + tc.result + "\n", "summary": "## summary\n"} {
			if text, err := os.ReadFile(filepath.Join(work, file)); err != nil || string(text) != want {
				t.Errorf("%s: got %q, %v, want %q", file, text, err, want)
			}
		}
	}
}

func values(env map[string]string) []string {
	var all []string
	for _, value := range env {
		all = append(all, value)
	}
	return all
}
