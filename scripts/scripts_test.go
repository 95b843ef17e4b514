// Package scripts_test tries the shell scripts on machines that lack something: the commands they call are replaced by
// small ones of the test's, and what they say and end with is looked at.
package scripts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is what a script said and ended with.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a script with fake commands in front of the real ones. A fake named "-x" hides the command x.
func run(t *testing.T, fakes map[string]string, env []string, name string, args ...string) outcome {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("the scripts are for Linux, which has flock")
	}
	bin, home := t.TempDir(), t.TempDir()
	path := bin + ":" + os.Getenv("PATH")
	for command, text := range fakes {
		if hidden, ok := strings.CutPrefix(command, "-"); ok {
			path = bin + ":" + without(t, hidden)
			continue
		}
		if err := os.WriteFile(filepath.Join(bin, command), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", append([]string{name}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append([]string{"PATH=" + path, "HOME=" + home, "SVCLAB_CACHE=" + home + "/cache", "SVCLAB_ENGINE_HOME=" + home + "/engine",
		"SVCLAB_ENGINE_RUN=" + home + "/run", "GOCACHE=" + goEnv(t, "GOCACHE"), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"), "GOFLAGS=" + goEnv(t, "GOFLAGS")}, env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func goEnv(t *testing.T, key string) string {
	t.Helper()
	out, err := exec.Command("go", "env", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// without returns a folder with links to every command on the PATH but one.
func without(t *testing.T, hidden string) string {
	t.Helper()
	folder := t.TempDir()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if entry.Name() == hidden {
				continue
			}
			if err := os.Symlink(filepath.Join(dir, entry.Name()), filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	return folder
}

const (
	deadEngine = "echo 'Cannot connect to the Docker daemon' >&2; exit 1"
	// An engine that answers, imports, and refuses what is privileged.
	unprivileged = `case "$1" in version) echo 28.0.0 ;; image) exit 1 ;; import) cat >/dev/null ;; run) echo 'operation not permitted' >&2; exit 126 ;; esac`
	privileged   = `case "$1" in version) echo 28.0.0 ;; image) exit 1 ;; import) cat >/dev/null ;; run) echo privileged ;; esac`
	notRoot      = "echo 1000"
)

func TestWhatIsMissingIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fakes  map[string]string
		env    []string
		script []string
		want   []string // in stderr
	}{
		{"no engine, not root", map[string]string{"docker": deadEngine, "id": notRoot}, nil, []string{"engine.sh", "up"},
			[]string{"no Docker engine answers", "only as root", "fix: start Docker"}},
		{"no docker command, not root", map[string]string{"-docker": "", "id": notRoot}, nil, []string{"engine.sh", "up"},
			[]string{"no Docker engine answers", "fix: start Docker"}},
		{"engine without privileges, not root", map[string]string{"docker": unprivileged, "id": notRoot}, nil, []string{"engine.sh", "up"},
			[]string{"does not start privileged containers", "fix: "}},
		{"engine without privileges, not Linux", map[string]string{"docker": unprivileged, "uname": "echo Darwin"}, nil, []string{"engine.sh", "up"},
			[]string{"does not start privileged containers", "Docker Desktop"}},
		{"disk nearly full", map[string]string{"docker": deadEngine, "id": "echo 0", "df": "printf 'Avail\\n1048576\\n'"}, nil, []string{"engine.sh", "up"},
			[]string{"1 GiB free", "12 GiB are needed", "fix: free some space"}},
		{"no engine in use", map[string]string{"docker": deadEngine}, nil, []string{"engine.sh", "env"},
			[]string{"no engine is in use", "fix: make engine-up"}},
		{"unknown command", nil, nil, []string{"engine.sh", "sideways"}, []string{"usage: scripts/engine.sh"}},
		{"unknown Kubernetes", map[string]string{"docker": privileged}, []string{"KUBERNETES=1.12"}, []string{"images.sh"},
			[]string{"Kubernetes 1.12 is not supported", "one of: 1."}},
		{"a patch version", map[string]string{"docker": privileged}, []string{"KUBERNETES=1.37.2"}, []string{"images.sh"},
			[]string{"Kubernetes 1.37.2 is not supported"}},
		{"a path for a version", map[string]string{"docker": privileged}, []string{"KUBERNETES=../etcd"}, []string{"images.sh"},
			[]string{"is not supported"}},
		{"unknown image source", map[string]string{"docker": privileged}, []string{"IMAGES=borrow"}, []string{"images.sh"},
			[]string{"IMAGES=borrow is unknown", "auto, pull or build"}},
		{"images without an engine", map[string]string{"docker": deadEngine}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"no Docker engine answers", "make engine-up"}},
		{"images without room", map[string]string{"docker": `case "$1" in version) echo 1 ;; *) exit 1 ;; esac`, "df": "printf 'Avail\\n1048576\\n'"}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"1 GiB free", "20 GiB are needed"}},
		{"build tools missing, not root", map[string]string{"docker": `case "$1" in version) echo 1 ;; *) exit 1 ;; esac`, "-mmdebstrap": "", "id": notRoot}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"building the images needs", "mmdebstrap", "apt-get install"}},
		{"a pull that fails", map[string]string{"docker": `case "$1" in version) echo 1 ;; pull) echo 'connection refused' >&2; exit 1 ;; *) exit 1 ;; esac`}, []string{"IMAGES=pull"}, []string{"images.sh"},
			[]string{"connection refused", "could not be pulled", "IMAGES=build"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, tc.fakes, tc.env, tc.script[0], tc.script[1:]...)
			if got.code != 2 {
				t.Errorf("exit code %d, want 2", got.code)
			}
			for _, want := range tc.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%q is missing from what was said:\n%s", want, got.stderr)
				}
			}
			if got.stdout != "" {
				t.Errorf("an error printed a result: %q", got.stdout)
			}
		})
	}
}

