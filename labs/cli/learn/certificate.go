package learn

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

// certificateFile is the file of a certificate unless another one is named.
const certificateFile = "svclab-certificate.html"

//go:embed certificate.html
var certificatePage string

func certificateVerb(a *console.App) *cobra.Command {
	var (
		f    flags
		name string
	)
	cmd := &cobra.Command{
		Use:   "certificate [FILE]",
		Short: "Write a page to print, of what you have passed",
		Long: `Writes one HTML page, by default ` + certificateFile + `, to open in a browser and print on A4 or Letter paper: the exercises that you
passed, when, the hints you used, and the scores of incidents, in the language of --lang. It loads nothing from elsewhere.

It repeats what your progress file on this machine says, which anyone can edit, and says so: it proves nothing to others. What
can be proven is graded from your answers: see svclab learn grade.

A file that exists is not overwritten. If you have passed no exercise, it writes nothing, and the exit code is 2.`,
		Example: "  svclab learn certificate --name Ann\n  svclab learn certificate --lang zh ann.html",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			if err := s.rename(name); err != nil {
				return err
			}
			path := certificateFile
			if len(args) > 0 {
				path = args[0]
			}
			return s.certificate(path)
		},
	}
	f.add(a, cmd, 0)
	cmd.Flags().StringVar(&name, "name", "", nameUsage)
	return cmd
}

// certificate is what the page says.
type certificate struct {
	Lang, Title, Name, What string
	Palette                 template.CSS
	Sums                    []string
	Heads                   []columnHead
	Rows                    []passedRow
}

type columnHead struct {
	Text   string
	Number bool
}

// passedRow is an exercise that was passed.
type passedRow struct{ Title, Passed, Hints, Score string }

// certificate writes the page to a new file.
func (s *session) certificate(path string) error {
	c, err := s.certified()
	if err != nil {
		return err
	}
	page, err := template.New("certificate").Parse(certificatePage)
	if err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	var text bytes.Buffer
	if err := page.Execute(&text, c); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	if err := create(path, text.Bytes()); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	s.Say(coach.CertMade, path)
	return s.Done()
}

// certified returns what was passed. It is an error if that is nothing.
func (s *session) certified() (certificate, error) {
	say := func(m coach.Message, args ...any) string { return coach.Say(s.Language, m, args...) }
	c := certificate{Lang: string(s.Language), Title: say(coach.CertTitle), Name: s.progress.Learner, What: say(coach.CertWhat), Palette: template.CSS(report.Palette()), //nolint:gosec // it is svclab's own
		Heads: []columnHead{{say(coach.CertExercise), false}, {say(coach.CertPassed), false}, {say(coach.CertHints), true}, {say(coach.CertScore), true}}}
	names, err := s.source.Names()
	if err != nil {
		return c, err
	}
	var (
		last          time.Time
		hints         int
		points, worth int
		started       []string
	)
	for _, name := range names {
		kept := s.progress.Exercises[course.IDOf(name)]
		if kept.Passed.IsZero() {
			if !kept.Started.IsZero() {
				started = append(started, course.IDOf(name))
			}
			continue
		}
		e, err := s.load(name, course.Sample())
		if err != nil {
			return c, err
		}
		row := passedRow{Title: e.ID + " " + strings.ReplaceAll(e.Title(s.Language), "`", ""), Passed: kept.Passed.Local().Format(time.DateOnly), Hints: strconv.Itoa(kept.Help()), Score: "–"}
		if kept.Solution {
			row.Hints += say(coach.CertSeen)
		}
		if e.Kind == course.Incident {
			score := kept.Score(time.Duration(e.Par))
			row.Score = strconv.Itoa(score)
			points, worth = points+score, worth+progress.FullScore
		}
		hints += kept.Help()
		if kept.Passed.After(last) {
			last = kept.Passed
		}
		c.Rows = append(c.Rows, row)
	}
	if len(c.Rows) == 0 {
		if len(started) > 0 {
			return c, errors.New(say(coach.CertStarted, len(names), strings.Join(started, ", ")))
		}
		return c, errors.New(say(coach.CertNothing, len(names)))
	}
	c.Sums = append(c.Sums, say(coach.CertSum, len(c.Rows), len(names), last.Local().Format(time.DateOnly), hints))
	if worth > 0 {
		c.Sums = append(c.Sums, say(coach.CertPoints, points, worth))
	}
	return c, nil
}

// create writes a new file. It refuses one that exists.
func create(path string, data []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; take another name, or delete it first", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // no half of it is left
	}
	return nil
}
