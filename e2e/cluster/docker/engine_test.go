package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestEngineRunsDockerWithItsHost(t *testing.T) {
	var got docker.Command
	var stdin string
	engine := docker.New("unix:///run/x.sock", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		text, _ := io.ReadAll(c.Stdin)
		got, stdin = c, string(text)
		_, _ = io.WriteString(c.Stdout, "out")
		return nil
	}))
	var out strings.Builder
	if err := engine.Exec(t.Context(), "node", []string{"cat", "-"}, strings.NewReader("in"), &out, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"docker", "exec", "--interactive", "node", "cat", "-"}; !slices.Equal(got.Argv, want) {
		t.Errorf("argv %q, want %q", got.Argv, want)
	}
	if want := []string{"DOCKER_HOST=unix:///run/x.sock"}; !slices.Equal(got.Env, want) {
		t.Errorf("env %q, want %q", got.Env, want)
	}
	if stdin != "in" || out.String() != "out" {
		t.Errorf("streams: stdin %q, stdout %q", stdin, out.String())
	}
}

func TestAmbientEngineGetsNoHost(t *testing.T) {
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		if len(c.Env) != 0 {
			return fmt.Errorf("env %q", c.Env)
		}
		return nil
	}))
	if err := engine.Run(t.Context(), "ps"); err != nil {
		t.Error(err)
	}
	if line := engine.Line("exec", "a", "sh", "-c", "echo $HOME"); line != "docker exec a sh -c 'echo $HOME'" {
		t.Error(line)
	}
}

func TestErrorsSayTheCommandAndTheLastLine(t *testing.T) {
	failed := errors.New("exit status 1")
	engine := docker.New("unix:///s", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		_, _ = io.WriteString(c.Stderr, "warning: old\nError: No such container: x y\n")
		return failed
	}))
	err := engine.Run(t.Context(), "rm", "x y")
	want := "DOCKER_HOST=unix:///s docker rm 'x y': exit status 1: Error: No such container: x y"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if !errors.Is(err, failed) || !docker.Missing(err) {
		t.Error("the error must unwrap to its cause and be Missing")
	}
	if docker.Missing(errors.New("No such container")) {
		t.Error("only docker's own errors say that something is missing")
	}
}

func TestMissing(t *testing.T) {
	for said, want := range map[string]bool{
		"Error: No such container: x":                     true,
		"Error response from daemon: network x not found": true,
		"Could not find the file /a in container x":       true,
		"Error: permission denied":                        false,
	} {
		if got := docker.Missing(fmt.Errorf("wrapped: %w", &docker.Error{Said: said})); got != want {
			t.Errorf("%s: %v", said, got)
		}
	}
}

func TestCancelledCommandSaysWhy(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted by the user")
	engine := docker.New("", docker.WithRunner(func(context.Context, docker.Command) error {
		cancel(why)
		return errors.New("signal: killed")
	}))
	if err := engine.Run(ctx, "ps"); !errors.Is(err, why) {
		t.Error(err)
	}
}

// A hung engine is waited for as long as its commands may take, and named.
func TestCommandsAreBounded(t *testing.T) {
	hangs := docker.WithRunner(func(ctx context.Context, _ docker.Command) error {
		<-ctx.Done()
		return ctx.Err()
	})
	for within, args := range map[time.Duration][]string{
		time.Minute:      {"network", "inspect", "bridge"},
		10 * time.Minute: {"rm", "--force", "node"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := docker.New("", hangs).Run(t.Context(), args...)
			if took := time.Since(began); took != within || err == nil || !strings.Contains(err.Error(), "did not end within "+within.String()+"; see whether the engine answers") {
				t.Errorf("docker %v: %v after %v", args, err, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a prober
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := docker.New("", hangs).Exec(ctx, "node", []string{"prober"}, strings.NewReader(""), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A program that ends while its stdin is open must not be waited for.
func TestStartDoesNotWaitForStdin(t *testing.T) {
	open, never := io.Pipe()
	defer func() { _ = never.Close() }()
	done := make(chan error, 1)
	go func() {
		done <- docker.Start(t.Context(), docker.Command{Argv: []string{"sh", "-c", "exit 3"}, Stdin: open})
	}()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("got %v, want exit status 3", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the end of stdin")
	}
}

func TestStartFeedsStdin(t *testing.T) {
	var out strings.Builder
	err := docker.Start(t.Context(), docker.Command{Argv: []string{"sh", "-c", "cat; echo $K"}, Env: []string{"K=v"}, Stdin: strings.NewReader("a"), Stdout: &out})
	if err != nil || out.String() != "av\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
