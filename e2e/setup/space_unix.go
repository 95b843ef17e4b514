//go:build !windows

package setup

import (
	"fmt"
	"syscall"
)

// freeSpace is what a user without privileges can still write below a folder, in bytes.
func freeSpace(folder string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, fmt.Errorf("look at the free space of %s: %w", folder, err)
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
