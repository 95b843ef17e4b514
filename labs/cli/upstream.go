package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/upstream"
	"github.com/svclab/svclab/labs/cli/console"
)

// upstreamFolder is the folder of the comparison and of the specs' own log and report, in the output folder.
const upstreamFolder = "upstream"

func (a *app) upstream() *cobra.Command {
	var (
		procs   int
		timeout time.Duration
		ours    bool
	)
	cmd := &cobra.Command{
		Use:   "upstream [SCENARIO…]",
		Short: "Run Kubernetes' own conformance specs of Services and svclab's scenarios, and compare them",
		Long: `Builds the end-to-end tests that Kubernetes is released with from its Go module, runs the [sig-network] specs of Services
that are [Conformance] on the cluster that svclab up brought up, in the mode it is in, then svclab's scenarios, all of them
by default. Prints which behaviours each covers and how long each takes. The folder upstream in the output folder has the
comparison as text and JSON, and the specs' own log. The specs are those of the cluster's Kubernetes minor version.

It refuses a cluster in which an exercise of svclab learn is under way: see svclab learn stop.

Exit codes: 0 all passed, 1 a spec or a scenario failed, 2 no verdict was possible.`,
		Example: "  svclab upstream\n  svclab upstream clusterip nodeport\n  svclab upstream --ours=false --timeout 40m",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := console.CheckProcs(procs); err != nil {
				return err
			}
			if timeout <= 0 {
				return fmt.Errorf("--timeout=%s: use a time of more than 0, such as 20m", timeout)
			}
			if len(args) > 0 && !ours {
				return fmt.Errorf("--ours=false leaves out every scenario, and %s was named: give one or the other", strings.Join(args, ", "))
			}
			return a.runUpstream(cmd.Context(), args, ours, upstream.Settings{Processes: procs, Timeout: timeout})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&procs, "procs", 8, "how many of the specs run at once")
	flags.DurationVar(&timeout, "timeout", 20*time.Minute, "how long all specs together may take")
	flags.BoolVar(&ours, "ours", true, "also run svclab's scenarios")
	a.ClusterFlags(cmd)
	return cmd
}

func (a *app) runUpstream(ctx context.Context, wanted []string, both bool, settings upstream.Settings) error {
	scenarios, err := a.scenarios(wanted)
	if err != nil {
		return err
	}
	lab, described, err := a.lab(ctx)
	if err != nil {
		return err
	}
	if settings.Programs, err = a.Config.Upstream(ctx); err != nil {
		return err
	}
	specs, err := upstream.Specs(minorOf(settings.Version))
	if err != nil {
		return err
	}
	settings.Kubeconfig, settings.Context, settings.Client = lab.Kubeconfig(), lab.Context(), lab.Client()
	settings.Output, settings.Log = filepath.Join(a.Config.Output, upstreamFolder), a.Err
	settings.Keep = lab.Lock().Files()

	theirs, failed := upstream.Run(ctx, settings, specs)
	if failed != nil && (ctx.Err() != nil || len(theirs.Specs) == 0) {
		return failed
	}
	var run *report.Run
	if both {
		made, err := a.runScenarios(ctx, lab, described, scenarios, runner.Settings{}, false, false)
		if err != nil {
			return errors.Join(failed, err)
		}
		if err := report.WriteAll(a.Config.Output, made); err != nil {
			return err
		}
		run = &made
	}
	comparison := upstream.Compare(described, theirs, run)
	if err := errors.Join(failed, saveUpstream(settings.Output, comparison), upstream.Text(a.Out, comparison)); err != nil {
		return err
	}
	return console.Judged(comparison.Result())
}

// saveUpstream writes comparison.txt and comparison.json.
func saveUpstream(folder string, c upstream.Comparison) error {
	var text, data strings.Builder
	if err := errors.Join(upstream.Text(&text, c), upstream.JSON(&data, c)); err != nil {
		return err
	}
	for name, content := range map[string]string{"comparison.txt": text.String(), "comparison.json": data.String()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write the comparison: %w", err)
		}
	}
	return nil
}

// minorOf is the minor version, "1.37", of a version, "v1.37.2".
func minorOf(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
