package scripts_test

import (
	"strconv"
	"syscall"
)

// syscallZero asks whether a process is there without doing anything to it.
const syscallZero = syscall.Signal(0)

func itoa(n int) string { return strconv.Itoa(n) }