func TestTheEngineThatIsThereIsUsed(t *testing.T) {
	got := run(t, map[string]string{"docker": privileged}, []string{"DOCKER_HOST=tcp://127.0.0.1:1"}, "engine.sh", "up")
	if got.code != 0 || got.stdout != "DOCKER_HOST=tcp://127.0.0.1:1\n" {
		t.Errorf("got %d %q\n%s", got.code, got.stdout, got.stderr)
	}
}

func TestDownStopsNoEngineOfOthers(t *testing.T) {
	run1 := t.TempDir()
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	pid := []byte(strings.TrimSpace(itoa(other.Process.Pid)))
	if err := os.WriteFile(filepath.Join(run1, "docker.pid"), pid, 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, nil, []string{"SVCLAB_ENGINE_RUN=" + run1}, "engine.sh", "down")
	if got.code != 0 || !strings.Contains(got.stderr, "not running") {
		t.Errorf("got %d\n%s", got.code, got.stderr)
	}
	if err := other.Process.Signal(os.Signal(syscallZero)); err != nil {
		t.Errorf("a process that only has the pid of the file was stopped: %v", err)
	}
}

// TestEachMinorIsWhole: a minor that can be asked for has all that scripts/pin-kubernetes.sh pins for it.
func TestEachMinorIsWhole(t *testing.T) {
	found, err := filepath.Glob("components/kubernetes-*")
	if err != nil || len(found) < 4 {
		t.Fatalf("%d minors are pinned, want 1.34 to 1.37 at least: %v", len(found), err)
	}
	pins, err := os.ReadFile("versions.env")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range found {
		_, minor, _ := strings.Cut(folder, "kubernetes-")
		for _, component := range []string{"etcd-", "coredns-", "upstream-"} {
			if _, err := os.Stat(filepath.Join("components", component+minor, "go.mod")); err != nil {
				t.Errorf("Kubernetes %s: %v", minor, err)
			}
		}
		if pull := "\nPULL_NODE_" + strings.ReplaceAll(minor, ".", "_") + "="; !strings.Contains(string(pins), pull) {
			t.Errorf("versions.env has no published node image of Kubernetes %s", minor)
		}
	}
}
