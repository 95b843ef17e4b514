package cli

import (
	"errors"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// list shows all exercises and how far the learner is.
func (d *desk) list() error {
	names, err := d.source.Names()
	if err != nil {
		return err
	}
	done, all := d.passed()
	d.Head(coach.Say(d.Language, coach.Course))
	d.Quiet(coach.PassedOf, done, all)
	var wrong []error // an exercise that is damaged hides no other
	for _, name := range names {
		e, err := d.load(name, course.Sample())
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		kept := d.progress.Exercises[e.ID]
		mark := " "
		switch {
		case d.progress.Done(e.ID):
			mark = d.tickMark()
		case e.ID == d.progress.Current:
			mark = ">"
		}
		var notes []string
		if e.ID == d.progress.Current && !d.progress.Done(e.ID) {
			notes = append(notes, coach.Say(d.Language, coach.Here))
		}
		if kept.Hints > 0 {
			notes = append(notes, coach.Say(d.Language, coach.UsedHints, kept.Hints))
		}
		if kept.Solution {
			notes = append(notes, coach.Say(d.Language, coach.UsedAnswer))
		}
		line := mark + " " + e.ID + "  " + pad(coach.Say(d.Language, kindID(e.Kind)), 8) + e.Title(d.Language)
		if len(notes) > 0 {
			line += "  (" + strings.Join(notes, ", ") + ")"
		}
		d.Raw(line)
	}
	return errors.Join(append(wrong, d.Done())...)
}

func (d *desk) tickMark() string {
	if d.Style.Plain {
		return "+"
	}
	return "✓"
}

// pad fills text with blanks to so many terminal columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-report.Width(text)))
}

// status says where the learner is. The cluster is not asked.
func (d *desk) status() error {
	done, all := d.passed()
	d.Say(coach.PassedOf, done, all)
	if d.progress.Current == "" {
		d.Say(coach.StatusNone)
		return d.Done()
	}
	name, err := d.current()
	if err != nil {
		return err
	}
	e, err := d.load(name, course.Sample())
	if err != nil {
		return err
	}
	kept := d.progress.Exercises[e.ID]
	d.Say(coach.StatusAt, e.ID, e.Title(d.Language), kept.Checks, kept.Hints, kept.Resets)
	if !kept.Passed.IsZero() {
		d.Say(coach.StatusDone, kept.Passed.Local().Format(time.DateTime))
	}
	if len(kept.Misconceptions) > 0 {
		d.Say(coach.StatusSeen, strings.Join(kept.Misconceptions, ", "))
	}
	d.Say(coach.StatusKept, d.folder)
	return d.Done()
}
