package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/lesson"
)

func (a *app) verify() *cobra.Command {
	var (
		verbose, plain, keep, list, describe, traced bool
		shard                                        scenario.Shard
	)
	cmd := &cobra.Command{
		Use:   "verify [SCENARIO…]",
		Short: "Run scenarios on the lab's cluster, all of them by default",
		Long: `Runs scenarios on the cluster that svclab up brought up, prints what every vantage reached and why, and writes
result.json, junit.xml, report.txt and report.html to the output folder. The scenarios are those built into
the program. With --list and --describe it needs no cluster.

It refuses a cluster in which an exercise of svclab learn is under way: see svclab learn stop.

Exit codes: 0 every scenario passed, 1 one failed, 2 no verdict was possible, or no scenario could run on this cluster.`,
		Example: `  svclab verify
  svclab verify nodeport loadbalancer --verbose
  svclab verify --describe nodeport`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			all, err := a.scenarios(nil)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return names(all), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if list && describe {
				return errors.New("--list and --describe print different things; use one of them")
			}
			ctx := cmd.Context()
			scenarios, err := a.scenarios(args)
			if err != nil {
				return err
			}
			scenarios, part, err := a.take(shard, scenarios)
			if err != nil {
				return err
			}
			if list || describe {
				return a.printScenarios(scenarios, describe)
			}
			lab, described, err := a.lab(ctx)
			if err != nil {
				return err
			}
			defer func() { // restores what a scenario changed: mode-switch leaves kube-proxies that read a file of their node
				clean, cancel := console.Cleaning(ctx)
				defer cancel()
				err = errors.Join(err, lab.Close(clean))
			}()
			run, err := a.runScenarios(ctx, lab, described, scenarios, runner.Settings{Keep: keep, TraceAll: traced}, verbose, plain)
			if err != nil {
				return err
			}
			run.Shard = part
			return a.publish(run, verbose, plain)
		},
	}
	cmd.Flags().Var(&shard, "shard", shardUsage)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print every cell with its reason, and each step as it begins and ends")
	cmd.Flags().BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the namespaces of scenarios that did not pass")
	cmd.Flags().BoolVar(&traced, "trace", false, "trace a connection of every cell, not only of those that differ: see svclab trace")
	cmd.Flags().BoolVar(&list, "list", false, "only list the scenarios")
	cmd.Flags().BoolVar(&describe, "describe", false, "only describe the scenarios: the steps and the expected tables of each")
	a.ClusterFlags(cmd)
	return cmd
}

// printScenarios prints a line for each scenario or, with describe, its steps and expected tables.
func (a *app) printScenarios(scenarios []scenario.Scenario, describe bool) error {
	for i, s := range scenarios {
		var err error
		switch {
		case !describe:
			_, err = fmt.Fprintf(a.Out, "%-24s %s\n", s.Name, s.Title)
		case i > 0:
			_, err = fmt.Fprintln(a.Out)
			fallthrough
		default:
			err = errors.Join(err, scenario.Describe(a.Out, s))
		}
		if err != nil {
			return fmt.Errorf("print scenario %s: %w", s.Name, err)
		}
	}
	return nil
}

// runScenarios runs scenarios on the lab's cluster and prints progress to Err. A run that was cut off and has verdicts is not
// an error: its plan says which scenarios are missing.
func (a *app) runScenarios(ctx context.Context, lab lab.Cluster, described report.Cluster, scenarios []scenario.Scenario, settings runner.Settings, verbose, plain bool) (report.Run, error) {
	began := time.Now()
	took := a.lastTimes()
	settings.Took = took
	reporter, stop := a.showing(verbose, plain, names(scenarios), took)
	defer stop()
	outcome, err := lab.Runner(a.Config.Output, runner.WithReporter(reporter),
		runner.WithSettings(settings)).Run(ctx, scenarios)
	if err != nil && len(outcome.Verdicts) == 0 {
		return report.Run{}, err
	}
	return report.Run{Tool: "svclab", Version: version(), Started: began, Elapsed: time.Since(began), Cluster: described,
		Plan: report.PlanFor(names(scenarios), outcome.Verdicts), Verdicts: outcome.Verdicts}, nil
}

// lab returns the cluster that svclab up brought up, and its description for reports.
func (a *app) lab(ctx context.Context) (lab.Cluster, report.Cluster, error) {
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return lab.Cluster{}, report.Cluster{}, err
	}
	settings.Log = a.log()
	attached, err := cluster.Attach(ctx, settings, cluster.Alone)
	if err != nil {
		return lab.Cluster{}, report.Cluster{}, err
	}
	if err := lesson.NoneOpen(ctx, attached.Client(), attached.Name()); err != nil {
		return lab.Cluster{}, report.Cluster{}, err
	}
	found := lab.Cluster{Cluster: attached}
	described, err := found.Describe(ctx)
	return found, described, err
}

// publish writes the run's files, prints it, and returns its verdict.
func (a *app) publish(run report.Run, verbose, plain bool) error {
	if err := report.WriteAll(a.Config.Output, run); err != nil {
		return err
	}
	if err := report.Text(a.Out, run, a.ReportStyle(verbose, plain)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return console.Judged(run.Result())
}

// scenarios loads the named scenarios, all when none is named.
func (a *app) scenarios(wanted []string) ([]scenario.Scenario, error) {
	known := steps.Kinds(checks.Names()...)
	if len(wanted) == 0 {
		return scenario.LoadAll(a.Manifests, known)
	}
	return scenario.Load(a.Manifests, wanted, known)
}

func names(scenarios []scenario.Scenario) []string {
	list := make([]string, len(scenarios))
	for i, s := range scenarios {
		list[i] = s.Name
	}
	return list
}
