package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) learn() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Learn Services by doing: guided exercises, checked by real traffic",
	}
	cmd.AddCommand(a.learnProve(), a.learnLint())
	return cmd
}
