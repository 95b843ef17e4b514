package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// Run runs the scenarios, side by side as far as their claims allow, and returns what came of each. The error
// is ErrNothingRan, the cause of a ctx that ended, or that the cluster's features could not be read; a
// scenario that fails is no error. When ctx ends, scenarios under way stop and clean up, and the others are
// not begun.
func (r *Runner) Run(ctx context.Context, scenarios []scenario.Scenario) (Outcome, error) {
	start := time.Now()
	out := Outcome{Planned: len(scenarios), Unprobed: map[string]int{}}
	if err := knows(scenarios); err != nil {
		return out, err
	}
	verdicts := make([]*reach.Verdict, len(scenarios))
	var (
		run   []int
		names []string
	)
	if len(scenarios) > 0 {
		for i, sc := range scenarios {
			reason, err := r.lacks(ctx, sc.Needs)
			if err != nil {
				return out, err
			}
			if reason == "" {
				run, names = append(run, i), append(names, sc.Name)
				continue
			}
			out.Skips = append(out.Skips, Skip{Scenario: sc.Name, Reason: reason})
			verdicts[i] = &reach.Verdict{Scenario: sc.Name, Title: sc.Title, Behaviours: sc.Behaviours, Result: reach.Skipped, Skip: reason}
		}
	}
	r.reporter.Planned(names, out.Skips)

	var (
		mu         sync.Mutex
		namespaces []string
	)
	if r.settings.Took != nil {
		order, all := scenario.Order(scenarios, r.settings.Took), run
		run = slices.DeleteFunc(order, func(i int) bool { return !slices.Contains(all, i) })
	}
	toRun := make([]scenario.Scenario, len(run))
	for k, i := range run {
		toRun[k] = scenarios[i]
	}
	schedule(ctx, r.settings.Workers, toRun, func(k int, alone func(context.Context) error) {
		verdict, namespace := r.run(ctx, toRun[k], alone)
		mu.Lock()
		defer mu.Unlock()
		verdicts[run[k]] = &verdict
		if namespace != "" {
			namespaces = append(namespaces, namespace)
		}
		r.reporter.Finished(verdict)
	})
	for _, v := range verdicts {
		if v == nil {
			continue // not begun when the run was cancelled
		}
		out.Verdicts = append(out.Verdicts, *v)
		if v.Result == reach.Skipped {
			out.Skipped++
			continue
		}
		out.Ran++
		countUnprobed(out.Unprobed, *v)
	}
	var err error
	if !r.settings.LeaveTerminating {
		err = r.waitGone(ctx, namespaces)
	}
	out.Elapsed = time.Since(start)
	switch {
	case ctx.Err() != nil:
		return out, errors.Join(fmt.Errorf("run %d scenarios: %w", len(scenarios), context.Cause(ctx)), err)
	case out.Ran == 0:
		return out, fmt.Errorf("%w: %d planned, %d skipped%s", ErrNothingRan, out.Planned, out.Skipped, reasons(out.Skips))
	default:
		return out, err
	}
}

// knows refuses steps whose check does not exist or cannot read its arguments, before anything is done.
func knows(scenarios []scenario.Scenario) error {
	var errs []error
	for _, sc := range scenarios {
		for _, step := range sc.Steps {
			check, is := step.Action.(steps.Check)
			if !is {
				continue
			}
			if _, _, err := check.Func(); err != nil {
				errs = append(errs, fmt.Errorf("scenario %s: step %q: %w", sc.Name, step.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// lacks says what the cluster does not have that a scenario needs; empty: it has all.
func (r *Runner) lacks(ctx context.Context, needs scenario.Needs) (string, error) {
	var reasons []string
	for _, feature := range needs.Features {
		if why := r.cluster.Lacks(feature); why != "" {
			reasons = append(reasons, fmt.Sprintf("needs %s: %s", feature, why))
		}
	}
	if needs.Nodes > 0 {
		nodes, err := r.cluster.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("count the nodes: %w", err)
		}
		schedulable := 0
		for i := range nodes.Items {
			if !nodes.Items[i].Spec.Unschedulable {
				schedulable++
			}
		}
		if schedulable < needs.Nodes {
			reasons = append(reasons, fmt.Sprintf("needs %d schedulable nodes, the cluster has %d", needs.Nodes, schedulable))
		}
	}
	if len(needs.ProxyModes) > 0 {
		facts, err := r.cluster.Facts(ctx)
		if err != nil {
			return "", fmt.Errorf("learn the cluster's facts: %w", err)
		}
		if !slices.Contains(needs.ProxyModes, facts.ProxyMode) {
			reasons = append(reasons, fmt.Sprintf("is about kube-proxy's mode %s, the cluster's is %s", strings.Join(needs.ProxyModes, " or "), facts.ProxyMode))
		}
	}
	return strings.Join(reasons, "; "), nil
}

// waitGone waits until the run's namespaces are gone, so that a run leaves nothing behind it that still moves.
func (r *Runner) waitGone(ctx context.Context, namespaces []string) error {
	if len(namespaces) == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.settings.Cleanup, steps.ErrTimeout)
	defer cancel()
	s := r.session(scenario.Scenario{}, Place{}, observe.Suite())
	if err := s.gone(waiting, metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy}, namespaces...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

func countUnprobed(counts map[string]int, v reach.Verdict) {
	for _, step := range v.Steps {
		for _, table := range step.Tables {
			for _, cell := range table.Cells {
				if cell.Result == reach.Skipped {
					counts[cell.Why]++
				}
			}
		}
	}
}

func reasons(skips []Skip) string {
	text := ""
	for _, s := range skips {
		text += fmt.Sprintf("; %s %s", s.Scenario, s.Reason)
	}
	return text
}
