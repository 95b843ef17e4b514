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
	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

// fuzzFolder is the folder of the report of a fuzz run, in the output folder.
const fuzzFolder = "fuzz"

// fuzzLanes is how many cells each vantage probes at once. All vantages probe at the same time, and a dozen pods and one DNS
// server answer them: more lanes only make each request wait longer.
const fuzzLanes = 16

func (a *app) fuzz() *cobra.Command {
	settings := fuzz.Defaults()
	var (
		verbose, plain bool
		inject         string
	)
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Try random Services on the lab's cluster and compare what they do with what the oracle predicts",
		Long: `Generates random but valid Services and endpoints from a seed, applies them in batches to a namespace of their own on the
cluster that svclab up brought up, probes them from every vantage, and compares the answers with the oracle's
predictions. A disagreement is reduced to the smallest Service that still shows it, and printed with its objects, table
and reasons. The same seed on the same cluster generates the same Services. The report is in the folder fuzz in the
output folder.

With --histories a seed stands for histories instead: a random start, and random operations on Services, EndpointSlices, pods,
kube-proxy, the API server, DNS and the load balancer, while standing flows of requests go on. After each operation the Services
that it touches are probed, and some of the others; and each flow must meet the fate that the oracle says: it must not notice, it
keeps its backend, it may or must move, or it must end. A disagreement is shrunk to the shortest history that shows it, printed with
kubectl commands and the flow's record. The same seed plays the same histories.

It refuses a cluster in which an exercise of svclab learn is under way: see svclab learn stop.

Exit codes: 0 every answer is as predicted, 1 one is not, 2 no verdict was possible.`,
		Example: "  svclab fuzz\n  svclab fuzz --count 200\n  svclab fuzz --seed 2843 --verbose\n  svclab fuzz --histories 20\n  svclab fuzz --histories 1 --seed 7 --first 12",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				settings.Seed = uint64(rand.Uint32())
			}
			if inject != "" {
				all, err := mutants.Load(a.Manifests)
				if err != nil {
					return err
				}
				named, _ := mutants.Named(all, []string{inject})
				faults, err := fuzz.MutantsOf(named)
				if err != nil {
					return err
				}
				if len(faults) == 0 {
					return fmt.Errorf("there is no fault %q of histories; svclab mutants --list shows them", inject)
				}
				settings.Inject = &faults[0]
			}
			if err := settings.Validate(); err != nil {
				return err
			}
			settings.Log = a.Err
			return a.runFuzz(cmd.Context(), settings, verbose, plain)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&settings.Seed, "seed", 0, "seed of the Services (default: a new one, which is printed)")
	flags.IntVar(&settings.Count, "count", settings.Count, "how many Services are generated")
	flags.IntVar(&settings.Batch, "batch", settings.Batch, fmt.Sprintf("how many at a time, at most %d", fuzz.MaxBatch))
	flags.IntVar(&settings.Histories, "histories", 0, "play so many random histories, with standing traffic, in place of trying each Service once")
	flags.IntVar(&settings.First, "first", 0, "the number of the first history")
	flags.IntVar(&settings.Operations, "operations", settings.Operations, "how many operations a history has")
	flags.IntVar(&settings.Side, "side-by-side", settings.Side, fmt.Sprintf("how many histories are played at the same time, at most %d", fuzz.MaxSide))
	flags.StringVar(&inject, "inject", "", "the mutant of histories whose fault each history suffers, to see that it is noticed; svclab mutants --list shows them")
	flags.DurationVar(&settings.Shrink, "shrink", settings.Shrink, "how long a disagreement is shrunk at most")
	flags.IntVar(&settings.Cells, "cells", settings.Cells, "how many cells of each Service are probed at most")
	flags.BoolVarP(&verbose, "verbose", "v", false, "print every detail of the cells that differ")
	flags.BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	a.ClusterFlags(cmd)
	return cmd
}

func (a *app) runFuzz(ctx context.Context, settings fuzz.Settings, verbose, plain bool) error {
	began := time.Now()
	lab, described, err := a.lab(ctx)
	if err != nil {
		return err
	}
	outcome, failed := fuzz.Run(ctx, lab, probe.New(lab.Cluster, probe.WithGuard(lab.Guard()), probe.WithConcurrency(fuzzLanes)), settings)
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
