// Package class brings what learners do to the page of their teacher, who asked for it. A learner joins a class with an address and
// a code, and from then on the learner's machine sends a Report after each command; before that, and after leaving, it sends nothing.
// A Room is the teacher's side: it keeps the newest report of each learner in memory, as long as it is served.
//
// A report has no encryption: who can read the traffic of the network can read it. It has nothing that the teacher does not need.
package class

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/svclab/svclab/labs/progress"
)

// Version is the version of a Report. A Room refuses every other one.
const Version = 1

// What a Room accepts at most.
const (
	mostLearners  = 100
	mostExercises = 200
	mostBody      = 64 << 10
	mostName      = 40
	mostHints     = 10000
)

// Report is all that a learner's machine sends.
type Report struct {
	Version int `json:"version"`
	// ID is random, and another one in each class that is joined. Only the learner's machine and the teacher's know it.
	ID string `json:"id"`
	// Name is the one that the learner chose; it may be empty.
	Name string `json:"name,omitempty"`
	// At is when the report was made.
	At time.Time `json:"at"`
	// Current is the ID of the current exercise; empty: none.
	Current   string              `json:"current,omitempty"`
	Exercises map[string]Exercise `json:"exercises"`
}

// Exercise is what a learner did in one exercise. Times are of the learner's clock.
type Exercise struct {
	Started time.Time `json:"started,omitzero"`
	Passed  time.Time `json:"passed,omitzero"`
	Checked time.Time `json:"checked,omitzero"`
	Hints   int       `json:"hints,omitempty"`
	// Solution: the solution was shown before the exercise was passed.
	Solution bool `json:"solution,omitempty"`
	// Misconception is the one that the last check showed; empty: none.
	Misconception string `json:"misconception,omitempty"`
}

// report is what is sent of a learner's progress.
func report(id string, p progress.Progress, now time.Time) Report {
	r := Report{Version: Version, ID: id, Name: p.Learner, At: now, Current: p.Current, Exercises: map[string]Exercise{}}
	for number, e := range p.Exercises {
		r.Exercises[number] = Exercise{Started: e.Started, Passed: e.Passed, Checked: e.Checked, Hints: e.Help(), Solution: e.Solution, Misconception: e.Shows}
	}
	return r
}

var (
	idPattern            = regexp.MustCompile(`^[A-Z2-7]{26}$`)
	exercisePattern      = regexp.MustCompile(`^[0-9]{2}$`)
	misconceptionPattern = regexp.MustCompile(`^[a-z0-9-]{0,80}$`)
)

// validate returns an error if a learner's machine does not send such a report.
func (r Report) validate() error {
	switch {
	case r.Version != Version:
		return fmt.Errorf("the report has version %d, and this svclab knows version %d", r.Version, Version)
	case !idPattern.MatchString(r.ID):
		return errors.New("the report has no ID")
	case r.At.IsZero():
		return errors.New("the report has no time")
	case r.Current != "" && !exercisePattern.MatchString(r.Current):
		return errors.New("the current exercise is no number")
	case len(r.Exercises) > mostExercises:
		return fmt.Errorf("the report has %d exercises; at most %d are accepted", len(r.Exercises), mostExercises)
	}
	for id, e := range r.Exercises {
		if !exercisePattern.MatchString(id) || !misconceptionPattern.MatchString(e.Misconception) || e.Hints < 0 || e.Hints > mostHints {
			return errors.New("the report has an exercise with a wrong number, misconception or count of hints")
		}
	}
	return CheckName(r.Name)
}

// CheckName returns an error for a name that a class does not accept: it is shown in a table.
func CheckName(name string) error {
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the name has characters that cannot be printed")
	case utf8.RuneCountInString(name) > mostName:
		return fmt.Errorf("the name is longer than %d characters", mostName)
	}
	return nil
}

// Short is the short code by which a teacher finds a learner's row, who may have no name.
func Short(id string) string { return id[:min(4, len(id))] }

// NewCode returns the code of a new class, which the teacher reads out: 40 random bits.
func NewCode() string { return shown(rand.Text()[:codeLength]) }

const codeLength = 8

// shown is a code as people read it.
func shown(code string) string { return code[:4] + "-" + code[4:] }

var codePattern = regexp.MustCompile(`^[A-Z2-7]{8}$`)

// ParseCode returns a code that a person typed, as it is shown. Case, blanks and hyphens do not count, and 0 and 1 are O and I.
func ParseCode(typed string) (string, error) {
	code := strings.ToUpper(strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I").Replace(typed))
	if !codePattern.MatchString(code) {
		return "", fmt.Errorf("%q is no code of a class; it has eight letters and digits, such as %s", typed, shown("ABCD2345"))
	}
	return shown(code), nil
}
