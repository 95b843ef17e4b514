//go:build unix

package cluster

import (
	"io/fs"
	"os"
	"syscall"
)

// noFollow has a symbolic link not opened.
const noFollow = syscall.O_NOFOLLOW

// ownedByUs reports whether a file belongs to the user of this process.
func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
