package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
)

// checkout makes a folder that looks like the project, with the given scripts.
func checkout(t *testing.T, scripts map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	scripts["versions.env"] = "KUBERNETES_DEFAULT=1.37\n"
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(root, "scripts", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const images = `#!/bin/sh
echo "asked for $KUBERNETES $IMAGES at $DOCKER_HOST" >&2
cat <<END
IMAGES=build
KUBERNETES_VERSION=v1.37.2
NODE_IMAGE=svclab/node:v1.37.2-1
COREDNS_IMAGE=svclab/coredns:1
AGNHOST_IMAGE=registry.example/agnhost:2
LOAD_IMAGES=svclab/a:1=registry.example/a:1 svclab/b:1=registry.example/b:1
METALLB_MANIFEST=/m/metallb.yaml
END
`

func TestPrepare(t *testing.T) {
	root := checkout(t, map[string]string{
		"engine.sh": "#!/bin/sh\necho DOCKER_HOST=unix:///run/e.sock\n", "images.sh": images})
	var progress bytes.Buffer
	got, err := Prepare(context.Background(), Options{Root: root, Kubernetes: "1.37", Images: "build", Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	want := Machine{DockerHost: "unix:///run/e.sock", KubernetesVersion: "v1.37.2", Images: cluster.Images{
		Node: "svclab/node:v1.37.2-1", Offline: true, CoreDNS: "svclab/coredns:1", Agnhost: "registry.example/agnhost:2", MetalLBManifest: "/m/metallb.yaml",
		Load: []cluster.Load{{Local: "svclab/a:1", Name: "registry.example/a:1"}, {Local: "svclab/b:1", Name: "registry.example/b:1"}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if want := "asked for 1.37 build at unix:///run/e.sock\n"; progress.String() != want {
		t.Errorf("the script said %q, want %q", progress.String(), want)
	}
}

func TestPrepareFails(t *testing.T) {
	for _, tc := range []struct{ name, engine, images, want string }{
		{"no engine", "#!/bin/sh\necho 'no engine' >&2; exit 2\n", images, "scripts/engine.sh ended with exit code 2"},
		{"no image", "#!/bin/sh\n", "#!/bin/sh\nexit 1\n", "scripts/images.sh ended with exit code 1"},
		{"half an answer", "#!/bin/sh\n", "#!/bin/sh\necho IMAGES=build\n", "did not say which"},
		{"an odd answer", "#!/bin/sh\n", strings.Replace(images, "svclab/a:1=", "svclab/a:1 ", 1), "is not LOCAL=NAME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := checkout(t, map[string]string{"engine.sh": tc.engine, "images.sh": tc.images})
			_, err := Prepare(context.Background(), Options{Root: root, Progress: new(bytes.Buffer)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestPrepareIsCancelled(t *testing.T) {
	root := checkout(t, map[string]string{
		"engine.sh": "#!/bin/sh\ntrap 'echo ended >&2; exit 130' TERM\necho started >&2\nwhile :; do sleep 0.05; done\n", "images.sh": images})
	ctx, cancel := context.WithCancelCause(context.Background())
	progress := &signalling{first: make(chan struct{})}
	go func() { <-progress.first; cancel(errors.New("interrupted by the user")) }()
	began := time.Now()
	_, err := Prepare(ctx, Options{Root: root, Progress: progress})
	if err == nil || !strings.Contains(err.Error(), "interrupted by the user") {
		t.Errorf("got %v", err)
	}
	if time.Since(began) > 10*time.Second || !strings.Contains(progress.String(), "ended") {
		t.Errorf("the script was not let end by itself: %q after %v", progress.String(), time.Since(began))
	}
}

// A cancelled script takes the programs with it that it started and does not know of.
func TestPrepareEndsTheScriptsChildren(t *testing.T) {
	root := checkout(t, map[string]string{"images.sh": images,
		"engine.sh": "#!/bin/sh\n(trap '' INT; while :; do sleep 0.05; done) &\necho $! >&2\nwait\n"})
	ctx, cancel := context.WithCancel(context.Background())
	progress := &signalling{first: make(chan struct{})}
	go func() { <-progress.first; cancel() }()
	began := time.Now()
	if _, err := Prepare(ctx, Options{Root: root, Progress: progress}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("returned after %v only", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(progress.String()))
	if err != nil {
		t.Fatal(err)
	}
	// A process that was killed is there until the kernel has scheduled it once more.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the script's child %d goes on: %s", pid, state)
		}
	}
}

// signalling closes first when something is written for the first time.
type signalling struct {
	text  bytes.Buffer // not embedded: its ReadFrom would be used in place of Write
	first chan struct{}
	begun bool
}

func (s *signalling) String() string { return s.text.String() }

func (s *signalling) Write(p []byte) (int, error) {
	n, err := s.text.Write(p)
	if !s.begun {
		s.begun = true
		close(s.first)
	}
	return n, err
}

func TestRoot(t *testing.T) {
	root := checkout(t, map[string]string{})
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SVCLAB_ROOT", "")
	t.Chdir(deep)
	if got, err := Root(); err != nil || got != root {
		t.Errorf("from %s: got %q, %v", deep, got, err)
	}
	elsewhere := t.TempDir()
	if got, err := above(elsewhere, deep); err != nil || got != root {
		t.Errorf("from the program's folder: got %q, %v", got, err)
	}
	t.Chdir(elsewhere)
	if _, err := Root(); !errors.Is(err, ErrNoCheckout) {
		t.Errorf("outside a checkout: %v", err)
	}
	t.Setenv("SVCLAB_ROOT", root)
	if got, err := Root(); err != nil || got != root {
		t.Errorf("by SVCLAB_ROOT: got %q, %v", got, err)
	}
	t.Setenv("SVCLAB_ROOT", t.TempDir())
	if _, err := Root(); !errors.Is(err, ErrNoCheckout) {
		t.Errorf("a wrong SVCLAB_ROOT: %v", err)
	}
}
