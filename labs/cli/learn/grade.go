package learn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/grade"
	"github.com/svclab/svclab/labs/lesson"
)

func gradeVerb(a *console.App) *cobra.Command {
	var (
		f      flags
		procs  int
		result string
	)
	cmd := &cobra.Command{
		Use:   "grade [FOLDER]",
		Short: "Grade answers that learners wrote into files, on the lab's cluster",
		Long: `Grades the answers in the folders of exercises below FOLDER, by default this one. svclab learn export --classroom makes such
folders, and a workflow that calls this. In a folder NN-name are:

  answers.yaml   predictions, as QUESTION: OPTION
  commands.txt   kubectl commands, one a line; no shell runs them
  *.yaml         manifests, applied after the commands, in the order of their names

For each exercise it sets the start up, does that, and judges by the exercise's own check, with real traffic. It stores no
progress. It refuses a cluster in which an exercise is open. With --result it also writes what GitHub Classroom's reporter reads.

Exit codes: 0 all passed, 1 an answer is missing or not right, 2 something could not be judged.`,
		Example: "  svclab up && svclab learn grade exercises",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			folder := first(args)
			if folder == "" {
				folder = "."
			}
			return s.grade(cmd.Context(), folder, result, procs)
		},
	}
	f.add(a, cmd, 0)
	cmd.Flags().StringVar(&result, "result", "", "new file for the result as GitHub Classroom's reporter reads it")
	cmd.Flags().IntVar(&procs, "procs", 3, "how many exercises are graded at once")
	a.ClusterFlags(cmd)
	return cmd
}

// grade grades the answers in a folder on the lab's own cluster.
func (s *session) grade(ctx context.Context, folder, result string, procs int) error {
	if err := console.CheckProcs(procs); err != nil {
		return err
	}
	if _, err := os.Lstat(result); result != "" && !errors.Is(err, fs.ErrNotExist) { // before an hour of grading
		return fmt.Errorf("--result: %s exists already; take another name, or delete it first", result)
	}
	names, err := s.answered(folder)
	if err != nil {
		return err
	}
	v, err := vacant(ctx, s.App)
	if err != nil {
		return err
	}
	defer v.remove()
	r := v.Runner(s.Config.Output)
	grader := grade.Grader{Source: s.source, Values: v.values, Workers: procs, Environment: func(e course.Exercise) grade.Environment {
		return lesson.Environment{Cluster: v.Cluster, Runner: r, Folder: filepath.Join(v.snapshots, e.ID)}
	}}
	grades, err := grader.Grade(ctx, os.DirFS(folder), names)
	if err != nil {
		return err
	}
	return s.graded(grades, result)
}

// answered returns the exercises that have a folder in a folder.
func (s *session) answered(folder string) ([]string, error) {
	names, err := s.source.Names()
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Stat(filepath.Join(folder, name))
		return err != nil || !info.IsDir()
	})
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no folder of an exercise, such as 01-first-clusterip; to make them: svclab learn export --classroom DIR", folder)
	}
	return names, nil
}

// graded prints grades, and writes them to a new file if one is named.
func (s *session) graded(grades []grade.Grade, result string) error {
	passed, all, worst := 0, 0, reach.Pass
	for _, g := range grades {
		if g.Result != reach.Skipped {
			all++
			worst = reach.Worse(worst, g.Result)
		}
		if g.Result == reach.Pass {
			passed++
		}
		s.Raw(fmt.Sprintf("%-12s %s (%s)", g.Result, g.Exercise.Name, g.Elapsed.Round(100*time.Millisecond)))
		switch {
		case errors.Is(g.Err, grade.ErrNoAnswer):
			s.Say(coach.GradeNone)
		case g.Err != nil:
			s.Raw(g.Err.Error())
		case g.Result != reach.Pass:
			s.missing(g)
		}
		if g.Result != reach.Pass {
			s.Blank()
		}
	}
	if all == 0 {
		worst = reach.Inconclusive
	}
	s.Say(coach.PassedOf, passed, all)
	if result != "" {
		text, err := grade.Classroom(grades)
		if err == nil {
			err = create(result, []byte(text+"\n"))
		}
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return errors.Join(s.Done(), console.Judged(worst))
}

// missing prints what an answer lacks, as a check does before a hint.
func (s *session) missing(g grade.Grade) {
	s.Feedback(g.Exercise, reach.Verdict{}, g.Seen, false)
	for _, q := range g.Exercise.Questions {
		if g.Answers[q.ID] == "" {
			s.Say(coach.GradeUnanswered, q.ID, strings.Join(q.Options, ", "), course.AnswersFile)
		}
	}
	for _, id := range g.Diagnosis.All() {
		s.Markdown(g.Exercise.Say(s.Language, "misconception/"+id))
	}
}
