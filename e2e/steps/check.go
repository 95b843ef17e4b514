package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/scenario"
)

// Check is a check written in Go, with its arguments.
type Check struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
	// Allow is as in a table: a check too looks at settled objects.
	Allow scenario.Allow `json:"allow,omitempty"`
}

// decodeCheck reads a Check, and takes no name but those of known; with none known, any.
func decodeCheck(known []string) func(data []byte) (scenario.Action, error) {
	return func(data []byte) (scenario.Action, error) {
		var c Check
		if err := scenario.DecodeStrict(data, &c); err != nil {
			return nil, err
		}
		if c.Name == "" || len(known) > 0 && !slices.Contains(known, c.Name) {
			return nil, fmt.Errorf("check %q: want one of %v", c.Name, known)
		}
		return c, nil
	}
}

// Validate has nothing to check that decoding has not.
func (Check) Validate(scenario.Scenario) error { return nil }

// Describe shows the name and the arguments.
func (c Check) Describe() string {
	if len(c.Args) == 0 {
		return "check " + c.Name
	}
	return fmt.Sprintf("check %s: %s", c.Name, c.Args)
}

// ReadOnly is true: a check leaves what it found as it was.
func (Check) ReadOnly() bool { return true }

// Func finds the check and reads its arguments. A scenario may have been loaded with any name of a check.
func (c Check) Func() (run checks.Func, objectsOnly bool, err error) {
	all := checks.All()
	i := slices.IndexFunc(all, func(known checks.Check) bool { return known.Name == c.Name })
	if i < 0 {
		return nil, false, fmt.Errorf("there is no check %q", c.Name)
	}
	run, err = all[i].Parse(c.Args)
	return run, all[i].ObjectsOnly, err
}

// Do runs the check on the settled objects.
func (c Check) Do(ctx context.Context, env *Env) (Report, error) {
	run, objectsOnly, err := c.Func()
	if err != nil {
		return Report{}, err
	}
	w, err := env.settle(ctx, c.Allow)
	if err != nil {
		return Report{}, err
	}
	line := ""
	if !objectsOnly {
		env.Progress.Say("kube-proxy to have written its rules", "")
		_, line = env.programmed(ctx)
	}
	env.Progress.Say("check "+c.Name, "")
	defer env.Progress.Say("", "")
	exec, _ := env.Cluster.(Commander)
	lines, err := run(ctx, checks.Env{Namespace: env.Namespace, World: w, Vantages: env.Vantages, Client: env.Cluster.Client(), Dynamic: env.Cluster.Dynamic(),
		Prober: env.Prober, Exec: exec, Timeouts: env.Settings.Timeouts, Labels: map[string]string{ManagedByLabel: ManagedBy}})
	if err != nil {
		err = fmt.Errorf("check %s: %w", c.Name, err)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return Report{Lines: lines}, err
}
