package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Step is one thing done or looked at: a name and exactly one action.
type Step struct {
	// Name is unique in the scenario.
	Name string `json:"name"`
	// Timeout bounds the step; the runner's default where it is not set. The probes of an expect come on top of it: they
	// get as long as the tables need.
	Timeout Duration `json:"timeout,omitempty"`
	// Within is how long after the objects have settled the traffic of an expect may take to be as predicted; the
	// runner's convergence time where it is not set.
	Within Duration `json:"within,omitempty"`
	// Family, IPv4 or IPv6, limits the step to clusters whose Services can have addresses of that IP family. On any
	// other cluster the step is left out, as rows of that family are.
	Family string `json:"family,omitempty"`
	// Gate is a feature gate of the API server that the step needs. Where the API server does not have it on, or does not say, the
	// step is skipped, with that reason. A step that rests on it needs it too.
	Gate string `json:"gate,omitempty"`
	// Alone: its probes are judged without those of other steps, so that it needs as many as the only step of a scenario.
	Alone bool `json:"-"`
	// Action is what the step does. In YAML its kind is the name of a field: "apply: service.yaml".
	Action Action `json:"-"`
}

// Action is what a step does. Each kind of step is a type that implements it; package steps has them all.
type Action interface {
	// Validate checks what can be known without a cluster: that the action says enough, and may be done in the scenario.
	Validate(in Scenario) error
	// Describe says in a few words what is done.
	Describe() string
	// ReadOnly reports whether the action changes nothing that later steps rest on, so that they run although it failed.
	ReadOnly() bool
}

// User is an Action that depends on other parts of its scenario, or on other steps.
type User interface {
	Action
	Uses(in Scenario) Uses
}

// Uses is what an action takes from its scenario, and what of it concerns other steps.
type Uses struct {
	// Files are manifests, Tables are tables of expect.yaml.
	Files, Tables []string
	// Requests are what the step sends to the API server and must be granted, as JSON or command lines.
	Requests []string
	// Pairs are what the action begins for a later step to end, or the other way round.
	Pairs []Pair
	// Judges is set if the action can find the cluster wrong although it is not read-only.
	Judges bool
}

// Pair is one thing that a step begins and a later step must end: a flow of requests, an outage of a node.
type Pair struct {
	// Thing is what is begun; First and Second are how its two steps are called.
	Thing, First, Second string
	// Role is what this step does with the thing.
	Role Role
}

// Role is a step's part in a Pair.
type Role int

// The roles of steps in a Pair.
const (
	Begins Role = iota
	Continues
	Ends
)

// uses is what the step's action uses.
func (s Step) uses(in Scenario) Uses {
	if user, ok := s.Action.(User); ok {
		return user.Uses(in)
	}
	return Uses{}
}

// Files are the manifests that the step's action names.
func (s Step) Files() []string { return s.uses(Scenario{}).Files }

// Tables are the tables of expect.yaml that the step's action names.
func (s Step) Tables() []string { return s.uses(Scenario{}).Tables }

// judges reports whether the step can find the cluster wrong.
func (s Step) judges() bool { return s.Action.ReadOnly() || s.uses(Scenario{}).Judges }

// Kind is a kind of step: the field of a step that has the action, and how the field's value is read.
type Kind struct {
	Name   string
	Decode func(data []byte) (Action, error)
}

// DecodeSteps reads steps, strictly. Each has exactly one field that is the name of a kind.
func DecodeSteps(data []json.RawMessage, kinds []Kind) ([]Step, error) {
	var errs []error
	decoded := make([]Step, len(data))
	for i := range data {
		var err error
		if decoded[i], err = decodeStep(data[i], kinds); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", label(i, decoded[i]), err))
		}
	}
	return decoded, errors.Join(errs...)
}

// decodeStep takes the fields that kinds name out of a step before the rest is decoded: so an unknown field is refused
// although the kinds are not fields of Step.
func decodeStep(data []byte, kinds []Kind) (Step, error) {
	var (
		step   Step
		fields map[string]json.RawMessage
		found  []string
		errs   []error
	)
	if err := DecodeStrict(data, &fields); err != nil {
		return step, err
	}
	for _, kind := range kinds {
		value, given := fields[kind.Name]
		if !given {
			continue
		}
		delete(fields, kind.Name)
		found = append(found, kind.Name)
		action, err := kind.Decode(value)
		if err == nil && string(value) == "null" {
			err = errors.New("it is empty")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind.Name, err))
		}
		step.Action = action
	}
	rest, err := json.Marshal(fields)
	if err == nil {
		err = DecodeStrict(rest, &step)
	}
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("want exactly one action, got %d %v", len(found), found)
	}
	return step, errors.Join(append(errs, err)...)
}

// label names a step in errors.
func label(i int, step Step) string { return fmt.Sprintf("step %d %q", i+1, step.Name) }

// validateSteps checks each step by itself and with the tables.
func (s Scenario) validateSteps() error {
	var errs []error
	expected, names := map[string]bool{}, map[string]bool{}
	for i, step := range s.Steps {
		add := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: %w", label(i, step), fmt.Errorf(format, args...)))
		}
		if step.Name == "" {
			add("it has no name")
		}
		if names[step.Name] {
			add("another step has the same name")
		}
		names[step.Name] = true
		if step.Action == nil {
			add("it has no action")
			continue
		}
		uses := step.uses(s)
		if step.Within != 0 && len(uses.Tables) == 0 {
			add("within is for an expect")
		}
		if (step.Family != "" || step.Gate != "") && len(uses.Pairs) > 0 {
			add("a step that goes with another one is for every IP family and feature gate")
		}
		if err := errors.Join(validateFamily(step.Family), step.Action.Validate(s)); err != nil {
			add("%w", err)
		}
		for _, table := range uses.Tables {
			expected[table] = true
			if _, ok := s.Tables[table]; !ok {
				add("expect.yaml has no table %q", table)
			}
		}
	}
	for name, table := range s.Tables {
		if !expected[name] {
			errs = append(errs, fmt.Errorf("expect.yaml: no step expects table %q", name))
		}
		if err := table.validate(); err != nil {
			errs = append(errs, fmt.Errorf("expect.yaml: table %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// validatePairs checks that everything a step begins is ended by a later one, and nothing else is.
func (s Scenario) validatePairs() error {
	var errs []error
	open := map[string]Pair{}
	for _, step := range s.Steps {
		for _, p := range step.uses(s).Pairs {
			_, begun := open[p.Thing]
			switch {
			case p.Role == Begins && begun:
				errs = append(errs, fmt.Errorf("%s: a second %s before the %s", p.Thing, p.First, p.Second))
			case p.Role != Begins && !begun:
				errs = append(errs, fmt.Errorf("%s: no %s before the %s", p.Thing, p.First, p.Second))
			}
			switch p.Role {
			case Begins:
				open[p.Thing] = p
			case Ends:
				delete(open, p.Thing)
			}
		}
	}
	for thing, p := range open {
		errs = append(errs, fmt.Errorf("%s: the %s is missing", thing, p.Second))
	}
	return errors.Join(errs...)
}

// files are the manifests the steps name, each once, in the order of first use.
func (s Scenario) files() []string {
	var files []string
	for _, step := range s.Steps {
		for _, file := range step.Files() {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}
