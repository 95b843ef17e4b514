package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Scaffold copies the files of a template into a new folder, with name in place of NAME. It refuses a folder that exists.
func Scaffold(template fs.FS, folder, name string) error {
	if _, err := os.Stat(folder); err == nil {
		return fmt.Errorf("%s exists already; take another name, or delete the folder first", folder)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", folder, err)
	}
	return fs.WalkDir(template, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(folder, path)
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		data, err := fs.ReadFile(template, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, []byte(strings.ReplaceAll(string(data), "NAME", name)), 0o644)
	})
}
