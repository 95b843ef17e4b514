package console

import (
	"context"
	"errors"
	"fmt"

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

// flagError says where to find the flags that a verb has, and why it lacks a flag that describes the lab's cluster.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && isClusterFlag(unknown.GetSpecifiedName()) {
		err = fmt.Errorf("%w: it describes the lab's cluster, and %s does not read it", err, cmd.CommandPath())
	}
	return fmt.Errorf("%w; to list the flags: %s --help", err, cmd.CommandPath())
}
