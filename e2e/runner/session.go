package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// session is one scenario being run, or the steps of an exercise.
type session struct {
	*steps.Env
	runner *Runner
	// alone returns when no other scenario runs. It is called once, before the first step that disturbs the cluster, and then nil. parked is how
	// long that took.
	alone  func(context.Context) error
	parked time.Duration
}

// session returns a session with all that the steps of a scenario need, which is done in a namespace as policy says.
func (r *Runner) session(sc scenario.Scenario, at Place, policy observe.Policy) *session {
	return &session{runner: r, Env: &steps.Env{Cluster: r.cluster, Prober: r.prober, Predict: oracle.Predict, Policy: policy,
		Settings: steps.Settings{StepTimeout: r.settings.StepTimeout, Convergence: r.settings.Convergence, Timeouts: r.settings.Timeouts, Kubectl: r.settings.Kubectl, TraceAll: r.settings.TraceAll},
		Scenario: sc, Namespace: at.Namespace, Also: at.Also}}
}

// run runs the scenario's steps in a namespace of its own, which is removed whatever happens: cleaning up has
// a context of its own, so a cancelled run cleans up too. alone is that of schedule.
//
// namespace is the one that is being removed when run returns; empty if nothing is removed.
func (r *Runner) run(ctx context.Context, sc scenario.Scenario, alone func(context.Context) error) (verdict reach.Verdict, namespace string) {
	start := time.Now()
	verdict = reach.Verdict{Scenario: sc.Name, Title: sc.Title, Behaviours: sc.Behaviours, Result: reach.Pass}
	s := r.session(sc, Place{}, observe.Suite())
	if sc.Serial {
		s.alone = alone
	}
	add := func(step reach.Step) {
		verdict.Steps = append(verdict.Steps, step)
		verdict.Result = reach.Worse(verdict.Result, step.Result)
	}
	defer func() { verdict.Elapsed = time.Since(start) - s.parked }()

	setUp := s.timed(ctx, scenario.Step{Name: "set up the namespace"}, func(ctx context.Context) (steps.Report, error) {
		return steps.Report{}, s.setUp(ctx)
	})
	defer func() {
		uncancelled := context.WithoutCancel(ctx)
		// The namespace may be there though setting up failed half way.
		if verdict.Result != reach.Pass && s.Namespace != "" {
			saving, cancel := context.WithTimeout(uncancelled, r.settings.Cleanup) // its own: none of it is taken from what follows
			if err := r.failed(saving, sc.Name, s.Namespace); err != nil {
				add(reach.Step{Name: "save the logs", Result: reach.Inconclusive, Why: err.Error()})
			}
			cancel()
		}
		limit := r.settings.Cleanup
		if s.NodesDown() {
			limit += nodeBack
		}
		if step := s.timed(uncancelled, scenario.Step{Name: "clean up", Timeout: scenario.Duration(limit)}, func(ctx context.Context) (steps.Report, error) {
			return steps.Report{}, s.tearDown(ctx, verdict.Result)
		}); step.Result != reach.Pass {
			add(step)
		}
		if !s.kept(verdict.Result) {
			namespace = s.Namespace
		}
	}()
	if setUp.Result != reach.Pass {
		add(setUp)
		return verdict, ""
	}
	s.steps(ctx, &verdict, add)
	late := r.settings.Late
	if sc.Serial { // it may stop kube-proxy on a node, or the node
		late = 0
	}
	if overall, ok := reach.Overall(verdict.Steps, late); ok {
		add(overall)
	}
	return verdict, ""
}

// timed runs a step within its bound, with a heartbeat, and makes a reach.Step of what came of it.
func (s *session) timed(ctx context.Context, step scenario.Step, do func(context.Context) (steps.Report, error)) reach.Step {
	var (
		start   = time.Now()
		limit   = step.Timeout.Or(s.runner.settings.StepTimeout)
		report  = s.runner.reporter
		name    = s.Scenario.Name
		beating = make(chan struct{})
		stopped = make(chan struct{})
	)
	bounded, cancel := context.WithTimeoutCause(ctx, limit, steps.ErrTimeout)
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
				report.Waiting(name, step.Name, time.Since(start), s.Progress.String())
			}
		}
	}()
	found, err := do(bounded)
	close(beating)
	<-stopped
	out := reach.Step{Name: step.Name, Result: reach.ResultOf(err), Tables: found.Tables, Lines: found.Lines, Missing: found.Missing, Elapsed: time.Since(start)}
	for _, table := range found.Tables {
		out.Result = reach.Worse(out.Result, table.Result())
	}
	switch {
	case err != nil && errors.Is(context.Cause(bounded), steps.ErrTimeout):
		out.Why = fmt.Sprintf("%v (the step's bound is %s)", err, limit)
	case err != nil:
		out.Why = err.Error()
	case out.Result != reach.Pass:
		out.Why = whyOf(found.Tables)
	}
	line := out.Why
	if line == "" && len(out.Lines) > 0 {
		line = out.Lines[len(out.Lines)-1]
	}
	line, _, _ = strings.Cut(line, "\n")
	report.End(name, step.Name, out.Result, out.Elapsed, line)
	return out
}

// runAlone waits until no other scenario runs, the first time that step could disturb one.
func (s *session) runAlone(ctx context.Context, step scenario.Step) error {
	switch step.Action.(type) {
	case steps.Apply, steps.Settle, steps.Expect, steps.Check: // of the scenario's own namespace, as those of any scenario
		return nil
	}
	if s.alone == nil {
		return nil
	}
	const others = "wait until no other scenario runs"
	start := time.Now()
	s.runner.reporter.Begin(s.Scenario.Name, others)
	err := s.alone(ctx)
	s.alone, s.parked = nil, time.Since(start)
	s.runner.reporter.End(s.Scenario.Name, others, reach.ResultOf(err), s.parked, "")
	return err
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
		return "nothing was probed"
	case 1:
		return first
	default:
		return fmt.Sprintf("%s; and %d more cells", first, bad-1)
	}
}

// nodeBack is how much longer cleaning up may take where a node has to be started.
const nodeBack = 2 * time.Minute
