package kind

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// kind's library reads its engine and network from the environment; afterwards they have their previous values.
func TestEnvironment(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///ambient")
	t.Setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", "x")
	if err := os.Unsetenv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); err != nil {
		t.Fatal(err)
	}
	p := New(docker.New("unix:///own"), "a", "net", "", io.Discard)
	restore := p.environment()
	if got := os.Getenv("DOCKER_HOST") + " " + os.Getenv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); got != "unix:///own net" {
		t.Error(got)
	}
	restore()
	if _, set := os.LookupEnv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); set || os.Getenv("DOCKER_HOST") != "unix:///ambient" {
		t.Error("the environment was not restored")
	}
}

func TestLoggerKeepsTheSteps(t *testing.T) {
	var out strings.Builder
	l := logger{&out}
	l.V(0).Infof(" • %s  ...\n", "Preparing nodes 📦 📦 ")
	l.V(0).Infof(" ✓ %s\n", "Preparing nodes 📦 📦 ")
	l.V(0).Infof(" ✗ %s\n", "Starting control-plane 🕹️")
	l.V(1).Info("noise")
	l.Warn("WARNING: Here be dragons! This is not supported currently.")
	l.Warnf("disk %s", "slow")
	want := "kind: Preparing nodes\nkind failed: Starting control-plane\nkind warns: disk slow\n"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
}

func TestDestroyRemovesTheNodesAndTheKubeconfig(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var filters []string
	gone := false
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		switch {
		case c.Argv[1] == "ps" && !gone:
			filters = append(filters, strings.Join(c.Argv[5:], " "))
			_, _ = io.WriteString(c.Stdout, "1\n")
		case c.Argv[1] == "container":
			_, _ = io.WriteString(c.Stdout, `[{"Id":"1","Name":"/a-worker"}]`)
		case c.Argv[1] == "rm":
			gone = strings.Join(c.Argv[1:], " ") == "rm --force --volumes a-worker"
		}
		return nil
	}))
	p := New(engine, "a", "a", kubeconfig, io.Discard)
	for range 2 { // a cluster that does not exist is no error
		if err := p.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(kubeconfig); !errors.Is(err, fs.ErrNotExist) || !slices.Equal(filters, []string{"--filter label=io.x-k8s.kind.cluster=a"}) {
		t.Errorf("kubeconfig: %v; filters %q", err, filters)
	}
}
