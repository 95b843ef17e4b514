package progress

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// JSON writes the progress as the file has it, for a class.
func JSON(w io.Writer, p Progress) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr,omitempty"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// JUnit writes one testcase for each exercise of the course: passed, a failure when it was begun and not passed, skipped
// when it was not begun. Names are the exercises' folders.
func JUnit(w io.Writer, p Progress, names []string) error {
	suite := junitSuite{Name: strings.TrimSpace("svclab learn " + p.Learner), Tests: len(names)}
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		e, c := p.Exercises[id], junitCase{Name: name, Class: "svclab.learn"}
		switch {
		case !e.Passed.IsZero():
			c.Time = fmt.Sprintf("%.0f", e.Passed.Sub(e.Started).Seconds())
		case !e.Started.IsZero():
			suite.Failures++
			c.Failure = &junitMessage{Message: fmt.Sprintf("not passed yet after %d checks", e.Checks)}
		default:
			suite.Skipped++
			c.Skipped = &junitMessage{Message: "not begun"}
		}
		if e.Hints > 0 {
			c.Out = fmt.Sprintf("hints: %d\n", e.Hints)
		}
		if len(e.Misconceptions) > 0 {
			c.Out += "misconceptions: " + strings.Join(e.Misconceptions, ", ") + "\n"
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Member is one learner of a class.
type Member struct {
	Name     string
	Progress Progress
}

// Class reads the exports of many learners. One without a name goes by its file's.
func Class(files []string) ([]Member, error) {
	var members []Member
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("read an export: %w", err)
		}
		p, err := read(file)
		if err != nil {
			return nil, err
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
