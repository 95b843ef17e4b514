package mutants

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// phase is when a step of a plan is done.
type phase int

const (
	own      phase = iota // one of the scenario's own, without a fault
	injected              // one of During, while the fault is injected
	reverted              // one of During that looks, after the revert
)

// mark says whose a step of a plan is.
type mark struct {
	phase  phase
	mutant int // its place among the plan's mutants; -1 for the scenario's own steps
	// first of its phase: the fault is injected, or reverted, right before it.
	first bool
}

// plan is a scenario with the excursions of its mutants in it.
type plan struct {
	scenario scenario.Scenario
	mutants  []Mutant
	marks    map[string]mark   // by the name of the step
	nodes    map[string]string // slot → node
}

// planFor puts the mutants' excursions into their scenario: each behind the last of the steps it repeats, in the order
// given. What of the scenario comes after the last of them is left out.
func planFor(sc scenario.Scenario, list []Mutant) (plan, error) {
	p := plan{scenario: sc, mutants: list, marks: map[string]mark{}}
	p.scenario.Steps = nil
	behind, end := make(map[int][]int), 0 // step → mutants; the last of these steps
	for i, m := range list {
		last := -1
		for _, name := range m.During {
			at := slices.IndexFunc(sc.Steps, func(s scenario.Step) bool { return s.Name == name })
			if at < 0 {
				return p, fmt.Errorf("mutant %s: scenario %s has no step %q", m.Name, sc.Name, name)
			}
			if at <= last {
				return p, fmt.Errorf("mutant %s: step %q does not come after the one before it", m.Name, name)
			}
			last = at
		}
		if last < 0 {
			return p, fmt.Errorf("mutant %s: it names no step", m.Name)
		}
		behind[last] = append(behind[last], i)
		end = max(end, last)
	}
	for at, step := range sc.Steps[:end+1] {
		p.add(step, mark{phase: own, mutant: -1})
		for _, i := range behind[at] {
			if err := p.excursion(sc, i); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// excursion adds a mutant's steps: with the fault, and after its revert.
func (p *plan) excursion(sc scenario.Scenario, i int) error {
	m := p.mutants[i]
	var repeat, look []scenario.Step
	for _, step := range sc.Steps {
		if slices.Contains(m.During, step.Name) {
			repeat = append(repeat, step)
			if looks(step) {
				look = append(look, step)
			}
		}
	}
	if len(look) == 0 {
		return fmt.Errorf("mutant %s: none of its steps looks at anything", m.Name)
	}
	for k, step := range repeat {
		step.Name += withFault + m.Name
		_, isNode := step.Action.(steps.Node)
		if m.Within != 0 && !isNode {
			step.Timeout = m.Within
		}
		step.Alone = true
		if m.Converging != 0 {
			step.Within = m.Converging
		}
		p.add(step, mark{phase: injected, mutant: i, first: k == 0})
	}
	for k, step := range look {
		step.Name += afterRevert + m.Name
		p.add(step, mark{phase: reverted, mutant: i, first: k == 0})
	}
	return nil
}

// looks reports whether the step is done again after the revert.
func looks(step scenario.Step) bool {
	switch step.Action.(type) {
	case steps.Expect, steps.Check, steps.Object:
		return true
	}
	return false
}

func (p *plan) add(step scenario.Step, m mark) {
	p.marks[step.Name] = m
	p.scenario.Steps = append(p.scenario.Steps, step)
}

// What the names of an excursion's steps have behind the scenario's own name of the step.
const (
	withFault   = " … with fault "
	afterRevert = " … after the revert of "
)

// stepOf is the scenario's own name of a step.
func stepOf(name string) string {
	for _, mark := range []string{withFault, afterRevert} {
		name, _, _ = strings.Cut(name, mark)
	}
	return name
}
