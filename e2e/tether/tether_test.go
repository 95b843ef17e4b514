//go:build !windows

package tether

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process that TestMain turns into: it runs a script with a child under Run, and never ends by itself.
const parent = "SVCLAB_TETHER_TEST"

func TestMain(m *testing.M) {
	if script := os.Getenv(parent); script != "" {
		cmd := exec.CommandContext(context.Background(), "sh", "-c", script)
		cmd.Stdout = os.Stdout
		_ = Run(cmd, syscall.SIGINT, os.NewFile(3, "kept"))
		return
	}
	os.Exit(m.Run())
}

// pipes returns a pipe whose read end reports the end of all processes that hold the write end.
func pipes(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close(); _ = write.Close() })
	return read, write
}

// lines reads all that is written until all writers have ended.
func lines(t *testing.T, file *os.File, within time.Duration) (text string, ended bool) {
	t.Helper()
	if err := file.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, err := out.ReadFrom(file)
	return out.String(), err == nil
}

func TestAKilledParentTakesItsGroupWithIt(t *testing.T) {
	for name, script := range map[string]string{ // the second before is for the guard, which starts with the script
		"children that end at once":   `sleep 600 & sleep 1; echo started; wait`,
		"a script that cleans up":     `trap 'echo cleaned; exit' TERM; sleep 600 & sleep 1; echo started; wait`,
		"children that do not listen": `trap '' TERM; sh -c 'while :; do sleep 1; done' & sleep 1; echo started; while :; do sleep 1; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, writes := pipes(t)
			lock, kept := pipes(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env, cmd.Stdout, cmd.ExtraFiles = append(os.Environ(), parent+"="+script), writes, []*os.File{kept}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, _ = writes.Close(), kept.Close()
			first, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || first != "started\n" {
				t.Fatalf("%q, %v", first, err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			began := time.Now()
			rest, ended := lines(t, out, 30*time.Second)
			if !ended {
				t.Fatal("children are left after 30 s")
			}
			if strings.Contains(script, "cleaned") != strings.Contains(rest, "cleaned") {
				t.Errorf("printed after the parent's end: %q", rest)
			}
			// SIGKILL would end it after 10 s.
			if took := time.Since(began); took > 8*time.Second && !strings.Contains(script, "trap ''") {
				t.Errorf("the group ended only after %v", took)
			}
			if _, freed := lines(t, lock, 30*time.Second); !freed {
				t.Error("the kept file stays open after the group has ended")
			}
		})
	}
}

func TestCancelInterruptsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, writes := pipes(t)
	cmd := exec.CommandContext(ctx, "sh", "-c", `trap 'echo interrupted; exit 1' INT; echo started; sleep 600 & wait`)
	cmd.Stdout, cmd.WaitDelay = writes, 10*time.Second
	done := make(chan error, 1)
	go func() { done <- Run(cmd, syscall.SIGINT) }()
	reader := bufio.NewReader(out)
	if first, err := reader.ReadString('\n'); first != "started\n" {
		t.Fatalf("%q, %v", first, err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("an interrupted program is no error")
	}
	_ = writes.Close()
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(reader); err != nil || rest.String() != "interrupted\n" { // and the sleep has ended, as the pipe has
		t.Errorf("%q, %v", rest.String(), err)
	}
}

func TestRunReturnsWhatTheProgramReturns(t *testing.T) {
	if err := Run(exec.CommandContext(t.Context(), "sh", "-c", "exit 0"), syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := Run(exec.CommandContext(t.Context(), "sh", "-c", "exit 3"), syscall.SIGINT); err == nil || err.Error() != "exit status 3" {
		t.Error(err)
	}
}
