package conformance

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// terrain is what a cluster offers to scenarios, beside what runner.Cluster.Lacks tells.
type terrain struct {
	// outside and host say why nothing can be asked from there; empty: it can.
	outside, host string
	// metalLB: the load balancer is MetalLB, whose pools and events some steps look at.
	metalLB bool
	// kubectl says why kubectl cannot be run; empty: it can.
	kubectl string
}

// fitted is a scenario as it can be run on a terrain.
type fitted struct {
	// scenario has the steps that can be done.
	scenario scenario.Scenario
	// order has all step names, left the reasons of those that are left out.
	order []string
	left  map[string]string
	// skip, when set, is why nothing of it can be run.
	skip string
}

// why the steps that are left out are.
const (
	leftMetalLB = "it looks at MetalLB's own objects and events, and the cluster has another load balancer"
	leftFlow    = "the traffic that it judges is left out"
)

// fit leaves out of a scenario what cannot be asked on the terrain, so that the rest can be: tables of which every cell
// is asked from a place that is not there or answered by the world outside, traffic and checks from there, and what is
// about MetalLB where there is none. A scenario that cannot do without what is missing is skipped as a whole.
func fit(s scenario.Scenario, on terrain) fitted {
	f := fitted{left: map[string]string{}}
	all := s.Steps
	s.Steps = nil
	if on.kubectl != "" && slices.ContainsFunc(all, func(step scenario.Step) bool { _, is := step.Action.(steps.Run); return is }) {
		f.skip = "it runs kubectl, and " + on.kubectl
	}
	if on.outside != "" {
		s.Needs.Features = slices.DeleteFunc(slices.Clone(s.Needs.Features), func(x scenario.Feature) bool { return x == scenario.Outside })
		if mentions(all, "{vantageIP:outside}") {
			f.skip = "it names the address of a client outside, and " + on.outside
		}
	}
	if !on.metalLB && (mentions(all, "metallb") || aboutMetalLB(s)) {
		f.skip = "it is about MetalLB, and the cluster has another load balancer, or none"
	}
	flows := map[string]bool{}
	for _, step := range all {
		kept, why := on.fitStep(s, step, flows)
		f.order = append(f.order, step.Name)
		if why != "" {
			f.left[step.Name] = why
		}
		if kept {
			s.Steps = append(s.Steps, f.narrowed(s, step, on))
		}
	}
	expects := func(step scenario.Step) bool { return len(step.Tables()) > 0 }
	if f.skip == "" && (!slices.ContainsFunc(s.Steps, judges) || slices.ContainsFunc(all, expects) && !slices.ContainsFunc(s.Steps, expects)) {
		f.skip = "no traffic of it can be asked here"
		for _, name := range f.order {
			if why := f.left[name]; why != "" {
				f.skip += ": " + why
				break
			}
		}
	}
	f.scenario = s
	return f
}

// narrowed is an expect step without the tables that cannot be asked. What is left out of a step that stays is told as a
// step of its own, behind it.
func (f *fitted) narrowed(s scenario.Scenario, step scenario.Step, on terrain) scenario.Step {
	var (
		kept steps.Expect
		left []string
		why  string
	)
	for _, name := range step.Tables() {
		if reason := on.lacksTable(s.Tables[name]); reason != "" {
			left, why = append(left, name), reason
			continue
		}
		kept = append(kept, name)
	}
	if len(left) > 0 {
		name := step.Name + " (" + strings.Join(left, ", ") + ")"
		f.order = append(f.order, name)
		f.left[name] = why
		step.Action = kept
	}
	return step
}

