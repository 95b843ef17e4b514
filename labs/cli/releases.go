package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/fuzz"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/releases"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/cli/console"
)

// releasesFolder is the folder of what svclab releases writes, in the output folder.
const releasesFolder = "releases"

// tour is what svclab releases tries.
type tour struct {
	releases, modes, scenarios, only []string
	fuzz, histories                  int
	seed                             uint64
	again                            bool
	cases                            []releases.Case
	suite                            []scenario.Scenario
}

func (a *app) releases() *cobra.Command {
	var t tour
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "Show the known bugs of kube-proxy's releases, and try suite and fuzz on them",
		Long: `Runs other releases of kube-proxy on the cluster that svclab up brought up, one after the other, in each proxy mode: it changes
the DaemonSet, not the cluster, and restores the cluster's own kube-proxy at the end. Each release is to show the bugs that
it is known to have, and no other: manifests/releases has them as data. Those that show in a release's rules need no cluster:
its proxiers are built and a packet follows their rules, as in make test-oracle.

With --scenarios, scenarios of the suite run too, with --fuzz random Services, and with --histories random histories. A scenario that fails for a known bug is
explained by it.

Prints one table. The folder releases in the output folder has it as JSON and text, and a file for each release and mode: what
an interrupted run has done, the next one does not do again, unless --again is given. A release is built from Go modules
when it is first used, which takes minutes; one that does not build or start is a line of the table, and the others go on.

Exit codes: 0 each release did what is known of it, 1 one did not, 2 something could not be tried.`,
		Example: "  svclab releases\n  svclab releases --releases v1.33.0,v1.37.2 --modes nftables --scenarios limits,udp --fuzz 40",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runReleases(cmd.Context(), t) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&t.releases, "releases", releases.Default(), "releases of kube-proxy")
	flags.StringSliceVar(&t.modes, "modes", []string{cluster.NFTables, cluster.IPTables}, "proxy modes")
	flags.StringSliceVar(&t.only, "cases", nil, "only these bugs of manifests/releases (default: all)")
	flags.StringSliceVar(&t.scenarios, "scenarios", nil, "scenarios of the suite to run as well, or all")
	flags.IntVar(&t.fuzz, "fuzz", 0, "how many random Services to try as well, with the same seed on each release")
	flags.IntVar(&t.histories, "histories", 0, "how many random histories with standing traffic to play as well")
	flags.Uint64Var(&t.seed, "seed", 1, "seed of the random Services and histories")
	flags.BoolVar(&t.again, "again", false, "do again what an earlier run has done")
	a.ClusterFlags(cmd)
	return cmd
}

// checkTour reads the cases and scenarios that the flags name, and says what is wrong with the flags.
func (a *app) checkTour(t *tour) (err error) {
	for i, release := range t.releases {
		if !strings.HasPrefix(release, "v") {
			t.releases[i] = "v" + release
		}
		if _, err := world.ParseRelease(t.releases[i]); err != nil {
			return fmt.Errorf("--releases: %w", err)
		}
	}
	if len(t.releases) == 0 || len(t.modes) == 0 {
		return errors.New("name at least one of --releases and at least one of --modes")
	}
	for _, list := range [][]string{t.releases, t.modes} {
		if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) < len(list) {
			return fmt.Errorf("%s names one twice; name each once", strings.Join(list, ","))
		}
	}
	for _, mode := range t.modes {
		one := a.Config
		one.ProxyMode = mode
		if err := one.Check(); err != nil {
			return err
		}
	}
	if t.fuzz < 0 {
		return fmt.Errorf("--fuzz=%d; give 0 or more", t.fuzz)
	}
	if t.histories < 0 {
		return fmt.Errorf("--histories=%d; give 0 or more", t.histories)
	}
	known := steps.Kinds(checks.Names()...)
	if t.cases, err = releases.Load(a.Manifests, known); err != nil {
		return err
	}
	for _, name := range t.only {
		if !slices.ContainsFunc(t.cases, func(c releases.Case) bool { return c.Name == name }) {
			return fmt.Errorf("--cases=%s: manifests/releases has no such bug; it has %s", name, strings.Join(bugs(t.cases), ", "))
		}
	}
	if len(t.scenarios) > 0 {
		wanted := t.scenarios
		if slices.Equal(wanted, []string{"all"}) {
			wanted = nil
		}
		t.suite, err = a.scenarios(wanted)
	}
	return err
}

func bugs(cases []releases.Case) []string {
	list := make([]string, len(cases))
	for i, c := range cases {
		list[i] = c.Name
	}
	return list
}

func (a *app) runReleases(ctx context.Context, t tour) (err error) {
	if err := a.checkTour(&t); err != nil {
		return err
	}
	lab, described, err := a.lab(ctx)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, lab.Close(clean)) // restores the cluster's own kube-proxy
	}()
	folder := filepath.Join(a.Config.Output, releasesFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	var rows []releases.Row
	for _, release := range t.releases {
		for _, mode := range t.modes {
			file := filepath.Join(folder, release+"-"+mode+".json")
			row, done, err := earlier(file, t)
			if err != nil {
				return err
			}
			if !done {
				_, _ = fmt.Fprintf(a.Err, "svclab: kube-proxy %s, %s mode\n", release, mode)
				row = a.tryRelease(ctx, lab, described.Kubernetes, release, mode, t)
				if ctx.Err() != nil {
					return context.Cause(ctx) // what was done before is on disk
				}
				if err := writeJSON(file, row); err != nil {
					return err
				}
			}
			rows = append(rows, row)
		}
	}
	var table strings.Builder
	if err := errors.Join(releases.Text(&table, rows, t.cases), writeJSON(filepath.Join(folder, "releases.json"), rows),
		os.WriteFile(filepath.Join(folder, "releases.txt"), []byte(table.String()), 0o644)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.Out, table.String()); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return console.Judged(releases.Result(rows))
}

