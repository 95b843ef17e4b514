package mutants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
)

// Fate is what became of a mutant.
type Fate string

// The fates.
const (
	// Noticed: the harness told as it must, and passed again after the revert.
	Noticed Fate = "noticed"
	// Survived: nothing told. The harness has a hole.
	Survived Fate = "NOT NOTICED"
	// Elsewhere: something told, but not, or not only, the cells or the step that had to.
	Elsewhere Fate = "wrong cell"
	// WrongHop: noticed, but traces of the cells that differ did not name the fault's rules, or another hop too.
	WrongHop Fate = "noticed, but the trace named the wrong hop"
	// NotRecovered: the same steps did not pass after the revert.
	NotRecovered Fate = "did not recover"
	// NotRun: it could not be tried.
	NotRun Fate = "could not be run"
	// Skipped: the cluster lacks what its scenario needs.
	Skipped Fate = "skipped"
)

// Finding is one mutant's.
type Finding struct {
	Mutant Mutant
	Fate   Fate
	Told   Told
	// Why says what is wrong where it was not noticed.
	Why string
	// Hop says, for a fault in a packet filter, what traces of the cells that differ named: "named" if the rules of the fault and
	// no other hop, else what the first other one says. Empty: no such cell was traced.
	Hop string
	// Took is how long its steps took, with the fault and after its revert.
	Took time.Duration
}

// Outcome is what came of all mutants.
type Outcome struct {
	Findings []Finding // in the order given
	// Baseline are steps of the scenarios that did not pass without a fault: no mutant was noticed by them,
	// and one may have left something behind.
	Baseline []string
	// Runs are the runs of scenarios, excursions included, as the harness judged them.
	Runs    []reach.Verdict
	Elapsed time.Duration
}

// Result is Pass when every mutant was noticed and the cluster recovered from each, Fail when one survived, told in the
// wrong place, was traced to the wrong hop or lasted, Inconclusive when one could not be tried or all were skipped.
func (o Outcome) Result() reach.Result {
	if !slices.ContainsFunc(o.Findings, func(f Finding) bool { return f.Fate != Skipped }) {
		return reach.Inconclusive
	}
	result := reach.Pass
	for _, f := range o.Findings {
		switch f.Fate {
		case Noticed, Skipped:
		case NotRun:
			result = reach.Worse(result, reach.Inconclusive)
		default:
			result = reach.Worse(result, reach.Fail)
		}
	}
	if len(o.Baseline) > 0 {
		result = reach.Worse(result, reach.Fail)
	}
	return result
}

// Settings are the bounds mutants are run with. They differ from the runner's own where only a broken cluster takes
// time: a table that is wrong is waited for in vain for all of Convergence, and every connection that is dropped takes
// all of its timeout. A fault that would be noticed with these would be with the longer ones, as no mutant goes by itself.
// Namespaces that are still going are no other mutant's business.
func Settings() runner.Settings {
	return runner.Settings{LeaveTerminating: true, Convergence: 4 * time.Second, Timeouts: observe.Timeouts{Answered: 3 * time.Second}}
}

// Histories plays histories with the faults of their mutants, and calls found with each finding, in their order.
type Histories func(ctx context.Context, list []Mutant, found func(Finding)) error

