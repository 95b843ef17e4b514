package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Expect sends the requests of the named tables of expect.yaml and judges the answers.
type Expect []string

// Validate wants a table.
func (e Expect) Validate(scenario.Scenario) error {
	if len(e) == 0 {
		return errors.New("expect names no table")
	}
	return nil
}

// Describe names the tables.
func (e Expect) Describe() string { return "expect " + strings.Join(e, ", ") }

// ReadOnly is true.
func (Expect) ReadOnly() bool { return true }

// Uses are the tables.
func (e Expect) Uses(scenario.Scenario) scenario.Uses { return scenario.Uses{Tables: e} }

// Do waits for the objects to settle, then observes and judges the named tables: see package
// observe. The step's time, in bounded, is for the waits. Probes get as long as they need: their time follows from the
// tables, and a path that drops every packet takes the longest.
func (e Expect) Do(bounded context.Context, env *Env) (Report, error) {
	var report Report
	if env.Scenario.Serial { // an earlier step may have restarted what the vantages stand on
		if err := env.Survey(bounded); err != nil {
			return report, err
		}
	}
	var allow []string
	for _, name := range e {
		allow = append(allow, env.Scenario.Tables[name].Allow...)
	}
	settled, err := env.settle(bounded, allow)
	if err != nil {
		return report, err
	}
	if err := env.flushNeighbours(bounded, e); err != nil {
		return report, err
	}
	result, err := observe.Engine{
		Policy: env.Policy, Prober: env.Prober, Timeouts: env.Settings.Timeouts, Within: env.step.Within.Or(env.convergence()), Progress: env.Progress.Say,
		Programmed: env.programmed, Sums: env.sums(),
		Snapshot: env.reminding(firstly(settled, env.snapshot), allow),
		Predict: func(w world.World) func(reach.Vantage, reach.Target) reach.Prediction {
			return func(v reach.Vantage, t reach.Target) reach.Prediction { return env.Predict(w, v, t) }
		},
		Tables: func(w world.World) ([]observe.Table, error) { return env.tables(w, e) },
	}.Observe(env.run)
	report.Tables, report.Lines, report.Missing = result.Tables, result.Lines, result.Missing
	if err == nil {
		var lines []string
		lines, err = env.trace(env.run, result)
		report.Lines = append(report.Lines, lines...)
	}
	if err == nil && len(result.Missing) > 0 {
		var lines []string
		for _, m := range result.Missing {
			lines = append(lines, m.What)
		}
		err = reach.Failf("%s", strings.Join(lines, "; "))
	}
	return report, err
}

// sums are the scenario's so far, where more may be sent; see observe.Engine.
func (env *Env) sums() map[string]int {
	if !env.Facts.RefusesFreely || env.Policy != observe.Suite() {
		return nil
	}
	if env.sent == nil || env.step.Alone {
		env.sent = map[string]int{}
	}
	return env.sent
}

// firstly returns w the first time, which was taken a moment ago, and another snapshot after that.
func firstly(w world.World, snapshot wait.Snapshot) wait.Snapshot {
	used := false
	return func(ctx context.Context) (world.World, error) {
		if used {
			return snapshot(ctx)
		}
		used = true
		return w, nil
	}
}

// reminding bounds a snapshot, and reminds MetalLB of a report that is lost after the objects have settled: see reminder. The
// bound of convergence is longer than lostAfter.
func (env *Env) reminding(snapshot wait.Snapshot, allow []string) wait.Snapshot {
	lost := reminder{bound: time.Now().Add(lostAfter)}
	return func(ctx context.Context) (world.World, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, env.Settings.StepTimeout, ErrTimeout)
		defer cancel()
		w, err := snapshot(ctx)
		if err == nil && lost.due() && !env.Policy.AcceptIdle && !slices.Contains(allow, "pending") {
			err = lost.remind(ctx, env, w.Unannounced(env.Namespace))
		}
		return w, err
	}
}

