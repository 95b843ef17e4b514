package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Local is the Exec of the machine svclab runs on, for the host vantage. It runs whatever vantage it is given
// there, so hand it host vantages only. The Client's RouteGuard decides what may be asked.
type Local struct {
	// Path of the prober; empty: Binary finds or builds one.
	Path string

	mu    sync.Mutex
	found string // by Binary
}

// killAfter is how long a program that was told to end is waited for.
const killAfter = 5 * time.Second

// Exec runs argv. When ctx ends the program is told to end, and killed a little later; the error is then ctx's.
func (l *Local) Exec(ctx context.Context, _ reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(argv) == 0 {
		return errors.New("run nothing on the host: the command is empty")
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdout, command.Stderr = stdout, stderr
	command.Cancel = func() error { return interrupt(command.Process) }
	command.WaitDelay = killAfter
	err := start(command, stdin)
	if err == nil {
		err = command.Wait()
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("run %s on the host: %w", argv[0], err)
	}
	return nil
}

// start starts a command fed from stdin. The copying is not the command's own, which would have Wait wait for
// a stdin that nobody closes though the program has ended.
func start(command *exec.Cmd, stdin io.Reader) error {
	if stdin == nil {
		return command.Start()
	}
	feed, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(feed, stdin) // a program that reads no further has its reasons; its exit code tells
		_ = feed.Close()
	}()
	return nil
}

// interrupt asks a process to end; Windows has only the hard way.
func interrupt(p *os.Process) error {
	if runtime.GOOS == "windows" {
		return p.Kill()
	}
	return p.Signal(syscall.SIGTERM)
}

// Prober returns the path of a prober for this machine, looked for once.
func (l *Local) Prober(ctx context.Context, _ reach.Vantage) (string, error) {
	if l.Path != "" {
		return l.Path, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found != "" {
		return l.found, nil
	}
	path, err := Binary(ctx, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	l.found = path
	return path, nil
}

// Command is argv for a shell on this machine.
func (l *Local) Command(_ reach.Vantage, argv []string) string { return Quote(argv) }
