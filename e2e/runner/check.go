package runner

import (
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
