package learn

import "io/fs"

// folders is a file system that shows only folders at its top: that of labs/exercises has the Go file that embeds them too.
type folders struct{ fs.FS }

// ReadDir leaves out what is no folder at the top.
func (f folders) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	if err != nil || name != "." {
		return entries, err
	}
	var kept []fs.DirEntry
	for _, e := range entries {
		if e.IsDir() {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
