// Package coach turns the observations in an exercise into what a learner reads: the misconception that they show, the hint that
// fits, what differs and why. It does not judge: the verdict says whether the goal is reached.
package coach

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/course"
)

// Seen is everything that one check observed.
type Seen struct {
	// Verdict is the verdict on the goal.
	Verdict reach.Verdict `json:"verdict"`
	// Objects are the objects that the exercise's conditions refer to, as they were during the probes.
	Objects []runner.Snapshot `json:"-"`
	// Hand is a fingerprint of everything that people change in the exercise.
	Hand string `json:"-"`
	// Untouched: Hand is that of the exercise's start. Then the state of the cluster shows no misconception: the learner has done
	// nothing yet.
	Untouched bool `json:"-"`
}

// Refs returns the objects that the exercise's conditions refer to, each once.
func Refs(e course.Exercise) []scenario.Ref {
	var refs []scenario.Ref
	add := func(ref scenario.Ref) {
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	for _, c := range e.Conditions() {
		switch {
		case c.Object != nil:
			add(c.Object.Ref)
		case c.Count != nil:
			add(scenario.Ref{Kind: c.Count.Kind, Name: "*"})
		}
	}
	return refs
}

// Diagnosis is the misconception behind a wrong answer.
type Diagnosis struct {
	// Misconception is the ID of the first misconception that applies. Empty: none applies.
	Misconception string
	// Also is the ID of the first independent one after it that applies. Empty: none.
	Also string
	// Question is the question whose prediction shows it. Empty: the state of the cluster shows it.
	Question string
}

// All returns the IDs of the misconceptions, at most two.
func (d Diagnosis) All() []string {
	return slices.DeleteFunc([]string{d.Misconception, d.Also}, func(id string) bool { return id == "" })
}

// Diagnose returns the misconception behind a wrong prediction, otherwise the first whose conditions hold and an independent one
// that holds too. It returns none if the goal is reached and every prediction is right, and none by conditions if the learner has
// changed nothing.
func Diagnose(e course.Exercise, answers map[string]string, seen Seen) (Diagnosis, error) {
	for _, q := range e.Questions {
		if option, given := answers[q.ID]; given && option != q.Right {
			return Diagnosis{Misconception: q.Wrong[option], Question: q.ID}, nil
		}
	}
	var d Diagnosis
	if seen.Verdict.Result == reach.Pass || seen.Untouched {
		return d, nil
	}
	for _, m := range e.Misconceptions {
		if len(m.When) == 0 || d.Misconception != "" && !m.Independent {
			continue
		}
		holds, err := seen.all(m.When)
		switch {
		case err != nil:
			return Diagnosis{}, fmt.Errorf("misconception %s: %w", m.ID, err)
		case holds && d.Misconception == "":
			d.Misconception = m.ID
		case holds:
			d.Also = m.ID
			return d, nil
		}
	}
	return d, nil
}

// Hint returns the ID of the message of hint n, 1 to course.Hints: of the first variant whose conditions hold, otherwise of the
// plain hint.
func Hint(e course.Exercise, n int, seen Seen) (string, error) {
	for _, v := range e.Variants {
		if v.Hint != n {
			continue
		}
		holds, err := seen.all(v.When)
		if err != nil {
			return "", fmt.Errorf("hint %d, variant %s: %w", n, v.ID, err)
		}
		if holds {
			return course.HintID(n, v.ID), nil
		}
	}
	return course.HintID(n, ""), nil
}

// Passed reports whether the goal is reached and every prediction is right.
func Passed(e course.Exercise, answers map[string]string, seen Seen) bool {
	return seen.Verdict.Result == reach.Pass && !slices.ContainsFunc(e.Questions, func(q course.Question) bool {
		return answers[q.ID] != q.Right
	})
}

func (s Seen) all(conditions []course.Condition) (bool, error) {
	for _, c := range conditions {
		if holds, err := s.holds(c); err != nil || !holds {
			return false, err
		}
	}
	return true, nil
}

func (s Seen) holds(c course.Condition) (bool, error) {
	switch {
	case c.Not != nil:
		holds, err := s.holds(*c.Not)
		return !holds, err
	case c.Any != nil:
		for _, one := range c.Any {
			if holds, err := s.holds(one); err != nil || holds {
				return holds, err
			}
		}
		return false, nil
	case c.Object != nil:
		var object *unstructured.Unstructured
		if found := s.objects(c.Object.Ref); len(found) > 0 {
			object = found[0]
		}
		difference, err := c.Object.Mismatch(object)
		return difference == "" && err == nil, err
	case c.Count != nil:
		return s.counted(*c.Count)
	case c.Step != nil:
		return s.step(*c.Step), nil
	case c.Cell != nil:
		return s.cell(*c.Cell), nil
	}
	return false, nil
}

// objects returns the objects that a reference names, without those that are being deleted: they serve no more.
func (s Seen) objects(ref scenario.Ref) []*unstructured.Unstructured {
	for _, n := range s.Objects {
		if n.Ref == ref {
			return slices.DeleteFunc(slices.Clone(n.Objects), func(o *unstructured.Unstructured) bool { return o.GetDeletionTimestamp() != nil })
		}
	}
	return nil
}

// Ready reports whether a pod has the condition Ready.
func Ready(pod *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(pod.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Ready" && condition["status"] == "True"
	})
}

