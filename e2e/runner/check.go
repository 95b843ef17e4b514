package runner

import (
	"context"
	"fmt"
	"slices"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/steps"
)

// prepare finds a step's check and reads its arguments.
func (r *Runner) prepare(step steps.Check) (checks.Func, error) {
	i := slices.IndexFunc(r.checks, func(c checks.Check) bool { return c.Name == step.Name })
	if i < 0 {
		return nil, fmt.Errorf("there is no check %q", step.Name)
	}
	return r.checks[i].Parse(step.Args)
}

// check runs a check on the settled objects.
func (s *session) check(ctx context.Context, step steps.Check) (stepReport, error) {
	run, err := s.runner.prepare(step)
	if err != nil {
		return stepReport{}, err
	}
	w, err := s.settle(ctx, step.Allow)
	if err != nil {
		return stepReport{}, err
	}
	line := s.waitForKubeProxy(ctx)
	s.progress.say("check "+step.Name, "")
	defer s.progress.say("", "")
	c := s.runner.cluster
	exec, _ := c.(Commander)
	lines, err := run(ctx, checks.Env{Namespace: s.namespace, World: w, Vantages: s.vantages, Client: c.Client(), Dynamic: c.Dynamic(),
		Prober: s.runner.prober, Exec: exec, Timeouts: s.runner.settings.Timeouts, Labels: map[string]string{ManagedByLabel: ManagedBy}})
	if err != nil {
		err = fmt.Errorf("check %s: %w", step.Name, err)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return stepReport{lines: lines}, err
}
