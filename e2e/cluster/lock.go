package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Lock is held by the process that works with a cluster. The operating system frees it when the process ends,
// however that is.
type Lock struct{ file *os.File }

// errHeld is what lockFile returns when another process holds the lock.
var errHeld = errors.New("held")

// Acquire takes the lock of the named cluster in the engine at host; dir is the lock files' folder, empty for the
// machine-wide one. When another process has it the error is a *Problem that is ErrLocked and says which.
func Acquire(dir, host, name string) (*Lock, error) {
	// never removed: a process that waits for a removed file would hold a lock that no other process sees
	path := runtimeFile(dir, host, name, ".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", name, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", name, err)
	}
	if err := lockFile(file); err != nil {
		defer func() { _ = file.Close() }()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock cluster %s with %s: %w", name, path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(file, 200)) // what cannot be read is reported as another process
		return nil, problem(ErrLocked, "wait until it ends, stop it, or use another cluster name", "svclab already works with cluster %s: %s",
			name, cmp.Or(strings.TrimSpace(string(holder)), "another process"))
	}
	if err = file.Truncate(0); err == nil { // a killed process leaves its line
		_, err = fmt.Fprintf(file, "process %d, since %s\n", os.Getpid(), time.Now().Format("15:04:05"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock cluster %s: %w", name, err), file.Close())
	}
	return &Lock{file: file}, nil
}

// Release frees the lock; on a released or nil lock it does nothing.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return errors.Join(file.Truncate(0), file.Close())
}

// runtimeFile is a file about the named cluster in the engine at host.
func runtimeFile(dir, host, name, suffix string) string {
	if dir == "" {
		dir = runtimeDir()
	}
	return filepath.Join(dir, fmt.Sprintf("cluster-%s-%s%s", name, fingerprint([]byte(host))[:6], suffix))
}

// intent is the file that notes that svclab began to make a cluster. It is written before the first thing is made and goes
// with the cluster.
func (s Settings) intent() string {
	return runtimeFile(s.RuntimeDir, s.Engine.Host(), s.Name, ".begun")
}

// runtimeDir is the same for every checkout on the machine.
func runtimeDir() string {
	switch {
	case runtime.GOOS == "linux" && os.Getuid() == 0:
		return "/run/svclab"
	case os.Getenv("XDG_RUNTIME_DIR") != "":
		return filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "svclab")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("svclab-%d", os.Getuid()))
}
