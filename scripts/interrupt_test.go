//go:build !windows

package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A script that is interrupted while it builds ends what it started, all of it, and removes its folder.
func TestInterruptedWhileItBuilds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		folder := t.TempDir()
		script := filepath.Join(folder, "script.sh")
		text := `source ` + filepath.Join(mustAbs(t, "."), "lib.sh") + `
set -o errexit -o nounset -o pipefail
workspace
(heartbeat background "$cache_dir/b.log" bash -c 'sleep 300 & echo $! >'"$cache_dir"'/one; wait') &
at_exit end_background $!
heartbeat foreground "$cache_dir/f.log" bash -c 'sleep 300 & echo $! >'"$cache_dir"'/two; wait'
`
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", script)
		cmd.Env = append(os.Environ(), "SVCLAB_CACHE="+folder)
		// a signal to the script alone, as a caller sends it; a terminal sends it to the group, where background jobs ignore it
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var children []int
		for _, name := range []string{"one", "two"} {
			children = append(children, waitForNumber(t, filepath.Join(folder, name)))
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%v: exit code %d, want 130", signal, code)
		}
		for _, child := range children {
			if syscall.Kill(child, syscallZero) == nil {
				t.Errorf("%v: a process that a build started lives on", signal)
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
		if left, err := filepath.Glob(filepath.Join(folder, "work.*")); err != nil || len(left) > 0 {
			t.Errorf("%v: left %v, %v", signal, left, err)
		}
	}
}

// waitForNumber waits until a file has a number in it, for 20 s at most.
func waitForNumber(t *testing.T, file string) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				return n
			}
		}
	}
	t.Fatalf("%s has no number after 20 s", file)
	return 0
}
