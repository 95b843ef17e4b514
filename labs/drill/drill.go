// Package drill makes incidents without end for learners: the app of a scenario, and some of its mutants' faults at once. The scenario's
// own expected tables are the goal. It chooses and injects faults; it does not talk to the learner.
package drill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
)

// Namespace is the namespace of an incident.
const Namespace = lesson.Prefix + ID

// ID is that of an incident's exercise.
const ID = "incident"

// parEach is how long an incident may take for the full score, for each fault.
const parEach = 10 * time.Minute

// views is the manifest of the pods through which a learner changes a node.
const views = "incident/node-views.yaml"

// Drill is an incident.
type Drill struct {
	Seed uint64
	// Faults are injected at once, and hit different nodes or objects.
	Faults []mutants.Mutant
	// Exercise sets the app up and judges it. It has no texts.
	Exercise course.Exercise
}

// stage is a step of a scenario that probes, and the mutants that it notices.
type stage struct {
	scenario scenario.Scenario
	step     int
	mutants  []mutants.Mutant
}

// Choose returns the incident of a seed, with so many faults. manifests is rooted at manifests; lacks says why a cluster cannot run a
// scenario, empty if it can. The same seed gives the same incident on the same kind of cluster.
func Choose(manifests fs.FS, scenarios []scenario.Scenario, all []mutants.Mutant, slots []string, lacks func(scenario.Scenario) string, seed uint64, faults int) (Drill, error) {
	if faults < 1 {
		return Drill{}, fmt.Errorf("%d faults make no incident; give --faults 1 or more", faults)
	}
	r, most := rand.New(rand.NewPCG(seed, uint64(faults))), 0
	list := stages(scenarios, all, lacks)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, s := range list {
		chosen := s.choose(r, faults)
		if most = max(most, len(chosen)); len(chosen) < faults {
			continue
		}
		e, err := s.exercise(manifests, slots, faults)
		return Drill{Seed: seed, Faults: chosen, Exercise: e}, err
	}
	return Drill{}, fmt.Errorf("no scenario has %d faults that can be injected at once on this cluster; give --faults 1 to %d", faults, most)
}

// stages are the steps of all scenarios, each with the mutants that fit a learner: they stay in the scenario's namespace and the nodes'
// packet filters, and cells show them.
func stages(scenarios []scenario.Scenario, all []mutants.Mutant, lacks func(scenario.Scenario) string) []stage {
	var list []stage
	for _, sc := range scenarios {
		if sc.Serial || lacks(sc) != "" {
			continue
		}
		for i, step := range sc.Steps {
			s := stage{scenario: sc, step: i}
			for _, m := range all {
				if m.Scenario == sc.Name && len(m.During) == 1 && m.During[0] == step.Name && suits(m) {
					s.mutants = append(s.mutants, m)
				}
			}
			if _, probes := step.Action.(steps.Expect); probes && len(s.mutants) > 0 {
				list = append(list, s)
			}
		}
	}
	return list
}

func suits(m mutants.Mutant) bool {
	certain := len(m.Notice.Signs) > 0 && !slices.ContainsFunc(m.Notice.Signs, func(s mutants.Sign) bool { return s.Some || s.Field == mutants.NotProbed })
	return certain && m.Family == "" && (m.Notice.Result == "" || m.Notice.Result == reach.Fail) &&
		slices.Contains([]string{mutants.KindEdit, mutants.KindFilter, mutants.KindStranger}, m.Fault.Kind)
}

// choose chooses at most so many mutants that do not replace each other: on different nodes, and one that edits an object.
func (s stage) choose(r *rand.Rand, faults int) (chosen []mutants.Mutant) {
	var taken []string
	for _, i := range r.Perm(len(s.mutants)) {
		m := s.mutants[i]
		holds := m.Fault.Slots
		if len(holds) == 0 {
			holds = []string{m.Fault.Kind}
		}
		if len(chosen) < faults && !slices.ContainsFunc(holds, func(slot string) bool { return slices.Contains(taken, slot) }) {
			chosen, taken = append(chosen, m), append(taken, holds...)
		}
	}
	return chosen
}

// exercise sets up what the scenario has made before the step, and has the step as its goal.
func (s stage) exercise(manifests fs.FS, slots []string, faults int) (course.Exercise, error) {
	data, err := fs.ReadFile(manifests, views)
	if err != nil {
		return course.Exercise{}, fmt.Errorf("read the views of nodes: %w", err)
	}
	objects, err := scenario.DecodeManifest(data)
	if err != nil {
		return course.Exercise{}, fmt.Errorf("read %s: %w", views, err)
	}
	e := course.Exercise{ID: ID, Name: ID, Kind: course.Incident, Par: scenario.Duration(time.Duration(faults) * parEach), Serial: true,
		Needs: s.scenario.Needs, Claims: s.scenario.Claims, Shares: s.scenario.Shares}
	if !slices.Contains(e.Needs.Features, scenario.NodeControl) {
		e.Needs.Features = append(slices.Clone(e.Needs.Features), scenario.NodeControl)
	}
	e.Setup, e.Goal = s.scenario, s.scenario
	e.Setup.Serial, e.Setup.Needs = true, e.Needs
	e.Setup.Objects = map[string][]*unstructured.Unstructured{views: objects}
	for name, list := range s.scenario.Objects {
		e.Setup.Objects[name] = list
	}
	e.Setup.Steps = []scenario.Step{{Name: "views of the nodes", Action: steps.Apply{views}}}
	for _, step := range s.scenario.Steps[:s.step] {
		if !step.Action.ReadOnly() {
			e.Setup.Steps = append(e.Setup.Steps, step)
		}
	}
	e.Goal.Steps = s.scenario.Steps[s.step : s.step+1]
	for _, slot := range slots {
		e.Undo = append(e.Undo, steps.Node{Slot: slot, Action: "exec", Command: mutants.ClearFilter()})
	}
	return e, nil
}

// Inject injects all faults into the incident's namespace.
func (d Drill) Inject(ctx context.Context, lab mutants.Lab) error {
	scene, err := mutants.Look(ctx, lab, Namespace)
	if err != nil {
		return err
	}
	for _, m := range d.Faults {
		if err := m.Fault.Inject(ctx, lab, scene); err != nil {
			return fmt.Errorf("inject fault %s: %w", m.Name, err)
		}
	}
	return nil
}

// Repair reverts all faults, also those that the learner has repaired.
func (d Drill) Repair(ctx context.Context, lab mutants.Lab) error {
	var errs []error
	for _, m := range d.Faults {
		if err := m.Fault.Revert(ctx, lab); err != nil {
			errs = append(errs, fmt.Errorf("repair fault %s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}