// tables matches the named tables with a snapshot.
func (env *Env) tables(w world.World, names []string) ([]observe.Table, error) {
	var (
		tables []observe.Table
		errs   []error
		site   = table.Site{Namespace: env.Namespace, World: w, Vantages: env.Vantages, Former: env.former}
	)
	for _, name := range names {
		expected := env.Scenario.Tables[name]
		t, err := env.table(site, expected)
		if err != nil {
			errs = append(errs, fmt.Errorf("table %q: %w", name, err))
		}
		if t.Title = expected.Title; t.Title == "" {
			t.Title = name
		}
		tables = append(tables, t)
	}
	return tables, errors.Join(errs...)
}

// table matches one table. What it names and the world does not have is missing, where the policy says so; otherwise it
// is an error.
func (env *Env) table(site table.Site, expected scenario.Table) (observe.Table, error) {
	var (
		grid    table.Grid
		missing []reach.Missing
		err     error
	)
	if env.Policy.MissingFails {
		grid, missing, err = present(site, expected)
	} else {
		grid, err = site.Match(expected)
	}
	if err != nil {
		return observe.Table{}, err
	}
	t := observe.Table{Vantages: grid.Vantages, Targets: grid.Targets, Missing: missing, Proportions: expected.Proportions}
	var errs []error
	for _, cell := range grid.Cells {
		prediction, err := site.Expected(expected, cell)
		switch {
		case err != nil && !env.Policy.MissingFails:
			errs = append(errs, err)
			continue
		case err != nil: // the backend is missing, and no other one may answer in its place
			prediction.Backends = []string{expected.Rows[cell.Row].By.String()}
		}
		t.Cells = append(t.Cells, observe.Cell{Vantage: cell.Vantage, Target: cell.Target, Expected: &prediction})
	}
	return t, errors.Join(errs...)
}

// present lays out what there is of a table; missing is the rest. A Service that is missing has no rows either, so these
// are not named too.
func present(site table.Site, expected scenario.Table) (grid table.Grid, missing []reach.Missing, err error) {
	grid, gaps, err := site.Lay(expected)
	grid.Vantages = slices.DeleteFunc(grid.Vantages, func(v reach.Vantage) bool {
		return !slices.ContainsFunc(grid.Cells, func(c table.Cell) bool { return c.Vantage.Name == v.Name })
	})
	grid.Targets = slices.DeleteFunc(grid.Targets, func(t reach.Target) bool {
		return !slices.ContainsFunc(grid.Cells, func(c table.Cell) bool { return c.Target.Name() == t.Name() })
	})
	lines := slices.Concat(gaps.Services, gaps.Targets)
	if len(lines) == 0 {
		missing, lines = gaps.Rows, gaps.Families
	}
	for _, line := range lines {
		missing = append(missing, reach.Missing{What: line})
	}
	return grid, missing, err
}

// convergence bounds how long traffic may differ from the prediction after the objects have settled.
func (env *Env) convergence() time.Duration {
	if env.Policy.HalfConvergence {
		return env.Settings.Convergence / 2
	}
	return env.Settings.Convergence
}

// programmed is observe.WaitForKubeProxy, on a cluster that can run programs at its nodes.
func (env *Env) programmed(ctx context.Context) (behind map[string]time.Duration, unknown string) {
	exec, ok := env.Cluster.(Commander)
	if !ok {
		return nil, ""
	}
	return observe.WaitForKubeProxy(ctx, exec, env.Vantages, env.Settings.Convergence)
}

// flushNeighbours is observe.FlushNeighbours, where the policy wants it and the tables may probe a load-balancer address.
func (env *Env) flushNeighbours(ctx context.Context, names []string) error {
	exec, ok := env.Cluster.(Commander)
	atBalancer := slices.ContainsFunc(names, func(name string) bool {
		kinds := env.Scenario.Tables[name].Kinds
		return len(kinds) == 0 || slices.Contains(kinds, reach.LoadBalancer)
	})
	if !ok || !atBalancer || !env.Policy.NewClients {
		return nil
	}
	return observe.FlushNeighbours(ctx, exec, env.Vantages)
}
