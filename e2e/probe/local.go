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

	"al.essio.dev/pkg/shellescape"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/tether"
)

// Local is the Exec of the machine that svclab runs on, for the host vantage. It ignores the vantage, so pass it host vantages
// only. The Client's RouteGuard decides which targets may be probed.
type Local struct {
	// Path is the prober's; empty: Binary finds or builds one.
	Path string

	mu    sync.Mutex
	found string // by Binary
}

// killAfter is how long a program has to end after an interrupt.
const killAfter = 5 * time.Second

// Exec runs argv. When ctx ends, it interrupts the program, kills it after killAfter, and returns ctx's error.
func (l *Local) Exec(ctx context.Context, _ reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(argv) == 0 {
		return errors.New("run nothing on the host: the command is empty")
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	tether.Bind(command)
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

// start starts a command and copies stdin to it. It does not set command.Stdin, because Wait would then wait for the end of
// stdin although the program has ended.
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
		_, _ = io.Copy(feed, stdin) // a program may stop reading early; its exit code tells whether that is an error
		_ = feed.Close()
	}()
	return nil
}

// interrupt makes a process end. On Windows it kills it.
func interrupt(p *os.Process) error {
	if runtime.GOOS == "windows" {
		return p.Kill()
	}
	return p.Signal(syscall.SIGTERM)
}

// Prober returns the path of a prober for this machine. It looks for it once.
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

// Command returns argv as a shell command line.
func (l *Local) Command(_ reach.Vantage, argv []string) string { return shellescape.QuoteCommand(argv) }
