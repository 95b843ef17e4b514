//go:build !windows

package tether

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guard reads a process group, and stops it when its input ends without another line. It asks first, so that scripts and suites
// can clean up for 10 s.
const guard = `trap '' HUP INT TERM
read -r group || exit 0
read -r _ && exit
kill -s TERM -- "-$group"
n=0
while [ $n -lt 100 ] && kill -s 0 -- "-$group"; do sleep 0.1; n=$((n + 1)); done
kill -s KILL -- "-$group"`

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
	tell, end, err := watch(keep)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, end())
	}
	// Right after the start: a kill of this process in between would leave the group without a guard.
	if err := tell(strconv.Itoa(cmd.Process.Pid)); err != nil {
		_ = send(syscall.SIGKILL) // what is reported is that it had no guard
		return errors.Join(err, cmd.Wait(), end())
	}
	err = cmd.Wait()
	_ = send(syscall.SIGKILL) // what cmd left in its group; usually nothing
	return errors.Join(err, tell(""), end())
}

// watch starts a guard. tell sends it a line, end closes its input and waits for it.
func watch(keep []*os.File) (tell func(line string) error, end func() error, err error) {
	cmd := exec.Command("sh", "-c", guard, "svclab-guard")
	cmd.ExtraFiles = keep
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a terminal's Ctrl-C
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start the guard of a process group: %w", err)
	}
	tell = func(line string) error {
		if _, err := io.WriteString(pipe, line+"\n"); err != nil {
			return fmt.Errorf("tell the guard of a process group: %w", err)
		}
		return nil
	}
	end = func() error {
		if err := errors.Join(pipe.Close(), cmd.Wait()); err != nil {
			return fmt.Errorf("end the guard of a process group: %w", err)
		}
		return nil
	}
	return tell, end, nil
}