func (s Seen) counted(c course.Count) (bool, error) {
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return false, fmt.Errorf("selector %q: %w", c.Selector, err)
	}
	n := 0
	for _, object := range s.objects(scenario.Ref{Kind: c.Kind, Name: "*"}) {
		if !selector.Matches(labels.Set(object.GetLabels())) || c.Ready && !Ready(object) {
			continue
		}
		if c.Like != nil {
			difference, err := c.Like.Mismatch(object)
			if err != nil {
				return false, err
			}
			if difference != "" {
				continue
			}
		}
		n++
	}
	return (c.Min == nil || n >= *c.Min) && (c.Max == nil || n <= *c.Max), nil
}

func (s Seen) step(is course.StepIs) bool {
	for _, step := range s.Verdict.Steps {
		if step.Name == is.Name {
			return step.Result == reach.Fail && !is.Passed || step.Result == reach.Pass && is.Passed
		}
	}
	return false
}

func (s Seen) cell(is course.CellIs) bool {
	matched, so := 0, 0
	for _, step := range s.Verdict.Steps {
		if is.Step != "" && is.Step != step.Name {
			continue
		}
		for _, table := range step.Tables {
			for _, c := range table.Cells {
				if len(is.From) > 0 && !scenario.MatchVantage(is.From, c.Cell.Vantage) || !about(is.To, c.Cell) {
					continue
				}
				matched++
				if observed(is, c) {
					so++
				}
			}
		}
	}
	return so > 0 && (!is.All || so == matched)
}

// about reports whether a selector selects a cell. The nodes "own" and "other" are relative to the node of the vantage.
func about(to scenario.To, cell reach.Cell) bool {
	t := cell.Target
	_, service, _ := strings.Cut(t.Service, "/")
	_, slot, _ := strings.Cut(cell.Vantage.Name, "/")
	switch {
	case to.Undeclared != t.Undeclared,
		len(to.Kind) > 0 && !slices.Contains(to.Kind, t.Kind),
		to.Service != "" && to.Service != service,
		to.Port != 0 && to.Port != t.Port,
		to.Protocol != "" && to.Protocol != t.Protocol,
		to.Name != "" && to.Name != t.Host,
		to.Node == "own" && t.Slot != slot,
		to.Node == "other" && (t.Slot == "" || t.Slot == slot),
		to.Node != "" && to.Node != "own" && to.Node != "other" && to.Node != t.Slot:
		return false
	}
	return true
}

func observed(is course.CellIs, c reach.CellVerdict) bool {
	allowed := is.Outcome.All()
	answered := is.Backend == ""
	for _, o := range c.Cell.Observations {
		if len(allowed) > 0 && !slices.Contains(allowed, o.Outcome) {
			return false
		}
		answered = answered || strings.HasPrefix(o.Backend, is.Backend)
	}
	differs := len(is.Differs) == 0 || slices.ContainsFunc(c.Differences, func(d reach.Difference) bool {
		return slices.Contains(is.Differs, d.Field)
	})
	return answered && differs && len(c.Cell.Observations) > 0
}
