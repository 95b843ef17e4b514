package kind

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestHasVersion(t *testing.T) {
	for _, c := range []struct {
		version, wanted string
		want            bool
	}{
		{"v1.37.2", "", true}, {"v1.37.2", "1.37", true}, {"v1.37.2", "v1.37.2", true}, {"v1.37.2", "1.37.2", true},
		{"v1.37.2", "1.3", false}, {"v1.37.2", "v1.37.20", false}, {"v1.37.20", "v1.37.2", false}, {"v1.36.3", "1.37", false},
	} {
		if got := hasVersion(c.version, c.wanted); got != c.want {
			t.Errorf("%s as %s: %v", c.version, c.wanted, got)
		}
	}
}

func TestNotReady(t *testing.T) {
	node := func(name string, status corev1.ConditionStatus) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}}
	}
	if got := notReady([]corev1.Node{node("a", corev1.ConditionTrue), node("b", corev1.ConditionUnknown), {}}); got != "b is not Ready,  is not Ready" {
		t.Errorf("%q", got)
	}
}

// kind's library reads its engine and network from the environment; afterwards it is as before.
func TestEnvironment(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///ambient")
	t.Setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", "x")
	if err := os.Unsetenv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); err != nil {
		t.Fatal(err)
	}
	p := New(docker.New("unix:///own"), "a", "net", "", nil, io.Discard)
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

func TestRemoveAllTakesOnlyThisClusterSNodes(t *testing.T) {
	var asked []string
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		asked = append(asked, strings.Join(c.Argv[1:], " "))
		switch c.Argv[1] {
		case "ps":
			_, _ = io.WriteString(c.Stdout, "1\n")
		case "container":
			_, _ = io.WriteString(c.Stdout, `[{"Id":"1","Name":"/a-worker"}]`)
		case "rm":
			_, _ = io.WriteString(c.Stderr, "Error: removal of container a-worker is already in progress")
			return errors.New("exit status 1")
		}
		return nil
	}))
	p := New(engine, "a", "a", "", nil, io.Discard)
	if err := p.removeAll(); err != nil {
		t.Error(err)
	}
	if want := []string{"ps --all --quiet --no-trunc --filter label=io.x-k8s.kind.cluster=a", "container inspect 1", "rm --force --volumes a-worker"}; !slices.Equal(asked, want) {
		t.Errorf("%q", asked)
	}
}
