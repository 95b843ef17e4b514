package progress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// JSON writes the progress in the format of its file, for a class.
func JSON(w io.Writer, p Progress) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// JUnit writes one testcase for each exercise of the course: passed, a failure if it was started and not passed, skipped if it was
// not started. names are the exercises' folders.
func JUnit(w io.Writer, p Progress, names []string) error {
	suite := report.TestSuite{Name: strings.TrimSpace("svclab learn " + p.Learner)}
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		e, c := p.Exercises[id], report.TestCase{Name: name, Class: "svclab.learn"}
		switch {
		case !e.Passed.IsZero():
			c.Result, c.Elapsed = reach.Pass, e.Passed.Sub(e.Started)
		case !e.Started.IsZero():
			c.Result, c.Message = reach.Fail, fmt.Sprintf("not passed yet; checks so far: %d", e.Checks)
		default:
			c.Result, c.Message = reach.Skipped, "not started"
		}
		if e.Help() > 0 {
			c.Out = fmt.Sprintf("hints: %d\n", e.Help())
		}
		if len(e.Misconceptions) > 0 {
			c.Out += "misconceptions: " + strings.Join(e.Misconceptions, ", ") + "\n"
		}
		if suite.Started.IsZero() || !e.Started.IsZero() && e.Started.Before(suite.Started) {
			suite.Started = e.Started
		}
		suite.Elapsed += c.Elapsed
		suite.Cases = append(suite.Cases, c)
	}
	return suite.JUnit(w)
}

// Member is one learner of a class.
type Member struct {
	Name     string
	Progress Progress
}

// Class reads the exports of many learners. A learner without a name gets that of the file.
func Class(files []string) ([]Member, error) {
	var members []Member
	for _, file := range files {
		p, err := read(file)
		var (
			version *versionError
			bad     *damagedError
		)
		switch {
		case errors.As(err, &version):
			return nil, fmt.Errorf("the export %s has %w; use the svclab that the learner has, or leave the file out", file, err)
		case errors.As(err, &bad):
			return nil, fmt.Errorf("the export %s is %w; have the learner run svclab learn export again, or leave the file out", file, err)
		case err != nil:
			return nil, fmt.Errorf("read an export: %w; name files that svclab learn export printed", err)
		}
		name := p.Learner
		if name == "" {
			name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		}
		if slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) {
			name += " (" + file + ")"
		}
		members = append(members, Member{Name: name, Progress: p})
	}
	return members, nil
}
