package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

// A new scenario lacks only its title and behaviours; with them it loads, and its table is complete.
func TestScenarioNew(t *testing.T) {
	root := checkoutOf(t)
	out, err, code := call(t, "scenario", "new", "topology-hints")
	if code != 0 || err != "" {
		t.Fatalf("exit code %d, %q", code, err)
	}
	for _, want := range []string{"manifests/scenarios/topology-hints is there", "go test ./manifests", "make build\n  svclab verify --describe topology-hints\n  make up\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing from\n%s", want, out)
		}
	}
	load := func() error {
		_, err := scenario.Load(os.DirFS(filepath.Join(root, "manifests")), []string{"topology-hints"}, steps.Kinds(checks.Names()...))
		return err
	}
	if err := load(); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `behaviour "TODO"`) {
		t.Errorf("unfilled, want one error about behaviours: %v", err)
	}
	file := filepath.Join(root, "manifests", "scenarios", "topology-hints", "scenario.yaml")
	text, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	filled := strings.Replace(string(text), "[TODO]", "[clusterip.basic]", 1)
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(); err != nil {
		t.Errorf("filled in: %v", err)
	}
	if _, err, code := call(t, "scenario", "new", "topology-hints"); code != 2 || !strings.Contains(err, "exists already") {
		t.Errorf("twice: exit code %d, %q", code, err)
	}
	if _, err, code := call(t, "scenario", "new", "Topology"); code != 2 || !strings.Contains(err, "lower-case words") {
		t.Errorf("a wrong name: exit code %d, %q", code, err)
	}
}

// checkoutOf makes a copy of the checkout's manifests, and has the command use it.
func checkoutOf(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "manifests"), manifests.FS()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "scripts", "versions.env"), nil, 0o600); err != nil { // what a checkout is known by
		t.Fatal(err)
	}
	t.Setenv("SVCLAB_ROOT", root)
	return root
}
