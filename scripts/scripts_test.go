// Package scripts_test tries the shell scripts on machines that lack something: the commands they call are replaced by
// small ones of the test's, and what they say and end with is looked at.
package scripts_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// outcome is what a script said and ended with.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a script with fake commands in front of the real ones. A fake named "-x y" hides the commands x and y.
func run(t *testing.T, fakes map[string]string, env []string, name string, args ...string) outcome {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("the scripts are for Linux, which has flock")
	}
	bin, home := t.TempDir(), t.TempDir()
	path := bin + ":" + os.Getenv("PATH")
	for command, text := range fakes {
		if hidden, ok := strings.CutPrefix(command, "-"); ok {
			path = bin + ":" + without(t, strings.Fields(hidden)...)
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

// without returns a folder with links to every command on the PATH but some.
func without(t *testing.T, hidden ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if slices.Contains(hidden, entry.Name()) {
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
	// An engine that answers, has no image, imports, and refuses what is privileged.
	engine       = `case "$*" in *Os}}-*) echo linux-amd64 ;; *Os}}/*) echo "linux/$(go env GOHOSTARCH)" ;; version*) echo 28.0.0 ;; image*) exit 1 ;; import*) cat >/dev/null ;; pull*) exit 1 ;;`
	unprivileged = engine + ` run*) echo 'operation not permitted' >&2; exit 126 ;; esac`
	privileged   = engine + ` run*) echo 'WARNING: IPv4 forwarding is disabled. Networking will not work.' >&2; echo privileged ;; esac`
	notRoot      = "echo 1000"
	// A compiler that makes a fake kind, which writes down what it is asked for and knows a cluster of every name.
	kindBuilder = `case "$*" in
"env GOVERSION GOARCH") echo go1.26; echo amd64 ;;
version*) printf 'x: go1.26\n\tmod\tgithub.com/svclab/svclab\tv0.1.0\n' ;;
*" build "*) while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\necho "$@" >>"$HOME/kind.log"\n' >"$2/kind"; chmod 755 "$2/kind" ;;
build*) while [ "$1" != -o ]; do shift; done; : >"$2" ;;
esac`
	macOS    = "echo Darwin"
	fullDisk = "printf 'Filesystem Blocks Used Available\\n/dev/x 9 9 1048576\\n'"
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
		{"engine without privileges, not Linux", map[string]string{"docker": unprivileged, "uname": macOS}, nil, []string{"engine.sh", "up"},
			[]string{"does not start privileged containers", "operation not permitted", "Docker Desktop", "its own only on Linux"}},
		{"Windows containers", map[string]string{"docker": `case "$*" in *Os}}-*) echo windows-amd64 ;; *) echo 28.0.0 ;; esac`, "uname": macOS}, nil, []string{"engine.sh", "up"},
			[]string{"another system than Linux: windows-amd64", "switch it to Linux containers"}},
		{"the test of the engine does not compile", map[string]string{"docker": privileged, "go": "echo 'cannot find GOROOT' >&2; exit 1"}, nil, []string{"engine.sh", "up"},
			[]string{"cannot find GOROOT", "building svclab's container runtime failed"}},
		{"no engine for svclab's image", map[string]string{"docker": deadEngine, "id": notRoot}, nil, []string{"image.sh"},
			[]string{"no Docker engine answers"}},
		{"no engine for a foreign cluster", map[string]string{"docker": deadEngine, "id": notRoot, "go": kindBuilder}, nil, []string{"conformance-cluster.sh", "up"},
			[]string{"no Docker engine answers"}},
		{"a foreign cluster with a common name", nil, []string{"SVCLAB_CONFORMANCE_NAME=kind"}, []string{"conformance-cluster.sh", "down"},
			[]string{"SVCLAB_CONFORMANCE_NAME=kind does not begin with svclab-"}},
		{"a release of another tag", map[string]string{"go": kindBuilder}, []string{"PLATFORMS=linux/amd64", "SVCLAB_OUTPUT=" + t.TempDir()}, []string{"release.sh", "v9.9.9"},
			[]string{"the checkout's version is v0.1.0, not v9.9.9", "git checkout v9.9.9"}},
		{"images are built for another machine", map[string]string{"docker": `case "$*" in *Os}}/*) echo linux/s390x ;; *) echo 28.0.0 ;; esac`}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"only on the engine's own system: it is linux/s390x", "IMAGES=pull"}},
		{"podman under docker's name", map[string]string{"docker": `case "$1" in --version) echo podman version 5.4.2 ;; *) exit 1 ;; esac`}, nil, []string{"engine.sh", "up"},
			[]string{"reaches Podman, which svclab does not support", "fix: install Docker"}},
		{"podman's socket", map[string]string{"docker": `case "$1" in --version) echo Docker version 28 ;; version) echo '[{"Name":"Podman Engine"}]' ;; esac`}, nil, []string{"engine.sh", "up"},
			[]string{"reaches Podman, which svclab does not support"}},
		{"nerdctl under docker's name", map[string]string{"docker": `echo nerdctl version 2.0.3`}, nil, []string{"engine.sh", "up"},
			[]string{"reaches nerdctl, which svclab does not support"}},
		{"disk nearly full", map[string]string{"docker": deadEngine, "id": "echo 0", "df": fullDisk}, nil, []string{"engine.sh", "up"},
			[]string{"1 GiB free", "12 GiB are needed", "fix: free some space"}},
		{"no engine in use", map[string]string{"docker": deadEngine}, nil, []string{"engine.sh", "env"},
			[]string{"no engine is in use", "fix: make engine-up"}},
		{"unknown command", nil, nil, []string{"engine.sh", "sideways"}, []string{"usage: scripts/engine.sh"}},
		{"unknown Kubernetes", map[string]string{"docker": privileged}, []string{"KUBERNETES=1.12"}, []string{"images.sh"},
			[]string{"Kubernetes 1.12 is not supported", "one of: 1."}},
		{"a patch version", map[string]string{"docker": privileged}, []string{"KUBERNETES=1.37.2"}, []string{"images.sh"},
			[]string{"Kubernetes 1.37.2 is not supported"}},
		{"no release of kube-proxy", nil, nil, []string{"component.sh", "kube-proxy", "1.33"}, []string{`kube-proxy "1.33" is no release`, "PROXY=v1.33.0"}},
		{"a release that is not served", map[string]string{"go": `case "$*" in *GOVERSION*) echo go1.26 amd64 ;; *) echo '{"Error": "unknown revision"}'; exit 1 ;; esac`}, nil, []string{"component.sh", "kube-proxy", "v1.99.0"},
			[]string{"there is no kubernetes v1.99.0", "go list -m -versions k8s.io/kubernetes"}},
		{"a path for a version", map[string]string{"docker": privileged}, []string{"KUBERNETES=../etcd"}, []string{"images.sh"},
			[]string{"is not supported"}},
		{"unknown image source", map[string]string{"docker": privileged}, []string{"IMAGES=borrow"}, []string{"images.sh"},
			[]string{"IMAGES=borrow is unknown", "auto, pull or build"}},
		{"images without an engine", map[string]string{"docker": deadEngine}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"no Docker engine answers", "make engine-up"}},
		{"images without room", map[string]string{"docker": privileged, "df": fullDisk}, []string{"IMAGES=build"}, []string{"images.sh"},
			[]string{"1 GiB free", "20 GiB are needed"}},
		{"build tools missing, not root", map[string]string{"docker": privileged, "-mmdebstrap": "", "id": notRoot}, []string{"IMAGES=build"}, []string{"images.sh"},
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

// An engine whose clusters somebody uses is not stopped, nor one that images are built in.
func TestDownRefusesWhileTheEngineIsInUse(t *testing.T) {
	for name, c := range map[string]struct {
		lock, docker, want string
	}{
		"a cluster in it":                         {"cluster-lab@A-B.lock", "echo A:B", "cluster lab in svclab's engine is in use by process " + strconv.Itoa(os.Getpid()) + " (svclab verify)"},
		"a cluster in another":                    {"cluster-lab@C-D.lock", "echo A:B", ""},
		"a cluster, and the engine is not asked":  {"cluster-lab@C-D.lock", "exit 1", "cluster lab in svclab's engine is in use by process " + strconv.Itoa(os.Getpid())},
		"images that are built":                   {"cache/build.lock", "echo A:B", "images are being built in svclab's engine"},
		"another file that somebody happens lock": {"engine.lock", "echo A:B", ""},
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, c.lock)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(fmt.Sprintf("process 1 (gone), since\nprocess %d (svclab verify)\nprocess 99999999 (svclab learn check)\n", os.Getpid())), 0o600)); err != nil {
			t.Fatal(err)
		}
		env := []string{"SVCLAB_ENGINE_RUN=" + folder, "SVCLAB_CACHE=" + folder + "/cache"}
		down := func() outcome { return run(t, map[string]string{"docker": c.docker}, env, "engine.sh", "down") }
		holder := exec.Command("flock", path, "sh", "-c", "echo; read -r _")
		release, err := holder.StdinPipe()
		out, piped := holder.StdoutPipe()
		if err := errors.Join(err, piped, holder.Start()); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it has the lock
			t.Fatal(err)
		}
		if got := down(); got.code == 0 != (c.want == "") || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d, %s; want %q", name, got.code, got.stderr, c.want)
		}
		if err := errors.Join(release.Close(), holder.Wait()); err != nil && holder.ProcessState.ExitCode() != 1 { // read's, at the end of its input
			t.Fatal(err)
		}
		if got := down(); got.code != 0 || !strings.Contains(got.stderr, "is not running") {
			t.Errorf("%s: afterwards exit code %d, %s", name, got.code, got.stderr)
		}
	}
}

