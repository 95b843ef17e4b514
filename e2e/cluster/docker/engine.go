// Package docker drives a Docker engine through its command line program, the way kind does: what a user's
// docker command reaches, svclab reaches, contexts and remote engines included. Arguments are built and
// answers are parsed by pure functions; only a Runner starts programs.
package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/svclab/svclab/e2e/tether"
)

// Command is one program to run.
type Command struct {
	// Argv holds the program's name and its arguments.
	Argv []string
	// Env holds KEY=VALUE pairs set besides the process's own environment.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Runner runs a command and returns when it has ended; a non-zero exit is an error.
type Runner func(ctx context.Context, command Command) error

// Engine is one Docker engine. Its methods may be called concurrently.
type Engine struct {
	host  string
	run   Runner
	pause time.Duration // between two questions to an engine that is at work
	// freezer is where the freezer of cgroup v1 is, if there is one on this machine.
	freezer string
}

// Option changes how an Engine works.
type Option func(*Engine)

// WithRunner replaces what runs programs; tests record with it. The engine then waits for nothing.
func WithRunner(run Runner) Option {
	return func(e *Engine) { e.run, e.pause = run, 0 }
}

// New returns the engine at host, a DOCKER_HOST value; empty for the one the docker command finds itself.
func New(host string, opts ...Option) *Engine {
	e := &Engine{host: host, run: Start, pause: 200 * time.Millisecond, freezer: "/sys/fs/cgroup/freezer"}
	for _, opt := range opts {
		opt(e)
	}
	return e
}

// Start is the Runner that really runs a command. When ctx ends the program is killed; on Linux also when this process ends.
func Start(ctx context.Context, command Command) error {
	cmd := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	tether.Bind(cmd)
	cmd.WaitDelay = 5 * time.Second // a helper that docker started, such as ssh, may hold its streams
	cmd.Env = append(os.Environ(), command.Env...)
	cmd.Stdout, cmd.Stderr = command.Stdout, command.Stderr
	if command.Stdin == nil {
		return cmd.Run()
	}
	// not cmd.Stdin: Wait would wait for the end of the reader although the program has ended
	feed, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(feed, command.Stdin) // a program that reads no further has its reasons; its exit code tells
		_ = feed.Close()
	}()
	return cmd.Wait()
}

// Host is the engine's DOCKER_HOST value, empty for the ambient one.
func (e *Engine) Host() string { return e.host }

// Line is the command `docker args…` for this engine as a person can paste it into a shell.
func (e *Engine) Line(args ...string) string {
	line := shellescape.QuoteCommand(append([]string{"docker"}, args...))
	if e.host != "" {
		line = "DOCKER_HOST=" + shellescape.Quote(e.host) + " " + line
	}
	return line
}

// The bounds of docker's commands, on a busy machine. The first holds for those that only read, askingCommands.
const (
	askWithin = time.Minute
	doWithin  = 10 * time.Minute
)

const askingCommands = " version info ps port context "

// bounded returns a context that ends when `docker args…` must have ended. A program in a container that is fed from stdin, such
// as a prober, runs as long as ctx.
func bounded(ctx context.Context, args []string, stdin bool) (context.Context, context.CancelFunc) {
	within := doWithin
	switch {
	case args[0] == "exec" && stdin:
		return ctx, func() {}
	case strings.Contains(askingCommands, " "+args[0]+" "), len(args) > 1 && (args[1] == "inspect" || args[1] == "ls"):
		within = askWithin
	}
	return context.WithTimeoutCause(ctx, within, fmt.Errorf("it did not end within %v; see whether the engine answers (docker info), and restart it if not", within))
}

// Stream runs `docker args…` with the streams connected.
func (e *Engine) Stream(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) error {
	ctx, cancel := bounded(ctx, args, stdin != nil)
	defer cancel()
	var tail bytes.Buffer
	command := Command{Argv: append([]string{"docker"}, args...), Stdin: stdin, Stdout: stdout, Stderr: &tail}
	if stderr != nil {
		command.Stderr = io.MultiWriter(stderr, &tail)
	}
	if e.host != "" {
		command.Env = []string{"DOCKER_HOST=" + e.host}
	}
	err := e.run(ctx, command)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{Line: e.Line(args...), Said: strings.TrimSpace(tail.String()), Err: err}
}

// Output runs `docker args…` and returns what it printed on stdout, without the spaces around it.
func (e *Engine) Output(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := e.Stream(ctx, nil, &out, nil, args...)
	return strings.TrimSpace(out.String()), err
}

// Run runs `docker args…` and drops what it prints on stdout.
func (e *Engine) Run(ctx context.Context, args ...string) error {
	_, err := e.Output(ctx, args...)
	return err
}

// Exec runs argv in a container with the streams connected.
func (e *Engine) Exec(ctx context.Context, container string, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return e.Stream(ctx, stdin, stdout, stderr, ExecArgs(container, argv, stdin != nil)...)
}

// ExecArgs are the arguments of docker that run argv in a container.
func ExecArgs(container string, argv []string, stdin bool) []string {
	args := []string{"exec"}
	if stdin {
		args = append(args, "--interactive")
	}
	return append(append(args, container), argv...)
}

// Error is a docker command that failed.
type Error struct {
	// Line is the command, to paste into a shell.
	Line string
	// Said is what it printed on stderr.
	Said string
	Err  error
}

// Error names the command and the last line it printed.
func (e *Error) Error() string {
	line := e.Line
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	said := e.Said[strings.LastIndexByte(e.Said, '\n')+1:]
	if said == "" {
		return fmt.Sprintf("%s: %v", line, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", line, e.Err, said)
}

// Unwrap gives the reason: an *exec.ExitError, exec.ErrNotFound, or why the context ended.
func (e *Error) Unwrap() error { return e.Err }

// Missing reports whether err says that the requested object does not exist.
func Missing(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) {
		return false
	}
	said := strings.ToLower(failed.Said)
	return strings.Contains(said, "no such") || strings.Contains(said, "not found") || strings.Contains(said, "could not find")
}
