package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// Check is what a table cannot say, written in Go and asked for by name in a scenario.
type Check struct {
	// Name is what steps call it; About says in a line what it proves and which arguments it takes.
	Name, About string
	// Parse reads a step's arguments, strictly, and returns what is then run. It is called before a run begins.
	Parse func(args json.RawMessage) (CheckFunc, error)
}

// CheckFunc looks once. lines are what it found, one fact a line. An error made with Failed says that the
// cluster is wrong; any other that it could not be found out.
type CheckFunc func(ctx context.Context, env Env) (lines []string, err error)

// Failed is the error of a check that found the cluster wrong.
func Failed(format string, args ...any) error { return failf(format, args...) }

// Env is what a check sees of the scenario it is asked in. The objects have settled.
type Env struct {
	Namespace string
	World     world.World
	Vantages  []reach.Vantage
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Prober    Prober
	// Cluster is the runner's own; a check may ask whether it is more, as a Commander.
	Cluster  Cluster
	Timeouts observe.Timeouts
}

// site is where the tables of the scenario are matched.
func (e Env) site() table.Site {
	return table.Site{Namespace: e.Namespace, World: e.World, Vantages: e.Vantages}
}

// define makes a Check whose arguments are the fields of A, decoded strictly.
func define[A any](name, about string, run func(ctx context.Context, env Env, args A) ([]string, error)) Check {
	return Check{Name: name, About: about, Parse: func(raw json.RawMessage) (CheckFunc, error) {
		var args A
		if len(raw) > 0 {
			if err := scenario.DecodeStrict(raw, &args); err != nil {
				return nil, fmt.Errorf("check %s: %w (it is: %s)", name, err, about)
			}
		}
		return func(ctx context.Context, env Env) ([]string, error) { return run(ctx, env, args) }, nil
	}}
}

// CheckNames are the names of Checks, for loading scenarios.
func CheckNames() []string {
	var names []string
	for _, c := range Checks() {
		names = append(names, c.Name)
	}
	return names
}

// prepare finds a step's check and reads its arguments.
func (r *Runner) prepare(step steps.Check) (CheckFunc, error) {
	i := slices.IndexFunc(r.checks, func(c Check) bool { return c.Name == step.Name })
	if i < 0 {
		return nil, fmt.Errorf("no check is called %q", step.Name)
	}
	return r.checks[i].Parse(step.Args)
}

// check runs a check on the settled objects.
func (s *session) check(ctx context.Context, step steps.Check) (stepReport, error) {
	do, err := s.runner.prepare(step)
	if err != nil {
		return stepReport{}, err
	}
	w, err := s.settle(ctx, step.Allow)
	if err != nil {
		return stepReport{}, err
	}
	told := s.waitForKubeProxy(ctx)
	s.progress.say("check "+step.Name, "")
	defer s.progress.say("", "")
	c := s.runner.cluster
	lines, err := do(ctx, Env{Namespace: s.namespace, World: w, Vantages: s.vantages, Client: c.Client(), Dynamic: c.Dynamic(),
		Prober: s.runner.prober, Cluster: c, Timeouts: s.runner.settings.Timeouts})
	if err != nil {
		err = fmt.Errorf("check %s: %w", step.Name, err)
	}
	if told != "" {
		lines = append(lines, told)
	}
	return stepReport{lines: lines}, err
}
