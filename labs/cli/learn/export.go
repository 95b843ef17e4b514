package learn

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

func exportVerb(a *console.App) *cobra.Command {
	var (
		format, name, folder, ref string
		only                      []string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print your progress for a class, or write a repository for one",
		Long: `Prints what is stored of your progress, as JSON or JUnit: exercises passed, checks, hints, predictions and misconceptions. A
teacher sums the files of a class up with svclab learn class.

With --classroom it is for a teacher: it writes a repository that learners get a copy of, from GitHub Classroom or as a template,
into a folder. In it are the tasks, a place for the answers, and a workflow that grades them with svclab learn grade on a cluster
that it starts. No file is overwritten.`,
		Example: "  svclab learn export --name Ann > ann.json\n  svclab learn export --format junit > ann.xml\n  svclab learn export --classroom class-2026 --exercise 01,04,13",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(a, cmd, &flags{})
			if err != nil {
				return err
			}
			switch given := cmd.Flags().Changed; {
			case folder != "" && (given("format") || given("name")):
				return errors.New("--format and --name are for your progress, which --classroom does not print; leave one of them out")
			case folder != "":
				return s.classroom(folder, ref, only)
			case given("classroom"):
				return errors.New("--classroom names no folder")
			case given("exercise") || given("ref"):
				return errors.New("--exercise and --ref are for --classroom")
			}
			return s.export(format, name)
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", "json or junit")
	cmd.Flags().StringVar(&name, "name", "", nameUsage)
	cmd.Flags().StringVar(&folder, "classroom", "", "write a repository for a class into this folder")
	cmd.Flags().StringSliceVar(&only, "exercise", nil, "exercises of that repository (default: all)")
	cmd.Flags().StringVar(&ref, "ref", release(), "tag, branch or commit of svclab that its workflow uses")
	_ = cmd.RegisterFlagCompletionFunc("exercise", completeExercises(a))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"json", "junit"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *session) export(format, name string) error {
	if format != "json" && format != "junit" {
		return fmt.Errorf("--format %q: want json or junit", format)
	}
	if err := s.rename(name); err != nil {
		return err
	}
	if format == "json" {
		return progress.JSON(s.Out, s.progress)
	}
	names, err := s.source.Names()
	if err != nil {
		return err
	}
	return progress.JUnit(s.Out, s.progress, names)
}

// class sums up the exports of many learners: a line for each learner, a column for each exercise, and how many passed it. If the
// columns do not fit in the width, it prints several tables.
func (s *session) class(files []string) error {
	members, err := progress.Class(files)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return errors.New("name the files that learners exported: svclab learn class ann.json ben.json; to see a class live: svclab learn class --serve")
	}
	names, err := s.source.Names()
	if err != nil {
		return err
	}
	var ids []string
	for _, name := range names {
		ids = append(ids, course.IDOf(name))
	}
	head, last := coach.Say(s.Language, coach.ClassHead), coach.Say(s.Language, coach.ClassPassed)
	width := max(report.Width(head), report.Width(last))
	for _, m := range members {
		width = max(width, report.Width(m.Name))
	}
	width = min(width, 30) + 2
	room := max(5, (s.Style.Width-width-report.Width(last)-1)/markWidth)
	for part := range slices.Chunk(ids, room) {
		s.marks(members, part, width, ids)
	}
	s.Quiet(coach.ClassMarks)
	return errors.Join(s.classFirsts(members, names, width), s.Done())
}

// classFirsts prints for each learner how many of the first predictions were right, of those made.
func (s *session) classFirsts(members []progress.Member, names []string, width int) error {
	right, made := make([]int, len(members)), make([]int, len(members))
	var wrong []error // a damaged exercise does not hide the others
	for _, name := range names {
		e, err := s.load(name, course.Sample())
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		for _, q := range e.Questions {
			for i, m := range members {
				if first := m.Progress.Exercises[e.ID].First[q.ID]; first != "" {
					made[i]++
					if first == q.Right {
						right[i]++
					}
				}
			}
		}
	}
	if slices.Max(made) > 0 {
		s.Blank()
		s.Say(coach.ClassFirst)
		for i, m := range members {
			s.Raw(pad(m.Name, width) + fmt.Sprintf("%d/%d", right[i], made[i]))
		}
	}
	return errors.Join(wrong...)
}

// markWidth is the width of an exercise's column in a class's table.
const markWidth = 3

// marks writes the table of the exercises ids. width is the width of the column of names, and all are the exercises of the course.
func (s *session) marks(members []progress.Member, ids []string, width int, all []string) {
	last := coach.Say(s.Language, coach.ClassPassed)
	line := pad(coach.Say(s.Language, coach.ClassHead), width)
	for _, id := range ids {
		line += pad(id, markWidth)
	}
	s.Raw(line + " " + last)
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
		s.Raw(line + fmt.Sprintf(" %d/%d", passed, len(all)))
	}
	line = pad(last, width)
	for _, n := range totals {
		line += pad(strconv.Itoa(n), markWidth)
	}
	s.Raw(line)
}

// mark returns the state of an exercise as one character: see coach.ClassMarks.
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
