package learn

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkoutOf makes a checkout with the small course, and has the command use it.
func checkoutOf(t *testing.T) (exercises string) {
	t.Helper()
	root := t.TempDir()
	exercises = filepath.Join(root, "labs", "exercises")
	if err := os.CopyFS(exercises, smallCourse(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "scripts", "versions.env"), nil, 0o600); err != nil { // what a checkout is known by
		t.Fatal(err)
	}
	t.Setenv("SVCLAB_ROOT", root)
	return exercises
}

// A new exercise is a draft: it loads, and a release refuses it.
func TestLearnNew(t *testing.T) {
	exercises := checkoutOf(t)
	out, stderr, code := learn(t, nil, "new", "two-services")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	wants(t, out, "labs/exercises/08-two-services is there, a draft", "svclab learn lint 08", "svclab learn prove 08")
	out, stderr, code = learn(t, nil, "lint", "08")
	if code != 0 || out != "1 exercise is in order\n" || stderr != `svclab: warning: 08-two-services: a draft: it has no Chinese text, text.zh.md
svclab: warning: 08-two-services/expect.yaml still has TODO
svclab: warning: 08-two-services/text.en.md still has TODO
` {
		t.Errorf("lint: exit code %d, %q, %q", code, out, stderr)
	}
	if out, _, code = learn(t, nil, "lint"); code != 0 || out != "4 exercises are in order\n" {
		t.Errorf("lint of all: exit code %d, %q", code, out)
	}
	if _, stderr, code = learn(t, nil, "lint", "--release"); code != 2 || !strings.Contains(stderr, "08-two-services: a draft") || !strings.Contains(stderr, "08-two-services/text.en.md still has TODO") {
		t.Errorf("lint --release: exit code %d, %q", code, stderr)
	}
	if out, stderr, code = learn(t, nil, "lint", "--release", "04"); code != 0 || stderr != "" {
		t.Errorf("lint --release of another one: exit code %d, %q, %q", code, out, stderr)
	}
	if _, stderr, code = learn(t, nil, "new", "two-services"); code != 2 || !strings.Contains(stderr, "there is an exercise of that name: 08-two-services") {
		t.Errorf("the same name again: exit code %d, %q", code, stderr)
	}
	if _, stderr, code = learn(t, nil, "new", "Two_Services"); code != 2 || !strings.Contains(stderr, "NN-name") {
		t.Errorf("a wrong name: exit code %d, %q", code, stderr)
	}
	err := fs.WalkDir(os.DirFS(filepath.Join(exercises, "08-two-services")), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(exercises, "08-two-services", path))
		if strings.Contains(string(text), "NAME") {
			t.Errorf("%s: the name is not filled in", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// lint reports the errors of every exercise at once, together with the drafts.
func TestLearnLintReportsEverything(t *testing.T) {
	exercises := checkoutOf(t)
	if err := os.Remove(filepath.Join(exercises, build, "text.zh.md")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fix, predict} {
		file, err := os.OpenFile(filepath.Join(exercises, name, "exercise.yaml"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString("speed: 9\n"); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	out, stderr, code := learn(t, nil, "lint")
	if code != 2 || out != "" {
		t.Errorf("exit code %d, %q", code, out)
	}
	wants(t, stderr, "warning: "+build+": a draft", fix+`/exercise.yaml: unknown field "speed"`, predict+`/exercise.yaml: unknown field "speed"`)
}
