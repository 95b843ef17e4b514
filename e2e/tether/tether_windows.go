package tether

import (
	"os"
	"os/exec"
	"syscall"
)

// Run runs cmd.
func Run(cmd *exec.Cmd, _ syscall.Signal, _ ...*os.File) error { return cmd.Run() }
