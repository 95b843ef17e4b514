package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/progress"
)

func (a *app) learnExport(f *learnFlags) *cobra.Command {
	var format, learner string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print your progress for a class, as JSON or JUnit",
		Args:  cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.desk(cmd, f)
			if err != nil {
				return err
			}
			return d.export(format, learner)
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", "json or junit")
	cmd.Flags().StringVar(&learner, "learner", "", "your name, as the class shall see it; it is kept")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"json", "junit"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (d *desk) export(format, learner string) error {
	if learner != "" && learner != d.progress.Learner {
		if err := d.update(func(p *progress.Progress) { p.Learner = learner }); err != nil {
			return err
		}
	}
	switch format {
	case "json":
		return progress.JSON(d.Out, d.progress)
	case "junit":
		names, err := d.source.Names()
		if err != nil {
			return err
		}
		return progress.JUnit(d.Out, d.progress, names)
	}
	return fmt.Errorf("--format %q: want json or junit", format)
}

// class sums up the exports of many learners: a line for each, a column for each exercise, and how many passed it. Where not
// all columns have room beside each other there are several such tables.
func (d *desk) class(files []string) error {
	members, err := progress.Class(files)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return errors.New("--class wants the files that learners exported: svclab learn --class ann.json ben.json")
	}
	names, err := d.source.Names()
	if err != nil {
		return err
	}
	var ids []string
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		ids = append(ids, id)
	}
	head, last := coach.Say(d.Language, coach.ClassHead), coach.Say(d.Language, coach.ClassPassed)
	width := max(report.Width(head), report.Width(last))
	for _, m := range members {
		width = max(width, report.Width(m.Name))
	}
	width = min(width, 30) + 2
	room := max(5, (d.Style.Width-width-report.Width(last)-1)/markWidth)
	for part := range slices.Chunk(ids, room) {
		d.marks(members, part, width, ids)
	}
	d.Quiet(coach.ClassMarks)
	return d.Done()
}

// markWidth is how many columns an exercise has in a class's table.
const markWidth = 3

// marks writes the table of some exercises; width is that of the column of names, all are the whole course.
func (d *desk) marks(members []progress.Member, ids []string, width int, all []string) {
	last := coach.Say(d.Language, coach.ClassPassed)
	line := pad(coach.Say(d.Language, coach.ClassHead), width)
	for _, id := range ids {
		line += pad(id, markWidth)
	}
	d.Raw(line + " " + last)
	totals := make([]int, len(ids))
	for _, m := range members {
		line = pad(m.Name, width)
		for i, id := range ids {
			if m.Progress.Done(id) {
				totals[i]++
			}
			line += pad(mark(m.Progress.Exercises[id]), markWidth)
		}
		passed := 0
		for _, id := range all {
			if m.Progress.Done(id) {
				passed++
			}
		}
		d.Raw(line + fmt.Sprintf(" %d/%d", passed, len(all)))
	}
	line = pad(last, width)
	for _, n := range totals {
		line += pad(strconv.Itoa(n), markWidth)
	}
	d.Raw(line)
}

// mark says in a character how far a learner came in an exercise.
func mark(e progress.Exercise) string {
	switch {
	case !e.Passed.IsZero() && e.Solution:
		return "s"
	case !e.Passed.IsZero():
		return "+"
	case !e.Started.IsZero():
		return "-"
	}
	return "."
}
