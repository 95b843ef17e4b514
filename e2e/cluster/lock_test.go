package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// locking returns a cluster of an engine with that ID, whose locks are in folder.
func locking(folder, name, id string, use Use) *Cluster {
	return &Cluster{settings: Settings{Name: name, RuntimeDir: folder, Use: use}, info: docker.Info{ID: id}}
}

// taken returns a lock that must be free.
func taken(t *testing.T, c *Cluster, access Access) *Lock {
	t.Helper()
	lock, err := c.acquire(access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release() })
	return lock
}

func TestLockExcludes(t *testing.T) {
	for _, c := range []struct {
		first, second Access
		excluded      bool
	}{{Alone, Alone, true}, {Alone, Shared, true}, {Shared, Alone, true}, {Shared, Shared, false}, {Alone, Free, false}, {Free, Alone, false}} {
		folder := t.TempDir()
		first := taken(t, locking(folder, "lab", "A:1", Use{Command: "svclab verify", Checkout: "/one"}), c.first)
		second := locking(folder, "lab", "A:1", Use{Command: "svclab down", Checkout: "/two"})
		got, err := second.acquire(c.second)
		if errors.Is(err, ErrLocked) != c.excluded || !c.excluded && err != nil {
			t.Errorf("%v then %v: %v", c.first, c.second, err)
		}
		if c.excluded {
			who := regexp.MustCompile(fmt.Sprintf(`^cluster lab is in use by process %d \(svclab verify\), since 20..-..-.. ..:..:.., from /one; fix: `, os.Getpid()))
			var p *Problem
			if !who.MatchString(err.Error()) || !errors.As(err, &p) || p.ExitCode() != 2 {
				t.Errorf("it does not say who: %v", err)
			}
		}
		if err := errors.Join(got.Release(), first.Release(), first.Release()); err != nil {
			t.Error(err)
		}
		taken(t, second, Alone)
	}
}

func TestLocksOfOtherClustersAreFree(t *testing.T) {
	folder := t.TempDir()
	taken(t, locking(folder, "lab", "A:1", Use{}), Alone)
	taken(t, locking(folder, "lab2", "A:1", Use{}), Alone)
	taken(t, locking(folder, "lab", "B:1", Use{}), Alone)
}

// The processes of a run join its lock, those of another do not.
func TestARunJoinsItsLock(t *testing.T) {
	folder := t.TempDir()
	held := taken(t, locking(folder, "lab", "A:1", Use{Run: "0007"}), Alone)
	taken(t, locking(folder, "lab", "A:1", Use{Run: "0007"}), Shared)
	if _, err := locking(folder, "lab", "A:1", Use{Run: "7"}).acquire(Shared); !errors.Is(err, ErrLocked) {
		t.Errorf("another run: %v", err)
	}
	if len(held.Files()) != 1 {
		t.Error("the lock has no file for the run's programs to keep open")
	}
}

// A process that was killed while its programs still ran left its name; one that has ended is not named as if it lived.
func TestTheDeadAreNotNamedAsHolders(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	holder := locking(folder, "lab", "A:1", Use{})
	path, err := holder.runtimeFile(".lock")
	if err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf("process %d (svclab e2e), since yesterday, from /gone\n", ended.Process.Pid)
	if err := os.WriteFile(path, []byte(dead), 0o600); err != nil {
		t.Fatal(err)
	}
	first := taken(t, holder, Shared)
	if _, err = holder.acquire(Alone); err == nil || strings.Contains(err.Error(), "/gone") {
		t.Errorf("a dead process is named: %v", err)
	}
	if err := errors.Join(os.WriteFile(path, []byte(dead), 0o600)); err != nil { // as if a program of it held the lock
		t.Fatal(err)
	}
	if _, err = holder.acquire(Alone); err == nil || !strings.Contains(err.Error(), "in use by what is left of process") {
		t.Errorf("what is left of a dead process: %v", err)
	}
	_ = first
}

// Nothing is written through what another user may have put there.
func TestLockRefusesAnUnsafeFolder(t *testing.T) {
	for name, c := range map[string]struct {
		make func(folder string) error
		want string
	}{
		"a link":                 {func(folder string) error { return os.Symlink(t.TempDir(), folder) }, "it is no folder"},
		"a file":                 {func(folder string) error { return os.WriteFile(folder, nil, 0o600) }, "it is no folder"},
		"others can write to it": {func(folder string) error { return errors.Join(os.Mkdir(folder, 0o700), os.Chmod(folder, 0o1777)) }, "other users can write to it: its mode is 0777"},
		"it belongs to another":  {func(folder string) error { return errors.Join(os.Mkdir(folder, 0o700), chown(t, folder)) }, "it belongs to another user"},
		"the lock's file is link": {func(folder string) error {
			return errors.Join(os.Mkdir(folder, 0o700), os.Symlink("/victim", filepath.Join(folder, "cluster-lab@A-1.lock")))
		}, "too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "run")
			if err := c.make(folder); err != nil {
				t.Fatal(err)
			}
			if _, err := locking(folder, "lab", "A:1", Use{}).acquire(Alone); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	folder := filepath.Join(t.TempDir(), "new")
	taken(t, locking(folder, "lab", "A:1", Use{}), Alone)
	for path, want := range map[string]os.FileMode{folder: 0o700, filepath.Join(folder, "cluster-lab@A-1.lock"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info, err, want)
		}
	}
}

// chown gives a folder to another user, which only root can.
func chown(t *testing.T, folder string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder of another user's")
	}
	return os.Chown(folder, 12345, -1)
}
