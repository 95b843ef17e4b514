package report

import (
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// ChangeKind says how a result changed between two runs.
type ChangeKind string

// The kinds of change. Only Regression makes a comparison fail.
const (
	// Regression: worse than before: Pass to Inconclusive or Fail, or Inconclusive to Fail; a Fail of what the first run
	// had no result for; or a behaviour that only the first run has a result for. Otherwise a run that probes less than
	// the one before would pass.
	Regression ChangeKind = "regression"
	// Fix: Pass now, and not before.
	Fix ChangeKind = "fix"
	// New: only the second run has a result for it, and it is no Fail.
	New ChangeKind = "new"
	// Gone: only the first run has a result for the scenario, step or cell. The second left it out or skipped it, or it does
	// not exist any more.
	Gone ChangeKind = "gone"
	// Altered: another result, neither better nor worse, or as expected in both runs but not the same thing:
	// refused in one proxy mode, timed out in the other.
	Altered ChangeKind = "altered"
)

// Level is what changed.
type Level string

// The levels, from the widest to the narrowest.
const (
	LevelBehaviour Level = "behaviour"
	LevelScenario  Level = "scenario"
	LevelStep      Level = "step"
	LevelCell      Level = "cell"
)

func levels() []Level { return []Level{LevelBehaviour, LevelScenario, LevelStep, LevelCell} }

// Change is one difference between two runs.
type Change struct {
	Kind  ChangeKind `json:"kind"`
	Level Level      `json:"level"`
	// Name is the behaviour, "scenario", "scenario / step", or "scenario / step: target from vantage".
	Name string `json:"name"`
	// Before and After are results; empty where a run has none. For cells of kind Altered they are what was observed.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Why is the second run's reason, or for what is gone the reason it was skipped.
	Why string `json:"why,omitempty"`
}

// Changes are what differs between two runs, by level and, within one, in the runs' order.
type Changes struct {
	Before, After Run
	List          []Change
}

// Regressed reports whether there is a Regression; `svclab diff` then exits with 1.
func (c Changes) Regressed() bool {
	return slices.ContainsFunc(c.List, func(x Change) bool { return x.Kind == Regression })
}

// Diff compares two runs by behaviour, scenario, step and cell. Targets are compared by kind, place and port,
// not by the addresses a cluster happened to give, so that runs on two clusters can be compared.
func Diff(a, b Run) Changes {
	before, after := entriesOf(a), entriesOf(b)
	c := Changes{Before: a, After: b}
	for _, level := range levels() {
		for _, name := range unionOf(before.names[level], after.names[level]) {
			key := entryKey{level, name}
			x, okX := before.by[key]
			y, okY := after.by[key]
			// A cell that only one run has is no change: every run has other pods, and so other endpoint targets.
			if change, differs := compareEntries(x, y, okX, okY); differs && (level != LevelCell || okX && okY) {
				change.Level, change.Name = level, name
				if change.Kind == Gone && level == LevelBehaviour {
					change.Kind = Regression
				}
				c.List = append(c.List, change)
			}
		}
	}
	return c
}

type entryKey struct {
	level Level
	name  string
}

// entry is one result of one run; seen is what was observed, for cells only.
type entry struct {
	result    reach.Result
	seen, why string
}

type entries struct {
	by    map[entryKey]entry
	names map[Level][]string
}

// add stores an entry. Of two with the same name the worse one stays.
func (e *entries) add(level Level, name string, x entry) {
	key := entryKey{level, name}
	old, known := e.by[key]
	if !known {
		e.names[level] = append(e.names[level], name)
	} else if reach.Worse(old.result, x.result) == old.result {
		return
	}
	e.by[key] = x
}

func entriesOf(run Run) entries {
	e := entries{by: map[entryKey]entry{}, names: map[Level][]string{}}
	for _, v := range run.Verdicts {
		why := Why(v)
		for _, behaviour := range v.Behaviours {
			e.add(LevelBehaviour, behaviour, entry{result: v.Result, why: why})
		}
		e.add(LevelScenario, v.Scenario, entry{result: v.Result, why: why})
		for _, s := range v.Steps {
			name := v.Scenario + " / " + s.Name
			x := entry{result: s.Result}
			if s.Result != reach.Pass {
				x.why = stepWhy(s)
			}
			e.add(LevelStep, name, x)
			for _, t := range s.Tables {
				for _, c := range t.Cells {
					e.add(LevelCell, cellName(name, t, c), entry{result: c.Result, seen: seenWords(c), why: c.Why})
				}
			}
		}
	}
	if c := run.Conformance; c != nil {
		e.addConformance(*c)
	}
	for _, s := range run.Skips() {
		if _, known := e.by[entryKey{LevelScenario, s.Scenario}]; !known {
			e.add(LevelScenario, s.Scenario, entry{result: reach.Skipped, why: s.Reason})
		}
	}
	for _, name := range run.Lost() {
		e.add(LevelScenario, name, entry{result: reach.Skipped, why: "planned, but the run ended without it"})
	}
	return e
}

// addConformance adds the results of a conformance report that the run's own verdicts do not have.
func (e *entries) addConformance(c Conformance) {
	for _, b := range c.Behaviours {
		if _, known := e.by[entryKey{LevelBehaviour, b.ID}]; !known {
			e.add(LevelBehaviour, b.ID, entry{result: b.Result, why: strings.Join(b.Reasons, "; ")})
		}
	}
	for _, s := range c.Scenarios {
		if _, known := e.by[entryKey{LevelScenario, s.Name}]; !known {
			e.add(LevelScenario, s.Name, entry{result: s.Result, why: s.Reason})
		}
	}
}

// Why says in a line why a scenario was skipped or did not pass; empty for one that passed.
func Why(v reach.Verdict) string {
	switch v.Result {
	case reach.Pass:
		return ""
	case reach.Skipped:
		return skipReason(v)
	}
	for _, s := range v.Steps {
		if s.Result == v.Result {
			return s.Name + ": " + stepWhy(s)
		}
	}
	return ""
}

// cellName leaves the host out of the target's name, except for DNS names, as Target.Name does.
func cellName(step string, t reach.Table, c reach.CellVerdict) string {
	name := step
	if t.Title != "" && !strings.HasSuffix(step, t.Title) {
		name += " / " + t.Title
	}
	return name + ": " + c.Cell.Target.Name() + " from " + c.Cell.Vantage.Name
}

// seenWords is what was observed, without the number of pods and probes, which may differ between runs.
func seenWords(c reach.CellVerdict) string {
	return strings.Join(distinct(c.Cell.Observations, outcomeOf), " or ")
}

// compareEntries says how y differs from x. Skipped counts as having no result.
func compareEntries(x, y entry, okX, okY bool) (Change, bool) {
	hadX, hasY := okX && x.result != reach.Skipped, okY && y.result != reach.Skipped
	c := Change{Before: string(x.result), After: string(y.result), Why: y.why}
	switch {
	case !hadX && !hasY:
		return Change{}, false
	case !hadX && y.result == reach.Fail:
		c.Kind = Regression
	case !hadX:
		c.Kind = New
	case !hasY:
		c.Kind = Gone
	case x.result == y.result && x.seen == y.seen:
		return Change{}, false
	case x.result == y.result:
		c.Kind, c.Before, c.After, c.Why = Altered, x.seen, y.seen, ""
	case y.result == reach.Pass:
		c.Kind = Fix
	case reach.Worse(x.result, y.result) == y.result:
		c.Kind = Regression
	default:
		c.Kind = Altered
	}
	return c, true
}

// unionOf is a, followed by the elements that only b has.
func unionOf(a, b []string) []string {
	out := slices.Clone(a)
	known := map[string]bool{}
	for _, s := range a {
		known[s] = true
	}
	for _, s := range b {
		if !known[s] {
			out = append(out, s)
		}
	}
	return out
}
