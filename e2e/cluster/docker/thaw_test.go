package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A frozen cgroup below a container that is to be removed is thawed; the others are left alone.
func TestRemoveThaws(t *testing.T) {
	freezer := t.TempDir()
	states := map[string]string{"docker/a1/kubelet/pod": "FROZEN\n", "docker/a1": "THAWED\n", "docker/b2/pod": "FROZEN\n"}
	for folder, state := range states {
		if err := os.MkdirAll(filepath.Join(freezer, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(freezer, folder, "freezer.state"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed := false
	engine := New("", WithRunner(func(_ context.Context, c Command) error {
		var err error
		switch line := strings.Join(c.Argv, " "); {
		case strings.Contains(line, "rm --force"):
			removed = true
		case removed:
		case strings.Contains(line, "inspect"):
			_, err = c.Stdout.Write([]byte(`[{"Id": "a1", "Name": "/node"}]`))
		default:
			_, err = c.Stdout.Write([]byte("a1\n"))
		}
		return err
	}))
	engine.freezer = freezer
	if err := engine.Remove(t.Context(), "label=x"); err != nil || !removed {
		t.Fatalf("removed %t, %v", removed, err)
	}
	for folder, want := range map[string]string{"docker/a1/kubelet/pod": "THAWED", "docker/b2/pod": "FROZEN"} {
		if got, err := os.ReadFile(filepath.Join(freezer, folder, "freezer.state")); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q, %v, want %s", folder, got, err, want)
		}
	}
}
