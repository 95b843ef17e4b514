package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/fuzz"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

// fuzzFolder is where in the output folder the report of a fuzz run goes, beside that of the scenarios.
const fuzzFolder = "fuzz"

// fuzzLanes is how many cells each vantage asks at once. All vantages ask at the same time, and the answers come from a dozen
// pods and one DNS: more lanes only make each wait longer.
const fuzzLanes = 16

func (a *app) fuzz() *cobra.Command {
	settings := fuzz.Defaults()
	var verbose, plain bool
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Try random Services on the lab's cluster and compare what they do with what the oracle predicts",
		Long: `Makes random but valid Services and endpoints of a seed, applies them in batches to a namespace of their own on the
cluster that svclab up brought up, asks from every vantage, and compares with the oracle. A disagreement is shrunk
to the smallest Service that still shows it, and printed with its objects, table and reasons. The same seed on the
same cluster makes the same Services. The report goes to the folder fuzz in the output folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				settings.Seed = uint64(rand.Uint32())
			}
			if err := settings.Validate(); err != nil {
				return err
			}
			settings.Log = a.Err
			return a.runFuzz(cmd.Context(), settings, verbose, plain)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&settings.Seed, "seed", 0, "what the Services are made of (default: a new one, which is printed)")
	flags.IntVar(&settings.Count, "count", settings.Count, "how many Services are tried")
	flags.IntVar(&settings.Batch, "batch", settings.Batch, fmt.Sprintf("how many at a time, at most %d", fuzz.MaxBatch))
	flags.IntVar(&settings.Cells, "cells", settings.Cells, "how many cells of each Service are asked at most")
	flags.BoolVarP(&verbose, "verbose", "v", false, "print every cell that differs with all there is to it")
	flags.BoolVar(&plain, "plain", false, "no colour, no box drawing (also when the output is no terminal)")
	a.ClusterFlags(cmd)
	return cmd
}

func (a *app) runFuzz(ctx context.Context, settings fuzz.Settings, verbose, plain bool) error {
	began := time.Now()
	lab, err := a.lab(ctx)
	if err != nil {
		return err
	}
	described, err := lab.Describe(ctx)
	if err != nil {
		return err
	}
	outcome, failed := fuzz.Run(ctx, lab, probe.New(lab.Cluster, probe.WithConcurrency(fuzzLanes)), settings)
	if failed != nil && len(outcome.Verdicts) == 0 {
		return failed
	}
	run := report.Run{Tool: "svclab", Version: version(), Started: began, Elapsed: time.Since(began), Cluster: described,
		Plan: report.PlanFor(outcome.Planned, outcome.Verdicts), Verdicts: outcome.Verdicts}
	style := a.ReportStyle(verbose, plain)
	err = errors.Join(report.WriteAll(filepath.Join(a.Config.Output, fuzzFolder), run), report.Text(a.Out, run, style),
		fuzz.Text(a.Out, outcome, style), failed)
	if err != nil {
		return err
	}
	return console.Judged(outcome.Result())
}
