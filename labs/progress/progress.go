// Package progress stores a learner's progress in one versioned file, which is replaced atomically, and exports it for a class. It
// sends nothing.
package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/svclab/svclab/e2e/flock"
)

// Version is the version of the file's format. Load refuses every other one.
const Version = 1

// File is the file's name in the state folder.
const File = "progress.json"

// Progress is everything that is stored about a learner.
type Progress struct {
	Version int `json:"version"`
	// Learner is the learner's name in exports. It may be empty.
	Learner string `json:"learner,omitempty"`
	// Language is the language that was given last, "en" or "zh". Empty: the locale's.
	Language string `json:"language,omitempty"`
	// Current is the ID of the current exercise. Empty: none was started.
	Current string `json:"current,omitempty"`
	// Exercises are by ID.
	Exercises map[string]Exercise `json:"exercises"`
}

// Exercise is what a learner did in one exercise.
type Exercise struct {
	Started time.Time `json:"started,omitzero"`
	Passed  time.Time `json:"passed,omitzero"`
	// Checks and Resets count the uses of svclab learn check and reset.
	Checks int `json:"checks,omitempty"`
	Resets int `json:"resets,omitempty"`
	// Hints is how many hints were shown. Solution: the solution was shown before the exercise was passed.
	Hints int `json:"hints,omitempty"`
	// Explained is how often svclab explain told the cause before the exercise was passed.
	Explained int  `json:"explained,omitempty"`
	Solution  bool `json:"solution,omitempty"`
	// Answers are the last predictions by question. First are the first ones, from before the cluster showed the answer.
	Answers map[string]string `json:"answers,omitempty"`
	First   map[string]string `json:"first,omitempty"`
	// Misconceptions are the misconceptions that showed, each once, in order.
	Misconceptions []string `json:"misconceptions,omitempty"`
	// Checked is when the last check was, and Shows the misconception that it showed first; empty: none.
	Checked time.Time `json:"checked,omitzero"`
	Shows   string    `json:"shows,omitempty"`
}

// Done reports whether an exercise was passed.
func (p Progress) Done(id string) bool { return !p.Exercises[id].Passed.IsZero() }

// Change changes what is stored about one exercise.
func (p *Progress) Change(id string, change func(*Exercise)) {
	if p.Exercises == nil {
		p.Exercises = map[string]Exercise{}
	}
	e := p.Exercises[id]
	change(&e)
	p.Exercises[id] = e
}

// Saw adds misconceptions, each once. An empty ID is none.
func (e *Exercise) Saw(ids ...string) {
	for _, id := range ids {
		if id != "" && !slices.Contains(e.Misconceptions, id) {
			e.Misconceptions = append(e.Misconceptions, id)
		}
	}
}

// Help is how many hints and explanations were shown.
func (e Exercise) Help() int { return e.Hints + e.Explained }

// The score of an incident: what a hint costs, and each minute beyond its par.
const (
	FullScore  = 100
	HintCosts  = 15
	MinuteCost = 2
)

// Took is how long a passed exercise took; 0: it is not passed.
func (e Exercise) Took() time.Duration {
	if e.Passed.IsZero() {
		return 0
	}
	return e.Passed.Sub(e.Started)
}

// Score is the score of an incident that took so long and may take par, with so many hints; 0 at least.
func Score(took, par time.Duration, hints int) int {
	late := max(0, took-par)
	return max(0, FullScore-HintCosts*hints-MinuteCost*int((late+time.Minute-1)/time.Minute))
}

// Score is that of a passed incident; 0 if its solution was shown before.
func (e Exercise) Score(par time.Duration) int {
	if e.Solution || e.Passed.IsZero() {
		return 0
	}
	return Score(e.Took(), par, e.Help())
}

// Folder is the folder of a learner's state: $XDG_STATE_HOME/svclab, or ~/.local/state/svclab.
func Folder(getenv func(string) string) (string, error) {
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "svclab"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for your progress: %w; set XDG_STATE_HOME to a folder of yours", err)
	}
	return filepath.Join(home, ".local", "state", "svclab"), nil
}

// Load reads the progress in a folder. Without a file it returns the progress of a new learner. If the file cannot be read or has
// another version, the error names it and says what to do, and the file stays unchanged.
func Load(folder string) (Progress, error) {
	path := filepath.Join(folder, File)
	p, err := read(path)
	var (
		version *versionError
		bad     *damagedError
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Progress{Version: Version, Exercises: map[string]Exercise{}}, nil
	case errors.As(err, &version):
		err = fmt.Errorf("your progress in %s has %w; use a newer svclab, or move the file away to start over: %s", path, err, moveAway(path, fmt.Sprintf(".v%d", version.version)))
	case errors.As(err, &bad):
		err = fmt.Errorf("your progress in %s is %w; repair the file, or move it away to start over: %s", path, err, moveAway(path, ".damaged"))
	case err != nil:
		err = fmt.Errorf("read your progress: %w", err)
	}
	return p, err
}

// versionError says that a file has another version of the format, damagedError that it has no progress in it.
type (
	versionError struct{ version int }
	damagedError struct{ error }
)

func (e *versionError) Error() string {
	return fmt.Sprintf("version %d and this svclab knows version %d", e.version, Version)
}
func (e *damagedError) Error() string { return "damaged (" + e.error.Error() + ")" }
func (e *damagedError) Unwrap() error { return e.error }

// maxFile bounds a file of progress; that of a learner who did every exercise has some KiB.
const maxFile = 16 << 20

func read(path string) (Progress, error) {
	var p Progress
	file, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return p, err
	}
	if len(data) > maxFile {
		return p, &damagedError{fmt.Errorf("it is larger than %d MiB", maxFile>>20)}
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return p, &damagedError{err}
	}
	if head.Version != Version {
		return p, &versionError{head.Version}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, &damagedError{err}
	}
	if p.Exercises == nil {
		p.Exercises = map[string]Exercise{}
	}
	return p, nil
}

// moveAway returns the command that renames a file.
func moveAway(path, suffix string) string {
	return shellescape.QuoteCommand([]string{"mv", path, path + suffix})
}

// Update changes the stored progress and returns it. Verbs in several windows wait for each other, so that none loses what
// another stored.
func Update(folder string, change func(*Progress)) (p Progress, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return p, fmt.Errorf("save your progress: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(folder, File+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return p, fmt.Errorf("save your progress: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which frees the lock
	if err := flock.Lock(lock, flock.ExclusiveWait); err != nil {
		return p, fmt.Errorf("save your progress: lock %s: %w", lock.Name(), err)
	}
	if p, err = Load(folder); err != nil {
		return p, err
	}
	change(&p)
	return p, Save(folder, p)
}

// Save replaces the file in a folder, and creates the folder if it does not exist. A crash leaves the old file or the new one.
func Save(folder string, p Progress) error {
	p.Version = Version
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("save your progress: %w", err)
	}
	if err := Replace(filepath.Join(folder, File), append(data, '\n')); err != nil {
		return fmt.Errorf("save your progress: %w", err)
	}
	return nil
}

// Replace writes a file atomically, readable only by its owner, and creates its folder if it does not exist.
func Replace(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // a temporary file that is left does no harm; the error to return is err
		}
	}()
	if _, err := file.Write(data); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Sync(); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
