package learn

import (
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/course"
)

//go:embed scaffold
var scaffold embed.FS

func newVerb(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Create the folder of a new exercise in the checkout",
		Long: `For people who write exercises. Creates labs/exercises/NN-NAME in the checkout, where NN is the next number: an exercise that
loads and can be proven as it is, with a comment at every field. It is a draft until you add the Chinese text. What you
replace is marked TODO.`,
		Example: "  svclab learn new two-services-one-app",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error { return newExercise(a, args[0]) },
	}
	a.NeedsCheckout(cmd)
	return cmd
}

func newExercise(a *console.App, name string) error {
	from, root := checkout(a)
	names, err := from.Names()
	if err != nil {
		return err
	}
	for _, there := range names {
		if there == course.IDOf(there)+"-"+name {
			return fmt.Errorf("there is an exercise of that name: %s", there)
		}
	}
	last, err := strconv.Atoi(course.IDOf(names[len(names)-1]))
	if err != nil {
		return fmt.Errorf("find the next number: %w", err)
	}
	id := fmt.Sprintf("%02d", last+1)
	name = id + "-" + name
	if err := course.ValidateName(name); err != nil {
		return err
	}
	files, err := fs.Sub(scaffold, "scaffold")
	if err != nil {
		return err
	}
	if err := console.Scaffold(files, filepath.Join(root, name), name); err != nil {
		return fmt.Errorf("create the exercise: %w", err)
	}
	_, err = fmt.Fprintf(a.Out, `labs/exercises/%[1]s is there, a draft. Name the misconception first, then replace what is marked TODO:
  exercise.yaml  the setup, the goal, and the state that shows each misconception
  expect.yaml    the goal's table: by hand, from the Kubernetes documentation
  solutions/     every right way
  wrong/         what people do instead; each folder shows its misconception
  text.en.md     everything that a learner reads
Then check it without a cluster, and prove it:
  svclab learn lint %[2]s
  svclab up && svclab learn prove %[2]s
Add text.zh.md, compare the two languages, and record that: svclab learn lint %[2]s --accept
`, name, id)
	return err
}
