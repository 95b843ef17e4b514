package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/setup"
)

func (a *app) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that this machine has what svclab needs, and say how to fix what is missing",
		Long: `Looks at everything that svclab needs and changes nothing. "ok" is there, "later" will be installed or started by svclab up
itself, "missing" must be fixed first: the line says how. Exit code 2 if something is missing.`,
		Example: "  svclab doctor\n  svclab doctor --images build",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.examine(cmd.Context()) },
	}
	a.ClusterFlags(cmd, "images", "output")
	return cmd
}

func (a *app) examine(ctx context.Context) error {
	if err := a.Config.Check(); err != nil {
		return err
	}
	missing := 0
	for _, finding := range setup.Examine(ctx, a.Config) {
		line := fmt.Sprintf("%-8s %-12s %s", finding.State, finding.What, finding.Found)
		if finding.Fix != "" {
			line += "; " + finding.Fix
		}
		if _, err := fmt.Fprintln(a.Out, line); err != nil {
			return err
		}
		if finding.State == setup.Missing {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of the things svclab needs are missing; the lines above say how to fix each", missing)
	}
	_, err := fmt.Fprintln(a.Out, "everything is ready for: svclab up")
	return err
}
