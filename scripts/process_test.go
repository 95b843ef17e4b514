package scripts_test

import (
	"strconv"
	"syscall"
)

// syscallZero checks whether a process exists without doing anything to it.
const syscallZero = syscall.Signal(0)

func itoa(n int) string { return strconv.Itoa(n) }
