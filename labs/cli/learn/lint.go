package learn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

func lintVerb(a *console.App) *cobra.Command {
	accept := false
	cmd := &cobra.Command{
		Use:   "lint [EXERCISE…]",
		Short: "Find what is missing, stray, untranslated or stale in the exercises of the checkout",
		Long: `For people who write exercises. Reads labs/exercises of the checkout, not what is built into the program, and needs no
cluster. With --accept it notes in the Chinese texts that every message now says what the English one does.`,
		ValidArgsFunction: completeExercises(a),
		RunE:              func(_ *cobra.Command, args []string) error { return runLint(a, args, accept) },
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "note that the two languages were compared and say the same")
	a.NeedsCheckout(cmd)
	return cmd
}

func runLint(a *console.App, args []string, accept bool) error {
	source, folder := checkout(a)
	names, err := chosen(source, args)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if accept {
			errs = append(errs, acceptTexts(filepath.Join(folder, name)))
		}
		if _, err := source.Load(name, course.Sample()); err != nil {
			errs = append(errs, err)
		}
	}
	if len(args) == 0 && errors.Join(errs...) == nil {
		_, err := source.LoadAll() // the exercises beside each other
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the exercises are not in order:\n%w", err)
	}
	_, err = fmt.Fprintf(a.Out, "%d exercises are in order\n", len(names))
	return err
}

// checkout is where the exercises are that people work on: the checkout's files, not what is built into the program.
func checkout(a *console.App) (from course.Source, folder string) {
	folder = filepath.Join(a.Config.Root, "labs", "exercises")
	from = source(a)
	from.Exercises = folders{os.DirFS(folder)}
	return from, folder
}

// chosen are the folders' names of the exercises that args mean, all where there are none.
func chosen(source course.Source, args []string) ([]string, error) {
	if len(args) == 0 {
		return source.Names()
	}
	var names []string
	for _, arg := range args {
		name, err := source.Find(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// acceptTexts notes in an exercise's folder that its texts say the same.
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
	noted, err := course.Accept(string(english), string(other))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if noted == string(other) {
		return nil
	}
	if err := progress.Replace(path, []byte(noted)); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}
