package runner

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
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
	s := &session{runner: r, scenario: sc, progress: &progress{}, flows: map[string]Flow{}, journal: &journal{},
		namespace: at.Namespace, also: at.Also, policy: policy}
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
		case s.policy.StopAtFailure && !step.Action.ReadOnly() && verdict.Result != reach.Pass:
			stopped = "what comes before it is not so yet"
		}
		if stopped != "" {
			add(reach.Step{Name: step.Name, Result: reach.Skipped, Why: "not run: " + stopped})
			continue
		}
		done := s.timed(ctx, step, func(bounded context.Context) (stepReport, error) {
			if err := s.runner.before(bounded, s.scenario.Name, step, s.namespace); err != nil {
				return stepReport{}, fmt.Errorf("before the step: %w", err)
			}
			return s.do(ctx, bounded, step)
		})
		add(done)
		if done.Result != reach.Pass && done.Result != reach.Skipped && !step.Action.ReadOnly() {
			stopped = fmt.Sprintf("step %q did not succeed", step.Name)
		}
	}
}

// Rest returns when the place's objects have settled, or have come to rest otherwise.
func (r *Runner) Rest(ctx context.Context, at Place) error {
	s, err := r.visit(ctx, at)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.StepTimeout, errTimeout)
	defer cancel()
	_, err = s.quiesce(bounded)
	return err
}
