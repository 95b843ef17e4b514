package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

func (a *app) diff() *cobra.Command {
	var plain bool
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Compare two results: what got worse, what was fixed, what is new",
		Long: `Compares two result.json files, of two versions or two modes, by behaviour, scenario, step and cell, or two
conformance.yaml or conformance.json files by behaviour and scenario.

As a gate: a result that got worse, a failure of what the first run did not verify, and a behaviour that the second run
no longer verifies are regressions. A different profile, or a mode without the behaviour, is one too.

Exit codes: 0 no regression, 1 a regression, 2 a file could not be read.`,
		Example: `  svclab diff _output/matrix/nftables-ipv4/result.json _output/matrix/iptables-ipv4/result.json
  svclab diff before/conformance.yaml after/conformance.yaml`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			before, err := readRun(args[0])
			if err != nil {
				return err
			}
			after, err := readRun(args[1])
			if err != nil {
				return err
			}
			changes := report.Diff(before, after)
			if err := changes.Text(a.Out, a.ReportStyle(false, plain)); err != nil {
				return fmt.Errorf("print the comparison: %w", err)
			}
			if changes.Regressed() {
				return console.Judged(reach.Fail)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	return cmd
}

const resultFile = "name a result.json or conformance.yaml that svclab wrote"

func readRun(path string) (report.Run, error) {
	file, err := os.Open(path)
	if err != nil {
		return report.Run{}, fmt.Errorf("read a result: %w; %s", err, resultFile)
	}
	defer func() { _ = file.Close() }() // it was only read
	run, err := report.Read(file)
	if err != nil {
		return report.Run{}, fmt.Errorf("read %s: %w; %s", path, err, resultFile)
	}
	return run, nil
}
