// Package mutants proves that the harness notices faults. A mutant injects one fault into the running cluster while a scenario
// runs on it. The scenario must then fail, or be Inconclusive where the mutant says so. The cells or the step that the fault
// affects must show it, and no others. After the fault is reverted the same steps must pass.
//
// Mutants are data, the file mutants.yaml of a scenario's folder: the fault, the steps of the scenario that run while it is
// injected, and what they must show. A scenario runs once for all of its mutants. Its own steps run in order and without a fault, as far as they are needed. After
// the last of a mutant's steps comes its excursion: the same steps with the fault, then those of them that only read, after the
// revert. So each mutant starts on a cluster that has just passed, and leaves one that passes.
//
// HistoriesFile has mutants that only a history shows, in the same form: in place of the steps and what they show stands a history, which
// package fuzz plays and judges.
//
// To add one: write it into that file, in the order of the steps, with the narrowest notice that is still true on every run;
// then run it: svclab mutants NAME. faultKinds lists the faults. Rules of a packet filter are templates (text/template) over a
// Scene: "ip daddr {{.VIP}} tcp dport 80 drop".
package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// Mutant is a fault and how the harness must notice it.
type Mutant struct {
	// Name is unique; words joined by dashes.
	Name string `json:"name"`
	// Effect says in a sentence what is wrong while the fault is injected.
	Effect string `json:"effect"`
	// Behaviours are IDs of scenario.Behaviours that are proven to be checked: the steps fail without them.
	Behaviours []string `json:"behaviours"`
	// Scenario is the one that must notice: its folder has the mutant. It is OfHistory where a history must.
	Scenario string `json:"-"`
	// Family is the IP family that it needs the cluster to have, where it is about one: IPv6.
	Family string `json:"family"`
	// During are names of its steps, in its order. They run again with the fault, which is injected right before the first of
	// them. Those of them that only read must pass again after the revert.
	During []string `json:"during"`
	// Within bounds each of these steps while the fault is injected, except those that act on nodes: for faults that a step
	// would wait for in vain. 0 keeps the step's own bound.
	Within scenario.Duration `json:"within"`
	// Converging bounds, while the fault is injected, how long traffic may differ from the prediction; 0: as Settings say.
	Converging scenario.Duration `json:"converging"`
	Fault      Fault             `json:"fault"`
	Notice     Notice            `json:"notice"`
	// Untraced says why traces of the cells that differ need not name the fault's rules; empty: they must, where it has any.
	Untraced string `json:"untraced"`
	// History is what package fuzz reads of a mutant that only a history shows; empty: a scenario shows it.
	History json.RawMessage `json:"history"`
}

// OfHistory is the Scenario of mutants that only a history shows. They are in HistoriesFile, in the folder manifests.
const (
	OfHistory     = "history"
	HistoriesFile = "histories/mutants.yaml"
)

// The kinds of faults that stay in a scenario's own namespace and the packet filters of nodes: deleting the namespace and running
// ClearFilter on every node removes them.
const (
	KindEdit     = "edit"
	KindFilter   = "filter"
	KindStranger = "stranger"
	kindRun      = "run"
)

// ClearFilter is a command that removes what a fault left in a node's packet filter; it succeeds if there is nothing.
func ClearFilter() []string {
	return []string{"nft", "add table inet " + filterTable + "; delete table inet " + filterTable}
}

// Fault changes the cluster and reverts the change.
type Fault struct {
	// Inject makes the change. What it changes depends on the objects of the scenario, which are in the scene.
	Inject func(ctx context.Context, lab Lab, scene Scene) error
	// Revert reverts what Inject did, completely or in part, in this process or in an earlier one that was killed. It reads
	// what to revert from the cluster. Where there is nothing to revert it changes nothing.
	Revert func(ctx context.Context, lab Lab) error
	// Table is the packet filter's table that has the rules of the fault, Chains are theirs, on the nodes of Slots: a trace of what
	// they hit must name one. Empty: it has none.
	Table  string
	Chains []string
	// Kind is the fault's kind, as mutants.yaml names it: "filter".
	Kind string
	// Slots are the nodes whose packet filter it changes. Two faults of one node replace each other.
	Slots []string
}

// Notice is what the harness must report about a fault.
type Notice struct {
	// Result is the worst result of the steps with the fault; Fail where it is empty.
	Result reach.Result `json:"result"`
	// Signs are the cells that must show the fault. Any other bad cell is a wrong one.
	Signs []Sign `json:"signs"`
	// Checks are the steps without a table that must not pass.
	Checks []CheckSign `json:"checks"`
}

// NotProbed is the Field of a Sign for cells that could not be probed, which makes them Inconclusive.
const NotProbed = "not probed"

