package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/setup"
)

// Run runs root with the arguments, prints the error, and returns the exit code: 0 for a pass, 1 for a failure that was
// observed, 2 for everything that kept the verb from a verdict.
func (a *App) Run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetArgs(args)
	root.SetFlagErrorFunc(flagError)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	checkArguments(root)
	return a.exitCode(root.ExecuteContext(ctx))
}

func (a *App) exitCode(err error) int {
	var (
		verdict VerdictError
		script  *setup.ScriptError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &verdict):
		return verdict.Result.ExitCode()
	case !errors.As(err, &script): // a script has printed its error itself
		_, _ = fmt.Fprintln(a.Err, "svclab: error:", report.Printable(err.Error()))
	}
	return 2
}

// checkArguments has each verb refuse an empty argument, and say with every error of its arguments how it is used. A verb
// that only has verbs below it, and help, refuse a verb that does not exist; cobra's own print help, and succeed.
func checkArguments(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		checkArguments(child)
	}
	check := cmd.Args
	switch {
	case cmd.Name() == "help":
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			return noVerb(found, rest)
		}
		return
	case !cmd.Runnable():
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.DisableFlagsInUseLine = true
		cmd.Args = noVerb
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) (err error) {
		if slices.Contains(args, "") {
			err = errors.New("an argument is empty")
		} else if check != nil {
			err = check(cmd, args)
		}
		if err != nil {
			return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// noVerb returns an error if there are arguments: cmd has no such verb.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "; did you mean " + strings.Join(like, ", ") + "?"
	}
	return fmt.Errorf("%s has no verb %q%s; to list the verbs: %s --help", cmd.CommandPath(), args[0], hint, cmd.CommandPath())
}

// flagError says where to find the flags that a verb has, and why it lacks a flag that describes the lab's cluster.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && isClusterFlag(unknown.GetSpecifiedName()) {
		err = fmt.Errorf("%w: it describes the lab's cluster, and %s does not read it", err, cmd.CommandPath())
	}
	return fmt.Errorf("%w; to list the flags: %s --help", err, cmd.CommandPath())
}
