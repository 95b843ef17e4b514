package scripts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is all that the workflow of a class has; parsing is strict.
type workflow struct {
	Name        string            `json:"name"`
	On          map[string]any    `json:"on"`
	Permissions map[string]string `json:"permissions"`
	Concurrency struct {
		Group  string `json:"group"`
		Cancel bool   `json:"cancel-in-progress"`
	} `json:"concurrency"`
	Jobs map[string]struct {
		RunsOn  string            `json:"runs-on"`
		Timeout int               `json:"timeout-minutes"`
		If      string            `json:"if"`
		Env     map[string]string `json:"env"`
		Steps   []struct {
			ID    string            `json:"id"`
			Name  string            `json:"name"`
			If    string            `json:"if"`
			Uses  string            `json:"uses"`
			With  map[string]string `json:"with"`
			Env   map[string]string `json:"env"`
			Shell string            `json:"shell"`
			Run   string            `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
}

// The workflow that svclab learn export --classroom writes grades, hands the result to the reporter, and ends with svclab's exit
// code. The workflow engine and svclab are the test's.
func TestClassroomWorkflow(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "labs", "cli", "learn", "classroom", "workflow.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	// GitHub reads YAML 1.2, in which on is a string
	if err := yaml.UnmarshalStrict([]byte(strings.Replace(string(text), "\non:", "\n\"on\":", 1)), &w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs["run-autograding-tests"]
	_, pushed := w.On["push"]
	if len(w.Jobs) != 1 || !pushed || w.Permissions["contents"] != "read" || job.Timeout == 0 {
		t.Errorf("%+v", w)
	}
	var ids []string
	shell, grading := "", ""
	for _, step := range job.Steps {
		for _, value := range append(values(step.Env), step.If) {
			for _, named := range regexp.MustCompile(`steps\.([a-z-]+)\.`).FindAllStringSubmatch(value, -1) {
				if !slices.Contains(ids, named[1]) {
					t.Errorf("step %q reads step %q, which is not before it", step.Name, named[1])
				}
			}
		}
		if step.ID != "" {
			ids, shell, grading = append(ids, step.ID), step.Shell, step.Run
		}
	}
	last := job.Steps[len(job.Steps)-1]
	// the reporter reads NAME_RESULTS for each name in runners, in capital letters
	if last.Env[strings.ToUpper(last.With["runners"])+"_RESULTS"] == "" || last.With["runners"] != ids[0] || !strings.Contains(last.If, "always()") {
		t.Errorf("the reporter gets %v and %v", last.Env, last.With)
	}
	flags, known := map[string]string{"bash": "set -eo pipefail\n", "": "set -e\n"}[shell]
	if !known {
		t.Fatalf("shell %s", shell)
	}
	const svclab = `#!/bin/sh
echo "svclab $*"
while [ "$1" != --result ]; do shift; done
[ "$EXIT" = 2 ] || echo cmVzdWx0 >"$2"
exit "$EXIT"
`
	for _, exit := range []string{"0", "1", "2"} {
		work := t.TempDir()
		bin := filepath.Join(work, ".svclab", "_output", "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "svclab"), []byte(svclab), 0o755); err != nil {
			t.Fatal(err)
		}
		script := filepath.Join(work, "step.sh")
		if err := os.WriteFile(script, []byte("cd '"+work+"'\n"+flags+grading), 0o644); err != nil {
			t.Fatal(err)
		}
		got := run(t, nil, []string{"EXIT=" + exit, "RUNNER_TEMP=" + work, "GITHUB_OUTPUT=" + filepath.Join(work, "output"),
			"GITHUB_STEP_SUMMARY=" + filepath.Join(work, "summary")}, script)
		command := "svclab learn grade exercises --plain --result " + filepath.Join(work, "result") + "\n"
		if want := int(exit[0] - '0'); got.code != want || got.stdout != command {
			t.Errorf("exit code %d, want %d; ran %q; %s", got.code, want, got.stdout, got.stderr)
		}
		for file, want := range map[string]string{"output": "result=cmVzdWx0\n", "summary": "```\n" + command + "```\n"} {
			if file == "output" && exit == "2" {
				want = ""
			}
			if text, err := os.ReadFile(filepath.Join(work, file)); string(text) != want || err != nil && want != "" {
				t.Errorf("exit code %s: %s: got %q, %v, want %q", exit, file, text, err, want)
			}
		}
	}
}