// Run injects each mutant's fault, one at a time, those of histories last. runnerWith makes the runner, with Settings and the options
// given; log gets a line for each finding. The error says why mutants could not be run; findings made before it
// stay. A fault that could not be reverted is reverted by the lab's OnRestore.
func Run(ctx context.Context, lab Lab, runnerWith func(...runner.Option) *runner.Runner, scenarios []scenario.Scenario, histories Histories, list []Mutant,
	log io.Writer) (Outcome, error) {
	began := time.Now()
	r := &run{lab: lab, runnerWith: runnerWith, log: log, findings: make([]*Finding, len(list))}
	err := r.skip(ctx, list)
	for _, sc := range scenarios {
		var mine []int
		for i, m := range list {
			if m.Scenario == sc.Name && r.findings[i] == nil {
				mine = append(mine, i)
			}
		}
		// A step that changes something and fails ends the run of its scenario: those behind it get another.
		for len(mine) > 0 && err == nil {
			left, failed := r.scenario(ctx, sc, list, mine)
			if err = failed; len(left) == len(mine) {
				break
			}
			mine = left
		}
	}
	var played []int
	for i, m := range list {
		if m.History != nil && r.findings[i] == nil {
			played = append(played, i)
		}
	}
	if err == nil && len(played) > 0 {
		err = histories(ctx, those(list, played), func(f Finding) {
			r.found(played[0], &f)
			played = played[1:]
		})
	}
	out := Outcome{Baseline: r.baseline, Runs: r.verdicts, Elapsed: time.Since(began)}
	for i, f := range r.findings {
		if f == nil {
			f = &Finding{Mutant: list[i], Fate: NotRun, Why: "its scenario did not get so far"}
		}
		out.Findings = append(out.Findings, *f)
	}
	return out, err
}

