package runner

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
	"github.com/svclab/svclab/e2e/world"
)

// expect waits for the objects to settle and for kube-proxy, then observes and judges the named tables: see package
// observe. The step's time, in bounded, is for the waits. Probes get as long as they need: their time follows from the
// tables, and a path that drops every packet takes the longest.
func (s *session) expect(ctx, bounded context.Context, names []string, within time.Duration) (stepReport, error) {
	var report stepReport
	if s.scenario.Serial { // an earlier step may have restarted what the vantages stand on
		if err := s.survey(bounded); err != nil {
			return report, err
		}
	}
	var allow []string
	for _, name := range names {
		allow = append(allow, s.scenario.Tables[name].Allow...)
	}
	if _, err := s.settle(bounded, allow); err != nil {
		return report, err
	}
	if line := s.waitForKubeProxy(bounded); line != "" {
		report.lines = append(report.lines, line)
	}
	if err := s.flushNeighbours(bounded, names); err != nil {
		return report, err
	}
	result, err := observe.Engine{
		Policy: s.policy, Prober: s.runner.prober, Timeouts: s.runner.settings.Timeouts, Within: within, Progress: s.progress.say,
		Snapshot: func(ctx context.Context) (world.World, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, s.runner.settings.StepTimeout, errTimeout)
			defer cancel()
			return s.snapshot(ctx)
		},
		Predict: func(w world.World) func(reach.Vantage, reach.Target) reach.Prediction {
			return func(v reach.Vantage, t reach.Target) reach.Prediction { return s.runner.predict(w, v, t) }
		},
		Tables: func(w world.World) ([]observe.Table, error) { return s.tables(w, names) },
	}.Observe(ctx)
	report.tables, report.lines = result.Tables, append(report.lines, result.Lines...)
	if err == nil && len(result.Missing) > 0 {
		err = failf("%s", strings.Join(result.Missing, "; "))
	}
	return report, err
}

// tables matches the named tables with a snapshot.
func (s *session) tables(w world.World, names []string) ([]observe.Table, error) {
	var (
		tables []observe.Table
		errs   []error
		site   = table.Site{Namespace: s.namespace, World: w, Vantages: s.vantages, Former: s.former}
	)
	for _, name := range names {
		expected := s.scenario.Tables[name]
		t, err := s.table(site, expected)
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
func (s *session) table(site table.Site, expected scenario.Table) (observe.Table, error) {
	var (
		grid    table.Grid
		missing []string
		err     error
	)
	if s.policy.MissingFails {
		grid, missing, err = present(site, expected)
	} else {
		grid, err = site.Match(expected)
	}
	if err != nil {
		return observe.Table{}, err
	}
	t := observe.Table{Vantages: grid.Vantages, Targets: grid.Targets, Missing: missing}
	var errs []error
	for _, cell := range grid.Cells {
		prediction, err := site.Expected(expected, cell)
		switch {
		case err != nil && !s.policy.MissingFails:
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
func present(site table.Site, expected scenario.Table) (grid table.Grid, missing []string, err error) {
	grid, gaps, err := site.Lay(expected)
	grid.Vantages = slices.DeleteFunc(grid.Vantages, func(v reach.Vantage) bool {
		return !slices.ContainsFunc(grid.Cells, func(c table.Cell) bool { return c.Vantage.Name == v.Name })
	})
	grid.Targets = slices.DeleteFunc(grid.Targets, func(t reach.Target) bool {
		return !slices.ContainsFunc(grid.Cells, func(c table.Cell) bool { return c.Target.Name() == t.Name() })
	})
	if missing = slices.Concat(gaps.Services, gaps.Targets); len(missing) == 0 {
		missing = slices.Concat(gaps.Rows, gaps.Families)
	}
	return grid, missing, err
}

// convergence bounds how long traffic may differ from the prediction after the objects have settled.
func (s *session) convergence() time.Duration {
	if s.policy.HalfConvergence {
		return s.runner.settings.Convergence / 2
	}
	return s.runner.settings.Convergence
}

// waitForKubeProxy is observe.WaitForKubeProxy, on a cluster that can run programs at its nodes.
func (s *session) waitForKubeProxy(ctx context.Context) string {
	exec, ok := s.runner.cluster.(Commander)
	if !ok {
		return ""
	}
	s.progress.say("kube-proxy to have written its rules", "")
	defer s.progress.say("", "")
	return observe.WaitForKubeProxy(ctx, exec, s.vantages, s.runner.settings.Convergence)
}

// flushNeighbours is observe.FlushNeighbours, where the policy wants it and the tables may probe a load-balancer address.
func (s *session) flushNeighbours(ctx context.Context, names []string) error {
	exec, ok := s.runner.cluster.(Commander)
	atBalancer := slices.ContainsFunc(names, func(name string) bool {
		kinds := s.scenario.Tables[name].Kinds
		return len(kinds) == 0 || slices.Contains(kinds, reach.LoadBalancer)
	})
	if !ok || !atBalancer || !s.policy.NewClients {
		return nil
	}
	return observe.FlushNeighbours(ctx, exec, s.vantages)
}
