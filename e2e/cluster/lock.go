package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/svclab/svclab/e2e/flock"
)

// Access says with whom a process shares a cluster of svclab's own. One lock for each cluster says who uses it:
//
//	who                                            access   how long
//	up, down, engine-down                          Alone    until it ends
//	e2e, matrix                                    Alone    until it ends; the processes of the suite join
//	verify, fuzz, mutants, upstream, learn prove   Alone    until it ends
//	learn, learn start, check, hint, reset, next   Shared   until it ends
//	learn watch, learn --web                       Shared   until q, until Ctrl-C
//	learn shell, explain, trace, watch             Free     -
//
// So learners can check in a second window, and no scenario meets a check. The lock is flock(2) on a file in the runtime
// folder, so it is freed when its process ends; scripts/engine.sh takes the same. Programs that a killed svclab had started
// hold it until they have ended too: see package tether.
type Access int

// The kinds of access.
const (
	// Alone excludes Alone and Shared.
	Alone Access = iota
	// Shared excludes Alone.
	Shared
	// Free takes no lock: for who changes nothing, or waits for a person.
	Free
)

// Use says who uses a cluster, for the others to know.
type Use struct {
	// Command is "svclab verify", Checkout the folder of the project that it is run from.
	Command, Checkout string
	// Run, if set, identifies one run of the suite. Its processes join each other's lock, and delete only a cluster that
	// was made in the run.
	Run string
}

// line is what the lock's file has of a process.
func (u Use) line() string {
	line := fmt.Sprintf("process %d (%s), since %s, from %s", os.Getpid(), cmp.Or(u.Command, filepath.Base(os.Args[0])),
		time.Now().Format(time.DateTime), cmp.Or(u.Checkout, "an unknown folder"))
	if u.Run != "" {
		line += runMark + u.Run
	}
	return line + "\n"
}

const runMark = ", run "

// Lock is held by the process that works with a cluster.
type Lock struct{ file *os.File }

// Acquire takes the lock of the cluster that the settings name, for a run with several uses of it.
func Acquire(ctx context.Context, s Settings, access Access) (*Lock, error) {
	c := own(s)
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	return c.acquire(access)
}

// acquire takes the lock. When another process has it the error is a *Problem that is ErrLocked and says which. The lock of
// another process of the same run is joined.
func (c *Cluster) acquire(access Access) (*Lock, error) {
	name := c.settings.Name
	if access == Free {
		return &Lock{}, nil
	}
	// never removed: a process that waits for a removed file would hold a lock that no other process sees
	path, err := c.runtimeFile(".lock")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", name, err)
	}
	mode := flock.Exclusive
	if access == Shared {
		mode = flock.Shared
	}
	if err = flock.Lock(file, mode); errors.Is(err, flock.ErrHeld) {
		defer func() { _ = file.Close() }() // it was only read
		holders := holders(file)
		if c.settings.Use.Run != "" && strings.HasSuffix(holders, runMark+c.settings.Use.Run) {
			return &Lock{}, nil
		}
		return nil, problem(ErrLocked, "wait until that ends, stop it, or use another cluster (--name)", "cluster %s is in use by %s",
			name, cmp.Or(holders, "another process"))
	}
	if err == nil && access == Alone {
		err = file.Truncate(0) // what processes that have ended left
	}
	if err == nil {
		_, err = io.WriteString(file, c.settings.Use.line())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock cluster %s with %s: %w", name, path, err), file.Close())
	}
	return &Lock{file: file}, nil
}

// holders are the processes that a lock's file names and that live, the last few.
func holders(file io.ReadSeeker) string {
	_, _ = file.Seek(-4096, io.SeekEnd) // a shorter file is read from its start
	text, _ := io.ReadAll(file)         // what cannot be read is reported as another process
	var living []string
	for line := range strings.Lines(string(text)) {
		m := regexp.MustCompile(`^process (\d+) `).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			continue
		}
		process, err := os.FindProcess(pid)
		if err == nil && (runtime.GOOS == "windows" || !errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone)) {
			living = append(living, strings.TrimSpace(line))
		}
	}
	if len(living) == 0 && len(text) > 0 {
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return "what is left of " + lines[len(lines)-1]
	}
	return strings.Join(living, " and ")
}

// Files are the lock's open files. While one is open, in whichever process, the lock is held.
func (l *Lock) Files() []*os.File {
	if l == nil || l.file == nil {
		return nil
	}
	return []*os.File{l.file}
}

// Release frees the lock; on a released or nil lock it does nothing.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}

// intent is the file that notes that svclab began to make a cluster. It is written before the first thing is made and goes
// with the cluster.
func (c *Cluster) intent() (string, error) { return c.runtimeFile(".begun") }

// runtimeFile is a file about the cluster in its engine. scripts/engine.sh finds the locks of an engine by this name.
func (c *Cluster) runtimeFile(suffix string) (string, error) {
	folder := cmp.Or(c.settings.RuntimeDir, runtimeDir())
	if err := secure(folder); err != nil {
		return "", problem(ErrSettings, "remove it, or name a folder of yours with SVCLAB_ENGINE_RUN", "the folder %s, for svclab's locks, cannot be used", folder).because(err)
	}
	id := regexp.MustCompile(`[^A-Za-z0-9-]`).ReplaceAllString(c.info.ID, "-")
	return filepath.Join(folder, "cluster-"+c.settings.Name+"@"+id+suffix), nil
}

// runtimeDir is the same for every checkout on the machine. scripts/engine.sh has its own files there.
func runtimeDir() string {
	switch folder := os.Getenv("SVCLAB_ENGINE_RUN"); {
	case folder != "":
		return folder
	case runtime.GOOS == "linux" && os.Getuid() == 0:
		return "/run/svclab"
	case os.Getenv("XDG_RUNTIME_DIR") != "":
		return filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "svclab")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("svclab-%d", os.Getuid()))
}

// secure makes the folder, for this user only. It returns an error if the folder is there and another user could put
// something else in the place of its files.
func secure(folder string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(folder)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is no folder")
	case !ownedByUs(info):
		return errors.New("it belongs to another user")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("other users can write to it: its mode is %04o", info.Mode().Perm())
	}
	return nil
}