// TestEachMinorIsWhole: a minor that can be requested has all that scripts/pin-kubernetes.sh pins for it.
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
		for _, component := range []string{"upstream-"} {
			if _, err := os.Stat(filepath.Join("components", component+minor, "go.mod")); err != nil {
				t.Errorf("Kubernetes %s: %v", minor, err)
			}
		}
		if pull := "\nPULL_NODE_" + strings.ReplaceAll(minor, ".", "_") + "="; !strings.Contains(string(pins), pull) {
			t.Errorf("versions.env has no published node image of Kubernetes %s", minor)
		}
	}
}

// svclab and the default Kubernetes are compiled on the same machine. If both have the same versions of what most packages
// of client-go import, a build from nothing compiles these packages once, which saves a minute on two cores.
func TestKubernetesAndSvclabShareLibraries(t *testing.T) {
	shared := regexp.MustCompile(`^(golang\.org/x/(net|sys|term|text)|go\.yaml\.in/yaml/v3|google\.golang\.org/protobuf|k8s\.io/(api|apimachinery|client-go|kube-openapi))$`)
	versions := func(file string) map[string]string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 1 && strings.HasPrefix(words[1], "v") && shared.MatchString(words[0]) {
				found[words[0]] = words[1]
			}
		}
		return found
	}
	pins, err := os.ReadFile("versions.env")
	if err != nil {
		t.Fatal(err)
	}
	minor := regexp.MustCompile(`(?m)^KUBERNETES_DEFAULT=(.*)$`).FindSubmatch(pins)
	if minor == nil {
		t.Fatal("versions.env has no KUBERNETES_DEFAULT")
	}
	ours, theirs := versions("../go.mod"), versions("components/kubernetes-"+string(minor[1])+"/go.mod")
	if len(ours) != 10 {
		t.Fatalf("go.mod has %v of the ten modules that are compared", ours)
	}
	for module, version := range ours {
		if theirs[module] != version {
			t.Errorf("go.mod has %s %s, Kubernetes %s: go get %[1]s@%[3]s", module, version, theirs[module])
		}
	}
}

