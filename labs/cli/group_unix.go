//go:build !windows

package cli

import (
	"os/exec"
	"syscall"
)

// apart puts a child into a process group of its own: a terminal's Ctrl-C does not reach it, and its cancelling sends one
// interrupt to all of the group.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
}
