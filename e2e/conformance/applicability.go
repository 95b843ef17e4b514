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

// environment is what a cluster offers to scenarios, in addition to runner.Cluster.Lacks.
type environment struct {
	// outside and host are why there are no probes from there; empty: there are.
	outside, host string
	// metalLB: the load balancer is MetalLB. Some steps check its pools and events.
	metalLB bool
	// nodePorts is the range of node ports, "30000-32767". Empty: unknown.
	nodePorts string
	// kubectl is why kubectl cannot run; empty: it can.
	kubectl string
}

// adapted is a scenario reduced to the part that applies to an environment.
type adapted struct {
	// scenario has the steps that apply.
	scenario scenario.Scenario
	// order has all step names. left has the reason for each omitted step.
	order []string
	left  map[string]string
	// skip, if set, is why no part of it applies.
	skip string
}

// Reasons for omitted steps.
const (
	leftMetalLB = "it checks MetalLB's own objects and events, and the cluster has another load balancer"
	leftFlow    = "the traffic that it judges is omitted"
)

// adapt omits the steps and tables of a scenario that do not apply to an environment, so that the others can run: tables whose
// cells all have vantages that the environment lacks, or that the outside world answers; traffic and checks from such
// vantages; and steps about MetalLB if the cluster does not have it. A scenario that needs an omitted part is skipped completely.
func adapt(s scenario.Scenario, env environment) adapted {
	f := adapted{left: map[string]string{}}
	all := s.Steps
	s.Steps = nil
	changes := func(step scenario.Step) bool { run, is := step.Action.(steps.Run); return is && !run.ReadOnly() }
	if env.kubectl != "" && slices.ContainsFunc(all, changes) {
		f.skip = "it runs kubectl, and " + env.kubectl
	}
	if env.outside != "" {
		s.Needs.Features = slices.DeleteFunc(slices.Clone(s.Needs.Features), func(x scenario.Feature) bool { return x == scenario.Outside })
		if mentions(all, "{vantageIP:outside}") {
			f.skip = "it names the address of a client outside, and " + env.outside
		}
	}
	if !env.metalLB && (mentions(all, "metallb") || aboutMetalLB(s)) {
		f.skip = "it is about MetalLB, and the cluster has another load balancer, or none"
	}
	flows := map[string]bool{}
	for _, step := range all {
		kept, why := env.adaptStep(s, step, flows)
		f.order = append(f.order, step.Name)
		if why != "" {
			f.left[step.Name] = why
		}
		if kept {
			s.Steps = append(s.Steps, f.narrowed(s, step, env))
		}
	}
	expects := func(step scenario.Step) bool { return len(step.Tables()) > 0 }
	if f.skip == "" && (!slices.ContainsFunc(s.Steps, judges) || slices.ContainsFunc(all, expects) && !slices.ContainsFunc(s.Steps, expects)) {
		f.skip = "none of its traffic can be sent here"
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

// narrowed returns an expect step without the tables that do not apply. It reports the omitted tables of the step as another
// step after it.
func (f *adapted) narrowed(s scenario.Scenario, step scenario.Step, env environment) scenario.Step {
	var (
		kept steps.Expect
		left []string
		why  string
	)
	for _, name := range step.Tables() {
		if reason := env.lacksTable(s.Tables[name]); reason != "" {
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

// adaptStep reports whether a step applies and, if not, why. flows are the omitted flows.
func (e environment) adaptStep(s scenario.Scenario, step scenario.Step, flows map[string]bool) (kept bool, why string) {
	if usual := "30000-32767"; e.nodePorts != "" && e.nodePorts != usual && aboutRange(step, usual) {
		return false, "the API server's range of node ports is " + e.nodePorts + ", not " + usual
	}
	switch action := step.Action.(type) {
	case steps.Traffic:
		switch {
		case action.Start != nil && action.Start.From == string(reach.Outside) && e.outside != "":
			flows[action.Name()] = true
			return false, e.outside
		case action.Start == nil && flows[action.Name()]:
			return false, leftFlow
		}
	case steps.Run:
		if e.kubectl != "" {
			why = "it runs kubectl, and " + e.kubectl
		}
	case steps.Check:
		why = e.lacks(vantagesOf(action.Args))
		switch {
		case why != "":
		case action.Name == "one-node-announces":
			why = e.outside
		case action.Name == "address-from-pool" && !e.metalLB:
			why = leftMetalLB
		}
	case steps.Event:
		if !e.metalLB && slices.Contains([]string{"IPAllocated", "AllocationFailed"}, action.Reason) {
			why = leftMetalLB
		}
	case steps.Expect:
		for _, name := range action {
			if why = e.lacksTable(s.Tables[name]); why == "" {
				break
			}
		}
	}
	return why == "", why
}

// lacksTable returns why no cell of a table can be probed, or why one of its rows cannot hold; empty: the table applies.
func (e environment) lacksTable(table scenario.Table) string {
	if e.outside != "" && slices.ContainsFunc(table.Rows, func(r scenario.Row) bool { return r.By != nil && slices.Contains(r.By.Names, "outside") }) {
		return "the expected server behind example.com exists only in svclab's own clusters"
	}
	from := slices.Clone([]string(table.From))
	if len(from) == 0 && table.Clients == "" {
		for _, row := range table.Rows {
			from = append(from, row.From...)
		}
	}
	return e.lacks(from)
}

// lacks returns why none of these vantages can make probes; empty: at least one can, or the list is empty.
func (e environment) lacks(from []string) (why string) {
	for _, name := range from {
		switch {
		case name == string(reach.Outside) && e.outside != "":
			why = e.outside
		case name == string(reach.Host) && e.host != "":
			why = cmp.Or(why, e.host)
		default:
			return ""
		}
	}
	return why
}

// vantagesOf returns the vantages that a check's arguments name.
func vantagesOf(args json.RawMessage) []string {
	var named struct {
		From scenario.Strings `json:"from"`
	}
	if err := json.Unmarshal(args, &named); err != nil {
		return nil // the check itself reports its invalid arguments
	}
	return named.From
}

// aboutRange reports whether a step is about the usual range of node ports.
func aboutRange(step scenario.Step, usual string) bool {
	check, is := step.Action.(steps.Check)
	return is && check.Name == "node-port-in-range" || mentions([]scenario.Step{step}, usual)
}

// mentions reports whether any step contains a text.
func mentions(list []scenario.Step, text string) bool {
	for _, step := range list {
		if all, err := json.Marshal(step.Action); err == nil && strings.Contains(string(all), text) {
			return true
		}
	}
	return false
}

// aboutMetalLB reports whether a manifest has an annotation of MetalLB.
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

// told returns the verdict with the omitted steps in their positions, each Skipped with its reason.
func (f adapted) told(v reach.Verdict) reach.Verdict {
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
	for _, step := range v.Steps { // steps that the runner adds: a failed set-up or clean-up
		if _, left := byName[step.Name]; left {
			steps = append(steps, step)
		}
	}
	v.Steps = steps
	return v
}
