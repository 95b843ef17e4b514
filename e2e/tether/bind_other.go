//go:build !linux

package tether

import (
	"os/exec"
	"syscall"
)

// Bind does nothing: only Linux can tie a process to its parent.
func Bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{} }
