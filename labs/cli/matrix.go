package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/cli/console"
)

func (a *app) matrix() *cobra.Command {
	var (
		plain           bool
		procs           int
		labels          string
		modes, families []string
	)
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Run the whole suite in every proxy mode and IP family, and compare",
		Long: `Runs what svclab e2e runs, once for each combination of kube-proxy mode and IP families, one after the other and each on a
cluster of its own. Prints one comparison: every scenario's verdict and time in each run. The reports of a run are in a
folder of its own in the output folder, such as matrix/nftables-ipv4.

Exit codes: 0 every run passed, 1 a scenario failed in one of them, 2 no verdict was possible.`,
		Example: "  svclab matrix\n  svclab matrix --modes nftables --families ipv4,dual --label-filter scenario:nodeport",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runMatrix(cmd.Context(), modes, families, suite{procs: procs, labels: labels, plain: plain})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&modes, "modes", []string{"nftables", "iptables"}, "kube-proxy modes")
	flags.StringSliceVar(&families, "families", []string{"ipv4", "dual"}, "IP families")
	flags.IntVar(&procs, "procs", runner.Defaults().Workers, "how many specs run at once")
	flags.StringVar(&labels, "label-filter", "", "run only specs whose labels match, as Ginkgo's --label-filter")
	flags.BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	a.ClusterFlags(cmd, "name", "kubernetes", "proxy", "coredns", "images", "workers", "host-port", "output")
	return cmd
}

// runMatrix runs all combinations and prints the comparison. A run that failed does not end it. A run that left no result
// does, and then the comparison covers the runs before it.
func (a *app) runMatrix(ctx context.Context, modes, families []string, s suite) (err error) {
	if len(modes) == 0 || len(families) == 0 {
		return errors.New("a matrix needs at least one of --modes and one of --families")
	}
	var (
		columns []report.Column
		runs    []app
		trouble error
	)
	for _, list := range [][]string{modes, families} {
		if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) < len(list) {
			return fmt.Errorf("%s names one twice; name each once", strings.Join(list, ","))
		}
	}
	for _, family := range families {
		for _, mode := range modes {
			one := *a
			one.Config.ProxyMode, one.Config.Family = mode, family
			one.Config.Output = filepath.Join(a.Config.Output, "matrix", mode+"-"+family)
			if err := one.Config.Check(); err != nil {
				return err
			}
			runs = append(runs, one)
		}
	}
	_, lock, err := a.forRun(ctx, &s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	for i, one := range runs {
		one.Config.Use = a.Config.Use
		head := one.Config.ProxyMode + " " + one.Config.Family
		_, _ = fmt.Fprintf(a.Err, "svclab: %s, %d of %d\n", head, i+1, len(runs))
		var run *report.Run
		settings, err := one.Config.Settings(ctx)
		if err == nil {
			run, err = one.suite(ctx, s, settings, lock)
		}
		if run == nil {
			trouble = fmt.Errorf("%s: %w", head, err)
			break
		}
		columns = append(columns, report.Column{Head: head, Run: *run})
	}
	if len(columns) > 0 {
		if err := report.Matrix(a.Out, columns, a.ReportStyle(false, s.plain)); err != nil {
			return errors.Join(trouble, fmt.Errorf("print the comparison: %w", err))
		}
	}
	if trouble != nil {
		return trouble
	}
	return console.Judged(report.MatrixResult(columns))
}
