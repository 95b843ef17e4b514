//go:build !windows

package tether

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guard stops the process group $1 when its input ends without a line. It asks first, so that scripts and suites can clean up
// for 10 s.
const guard = `trap '' HUP INT TERM
read -r _ && exit
kill -s TERM -- "-$1"
n=0
while [ $n -lt 100 ] && kill -s 0 -- "-$1"; do sleep 0.1; n=$((n + 1)); done
kill -s KILL -- "-$1"`

// Run runs cmd, made by exec.CommandContext, in a process group of its own and returns when it has ended and none of the group is left. A terminal's Ctrl-C
// does not reach the group. When the context of cmd ends, all of the group gets the interrupt, and after cmd.WaitDelay a
// SIGKILL. When this process ends first, the group gets a SIGTERM, and a SIGKILL 10 s later. Until then the files in keep stay
// open, and with them a lock.
func Run(cmd *exec.Cmd, interrupt syscall.Signal, keep ...*os.File) error {
	Bind(cmd)
	cmd.SysProcAttr.Setpgid = true
	send := func(signal syscall.Signal) error {
		if err := syscall.Kill(-cmd.Process.Pid, signal); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	cmd.Cancel = func() error { return send(interrupt) }
	if err := cmd.Start(); err != nil {
		return err
	}
	release, guarded := watch(cmd.Process.Pid, keep)
	if guarded != nil {
		_ = send(syscall.SIGKILL) // what is reported is that it had no guard
	}
	err := cmd.Wait()
	_ = send(syscall.SIGKILL) // what cmd left in its group; usually nothing
	if guarded != nil {
		return guarded
	}
	return errors.Join(err, release())
}

// watch starts the guard of a process group. release ends it.
func watch(group int, keep []*os.File) (release func() error, err error) {
	cmd := exec.Command("sh", "-c", guard, "svclab-guard", strconv.Itoa(group))
	cmd.ExtraFiles = keep
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a terminal's Ctrl-C
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard of a process group: %w", err)
	}
	return func() error {
		_, err := pipe.Write([]byte("\n"))
		if err = errors.Join(err, cmd.Wait()); err != nil {
			return fmt.Errorf("end the guard of a process group: %w", err)
		}
		return nil
	}, nil
}
