// Package mutants proves that the harness notices faults. A mutant injects one fault into the running cluster while a scenario
// runs on it. The scenario must then fail, or be Inconclusive where the mutant says so. The cells or the step that the fault
// affects must show it, and no others. After the fault is reverted the same steps must pass.
//
// Mutants are data (see All): the fault, the steps of a scenario that run while it is injected, and what they must show. A
// scenario runs once for all of its mutants. Its own steps run in order and without a fault, as far as they are needed. After
// the last of a mutant's steps comes its excursion: the same steps with the fault, then those of them that only read, after the
// revert. So each mutant starts on a cluster that has just passed, and leaves one that passes.
//
// To add one: write it into one of the data_*.go files, in the order it is to be run in, with the narrowest Notice
// that is still true on every run; then run it: svclab mutants NAME.
package mutants

import (
	"context"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Mutant is a fault and how the harness must notice it.
type Mutant struct {
	// Name is unique; words joined by dashes.
	Name string
	// Effect says in a sentence what is wrong while the fault is injected.
	Effect string
	// Behaviours are IDs of scenario.Behaviours that are proven to be checked: the steps fail without them.
	Behaviours []string
	// Scenario is the one that must notice.
	Scenario string
	// Family is the IP family that it needs the cluster to have, where it is about one: IPv6.
	Family string
	// During are names of its steps, in its order. They run again with the fault, which is injected right before the first of
	// them. Those of them that only read must pass again after the revert.
	During []string
	// Within bounds each of these steps while the fault is injected, except those that act on nodes: for faults that a step
	// would wait for in vain. 0 keeps the step's own bound.
	Within time.Duration
	Fault  Fault
	Notice Notice
}

// Fault changes the cluster and reverts the change.
type Fault struct {
	// Inject makes the change. What it changes depends on the objects of the scenario, which are in the scene.
	Inject func(ctx context.Context, lab Lab, scene Scene) error
	// Revert reverts what Inject did, completely or in part, in this process or in an earlier one that was killed. It reads
	// what to revert from the cluster. Where there is nothing to revert it changes nothing.
	Revert func(ctx context.Context, lab Lab) error
}

// Notice is what the harness must report about a fault.
type Notice struct {
	// Result is the worst result of the steps with the fault; Fail where it is empty.
	Result reach.Result
	// Signs are the cells that must tell. A bad cell that is none of theirs is a wrong one.
	Signs []Sign
	// Checks are the steps without a table that must not pass.
	Checks []CheckSign
}

// NotProbed is the Field of a Sign for cells that could not be probed, which makes them Inconclusive.
const NotProbed = "not probed"

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
	// Field is a reach.Difference's, or NotProbed.
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
