package learn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

func lintVerb(a *console.App) *cobra.Command {
	var accept, release bool
	cmd := &cobra.Command{
		Use:   "lint [EXERCISE…]",
		Short: "Find what is missing, unused, untranslated or outdated in the exercises of the checkout",
		Long: `For people who write exercises. It reads labs/exercises of the checkout, not what is built into the program, needs no
cluster, and reports everything it finds at once. An exercise without a Chinese text is a draft: a warning, and an error
with --release. A file that still has TODO is an error, in a draft a warning.

With --accept it records in the Chinese texts that every message says what the English one does. If one of the two
changes later, lint reports it.

Exit codes: 0 the exercises are in order, 2 they are not.`,
		Example:           "  svclab learn lint\n  svclab learn lint 04 --accept\n  svclab learn lint --release",
		ValidArgsFunction: completeExercises(a),
		RunE:              func(_ *cobra.Command, args []string) error { return runLint(a, args, accept, release) },
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "record that the two languages were compared and say the same")
	cmd.Flags().BoolVar(&release, "release", false, "fail if an exercise is a draft")
	a.NeedsCheckout(cmd)
	return cmd
}

func runLint(a *console.App, args []string, accept, release bool) error {
	from, folder := checkout(a)
	names, err := chosen(from, args)
	if err != nil {
		return err
	}
	var errs, warnings []error
	if accept {
		for _, name := range names {
			errs = append(errs, acceptTexts(filepath.Join(folder, name)))
		}
	}
	exercises, err := from.LoadAll(names...)
	errs = append(errs, err)
	for _, e := range exercises {
		note := func(problem error) {
			if e.Draft() && !release {
				warnings = append(warnings, problem)
			} else {
				errs = append(errs, problem)
			}
		}
		if e.Draft() {
			note(fmt.Errorf("%s: a draft: it has no Chinese text, text.zh.md", e.Name))
		}
		unfilled, err := withTODO(folder, e.Name)
		if err != nil {
			return err
		}
		for _, file := range unfilled {
			note(fmt.Errorf("%s still has TODO", file))
		}
	}
	for _, warning := range warnings {
		if _, err := fmt.Fprintln(a.Err, "svclab: warning:", warning); err != nil {
			return err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the exercises are not in order:\n%w", err)
	}
	are := "are"
	if len(names) == 1 {
		are = "is"
	}
	_, err = fmt.Fprintf(a.Out, "%s %s in order\n", count(len(names), "exercise"), are)
	return err
}

// count says how many things there are: "1 exercise", "2 exercises".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// checkout returns the exercises in the checkout, which people work on, not those that are built into the program.
func checkout(a *console.App) (from course.Source, folder string) {
	folder = filepath.Join(a.Config.Root, "labs", "exercises")
	from = source(a)
	from.Exercises = os.DirFS(folder)
	return from, folder
}

// chosen returns the folder names of the exercises that args name, or of all exercises if there are no args.
func chosen(from course.Source, args []string) ([]string, error) {
	if len(args) == 0 {
		return from.Names()
	}
	var names []string
	for _, arg := range args {
		name, err := from.Find(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// withTODO returns the texts and tables of an exercise that still have the mark of the scaffold.
func withTODO(folder, name string) ([]string, error) {
	var found []string
	err := fs.WalkDir(os.DirFS(folder), name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(folder, file))
		if strings.Contains(string(text), "TODO") {
			found = append(found, file)
		}
		return err
	})
	return found, err
}

// acceptTexts records in an exercise's folder that its texts say the same.
func acceptTexts(folder string) error {
	english, err := os.ReadFile(filepath.Join(folder, "text.en.md"))
	if err != nil {
		return err
	}
	path := filepath.Join(folder, "text.zh.md")
	other, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	accepted, err := course.Accept(string(english), string(other))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if accepted == string(other) {
		return nil
	}
	if err := progress.Replace(path, []byte(accepted)); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}
