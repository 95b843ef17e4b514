// Package flock locks files between processes. The operating system frees a lock when the last process that has the file open
// ends, however that is. A program of the shell can take the same lock with flock(1).
package flock

import "errors"

// Mode says with whom a lock can be shared, and whether to wait for it.
type Mode int

// The modes.
const (
	// Exclusive: no other process has a lock of any mode. Shared: others may have Shared ones.
	Exclusive Mode = iota
	Shared
	// ExclusiveWait waits until the lock is free; it is for what takes a moment.
	ExclusiveWait
)

// ErrHeld is returned when another process has a lock that excludes this one.
var ErrHeld = errors.New("another process has the lock")
