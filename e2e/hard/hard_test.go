//go:build e2e && linux

// Package hard_test runs svclab under hard conditions, as a person or a CI job meets them: interrupted and killed in each phase,
// two at once, a full disk, a home that cannot be written, an engine and an API server that do not answer. After each, nothing
// may be left on the host, in the engine or on the cluster, and the next run must work or name what to do. make test-hard runs
// it; with -short only the cases that take seconds.
package hard_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// phase is a moment in the run of a verb: the first line of its progress that matches at.
type phase struct {
	name string
	args []string
	at   string
	// makes: the verb makes the cluster, so an interrupted run leaves none. Otherwise the verb needs the cluster and leaves it.
	makes bool
	// long: left out with -short.
	long bool
}

func phases() []phase {
	return []phase{
		{name: "up, nodes", args: []string{"up"}, at: `Preparing nodes`, makes: true},
		{name: "up, control plane", args: []string{"up"}, at: `Starting control-plane`, makes: true, long: true},
		{name: "up, workers", args: []string{"up"}, at: `Joining worker`, makes: true, long: true},
		{name: "up, MetalLB", args: []string{"up"}, at: `DNS forwards to the outside`, makes: true, long: true},
		{name: "e2e, compile", args: []string{"e2e", "--focus", "clusterip"}, at: ``, makes: true, long: true},
		{name: "e2e, cluster", args: []string{"e2e", "--focus", "clusterip"}, at: `creating cluster`, makes: true, long: true},
		{name: "e2e, scenario", args: []string{"e2e", "--focus", "nodeport|clusterip", "--verbose"}, at: `clusterip: .*Pass after`, makes: true, long: true},
		// not while nodeport applies its Service: after kill -9 then, the API server keeps the node port for minutes
		{name: "verify", args: []string{"verify", "clusterip", "nodeport", "--verbose"}, at: `nodeport: deploy .*Pass after`},
		{name: "fuzz", args: []string{"fuzz", "--count", "20", "--seed", "7"}, at: ``, long: true},
		{name: "learn", args: []string{"learn", "start", "04"}, at: ``, long: true},
	}
}

// Each verb is interrupted in each phase. It ends with exit code 2, leaves nothing, and works when it is run again.
func TestInterrupted(t *testing.T) { each(t, syscall.SIGINT) }

// Each verb is killed in each phase, with no time to clean up. No process outlives it, and the next run recovers.
func TestKilled(t *testing.T) { each(t, syscall.SIGKILL) }

func each(t *testing.T, signal syscall.Signal) {
	l := newLab(t)
	for _, p := range phases() {
		t.Run(p.name, func(t *testing.T) {
			if p.long && testing.Short() {
				t.Skip("takes minutes; run without -short")
			}
			if p.makes {
				l.must(t, "down")
			} else {
				l.must(t, "up")
			}
			before := l.state(t)
			r := l.start(t, p.args...)
			r.reach(t, p.at)
			r.signal(t, signal)
			done := r.wait(t, 4*time.Minute)
			t.Logf("ended %s after the signal, exit code %d", done.ended.Round(100*time.Millisecond), done.exit)
			if signal == syscall.SIGKILL {
				l.noProcess(t, 30*time.Second)
			} else {
				if done.exit != 2 || !strings.Contains(done.err, "interrupt") {
					t.Errorf("exit code %d, want 2 and a word about the interrupt; it printed\n%s", done.exit, tail(done.err))
				}
				l.noProcess(t, 5*time.Second)
				if p.args[0] != "learn" { // an exercise stays until it is left
					before.same(t, l.state(t))
				}
			}
			again := l.start(t, p.args...).wait(t, 10*time.Minute)
			if again.exit != 0 {
				t.Errorf("run again: exit code %d\n%s%s", again.exit, tail(again.out), tail(again.err))
			}
			if p.args[0] == "learn" { // the exercise is complete: its check runs, and finds that nothing is solved yet
				if check := l.start(t, "learn", "check").wait(t, 3*time.Minute); check.exit != 1 {
					t.Errorf("learn check: exit code %d, want 1\n%s%s", check.exit, tail(check.out), tail(check.err))
				}
				l.must(t, "learn", "stop")
				before.same(t, l.state(t))
			}
		})
	}
}

// While one verb has the lab, every other that would change it ends with exit code 2 at once and names who has it.
func TestTwoAtOnce(t *testing.T) {
	l := newLab(t)
	l.must(t, "up")
	first := l.start(t, "verify", "clusterip", "nodeport", "loadbalancer", "--verbose")
	first.reach(t, `clusterip: .*Pass after`)
	for _, args := range [][]string{{"up"}, {"down"}, {"e2e"}, {"verify", "clusterip"}, {"fuzz", "--count", "1"}, {"mutants", "wrong-target-port"}} {
		second := l.start(t, args...).wait(t, 3*time.Minute)
		if second.exit != 2 || !strings.Contains(second.err, first.pid()) {
			t.Errorf("svclab %s: exit code %d, want 2 and the process %s that has the lab:\n%s", strings.Join(args, " "), second.exit, first.pid(), tail(second.err))
		}
	}
	if r := first.wait(t, 5*time.Minute); r.exit != 0 {
		t.Errorf("the first run: exit code %d\n%s", r.exit, tail(r.err))
	}
}

