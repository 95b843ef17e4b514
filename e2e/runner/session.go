package runner

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/world"
)

// session is one scenario being run.
type session struct {
	runner    *Runner
	scenario  scenario.Scenario
	namespace string
	facts     world.Facts
	vantages  []reach.Vantage
	mapper    meta.RESTMapper
	progress  *progress
	flows     map[string]Flow
	journal   *journal
	down      []string // slots of nodes that it stopped
	announcer string   // see steps.Announcer
	// also are further namespaces that are the scenario's own.
	also   []string
	policy observe.Policy
	// former: see site.
	former map[string][]netip.Addr
	// once: the step under way looks once and does not wait.
	once bool
}

// run runs the scenario's steps in a namespace of its own, which is removed whatever happens: cleaning up has
// a context of its own, so a cancelled run cleans up too.
//
// namespace is the one that is being removed when run returns; empty where there is none or it is kept.
func (r *Runner) run(ctx context.Context, sc scenario.Scenario) (verdict reach.Verdict, namespace string) {
	start := time.Now()
	verdict = reach.Verdict{Scenario: sc.Name, Title: sc.Title, Behaviours: sc.Behaviours, Result: reach.Pass}
	s := &session{runner: r, scenario: sc, progress: &progress{}, flows: map[string]Flow{}}
	add := func(step reach.Step) {
		verdict.Steps = append(verdict.Steps, step)
		verdict.Result = reach.Worse(verdict.Result, step.Result)
	}
	defer func() { verdict.Elapsed = time.Since(start) }()

	setUp := s.timed(ctx, scenario.Step{Name: "set up the namespace"}, func(ctx context.Context) (stepReport, error) {
		return stepReport{}, s.setUp(ctx)
	})
	defer func() {
		lasting := context.WithoutCancel(ctx)
		// The namespace may be there though setting up failed half way.
		if verdict.Result != reach.Pass && s.namespace != "" {
			saving, cancel := context.WithTimeout(lasting, r.settings.Cleanup) // its own: none of it is taken from what follows
			r.failed(saving, sc.Name, s.namespace)
			cancel()
		}
		limit := r.settings.Cleanup
		if len(s.down) > 0 {
			limit += nodeBack
		}
		if step := s.timed(lasting, scenario.Step{Name: "clean up", Timeout: scenario.Duration(limit)}, func(ctx context.Context) (stepReport, error) {
			return stepReport{}, s.tearDown(ctx, verdict.Result)
		}); step.Result != reach.Pass {
			add(step)
		}
		if !s.kept(verdict.Result) {
			namespace = s.namespace
		}
	}()
	if setUp.Result != reach.Pass {
		add(setUp)
		return verdict, ""
	}
	s.steps(ctx, &verdict, add)
	return verdict, ""
}

// stepReport is what a step found, beside its error.
type stepReport struct {
	tables []reach.Table
	lines  []string
}

// timed runs a step within its bound, with a heartbeat, and makes a reach.Step of what came of it.
func (s *session) timed(ctx context.Context, step scenario.Step, do func(context.Context) (stepReport, error)) reach.Step {
	var (
		start   = time.Now()
		limit   = step.Timeout.Or(s.runner.settings.StepTimeout)
		report  = s.runner.reporter
		name    = s.scenario.Name
		beating = make(chan struct{})
		stopped = make(chan struct{})
	)
	bounded, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	report.Begin(name, step.Name)
	go func() {
		defer close(stopped)
		beat := time.NewTicker(s.runner.settings.Heartbeat)
		defer beat.Stop()
		for {
			select {
			case <-beating:
				return
			case <-beat.C:
				report.Waiting(name, step.Name, time.Since(start), s.progress.String())
			}
		}
	}()
	found, err := do(bounded)
	close(beating)
	<-stopped
	out := reach.Step{Name: step.Name, Result: resultOf(err), Tables: found.tables, Lines: found.lines, Elapsed: time.Since(start)}
	for _, table := range found.tables {
		out.Result = reach.Worse(out.Result, table.Result())
	}
	switch {
	case err != nil && timedOut(bounded):
		out.Why = fmt.Sprintf("%v (the step's bound is %s)", err, limit)
	case err != nil:
		out.Why = err.Error()
	case out.Result != reach.Pass:
		out.Why = whyOf(found.tables)
	}
	line := out.Why
	if line == "" && len(out.Lines) > 0 {
		line = out.Lines[len(out.Lines)-1]
	}
	line, _, _ = strings.Cut(line, "\n")
	report.End(name, step.Name, out.Result, out.Elapsed, line)
	return out
}

// whyOf is the first thing wrong in the tables, and how much more there is.
func whyOf(tables []reach.Table) string {
	first, bad := "", 0
	for _, wanted := range []reach.Result{reach.Fail, reach.Inconclusive} {
		for _, table := range tables {
			for _, cell := range table.Cells {
				if cell.Result != wanted {
					continue
				}
				if bad++; first == "" {
					first = fmt.Sprintf("from %s to %s: %s", cell.Cell.Vantage.Name, cell.Cell.Target.Name(), cell.Why)
				}
			}
		}
	}
	switch bad {
	case 0:
		return "nothing was asked"
	case 1:
		return first
	default:
		return fmt.Sprintf("%s; and %d more cells", first, bad-1)
	}
}

// do performs one step. bounded ends with the step's time, ctx with the run only.
func (s *session) do(ctx, bounded context.Context, step scenario.Step) (stepReport, error) {
	s.once = s.policy.LookOnce && step.Action.ReadOnly()
	switch action := step.Action.(type) {
	case steps.Apply:
		return s.applyFiles(bounded, action)
	case steps.Delete:
		return stepReport{}, s.deleteAll(bounded, action)
	case steps.Patch:
		return s.patchStep(bounded, action)
	case steps.Scale:
		return stepReport{}, s.scale(bounded, action)
	case steps.ReplacePods:
		return s.replacePods(bounded, action)
	case steps.Reject:
		return s.reject(bounded, action)
	case steps.Run:
		return s.kubectl(bounded, action)
	case steps.Settle:
		_, err := s.settle(bounded, action.Allow)
		return stepReport{}, err
	case steps.Expect:
		return s.expect(ctx, bounded, action, step.Within.Or(s.convergence()))
	case steps.Check:
		return s.check(bounded, action)
	case steps.Object:
		return s.object(bounded, action)
	case steps.Event:
		return s.event(bounded, action)
	case steps.Node:
		return s.node(bounded, action)
	case steps.Traffic:
		return s.traffic(bounded, action)
	case steps.Withhold:
		return s.withhold(bounded, action)
	case steps.Restore:
		return s.restore(bounded, action)
	default:
		return stepReport{}, fmt.Errorf("this runner cannot do %T", action)
	}
}
