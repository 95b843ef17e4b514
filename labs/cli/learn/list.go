package learn

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// list prints all exercises and which of them are passed.
func (s *session) list() error {
	names, err := s.source.Names()
	if err != nil {
		return err
	}
	done, all := s.passed()
	s.Head(coach.Say(s.Language, coach.Course))
	s.Quiet(coach.PassedOf, done, all)
	var wrong []error // a damaged exercise does not hide the others
	for _, name := range names {
		e, err := s.load(name, course.Sample())
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		mark := " "
		switch {
		case s.progress.Done(e.ID):
			mark = s.tickMark()
		case e.ID == s.progress.Current:
			mark = ">"
		}
		line := mark + " " + e.ID + "  " + pad(coach.Say(s.Language, kindID(e.Kind)), 8) + e.Title(s.Language)
		if notes := s.notes(e); notes != "" {
			line += "  (" + notes + ")"
		}
		s.Raw(line)
	}
	return errors.Join(append(wrong, s.Done())...)
}

// notes say in the list where the learner is, and which help was shown.
func (s *session) notes(e course.Exercise) string {
	var notes []string
	kept := s.progress.Exercises[e.ID]
	if e.ID == s.progress.Current && !s.progress.Done(e.ID) {
		notes = append(notes, coach.Say(s.Language, coach.Here))
	}
	if kept.Help() > 0 {
		notes = append(notes, coach.Say(s.Language, coach.UsedHints, kept.Help()))
	}
	if kept.Solution {
		notes = append(notes, coach.Say(s.Language, coach.UsedAnswer))
	}
	if e.Kind == course.Incident && s.progress.Done(e.ID) {
		notes = append(notes, coach.Say(s.Language, coach.Points, kept.Score(time.Duration(e.Par))))
	}
	return strings.Join(notes, ", ")
}

func (s *session) tickMark() string {
	if s.Style.Plain {
		return "+"
	}
	return "✓"
}

// pad fills text with blanks up to a number of terminal columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-report.Width(text)))
}

// words prints the glossary. Its first line is its title.
func (s *session) words() error {
	data, err := fs.ReadFile(s.Exercises, "words."+string(s.Language)+".md")
	if err != nil {
		return fmt.Errorf("read the glossary: %w", err)
	}
	title, text, _ := strings.Cut(string(data), "\n")
	s.Head(strings.TrimPrefix(title, "# "))
	s.Markdown(strings.TrimSpace(text))
	return s.Done()
}

// status prints the current exercise and what is stored about it. It needs no cluster.
func (s *session) status() error {
	done, all := s.passed()
	s.Say(coach.PassedOf, done, all)
	s.membership()
	if s.progress.Current == "" {
		s.Say(coach.StatusNone)
		return s.Done()
	}
	e, err := s.currentOffline()
	if err != nil {
		return err
	}
	kept := s.progress.Exercises[e.ID]
	s.Say(coach.StatusAt, e.ID, e.Title(s.Language), kept.Checks, kept.Help(), kept.Resets)
	if !kept.Passed.IsZero() {
		s.Say(coach.StatusDone, kept.Passed.Local().Format(time.DateTime))
	}
	if len(kept.Misconceptions) > 0 {
		s.Say(coach.StatusSeen, strings.Join(kept.Misconceptions, ", "))
	}
	s.Say(coach.StatusKept, s.folder)
	return s.Done()
}