// earlier reads what an earlier run has done. What could not be tried, or was another task, is done again.
func earlier(file string, t tour) (row releases.Row, done bool, err error) {
	if t.again {
		return row, false, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return row, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &row)
	}
	if err != nil {
		return row, false, fmt.Errorf("read what an earlier run has done: %w; --again does it again", err)
	}
	return row, row.Complete() && row.Task == t.task(), nil
}

// task says what is tried on each release.
func (t tour) task() string {
	var bugs []string
	for _, c := range t.cases {
		if t.wants(c) {
			bugs = append(bugs, c.Name)
		}
	}
	return fmt.Sprintf("cases %v, scenarios %v, %d Services and %d histories of seed %d", bugs, names(t.suite), t.fuzz, t.histories, t.seed)
}

// wants says whether a case is among those that the flags name.
func (t tour) wants(c releases.Case) bool { return len(t.only) == 0 || slices.Contains(t.only, c.Name) }

// writeJSON replaces a file in one step.
func writeJSON(file string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".part", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// tryRelease has one release in one mode show its bugs, and run suite and fuzz.
func (a *app) tryRelease(ctx context.Context, lab lab.Cluster, kubernetes, release, mode string, t tour) releases.Row {
	row := releases.Row{Release: release, Mode: mode, Task: t.task()}
	var inCluster []scenario.Scenario
	known := map[string]releases.Case{}
	var rules []string
	for _, c := range t.cases {
		if !t.wants(c) || !slices.Contains(c.Modes, mode) {
			continue
		}
		known[c.Name] = c
		if c.Rules != nil {
			rules = append(rules, c.Name)
		} else {
			inCluster = append(inCluster, *c.Scenario)
		}
	}
	fail := func(err error) releases.Row {
		row.Error = err.Error()
		return row
	}
	var trouble error
	if len(rules) > 0 {
		outcomes, err := a.Config.Rules(ctx, release, mode, rules)
		if err != nil {
			trouble = fmt.Errorf("the rules of its proxiers: %w", err)
		}
		row.Cases = append(row.Cases, outcomes...)
	}
	proxy, err := a.Config.BuildProxy(ctx, release, kubernetes)
	if err == nil {
		err = lab.UseProxy(ctx, proxy, mode)
	}
	if err != nil {
		return fail(errors.Join(trouble, err))
	}
	outcome, err := a.runOn(ctx, lab, append(inCluster, t.suite...))
	if err != nil {
		return fail(errors.Join(trouble, err))
	}
	for _, v := range outcome.Verdicts {
		c, isCase := known[v.Scenario]
		isCase = isCase && c.Scenario != nil
		f := releases.Failed(v)
		switch {
		case isCase:
			row.Cases = append(row.Cases, releases.Outcome{Release: release, Mode: mode, Case: c.Name, Known: c.Has(release, mode),
				Ran: v.Result == reach.Pass || v.Result == reach.Fail, Shown: v.Result == reach.Fail, Seen: f.First + v.Skip})
		case v.Result == reach.Skipped:
		case v.Result == reach.Pass:
			row.Suite++
		default:
			row.Suite++
			f.Case = releases.Explain(t.cases, release, mode, v.Scenario)
			row.Found = append(row.Found, f)
		}
	}
	for _, by := range []struct {
		what             string
		count, histories int
	}{{"fuzz", t.fuzz, 0}, {"history", t.histories, t.histories}} {
		if by.count == 0 {
			continue
		}
		settings := fuzz.Defaults()
		settings.Seed, settings.Count, settings.Histories, settings.Log = t.seed, by.count, by.histories, a.Err
		fuzzed, err := fuzz.Run(ctx, lab, probe.New(lab.Cluster, probe.WithConcurrency(fuzzLanes)), settings)
		row.Fuzzed += by.count
		trouble = errors.Join(trouble, err)
		for _, d := range fuzzed.Disagreements {
			f := releases.Finding{By: by.what, Name: d.Signature, Smallest: d.YAML}
			if len(d.Cells) > 0 {
				f.First = fmt.Sprintf("%s to %s: %s", d.Cells[0].Cell.Vantage.Name, d.Cells[0].Cell.Target.Name(), d.Cells[0].Why)
			}
			for _, command := range d.Commands {
				f.Smallest += "\n# " + strings.Join(command, "\n# ")
			}
			f.First = cmp.Or(f.First, d.Ended)
			row.Found = append(row.Found, f)
		}
	}
	if trouble != nil {
		row.Error = trouble.Error()
	}
	return row
}

// runOn runs scenarios on the cluster, with progress on Err.
func (a *app) runOn(ctx context.Context, lab lab.Cluster, scenarios []scenario.Scenario) (runner.Outcome, error) {
	if len(scenarios) == 0 {
		return runner.Outcome{}, nil
	}
	reporter, stop := a.showing(false, false, names(scenarios), map[string]time.Duration{})
	defer stop()
	return lab.Runner(filepath.Join(a.Config.Output, releasesFolder), runner.WithReporter(reporter)).Run(ctx, scenarios)
}
