package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
)

// Place is where steps are carried out that are no scenario's: in namespaces that somebody else made and that stay.
type Place struct {
	Namespace string
	// Also are further namespaces in which steps may do as they like.
	Also []string
}

// In carries out the steps in a place, as Run does a scenario's, and undoes nothing: what was applied, patched or
// withheld stays so. Flows that are still on end with it.
func (r *Runner) In(ctx context.Context, at Place, sc scenario.Scenario) reach.Verdict {
	return r.in(ctx, at, sc, false)
}

// Goal judges whether the place has become what the steps say. What the steps say is a wish, and that it is not so is
// what is most often found. So, unlike in a scenario, nothing is waited for but that the cluster has come to rest:
//
//   - objects that have not settled are looked at as they are once nothing moves any more;
//   - traffic is waited for until it is as the oracle predicts of what is there, whatever the tables say; they are
//     compared afterwards;
//   - a Service, a target or a backend that a table speaks of and that is not there fails the table, and cells that no
//     row is about are left out;
//   - a step that changes something is not done once a step before it has failed, nor is any after that.
func (r *Runner) Goal(ctx context.Context, at Place, sc scenario.Scenario) reach.Verdict {
	return r.in(ctx, at, sc, true)
}

func (r *Runner) in(ctx context.Context, at Place, sc scenario.Scenario, goal bool) (verdict reach.Verdict) {
	start := time.Now()
	verdict = reach.Verdict{Scenario: sc.Name, Title: sc.Title, Result: reach.Pass}
	s := &session{runner: r, scenario: sc, progress: &progress{}, flows: map[string]Flow{}, journal: &journal{},
		namespace: at.Namespace, also: at.Also, goal: goal}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(r.cluster.Client().Discovery()))
	add := func(step reach.Step) {
		verdict.Steps = append(verdict.Steps, step)
		verdict.Result = reach.Worse(verdict.Result, step.Result)
	}
	defer func() {
		for name, flow := range s.flows {
			if _, err := flow.Stop(); err != nil {
				add(reach.Step{Name: "stop traffic " + name, Result: reach.Inconclusive, Why: err.Error()})
			}
		}
		verdict.Elapsed = time.Since(start)
	}()
	if err := s.survey(ctx); err != nil {
		add(reach.Step{Name: "see what is there", Result: reach.Inconclusive, Why: err.Error()})
		return verdict
	}
	s.steps(ctx, &verdict, add)
	return verdict
}

// steps does the scenario's steps and adds what came of each. A step that only looks may fail without ending the
// scenario; after any other that fails the rest makes no sense and is told as not run. Before a goal's steps change
// anything, all before them must have passed.
func (s *session) steps(ctx context.Context, verdict *reach.Verdict, add func(reach.Step)) {
	stopped := ""
	for _, step := range s.scenario.Steps {
		if !s.facts.HasFamily(step.Family) {
			continue
		}
		switch {
		case stopped != "":
		case ctx.Err() != nil:
			stopped = fmt.Sprintf("the run was cancelled: %v", context.Cause(ctx))
			verdict.Result = reach.Worse(verdict.Result, reach.Inconclusive)
		case s.goal && !onlyLooks(step) && verdict.Result != reach.Pass:
			stopped = "what comes before it is not so yet"
		}
		if stopped != "" {
			add(reach.Step{Name: step.Name, Result: reach.Skipped, Why: "not run: " + stopped})
			continue
		}
		done := s.timed(ctx, step, func(ctx context.Context) (stepReport, error) {
			if err := s.runner.before(ctx, s.scenario.Name, step, s.namespace); err != nil {
				return stepReport{}, fmt.Errorf("before the step: %w", err)
			}
			return s.do(ctx, step)
		})
		add(done)
		if done.Result != reach.Pass && done.Result != reach.Skipped && !onlyLooks(step) {
			stopped = fmt.Sprintf("step %q did not succeed", step.Name)
		}
	}
}

// grid lays out a table. missing is what a goal speaks of and is not there; in a scenario that is an error.
func (s *session) grid(where table.Site, t scenario.Table) (g table.Grid, missing []string, err error) {
	if !s.goal {
		g, err = where.Match(t)
		return g, nil, err
	}
	g, gaps, err := where.Lay(t)
	g.Vantages = slices.DeleteFunc(g.Vantages, func(v reach.Vantage) bool {
		return !slices.ContainsFunc(g.Cells, func(c table.Cell) bool { return c.Vantage.Name == v.Name })
	})
	g.Targets = slices.DeleteFunc(g.Targets, func(t reach.Target) bool {
		return !slices.ContainsFunc(g.Cells, func(c table.Cell) bool { return c.Target.Name() == t.Name() })
	})
	missing = slices.Concat(gaps.Services, gaps.Targets)
	if len(missing) == 0 {
		missing = slices.Concat(gaps.Rows, gaps.Families) // with a Service amiss, its rows are too
	}
	return g, missing, err
}

// convergence is how long the traffic may be otherwise than predicted. Of a goal the prediction may be wrong for as long as
// it is not met, and whoever waits for the verdict is a person.
func (s *session) convergence() time.Duration {
	if s.goal {
		return s.runner.settings.Convergence / 2
	}
	return s.runner.settings.Convergence
}

// silence marks the cells of goals that gave no answer to the end, whatever was predicted: they are then asked as denied
// ones are. open are the forecasts asked last, cells what came of them.
func silence(plans []plan, open []forecast, cells []reach.Cell) {
	quiet := map[string]bool{}
	for i, f := range open {
		quiet[f.key()] = f.goal && !slices.ContainsFunc(cells[i].Observations, func(o reach.Observation) bool { return o.Outcome == reach.Reached })
	}
	for _, p := range plans {
		for i := range p.forecasts {
			p.forecasts[i].silent = quiet[p.forecasts[i].key()]
		}
	}
}

// judgeGoal judges a cell by what is wished for alone; what the oracle predicts of the objects as they are says why.
func judgeGoal(cell reach.Cell, oracle, wished reach.Prediction) reach.CellVerdict {
	v := reach.Judge(cell, wished, nil)
	v.Oracle, v.Written = oracle, &wished
	if v.Result == reach.Fail {
		v.Alone = "written table"
		v.Why = fmt.Sprintf("%s; it is so because %s", v.Differences[0], oracle.Reason)
		if len(reach.Compare(oracle, cell)) > 0 {
			v.Alone = "observation"
			v.Why = fmt.Sprintf("%s; the objects do not say why", v.Differences[0])
		}
	}
	return v
}

// Rest returns when the place's objects have settled, or have come to rest otherwise.
func (r *Runner) Rest(ctx context.Context, at Place) error {
	s, err := r.visit(ctx, at)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.StepTimeout, errTimeout)
	defer cancel()
	_, err = s.calm(bounded)
	return err
}