// The scripts that a Mac runs do without GNU's programs, and an engine of another architecture gets programs of its own.
func TestOnAMac(t *testing.T) {
	log := filepath.Join(t.TempDir(), "go.log")
	fakes := map[string]string{
		"docker": strings.Replace(privileged, "linux-amd64", "linux-arm64", 1), "uname": macOS,
		"-timeout flock sha256sum setsid realpath": "", "shasum": "exec openssl dgst -sha256 -r",
		"go": `echo "$GOOS/$GOARCH" >` + log + `; while [ "$1" != -o ]; do shift; done; : >"$2"; chmod 755 "$2"`,
	}
	got := run(t, fakes, []string{"DOCKER_HOST=tcp://127.0.0.1:1"}, "engine.sh", "up")
	if got.code != 0 || got.stdout != "DOCKER_HOST=tcp://127.0.0.1:1\n" {
		t.Errorf("got %d %q\n%s", got.code, got.stdout, got.stderr)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "linux/arm64\n" {
		t.Errorf("the engine's test was compiled for %q, %v; want linux/arm64", text, err)
	}
}

// Only a cluster whose network has this script's label is deleted.
func TestAForeignClusterOfOthersStays(t *testing.T) {
	for _, tc := range []struct {
		name, containers, networks, labelled string
		code                                 int
		asked                                string
	}{
		{"of others", "c1", "n1", "", 2, ""},
		{"made here", "c1", "n1", "n1", 0, "delete cluster"},
		{"none", "", "", "", 0, "delete cluster"},
	} {
		home := t.TempDir()
		docker := strings.TrimSuffix(privileged, "esac") + ` ps*) echo "` + tc.containers + `" ;; "network ls"*label=*) echo "` + tc.labelled + `" ;; "network ls"*) echo "` + tc.networks + `" ;; esac`
		got := run(t, map[string]string{"docker": docker, "go": kindBuilder}, []string{"HOME=" + home, "NAME=mine", "SVCLAB_CONFORMANCE_NAME=svclab-mine"}, "conformance-cluster.sh", "down")
		asked, _ := os.ReadFile(filepath.Join(home, "kind.log"))
		if got.code != tc.code || !strings.HasPrefix(string(asked), tc.asked) || tc.asked == "" && len(asked) > 0 {
			t.Errorf("%s: got %d, kind was asked %q\n%s", tc.name, got.code, asked, got.stderr)
		}
	}
}

// Whoever tidies the cache removes what a killed process left, not what another one works with.
func TestWorkspacesOfOthersStay(t *testing.T) {
	cache := t.TempDir()
	for _, name := range []string{"work.now", "work.then"} {
		if err := os.Mkdir(filepath.Join(cache, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(filepath.Join(cache, "work.then"), then, then); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(cache, "script.sh")
	if err := os.WriteFile(script, []byte("source "+filepath.Join(mustAbs(t, "."), "lib.sh")+"; workspace"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := run(t, nil, []string{"SVCLAB_CACHE=" + cache}, script)
	left, err := filepath.Glob(filepath.Join(cache, "work.*"))
	if got.code != 0 || err != nil || len(left) != 1 || filepath.Base(left[0]) != "work.now" {
		t.Errorf("got %d, left %v, %v\n%s", got.code, left, err, got.stderr)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// A step of a first build says what part of all images it is; what is no part of it does not.
func TestAStepSaysItsPartOfTheBuild(t *testing.T) {
	lib, err := filepath.Abs("lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "step.sh")
	for step, want := range map[string]string{"build kubernetes-1.37": ", 57 % of all images", "Debian trixie": ", 9 % of all images", "build kind": ""} {
		text := fmt.Sprintf("source %q\nheartbeat %q %q true\n", lib, step, filepath.Join(t.TempDir(), "log"))
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		printed := regexp.MustCompile("^svclab:   " + regexp.QuoteMeta(step) + ": [0-9]+ s" + want + "\n$")
		if got := run(t, nil, nil, script); got.code != 0 || !printed.MatchString(got.stderr) {
			t.Errorf("%s: exit code %d, printed %q", step, got.code, got.stderr)
		}
	}
}
