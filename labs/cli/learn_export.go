package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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

// class sums up the exports of many learners: a line for each, a column for each exercise, and how many passed it.
func (d *desk) class(files []string) error {
	members, err := progress.Class(files)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return fmt.Errorf("--class wants the files that learners exported: svclab learn --class ann.json ben.json")
	}
	names, err := d.source.Names()
	if err != nil {
		return err
	}
	head := coach.Say(d.Language, coach.ClassHead)
	width := len(head)
	for _, m := range members {
		width = max(width, len([]rune(m.Name))*2)
	}
	width = min(width, 30) + 2
	var ids []string
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		ids = append(ids, id)
	}
	d.Raw(pad(head, width) + strings.Join(ids, " ") + "  " + coach.Say(d.Language, coach.ClassPassed))
	totals := make([]int, len(ids))
	for _, m := range members {
		line, passed := pad(m.Name, width), 0
		for i, id := range ids {
			e := m.Progress.Exercises[id]
			mark := "."
			switch {
			case !e.Passed.IsZero() && e.Solution:
				mark = "s"
				passed++
				totals[i]++
			case !e.Passed.IsZero():
				mark = "+"
				passed++
				totals[i]++
			case !e.Started.IsZero():
				mark = "-"
			}
			line += pad(mark, 3)
		}
		d.Raw(line + fmt.Sprintf(" %d/%d", passed, len(ids)))
	}
	line := pad(coach.Say(d.Language, coach.ClassPassed), width)
	for _, n := range totals {
		line += pad(fmt.Sprint(n), 3)
	}
	d.Raw(line)
	d.Quiet(coach.ClassMarks)
	return d.Done()
}
