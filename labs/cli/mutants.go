package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/fuzz"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/lesson"
)

func (a *app) mutants() *cobra.Command {
	list := false
	cmd := &cobra.Command{
		Use:   "mutants [NAME…]",
		Short: "Inject faults into the lab's cluster and check that the scenarios notice each",
		Long: `Brings the lab's cluster up if it is not there, and runs scenarios on it. Then it injects one fault after the other, all of
them by default: the same steps must fail in the cells that the fault affects and in no others, and pass again once the
fault is reverted. Prints which cells showed each fault, and leaves the cluster up and without faults.

Faults are injected only into a cluster that svclab created. No other svclab process can use it meanwhile.
It refuses a cluster in which an exercise of svclab learn is under way: see svclab learn stop.

Mutants of histories come last. Each is a fault and operations that are done while flows of requests go on; the records of flows must
break the rules over time that it names, and no others, and none without the fault.

Where a fault is in a packet filter, traces of the cells that differ must name its rules, unless the mutant says why not.

Exit codes: 0 every fault was noticed and the cluster recovered, 1 a fault was not noticed, a trace named the wrong hop or
the cluster did not recover, 2 no verdict was possible.`,
		Example: "  svclab mutants\n  svclab mutants --list\n  svclab mutants node-deaf",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			all, err := mutants.Load(a.Manifests)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			var known []string
			for _, m := range all {
				known = append(known, m.Name)
			}
			return known, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := mutants.Load(a.Manifests)
			if err != nil {
				return err
			}
			chosen := all
			if len(args) > 0 {
				var unknown []string
				if chosen, unknown = mutants.Named(all, args); len(unknown) > 0 {
					return fmt.Errorf("there is no mutant %s; svclab mutants --list shows them", strings.Join(unknown, ", "))
				}
			}
			if list {
				for _, m := range chosen {
					if _, err := fmt.Fprintf(a.Out, "%-24s %s: %s\n", m.Name, m.Scenario, m.Effect); err != nil {
						return err
					}
				}
				return nil
			}
			return a.runMutants(cmd.Context(), all, chosen)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "only list the mutants")
	a.ClusterFlags(cmd)
	return cmd
}

func (a *app) runMutants(ctx context.Context, all, chosen []mutants.Mutant) (err error) {
	var wanted []string
	for _, m := range chosen {
		if m.History == nil && !slices.Contains(wanted, m.Scenario) {
			wanted = append(wanted, m.Scenario)
		}
	}
	scenarios, err := a.scenarios(wanted)
	if err != nil {
		return err
	}
	made, err := a.bringUp(ctx)
	if err != nil {
		return err
	}
	defer func() { // reverts the faults that are still there, also after Ctrl-C
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, made.Close(clean))
	}()
	if err := lesson.NoneOpen(ctx, made.Client(), made.Name()); err != nil {
		return err
	}
	if why := made.Lacks(scenario.NodeControl); why != "" {
		return fmt.Errorf("mutants inject faults into the cluster they run on: %s", why)
	}
	lab := lab.Cluster{Cluster: made}
	if err := mutants.Sweep(ctx, lab, all); err != nil {
		return err
	}
	began := time.Now()
	described, err := lab.Describe(ctx)
	if err != nil {
		return err
	}
	runnerWith := func(opts ...runner.Option) *runner.Runner {
		// the scenarios are meant to fail: no logs are saved
		quiet := runner.WithFailed(func(context.Context, string, string) error { return nil })
		return lab.Runner(a.Config.Output, append([]runner.Option{quiet, runner.WithReporter(runner.Lines(a.Err))}, opts...)...)
	}
	histories := func(ctx context.Context, list []mutants.Mutant, found func(mutants.Finding)) error {
		settings := fuzz.Defaults()
		settings.Log = a.Err
		return fuzz.Notice(ctx, lab, probe.New(lab.Cluster, probe.WithGuard(lab.Guard()), probe.WithConcurrency(fuzzLanes)), settings, list, found)
	}
	outcome, failed := mutants.Run(ctx, lab, runnerWith, scenarios, histories, chosen, a.Err)
	if failed != nil && (ctx.Err() != nil || len(outcome.Findings) == 0) {
		return failed
	}
	if failed != nil {
		_, _ = fmt.Fprintln(a.Err, "svclab: error:", failed)
	}
	if err := a.saveMutants(began, described, outcome); err != nil {
		return err
	}
	if err := mutants.Text(a.Out, outcome, console.Width(a.Out, 140)); err != nil {
		return err
	}
	result := outcome.Result()
	if failed != nil {
		result = reach.Worse(result, reach.Inconclusive)
	}
	return console.Judged(result)
}

// saveMutants writes all observations into the folder mutants of the output folder, as svclab verify does: a step that
// noticed a fault is a failure there.
func (a *app) saveMutants(began time.Time, described report.Cluster, outcome mutants.Outcome) error {
	var planned []string
	for _, v := range outcome.Runs {
		planned = append(planned, v.Scenario)
	}
	return report.WriteAll(filepath.Join(a.Config.Output, "mutants"), report.Run{Tool: "svclab mutants", Version: version(), Started: began,
		Elapsed: outcome.Elapsed, Cluster: described, Plan: report.PlanFor(planned, outcome.Runs), Verdicts: outcome.Runs})
}
