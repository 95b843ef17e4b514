package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

func (a *app) merge() *cobra.Command {
	var (
		output         string
		verbose, plain bool
	)
	cmd := &cobra.Command{
		Use:   "merge RESULT…",
		Short: "Join the results of shards into one report",
		Long: `Reads the result.json files of all shards of a run (svclab e2e, verify or conformance with --shard), joins them into the
result of one run, prints it, and writes the same files as that run would: result.json, junit.xml, report.txt, report.html
and summary.md, and the conformance report.

It refuses results of different clusters, versions or settings, one that is there twice, and a set in which one is missing.
A scenario that a shard planned and did not run makes the result Inconclusive.

Exit codes: the worst of the shards: 0 every scenario passed, 1 one failed, 2 no verdict was possible.`,
		Example: `  svclab e2e --shard 1/2 --output one      on one machine
  svclab e2e --shard 2/2 --output two      on another
  svclab merge one/result.json two/result.json --output whole`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var parts []report.Part
			for _, file := range args {
				run, err := readRun(file)
				if err != nil {
					return err
				}
				parts = append(parts, report.Part{File: file, Run: run})
			}
			merged, err := report.Merge(parts)
			if err != nil {
				return fmt.Errorf("%w; name the result.json of every shard of one run, each once", err)
			}
			if err := report.WriteAll(output, merged); err != nil {
				return err
			}
			text := report.Text
			if merged.Conformance != nil {
				text = report.ConformanceText
			}
			if err := text(a.Out, merged, a.ReportStyle(verbose, plain)); err != nil {
				return fmt.Errorf("print the report: %w", err)
			}
			return console.Judged(merged.Result())
		},
	}
	cmd.Flags().StringVar(&output, "output", "svclab-merged", "folder for the reports")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print every cell with its reason")
	cmd.Flags().BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	return cmd
}