// fitStep says whether a step stays and, where it does not, why. flows are the flows that were left out.
func (t terrain) fitStep(s scenario.Scenario, step scenario.Step, flows map[string]bool) (kept bool, why string) {
	switch action := step.Action.(type) {
	case steps.Traffic:
		switch {
		case action.Start != nil && action.Start.From == string(reach.Outside) && t.outside != "":
			flows[action.Name()] = true
			return false, t.outside
		case action.Start == nil && flows[action.Name()]:
			return false, leftFlow
		}
	case steps.Check:
		why = t.lacks(asking(action.Args))
		switch {
		case why != "":
		case action.Name == "one-node-announces":
			why = t.outside
		case action.Name == "address-from-pool" && !t.metalLB:
			why = leftMetalLB
		}
	case steps.Event:
		if !t.metalLB && slices.Contains([]string{"IPAllocated", "AllocationFailed"}, action.Reason) {
			why = leftMetalLB
		}
	case steps.Expect:
		for _, name := range action {
			if why = t.lacksTable(s.Tables[name]); why == "" {
				break
			}
		}
	}
	return why == "", why
}

// lacksTable says why no cell of a table can be asked, or why one of its rows cannot come true; empty: it can be observed.
func (t terrain) lacksTable(table scenario.Table) string {
	if t.outside != "" && slices.ContainsFunc(table.Rows, func(r scenario.Row) bool { return r.By != nil && slices.Contains(r.By.Names, "outside") }) {
		return "the server behind example.com that is to answer is one of svclab's own clusters"
	}
	from := slices.Clone([]string(table.From))
	if len(from) == 0 && table.Clients == "" {
		for _, row := range table.Rows {
			from = append(from, row.From...)
		}
	}
	return t.lacks(from)
}

// lacks says why nothing can be asked from any of these places; empty: from one of them it can, or none is named.
func (t terrain) lacks(from []string) (why string) {
	for _, name := range from {
		switch {
		case name == string(reach.Outside) && t.outside != "":
			why = t.outside
		case name == string(reach.Host) && t.host != "":
			why = cmp.Or(why, t.host)
		default:
			return ""
		}
	}
	return why
}

// asking are the places that a check's arguments name to ask from.
func asking(args json.RawMessage) []string {
	var named struct {
		From scenario.Strings `json:"from"`
	}
	if err := json.Unmarshal(args, &named); err != nil {
		return nil // the check itself says what is wrong with it
	}
	return named.From
}

// mentions reports whether a text stands anywhere in what the steps say.
func mentions(list []scenario.Step, text string) bool {
	for _, step := range list {
		if all, err := json.Marshal(step.Action); err == nil && strings.Contains(string(all), text) {
			return true
		}
	}
	return false
}

// aboutMetalLB reports whether a manifest has something that only MetalLB reads.
func aboutMetalLB(s scenario.Scenario) bool {
	found := false
	for _, objects := range s.Objects {
		for _, object := range objects {
			for key := range object.GetAnnotations() {
				found = found || strings.HasPrefix(key, "metallb.")
			}
		}
	}
	return found
}

// judges reports whether a step can fail because of what the cluster does.
func judges(step scenario.Step) bool {
	switch action := step.Action.(type) {
	case steps.Expect, steps.Check, steps.Reject:
		return true
	case steps.Traffic:
		return action.Stop != nil
	}
	return false
}

// told is the verdict with the steps that were left out in their places, each with its reason. They are no failures and
// no passes.
func (f fitted) told(v reach.Verdict) reach.Verdict {
	if v.Result == reach.Skipped || len(f.left) == 0 {
		return v
	}
	byName := map[string]reach.Step{}
	for _, step := range v.Steps {
		byName[step.Name] = step
	}
	var steps []reach.Step
	for _, name := range f.order {
		if why := f.left[name]; why != "" {
			steps = append(steps, reach.Step{Name: name, Result: reach.Skipped, Why: why})
			continue
		}
		if step, ran := byName[name]; ran {
			steps = append(steps, step)
			delete(byName, name)
		}
	}
	for _, step := range v.Steps { // what the runner adds: setting up and cleaning up, where they went wrong
		if _, left := byName[step.Name]; left {
			steps = append(steps, step)
		}
	}
	v.Steps = steps
	return v
}
