package tether

import (
	"os/exec"
	"syscall"
)

// Bind has the kernel stop cmd, but not its children, when this process ends. Call it before cmd starts.
func Bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
