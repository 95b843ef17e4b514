package runner

import (
	"fmt"
	"slices"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/steps"
)

// prepare finds a step's check and reads its arguments.
func prepare(step steps.Check) (checks.Func, error) {
	all := checks.All()
	i := slices.IndexFunc(all, func(c checks.Check) bool { return c.Name == step.Name })
	if i < 0 {
		return nil, fmt.Errorf("there is no check %q", step.Name)
	}
	return all[i].Parse(step.Args)
}
