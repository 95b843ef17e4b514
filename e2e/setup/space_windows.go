package setup

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// freeSpace is what this user can still write below a folder, in bytes.
func freeSpace(folder string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return 0, fmt.Errorf("look at the free space of %s: %w", folder, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("look at the free space of %s: %w", folder, err)
	}
	return free, nil
}
