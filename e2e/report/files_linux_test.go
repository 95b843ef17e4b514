package report

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// On a full disk the old files stay whole, no half file is left, and the error says what to do.
func TestWriteAllDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small file system to fill: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	old := filepath.Join(dir, JSONFile)
	if err := os.WriteFile(old, []byte("the run before"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := WriteAll(dir, mixed())
	if err == nil || !strings.Contains(err.Error(), old) || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("got error %v", err)
	}
	if content, err := os.ReadFile(old); err != nil || string(content) != "the run before" {
		t.Errorf("the old file is now %.40q, error %v", content, err)
	}
	for _, name := range entriesIn(t, dir) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("a half file was left: %s", name)
		}
	}
}
