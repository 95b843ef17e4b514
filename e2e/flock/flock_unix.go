//go:build unix

package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks a file, or changes the mode of the lock that it has. The lock ends when the file and all its duplicates are closed.
func Lock(file *os.File, mode Mode) error {
	how := map[Mode]int{Exclusive: unix.LOCK_EX | unix.LOCK_NB, Shared: unix.LOCK_SH | unix.LOCK_NB, ExclusiveWait: unix.LOCK_EX}[mode]
	for {
		err := unix.Flock(int(file.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrHeld
		}
		return err
	}
}