// Sweep reverts the faults that an earlier process may have left. Call it with all mutants before Run.
func Sweep(ctx context.Context, lab Lab, all []Mutant) error {
	ctx, cancel := context.WithTimeout(ctx, revertIn)
	defer cancel()
	vantages, err := lab.Vantages(ctx)
	if err != nil {
		return fmt.Errorf("revert what mutants may have left: %w", err)
	}
	lab = still{Lab: lab, vantages: vantages}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	group.Go(func() error { return everyNode(ctx, lab, Filter{}.String(), "nft", "-f", "-") })
	for _, m := range all {
		if m.Fault.Kind == KindFilter || m.Fault.Kind == kindRun {
			continue // its rules are in the table that is cleared on every node
		}
		group.Go(func() error {
			if err := m.Fault.Revert(ctx, lab); err != nil {
				return fmt.Errorf("revert what mutant %s may have left: %w", m.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// still is a lab whose vantages are read once: each of the many reverts of a sweep searches its own among them.
type still struct {
	Lab
	vantages []reach.Vantage
}

// Vantages are those there were.
func (s still) Vantages(context.Context) ([]reach.Vantage, error) { return s.vantages, nil }

type run struct {
	lab        Lab
	runnerWith func(...runner.Option) *runner.Runner
	log        io.Writer
	nodes      map[string]string // slot → node
	findings   []*Finding        // in the order of the list; nil while unknown
	baseline   []string
	verdicts   []reach.Verdict
}

// skip leaves out the mutants of an IP family that the cluster does not have, and learns the nodes' names.
func (r *run) skip(ctx context.Context, list []Mutant) error {
	facts, err := r.lab.Facts(ctx)
	if err != nil {
		return fmt.Errorf("learn the cluster's IP families: %w", err)
	}
	r.nodes = facts.Slots
	for i, m := range list {
		if !facts.HasFamily(m.Family) {
			r.findings[i] = &Finding{Mutant: m, Fate: Skipped, Why: "the cluster's Services have no " + m.Family}
		}
	}
	return nil
}

// scenario runs one scenario for those of the list's mutants that mine are, and returns those it did not get to.
func (r *run) scenario(ctx context.Context, sc scenario.Scenario, list []Mutant, mine []int) (left []int, err error) {
	p, err := planFor(sc, those(list, mine))
	if err != nil {
		return mine, err
	}
	p.nodes = r.nodes
	b := &injector{plan: p, lab: r.lab, revert: map[int]func(context.Context) error{}}
	outcome, err := r.runnerWith(runner.WithSettings(Settings()), runner.WithBefore(b.before)).Run(ctx, []scenario.Scenario{p.scenario})
	if errors.Is(err, runner.ErrNothingRan) { // the cluster lacks what this scenario needs, and the next may be run
		err = nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertIn)
	defer cancel()
	err = errors.Join(err, b.revertAll(clean)) // of one whose run ended while it lived
	if len(outcome.Verdicts) == 0 {
		return mine, err
	}
	verdict := outcome.Verdicts[0]
	r.verdicts = append(r.verdicts, verdict)
	if verdict.Result == reach.Skipped {
		for _, i := range mine {
			r.findings[i] = &Finding{Mutant: list[i], Fate: Skipped, Why: verdict.Skip}
		}
		return nil, err
	}
	findings, baseline := p.read(verdict)
	for k, f := range findings {
		if f == nil {
			left = append(left, mine[k])
			continue
		}
		r.found(mine[k], f)
	}
	r.baseline = append(r.baseline, baseline...)
	return left, err
}

// found keeps the finding of the list's i-th mutant.
func (r *run) found(i int, f *Finding) {
	r.findings[i] = f
	_, _ = fmt.Fprintf(r.log, "mutant %s: %s after %.1f s: %s\n", f.Mutant.Name, f.Fate, f.Took.Seconds(), f.line()) // progress that cannot be shown stops nothing
}

// those are the mutants of a list at the given places.
func those(list []Mutant, places []int) (mutants []Mutant) {
	for _, i := range places {
		mutants = append(mutants, list[i])
	}
	return mutants
}

// injector injects faults into the lab, and reverts them, between the steps of a plan.
type injector struct {
	plan plan
	lab  Lab

	mu     sync.Mutex
	revert map[int]func(context.Context) error // of the faults that are injected
}

// before is a runner.Before.
func (b *injector) before(ctx context.Context, _ string, step scenario.Step, namespace string) error {
	m := b.plan.marks[step.Name]
	switch {
	case m.phase == injected && m.first:
		mutant := b.plan.mutants[m.mutant]
		scene, err := Look(ctx, b.lab, namespace)
		if err != nil {
			return err
		}
		now := b.lab.OnRestore("mutant "+mutant.Name, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, revertIn)
			defer cancel()
			return mutant.Fault.Revert(ctx, b.lab)
		})
		b.mu.Lock()
		b.revert[m.mutant] = now
		b.mu.Unlock()
		if err := mutant.Fault.Inject(ctx, b.lab, scene); err != nil {
			return fmt.Errorf("inject the fault: %w", err)
		}
	case m.phase != injected: // for the scenario's own steps too: an excursion that was cut short has no step after its revert
		return b.revertAll(ctx)
	}
	return nil
}

// revertAll reverts every fault that is injected.
func (b *injector) revertAll(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, revert := range b.revert {
		if err := revert(ctx); err != nil {
			return fmt.Errorf("revert the fault: %w", err)
		}
		delete(b.revert, i)
	}
	return nil
}

// read makes findings of a run: one per mutant of the plan, nil for one whose steps were not done; and the steps that
// did not pass without a fault.
func (p plan) read(v reach.Verdict) (findings []*Finding, baseline []string) {
	steps := make([]map[phase][]reach.Step, len(p.mutants))
	for i := range steps {
		steps[i] = map[phase][]reach.Step{}
	}
	firstBad := "" // of the scenario's own steps, before the mutant's
	voided := map[int]string{}
	for _, step := range v.Steps {
		if step.Name == reach.OverallStep { // of steps with faults too
			continue
		}
		m, known := p.marks[step.Name]
		switch {
		case !known || m.phase == own:
			if step.Result != reach.Pass && step.Result != reach.Skipped {
				firstBad = fmt.Sprintf("%s: %s: %s: %s", v.Scenario, step.Name, step.Result, step.Why)
				baseline = append(baseline, firstBad)
			}
		default:
			if m.first && m.phase == injected && firstBad != "" {
				voided[m.mutant] = firstBad
			}
			steps[m.mutant][m.phase] = append(steps[m.mutant][m.phase], step)
		}
	}
	findings = make([]*Finding, len(p.mutants))
	for i, mutant := range p.mutants {
		f := judge(mutant, p.nodes, steps[i][injected], steps[i][reverted])
		if f != nil && voided[i] != "" {
			f = &Finding{Mutant: mutant, Fate: NotRun, Took: f.Took, Why: "the scenario did not pass without the fault: " + voided[i]}
		}
		findings[i] = f
	}
	return findings, baseline
}

// judge makes one mutant's finding of its steps; nil where they were not done, because something before them failed.
func judge(m Mutant, nodes map[string]string, during, after []reach.Step) *Finding {
	notRun := func(s reach.Step) bool { return s.Result == reach.Skipped }
	if len(during) > 0 && notRun(during[0]) && !strings.HasPrefix(during[0].Why, "not run") {
		return &Finding{Mutant: m, Fate: Skipped, Why: during[0].Why}
	}
	if len(during) == 0 || notRun(during[0]) {
		return nil
	}
	seen := slices.DeleteFunc(slices.Clone(during), notRun)
	// A fault that cells show may show in their sums too: a backend that is left out, or a kube-proxy that is stopped.
	if slices.ContainsFunc(m.Notice.Checks, func(c CheckSign) bool { return c.Step == reach.OverallStep }) {
		if overall, ok := reach.Overall(seen, runner.Defaults().Late); ok {
			seen = append(seen, overall)
		}
	}
	f := &Finding{Mutant: m, Told: m.Notice.Read(seen), Hop: hop(m.Fault, nodes, seen)}
	for _, step := range slices.Concat(during, after) {
		f.Took += step.Elapsed
	}
	for _, step := range during {
		if len(step.Tables) == 0 && step.Result == reach.Inconclusive {
			f.Fate, f.Why = NotRun, fmt.Sprintf("%s: %s", stepOf(step.Name), step.Why)
			return f
		}
	}
	switch {
	case f.Told.Missed:
		f.Fate, f.Why = Survived, f.Told.Wrong
	case !f.Told.Noticed:
		f.Fate, f.Why = Elsewhere, f.Told.Wrong
	case f.Hop != "" && f.Hop != named && m.Untraced == "":
		f.Fate, f.Why = WrongHop, f.Hop
	default:
		f.Fate = Noticed
	}
	for _, step := range after {
		if step.Result == reach.Pass {
			continue
		}
		why := fmt.Sprintf("%s, after the revert: %s: %s", stepOf(step.Name), step.Result, step.Why)
		if f.Fate == Noticed || f.Fate == WrongHop {
			f.Fate = NotRecovered
		}
		f.Why = joined(f.Why, why)
	}
	return f
}

// named is Finding.Hop where traces named the fault.
const named = "named"

// hop is Finding.Hop. A trace that went as predicted, as of a fault that hits some connections only, names no hop.
func hop(f Fault, nodes map[string]string, steps []reach.Step) (found string) {
	if f.Table == "" {
		return ""
	}
	for _, s := range steps {
		for _, t := range s.Tables {
			for _, c := range t.Cells {
				says := fmt.Sprintf("%s → %s: %s", c.Cell.Vantage.Name, c.Cell.Target.Name(), c.Traced)
				switch {
				case c.Traced == "":
				case f.isNamed(c.Traced, nodes):
					found = named
				case strings.HasPrefix(c.Traced, "differs at hop "):
					return says
				case found == "":
					found = says
				}
			}
		}
	}
	return found
}

// isNamed reports whether what a trace says names one of the fault's chains on one of its nodes.
func (f Fault) isNamed(traced string, nodes map[string]string) bool {
	for _, slot := range f.Slots {
		for _, chain := range f.Chains {
			if strings.Contains(traced, fmt.Sprintf(" %s's table %s, chain %s,", nodes[slot], f.Table, chain)) {
				return true
			}
		}
	}
	return false
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
