// Package mutants proves that the harness notices a broken cluster. A mutant breaks the living cluster in one way
// while a scenario runs on it; the scenario must then fail, or be Inconclusive where that is the point, and the cells
// or the step that the fault is about must be what tells, and no other. After the repair the same steps must pass.
//
// Mutants are data (see All): what is broken, which steps of which scenario are done meanwhile, and how they must
// tell. A scenario is run once for all of its mutants: its own steps in order and unbroken, as far as they are needed, and after the last
// of a mutant's steps that mutant's excursion: the same steps broken, then the looking ones among them again,
// repaired. So each mutant finds a cluster that has just passed, and leaves one that passes.
//
// To add one: write it into one of the data_*.go files, in the order it is to be run in, with the narrowest Notice
// that is still true on every run; then run it: svclab mutants NAME.
package mutants

import (
	"context"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Mutant is one way in which a cluster can be broken, and how the harness must notice.
type Mutant struct {
	// Name is unique; words joined by dashes.
	Name string
	// Breaks says in a sentence what is wrong while it lives.
	Breaks string
	// Behaviours are IDs of scenario.Behaviours that are proven to be checked: the steps fail without them.
	Behaviours []string
	// Scenario is the one that must notice.
	Scenario string
	// Family is the IP family that it needs the cluster to have, where it is about one: IPv6.
	Family string
	// During are names of its steps, in its order. They are done again while the cluster is broken, which it is from
	// right before the first of them on. Those of them that only look must pass again after the repair.
	During []string
	// Within bounds each of these steps but those that act on nodes while the cluster is broken, for faults that a step
	// may wait out; the step's own bound where it is 0.
	Within time.Duration
	Break  Break
	Notice Notice
}

// Break breaks the cluster and mends it.
type Break struct {
	// Do breaks it. What it breaks depends on what is there: the scenario's objects are in the scene.
	Do func(ctx context.Context, lab Lab, scene Scene) error
	// Mend puts right whatever Do can have done, wholly or in part, in this process or in an earlier one that was
	// killed. It needs no memory, and with nothing to mend it changes nothing.
	Mend func(ctx context.Context, lab Lab) error
}

// Notice is how the harness must tell that the cluster is broken.
type Notice struct {
	// Result is what the broken steps must come to, taken together; Fail where it is empty.
	Result reach.Result
	// Signs are the cells that must tell. A bad cell that is none of theirs is a wrong one.
	Signs []Sign
	// Checks are the steps without a table that must not pass.
	Checks []CheckSign
}

// NotAsked is the Field of a Sign for cells that could not be asked, which makes them Inconclusive.
const NotAsked = "not asked"

// Sign is a group of cells and how they differ. From each of From to each of To at least one cell must differ so; the
// others of the group may be right, or differ otherwise, as a fault of some connections or of one node may have it.
type Sign struct {
	// From are vantages by name or kind.
	From []string
	// To are target kinds; empty: any.
	To []reach.TargetKind
	// Slot is the node the target's address belongs to; empty: any.
	Slot       string
	Undeclared bool
	// Field is a reach.Difference's, or NotAsked.
	Field string
	// Got is what the difference's Got may be; empty: anything.
	Got []string
	// Some: one cell of all is enough, for faults that hit connections by chance.
	Some bool
	// Also are places that may tell as well, but need not: vantages by name or kind.
	Also []string
}

// CheckSign is a step without a table, by the scenario's name of it, and texts of which its reason must have one.
type CheckSign struct {
	Step string
	Why  []string
}

// All are the mutants in the order they are run in: one scenario's after another's.
func All() []Mutant {
	var all []Mutant
	for _, list := range [][]Mutant{clusterIP(), nodePort(), loadBalancer(), externalName(),
		ports(), names(), policies(), addresses(), pods(), objects(), families(), changes()} {
		all = append(all, list...)
	}
	return all
}

// Named are those of all with the given names, in the order of All; names that there are not come back too.
func Named(names []string) (found []Mutant, unknown []string) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	for _, m := range All() {
		if wanted[m.Name] {
			found = append(found, m)
			delete(wanted, m.Name)
		}
	}
	for _, name := range names {
		if wanted[name] {
			unknown = append(unknown, name)
		}
	}
	return found, unknown
}
