//go:build e2e && linux

package hard_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lab is the command under test and the environment that all its runs have. Every process that a run starts inherits it, so
// processes that outlive a run are found by SVCLAB_NAME.
type lab struct {
	binary, name, temp, kubeconfig string
	env                            []string
}

func newLab(t *testing.T) lab {
	t.Helper()
	l := lab{binary: getenv(t, "SVCLAB_BIN"), name: getenv(t, "SVCLAB_NAME"), temp: t.TempDir()}
	l.kubeconfig = filepath.Join(t.TempDir(), "users-own-kubeconfig")
	if err := os.WriteFile(l.kubeconfig, []byte("the user's own file; it must stay as it is\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.env = append(os.Environ(), "TMPDIR="+l.temp, "KUBECONFIG="+l.kubeconfig, "XDG_STATE_HOME="+filepath.Dir(l.kubeconfig))
	return l
}

// run is a run of the command.
type run struct {
	cmd      *exec.Cmd
	out, err buffer
	ended    chan error
	signaled time.Time
}

// outcome is how a run ended, and how long after the signal, if there was one.
type outcome struct {
	exit     int
	out, err string
	ended    time.Duration
}

func (l lab) start(t *testing.T, args ...string) *run { return l.startIn(t, "", nil, args...) }

// startIn starts a run; with prepare, in a mount namespace of its own, after that shell command.
func (l lab) startIn(t *testing.T, prepare string, env []string, args ...string) *run {
	t.Helper()
	r := &run{ended: make(chan error, 1)}
	if prepare == "" {
		r.cmd = exec.Command(l.binary, args...)
	} else {
		script := `mkdir -p "$SVCLAB_OUTPUT" && ` + prepare + ` && exec "$@"`
		r.cmd = exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", l.binary}, args...)...)
	}
	r.cmd.Dir = filepath.Join("..", "..")
	r.cmd.Env = append(slices.Clone(l.env), env...)
	if prepare != "" {
		r.cmd.Env = append(r.cmd.Env, "HOME="+filepath.Join(t.TempDir(), "home"))
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // so that a test that is ended leaves no run
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	return r
}

// must runs the command and fails the test if it does not succeed.
func (l lab) must(t *testing.T, args ...string) {
	t.Helper()
	if r := l.start(t, args...).wait(t, 10*time.Minute); r.exit != 0 {
		t.Fatalf("svclab %s: exit code %d\n%s", strings.Join(args, " "), r.exit, tail(r.err))
	}
}

func (r *run) pid() string { return strconv.Itoa(r.cmd.Process.Pid) }

// reach returns when the run has printed a line that matches a pattern; with no pattern, 2 s after its start.
func (r *run) reach(t *testing.T, pattern string) {
	t.Helper()
	if pattern == "" {
		time.Sleep(2 * time.Second)
		return
	}
	want := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(5 * time.Minute); !want.MatchString(r.err.String() + r.out.String()); time.Sleep(50 * time.Millisecond) {
		if len(r.ended) > 0 || time.Now().After(deadline) {
			t.Fatalf("it ended or 5 minutes passed before a line matched %q:\n%s", pattern, tail(r.err.String()))
		}
	}
}

func (r *run) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if len(r.ended) > 0 {
		t.Fatalf("it ended before the signal:\n%s", tail(r.err.String()))
	}
	r.signaled = time.Now()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// wait returns how the run ended. A run that does not end within the time is killed and fails the test.
func (r *run) wait(t *testing.T, within time.Duration) outcome {
	t.Helper()
	var err error
	select {
	case err = <-r.ended:
	case <-time.After(within):
		_ = r.cmd.Process.Kill()
		t.Fatalf("svclab %s did not end within %s:\n%s", strings.Join(r.cmd.Args[1:], " "), within, tail(r.err.String()))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{exit: r.cmd.ProcessState.ExitCode(), out: r.out.String(), err: r.err.String(), ended: time.Since(r.signaled)}
}

// processes returns the command lines of the processes that a run started and that still run.
func (l lab) processes(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, folder := range folders {
		env, err := os.ReadFile(filepath.Join(folder, "environ")) // an error: it has ended
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), "TMPDIR="+l.temp) {
			continue
		}
		if line, err := os.ReadFile(filepath.Join(folder, "cmdline")); err == nil && len(line) > 0 {
			found = append(found, filepath.Base(folder)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// noProcess fails the test if a process that a run started still runs after the time.
func (l lab) noProcess(t *testing.T, within time.Duration) {
	t.Helper()
	began := time.Now()
	for deadline := began.Add(within); ; time.Sleep(100 * time.Millisecond) {
		left := l.processes(t)
		if len(left) == 0 {
			t.Logf("no process was left after %s", time.Since(began).Round(100*time.Millisecond))
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("still running %s after the run ended:\n%s", within, strings.Join(left, "\n"))
			return
		}
	}
}

// state is what a run could leave behind, by kind.
type state map[string][]string

func (l lab) state(t *testing.T) state {
	t.Helper()
	s := state{}
	for kind, command := range map[string]string{
		"containers":    `docker ps --all --format '{{.Names}}'`,
		"networks":      `docker network ls --format '{{.Name}}'`,
		"volumes":       `docker volume ls --quiet`,
		"packet rules":  `iptables-save 2>/dev/null | grep -v '^[#:]'; ip6tables-save 2>/dev/null | grep -v '^[#:]'; true`,
		"interfaces":    `ip -o link | awk '{print $2}' | grep -v ^veth`,
		"routes":        `(ip route; ip -6 route show table main) | grep -v " veth"`,
		"mounts":        `awk '{print $2}' /proc/self/mounts | grep -v -e /docker/ -e /netns`,
		"temporary":     `find "$TMPDIR" -mindepth 1 -maxdepth 1 ! -name 'svclab*lock*' ! -name go-build'*'`,
		"user's config": `cat "$KUBECONFIG"`,
		"namespaces":    `docker exec "$SVCLAB_NAME-control-plane" kubectl --kubeconfig /etc/kubernetes/admin.conf get namespaces --selector app.kubernetes.io/managed-by=svclab --output name 2>/dev/null || true`,
	} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Env = l.env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("look at the %s: %v", kind, err)
		}
		s[kind] = lines(out)
	}
	return s
}

// same fails the test if something differs.
func (s state) same(t *testing.T, now state) {
	t.Helper()
	for kind, before := range s {
		for _, line := range now[kind] {
			if !slices.Contains(before, line) {
				t.Errorf("%s: %q is there now and was not before", kind, line)
			}
		}
		for _, line := range before {
			if !slices.Contains(now[kind], line) {
				t.Errorf("%s: %q was there and is not now", kind, line)
			}
		}
	}
}

// buffer collects what a run prints; the test reads it meanwhile.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
