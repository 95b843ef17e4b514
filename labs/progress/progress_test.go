package progress

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFolder(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, tc := range []struct{ state, want string }{
		{"/state", "/state/svclab"},
		{"", "/home/ann/.local/state/svclab"},
		{"relative", "/home/ann/.local/state/svclab"}, // the XDG specification: such a value is to be ignored
	} {
		if got, err := Folder(func(string) string { return tc.state }); err != nil || got != tc.want {
			t.Errorf("%q: %s, %v", tc.state, got, err)
		}
	}
}

func TestWhoBegins(t *testing.T) {
	p, err := Load(filepath.Join(t.TempDir(), "none"))
	if err != nil || p.Version != Version || p.Current != "" || len(p.Exercises) != 0 || p.Done("01") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	passed := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	p := Progress{Version: Version, Learner: "王小明", Language: "zh", Current: "04", Exercises: map[string]Exercise{}}
	p.Change("04", func(e *Exercise) {
		e.Started, e.Passed, e.Checks, e.Hints = passed.Add(-time.Hour), passed, 3, 1
		e.Saw("b")
		e.Saw("a")
		e.Saw("b")
		e.Saw("")
	})
	if err := Save(folder, p); err != nil {
		t.Fatal(err)
	}
	got, err := Load(folder)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, p)
	}
	if !got.Done("04") || got.Done("05") || !slices.Equal(got.Exercises["04"].Misconceptions, []string{"b", "a"}) {
		t.Errorf("%+v", got)
	}
	info, err := os.Stat(filepath.Join(folder, File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

// A file that cannot be read is left as it is, and the error says what to do.
func TestFilesThatCannotBeRead(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"cut off", `{"version": 1, "exerc`, "is damaged"},
		{"empty", ``, "is damaged"},
		{"an unknown field", `{"version": 1, "speed": 9, "exercises": {}}`, "is damaged"},
		{"newer", `{"version": 2, "units": []}`, "version 2 and this svclab knows version 1; use a newer svclab"},
		{"no version", `{"exercises": {}}`, "version 0"},
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, File)
		write(t, path, tc.text)
		_, err := Load(folder)
		if err == nil {
			t.Errorf("%s: loaded", tc.name)
			continue
		}
		for _, want := range []string{tc.want, path, "mv " + path} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing from %q", tc.name, want, err)
			}
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != tc.text {
			t.Errorf("%s: the file was changed: %q, %v", tc.name, data, err)
		}
	}
}

func TestAFileThatIsTooLarge(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, File)
	write(t, path, "")
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(folder); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Error(err)
	}
}

// Many windows at once lose nothing of each other's.
func TestUpdatesAtOnce(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "svclab")
	var windows sync.WaitGroup
	for i := range 20 {
		windows.Go(func() {
			id := fmt.Sprintf("%02d", i)
			if _, err := Update(folder, func(p *Progress) { p.Change(id, func(e *Exercise) { e.Checks++ }) }); err != nil {
				t.Error(err)
			}
		})
	}
	windows.Wait()
	if p, err := Load(folder); err != nil || len(p.Exercises) != 20 {
		t.Errorf("%d of 20 changes are left; %v", len(p.Exercises), err)
	}
}

// What cannot be replaced as a whole is not replaced, and no other file is left.
func TestReplaceIsAllOrNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, File)
	write(t, path, "before")
	if err := Replace(path, []byte("after")); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "after" {
		t.Errorf("got %q", data)
	}
	blocked := filepath.Join(folder, "blocked")
	if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil { // a file cannot take a folder's place
		t.Fatal(err)
	}
	if err := Replace(blocked, []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"blocked", File}) {
		t.Errorf("left behind: %v", names)
	}
}

// A crash between writing and renaming leaves a file that is never read.
func TestACrashWhileWriting(t *testing.T) {
	folder := t.TempDir()
	if err := Save(folder, Progress{Current: "04"}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "."+File+"-123"), `{"version":`)
	if p, err := Load(folder); err != nil || p.Current != "04" {
		t.Errorf("%+v, %v", p, err)
	}
}

// A hint and each minute beyond par that has begun cost; a solution that was seen leaves nothing.
func TestScore(t *testing.T) {
	for _, tc := range []struct {
		took  time.Duration
		hints int
		want  int
	}{{10 * time.Minute, 0, 100}, {10*time.Minute + time.Second, 0, 98}, {12 * time.Minute, 1, 81}, {time.Minute, 7, 0}, {5 * time.Hour, 0, 0}} {
		if got := Score(tc.took, 10*time.Minute, tc.hints); got != tc.want {
			t.Errorf("%s with %d hints: %d, want %d", tc.took, tc.hints, got, tc.want)
		}
	}
	began := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	e := Exercise{Started: began, Passed: began.Add(11 * time.Minute), Hints: 1, Explained: 1}
	if e.Took() != 11*time.Minute || e.Score(10*time.Minute) != 68 {
		t.Errorf("took %s, score %d", e.Took(), e.Score(10*time.Minute))
	}
	if e.Solution = true; e.Score(10*time.Minute) != 0 {
		t.Error("a solution that was seen scores")
	}
	if (Exercise{Started: began}).Score(time.Minute) != 0 || (Exercise{Started: began}).Took() != 0 {
		t.Error("an open exercise scores")
	}
}