// A machine that lacks something: exit code 2, a message that names it, nothing changed.
func TestMachine(t *testing.T) {
	l := newLab(t)
	l.must(t, "up")
	for name, c := range map[string]struct {
		// within is a shell command that prepares a mount namespace of the run's own; env is added to the environment.
		within string
		env    []string
		args   []string
		want   string
	}{
		"full disk":      {within: `mount -t tmpfs -o size=16k tmpfs "$SVCLAB_OUTPUT"`, args: []string{"verify", "service-status"}, want: `no space left|disk is full`},
		"read-only disk": {within: `mount -t tmpfs -o ro tmpfs "$SVCLAB_OUTPUT"`, args: []string{"verify", "service-status"}, want: `read-only`},
		"read-only home": {within: `mkdir -p "$HOME" && mount -t tmpfs -o ro tmpfs "$HOME"`, args: []string{"learn", "start", "04"}, want: `read-only`},
		"no rights":      {within: `set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`, env: []string{"DOCKER_HOST="}, args: []string{"verify", "service-status"}, want: `root|permission denied`},
		"no programs":    {env: []string{"PATH=/nonexistent"}, args: []string{"e2e"}, want: `not found in \$PATH`},
	} {
		t.Run(name, func(t *testing.T) {
			before := l.state(t)
			r := l.startIn(t, c.within, c.env, c.args...).wait(t, 2*time.Minute)
			if r.exit != 2 || !regexp.MustCompile(c.want).MatchString(r.err) {
				t.Errorf("exit code %d, want 2 and a message that matches %q:\n%s", r.exit, c.want, tail(r.err))
			}
			if strings.Contains(r.err, "panic") || strings.Contains(r.err, "goroutine ") {
				t.Errorf("it panicked:\n%s", r.err)
			}
			before.same(t, l.state(t))
		})
	}
}

// An API server that hangs gives no verdict; one that restarts during a run costs at most the verdict. Neither is a Fail.
func TestAPIServer(t *testing.T) {
	l := newLab(t)
	l.must(t, "up")
	node := l.name + "-control-plane"
	t.Run("hangs", func(t *testing.T) {
		docker(t, "pause", node)
		defer docker(t, "unpause", node)
		if r := l.start(t, "verify", "clusterip").wait(t, 3*time.Minute); r.exit != 2 {
			t.Errorf("exit code %d, want 2:\n%s%s", r.exit, tail(r.out), tail(r.err))
		}
	})
	t.Run("restarts", func(t *testing.T) {
		r := l.start(t, "verify", "clusterip", "nodeport", "--verbose")
		r.reach(t, `clusterip: .*Pass after`)
		docker(t, "exec", node, "sh", "-c", "kill -KILL $(pidof kube-apiserver)") // one that ends by itself first waits a minute for its watches
		if done := r.wait(t, 6*time.Minute); done.exit == 1 {
			t.Errorf("a healthy cluster failed because its API server restarted:\n%s", tail(done.out))
		}
	})
	// The kubelet holds an API server back that has ended before; that may take longer than the run did.
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
		err := exec.Command("docker", "exec", node, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "--raw", "/readyz").Run()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the API server does not come back: %v", err)
		}
	}
	if r := l.start(t, "verify", "clusterip").wait(t, 5*time.Minute); r.exit != 0 {
		t.Errorf("afterwards: exit code %d\n%s%s", r.exit, tail(r.out), tail(r.err))
	}
}

// An interrupted build of images leaves no process, and can be interrupted again: its lock is free.
func TestImages(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads the modules of another Kubernetes; run without -short")
	}
	l := newLab(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL, syscall.SIGINT} {
		r := l.start(t, "up", "--kubernetes", "1.36", "--images", "build")
		r.reach(t, `build kubernetes-1.36, 1\d s|Preparing nodes`)
		r.signal(t, signal)
		if done := r.wait(t, time.Minute); signal == syscall.SIGINT && done.exit != 2 {
			t.Errorf("exit code %d, want 2\n%s", done.exit, tail(done.err))
		}
		l.noProcess(t, 30*time.Second)
	}
	l.must(t, "down")
}

func docker(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// tail returns the last lines of a text.
func tail(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// lines returns the lines of a text, sorted.
func lines(text []byte) []string {
	all := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	slices.Sort(all)
	return all
}

func getenv(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run make test-hard", name)
	}
	return value
}
