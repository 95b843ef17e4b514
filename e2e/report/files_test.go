package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func entriesIn(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on the way")
	for _, run := range []Run{mixed(), passing()} { // the second replaces the first
		if err := WriteAll(dir, run); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := entriesIn(t, dir), []string{JUnitFile, HTMLFile, TextFile, JSONFile, MarkdownFile}; !slices.Equal(got, want) {
		t.Errorf("files: got %v, want %v", got, want)
	}
	file, err := os.Open(filepath.Join(dir, JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	run, err := Decode(file)
	if err != nil || len(run.Verdicts) != len(passing().Verdicts) {
		t.Errorf("result.json holds %d verdicts, error %v", len(run.Verdicts), err)
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, error %v: others must be able to read it", info.Mode(), err)
	}
}

// One file that cannot be written does not take the others with it, and the error says which and what to do.
func TestWriteAllOneInTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, JUnitFile, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := WriteAll(dir, passing())
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, JUnitFile)) || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("the error does not name the file and the remedy: %v", err)
	}
	if got, want := entriesIn(t, dir), []string{JUnitFile, HTMLFile, TextFile, JSONFile, MarkdownFile}; !slices.Equal(got, want) {
		t.Errorf("left behind: %v, want %v", got, want)
	}
}

func TestWriteAllFolderIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteAll(file, passing()); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("got %v", err)
	}
}

func TestRemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.ENOSPC, "free some space"}, {syscall.EDQUOT, "free some space"}, {fs.ErrPermission, "may write to"},
		{syscall.EROFS, "may write to"}, {syscall.ENOTDIR, "in the way"}, {errors.New("other"), ""},
	} {
		if got := remedy(fmt.Errorf("write: %w", c.err)); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}
