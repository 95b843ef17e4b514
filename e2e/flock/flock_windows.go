package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Lock locks a byte far behind the file's text, which stays readable. A lock that the file has is given up first.
func Lock(file *os.File, mode Mode) error {
	how := map[Mode]uint32{Exclusive: windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY, Shared: windows.LOCKFILE_FAIL_IMMEDIATELY,
		ExclusiveWait: windows.LOCKFILE_EXCLUSIVE_LOCK}[mode]
	handle := windows.Handle(file.Fd())
	where := windows.Overlapped{Offset: 1 << 20}
	_ = windows.UnlockFileEx(handle, 0, 1, 0, &where) // an error says that it had none
	err := windows.LockFileEx(handle, how, 0, 1, 0, &where)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrHeld
	}
	return err
}