// Sign is a group of cells and how they differ. From each of From to each of To at least one cell must differ so; the
// others of the group may pass or differ in another way, because a fault may affect some connections or one node only.
type Sign struct {
	// From are vantages by name or kind.
	From []string `json:"from"`
	// To are target kinds; empty: any.
	To []reach.TargetKind `json:"to"`
	// Slot is the node the target's address belongs to; empty: any.
	Slot       string `json:"slot"`
	Undeclared bool   `json:"undeclared"`
	// Field is a reach.Difference's, or NotProbed.
	Field string `json:"field"`
	// Got is what the difference's Got may be; empty: anything.
	Got []string `json:"got"`
	// Some: one cell of all is enough, for faults that hit connections by chance.
	Some bool `json:"some"`
	// Also are vantages, by name or kind, whose cells may show the fault too, but need not.
	Also []string `json:"also"`
}

// CheckSign is a step without a table, by the scenario's name of it. Its reason must have one of the texts in Why.
type CheckSign struct {
	Step string   `json:"step"`
	Why  []string `json:"why"`
}

// faultKinds are the kinds of faults. A fault in mutants.yaml is the name of one, with its parameters.
func faultKinds() map[string]func([]byte) (Fault, error) {
	return map[string]func([]byte) (Fault, error){
		"addressForgotten": fixed(addressForgotten()),
		"addressOfNoPool":  fixed(addressOfNoPool()),
		"admit":            kind(admitted),
		"alias":            kind(aliasChanged),
		"dnsDown":          fixed(dnsDown()),
		"dnsPod":           kind(dnsPod),
		KindEdit:           kind(edited),
		KindFilter:         kind(filter),
		"freezeProxy":      kind(proxyFrozen),
		"freezeProxyAfter": kind(proxyFrozenAfter),
		"kernel":           kind(kernelSet),
		"modeKept":         kind(modeKept),
		"neighbourKept":    fixed(neighbourKept()),
		"ownAddress":       kind(addressOwned),
		"prober":           kind(proberReplaced),
		"proxyLate":        kind(proxyLate),
		"rangeReleased":    fixed(rangeReleased()),
		"recordsLost":      kind(recordsLost),
		"routeOutside":     kind(wayIn),
		kindRun:            kind(func(script string) Fault { return filter(Filter{Run: script}) }),
		"rulesLeft":        kind(rulesLeft),
		"searchPathLost":   kind(searchLost),
		"sliceAdded":       kind(sliceAdded),
		"speakersGone":     fixed(speakersGone()),
		"speakersHang":     fixed(speakersHang()),
		KindStranger:       kind(stranger),
		"unmirrored":       kind(unmirrored),
	}
}

// kind decodes the parameters of a fault.
func kind[T any](fault func(T) Fault) func([]byte) (Fault, error) {
	return func(data []byte) (Fault, error) {
		var parameters T
		if err := scenario.DecodeStrict(data, &parameters); err != nil {
			return Fault{}, err
		}
		return fault(parameters), nil
	}
}

// fixed is a kind without parameters.
func fixed(fault Fault) func([]byte) (Fault, error) {
	return kind(func(struct{}) Fault { return fault })
}

// UnmarshalJSON reads "kind: parameters".
func (f *Fault) UnmarshalJSON(data []byte) error {
	var parameters map[string]json.RawMessage
	if err := json.Unmarshal(data, &parameters); err != nil {
		return fmt.Errorf("read a fault: %w", err)
	}
	kinds := faultKinds()
	for name, data := range parameters {
		decode, known := kinds[name]
		if !known || len(parameters) > 1 {
			break
		}
		var err error
		if *f, err = decode(data); err != nil {
			return fmt.Errorf("fault %s: %w", name, err)
		}
		f.Kind = name
		return nil
	}
	return fmt.Errorf("want one fault of these kinds: %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
}

// Load reads the mutants of all scenarios and then those of histories, in the order they run in. fsys is rooted at manifests.
func Load(fsys fs.FS) ([]Mutant, error) {
	names, err := scenario.Names(fsys)
	errs := []error{err}
	var all []Mutant
	for _, name := range append(names, OfHistory) {
		var of struct {
			Mutants []Mutant `json:"mutants"`
		}
		file := path.Join(scenario.Folder, name, scenario.MutantsFile)
		if name == OfHistory {
			file = HistoriesFile
		}
		switch err := scenario.DecodeFile(fsys, file, nil, &of); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
		}
		for _, m := range of.Mutants {
			m.Scenario = name
			all = append(all, m)
		}
	}
	return all, errors.Join(errs...)
}

// Named returns those of all that have one of the names, in the order of all, and the names that no mutant has.
func Named(all []Mutant, names []string) (found []Mutant, unknown []string) {
	for _, m := range all {
		if slices.Contains(names, m.Name) {
			found = append(found, m)
		}
	}
	unknown = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(all, func(m Mutant) bool { return m.Name == name })
	})
	return found, unknown
}
