package cli

import (
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
)

func (a *app) picture() *cobra.Command {
	return &cobra.Command{
		Use:   "picture RESULT SCENARIO/STEP",
		Short: "Draw the tables of one step of a run as SVG",
		Long: `Reads a result.json and writes the tables of one step as one SVG picture: a row for each target, a column for each
vantage. The picture is complete in itself, follows light and dark colours, and describes itself to screen readers.
A step that does not exist is an error that names the steps that do.`,
		Example: `  svclab picture _output/result.json "loadbalancer/who reaches it" > reach.svg`,
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			run, err := readRun(args[0])
			if err != nil {
				return err
			}
			return report.SVG(a.Out, run, args[1])
		},
	}
}
