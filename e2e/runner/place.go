package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
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
	return r.in(ctx, at, sc, observe.Suite())
}

// Goal judges whether the place has become what the steps say: see observe.Goal.
func (r *Runner) Goal(ctx context.Context, at Place, sc scenario.Scenario) reach.Verdict {
	return r.in(ctx, at, sc, observe.Goal())
}

func (r *Runner) in(ctx context.Context, at Place, sc scenario.Scenario, policy observe.Policy) (verdict reach.Verdict) {
	start := time.Now()
	verdict = reach.Verdict{Scenario: sc.Name, Title: sc.Title, Result: reach.Pass}
	s := r.session(sc, at, policy)
	add := func(step reach.Step) {
		verdict.Steps = append(verdict.Steps, step)
		verdict.Result = reach.Worse(verdict.Result, step.Result)
	}
	defer func() {
		if err := s.StopFlows(); err != nil {
			add(reach.Step{Name: "stop traffic", Result: reach.Inconclusive, Why: err.Error()})
		}
		verdict.Elapsed = time.Since(start)
	}()
	if err := s.Survey(ctx); err != nil {
		add(reach.Step{Name: "see what is there", Result: reach.Inconclusive, Why: err.Error()})
		return verdict
	}
	s.steps(ctx, &verdict, add)
	return verdict
}

// steps does the scenario's steps and adds what came of each. A step that only looks may fail without ending the
// scenario; after any other that fails the rest makes no sense and is reported as not run. Before a goal's steps change
// anything, all before them must have passed.
func (s *session) steps(ctx context.Context, verdict *reach.Verdict, add func(reach.Step)) {
	stopped := ""
	for _, step := range s.Scenario.Steps {
		if !s.Facts.HasFamily(step.Family) {
			continue
		}
		switch {
		case stopped != "":
		case ctx.Err() != nil:
			stopped = fmt.Sprintf("the run was cancelled: %v", context.Cause(ctx))
			verdict.Result = reach.Worse(verdict.Result, reach.Inconclusive)
		case s.Policy.StopAtFailure && !step.Action.ReadOnly() && verdict.Result != reach.Pass:
			stopped = "what comes before it is not so yet"
		}
		if stopped != "" {
			add(reach.Step{Name: step.Name, Result: reach.Skipped, Why: "not run: " + stopped})
			continue
		}
		if why := s.Gated(ctx, step); why != "" {
			add(reach.Step{Name: step.Name, Result: reach.Skipped, Why: why})
			continue
		}
		if err := s.runAlone(ctx, step); err != nil {
			stopped = fmt.Sprintf("other scenarios did not end: %v", err)
			add(reach.Step{Name: step.Name, Result: reach.Inconclusive, Why: stopped})
			continue
		}
		done := s.timed(ctx, step, func(bounded context.Context) (steps.Report, error) {
			if err := s.runner.before(bounded, s.Scenario.Name, step, s.Namespace); err != nil {
				return steps.Report{}, fmt.Errorf("before the step: %w", err)
			}
			return s.Do(ctx, bounded, step)
		})
		add(done)
		if done.Result != reach.Pass && done.Result != reach.Skipped && !step.Action.ReadOnly() {
			stopped = fmt.Sprintf("step %q did not succeed", step.Name)
		}
	}
}

// Rest returns when the place's objects have settled, or are idle.
func (r *Runner) Rest(ctx context.Context, at Place) error {
	s, err := r.visit(ctx, at)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.StepTimeout, steps.ErrTimeout)
	defer cancel()
	_, err = s.Quiesce(bounded)
	return err
}
