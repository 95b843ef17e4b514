package fuzz

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Disagreement is one kind of cell that was not as predicted.
type Disagreement struct {
	// Signature is what cells of a kind have in common: the rule, the protocol and the difference.
	Signature string
	// Service is the first one that showed it, by its "namespace/name", Cells its cells that do. Again are further ones.
	Service string
	Cells   []reach.CellVerdict
	Again   []string
	// Smallest is the smallest trial that still shows it, in Table; zero where Reproduced is false.
	Smallest   Trial
	Table      reach.Table
	Reproduced bool
	// YAML are the objects of Smallest, or the batch's Service alone where it was not shown again.
	YAML string
	// Ended says how the shrinking went, in a sentence.
	Ended string
	// History is the smallest history that shows it, Commands do it by hand, one list for each of its operations. Repeated is in
	// how many of Tries plays of it the disagreement was seen. Record is the flow's, where it is one's. All are zero for a
	// disagreement that one shot shows.
	History         *History
	Commands        [][]string
	Repeated, Tries int
	Record          *reach.FlowVerdict
	Timeline        *reach.Timeline
	// Held says which load-balancer address a Service had, and which it must have, where that is the disagreement.
	Held string

	at int // the place of the operation in the history
}

// trialConvergence is what traffic may take to follow the objects of a trial, of one Service on a cluster at rest.
const trialConvergence = 4 * time.Second

// mostCells are probed of the smallest trial for its table.
const mostCells = 400

// disagreements sorts the cells that differ by what they have in common, in the order they come.
func disagreements(cells []reach.CellVerdict) []Disagreement {
	var (
		list []Disagreement
		at   = map[string]int{}
	)
	for _, c := range cells {
		if c.Result != reach.Fail {
			continue
		}
		key := signature(c)
		i, known := at[key]
		if !known {
			i = len(list)
			at[key] = i
			list = append(list, Disagreement{Signature: key, Service: c.Cell.Target.Service})
		}
		switch d := &list[i]; {
		case d.Service == c.Cell.Target.Service:
			d.Cells = append(d.Cells, c)
		case !slices.Contains(d.Again, c.Cell.Target.Service):
			d.Again = append(d.Again, c.Cell.Target.Service)
		}
	}
	return list
}

func signature(c reach.CellVerdict) string {
	d := c.Differences[0]
	got := ""
	if d.Field == "outcome" {
		got = d.Got
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", c.Oracle.Rule, c.Cell.Target.Protocol, d.Field, got)), " ")
}

// reduce shrinks a disagreement in the session's sandbox, which afterwards no longer holds the batch.
func (s *session) reduce(ctx context.Context, d *Disagreement, cases []Case) {
	_, name, _ := strings.Cut(d.Service, "/")
	i := slices.IndexFunc(cases, func(c Case) bool { return c.Name() == name })
	first := Trial{Case: cases[i].clone(), Pods: s.selected(cases[i])}
	d.YAML = YAML(Trial{Case: first.Case}, nil)
	if shrunk := len(s.outcome.Disagreements); shrunk >= s.Shrinks {
		d.Ended = fmt.Sprintf("not shrunk: %d others were, which is the most in one run", shrunk)
		return
	}
	s.say("%s: %s; shrinking, at most %s", d.Service, d.Signature, s.Shrink)
	bounded, cancel := context.WithTimeout(ctx, s.Shrink)
	defer cancel()
	trials := 0
	shows := func(ctx context.Context, t Trial) (bool, error) {
		trials++
		found, err := s.try(ctx, t, fmt.Sprintf("%s-%d-%d", name, len(s.outcome.Disagreements), trials), func(p pair) bool { return alike(p, d.Cells) })
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(found, func(c reach.CellVerdict) bool {
			return c.Result == reach.Fail && c.Differences[0].Field == d.Cells[0].Differences[0].Field
		}), nil
	}
	alone, err := shows(bounded, first)
	if err != nil || !alone {
		d.Ended = "the Service by itself does not show it: what else was in the batch, or the moment, matters"
		if err != nil {
			d.Ended = "it could not be tried by itself: " + err.Error()
		}
		return
	}
	d.Reproduced = true
	smallest, tried, err := Shrink(bounded, first, shows)
	d.Smallest, d.YAML = smallest, YAML(smallest, s.plan.Pods)
	d.Ended = fmt.Sprintf("the smallest of %d trials", tried)
	switch {
	case err != nil:
		d.Ended = fmt.Sprintf("the smallest of %d trials, ended by: %v", tried, err)
	case bounded.Err() != nil:
		d.Ended = fmt.Sprintf("the smallest of %d trials; there was no time for more", tried)
	}
	found, err := s.try(ctx, smallest, fmt.Sprintf("%s-%d-last", name, len(s.outcome.Disagreements)), func(pair) bool { return true })
	if err != nil {
		d.Ended += "; its table could not be had: " + err.Error()
		return
	}
	d.Table = tableOf("the smallest Service that shows it", found)
	if d.Table.Result() != reach.Fail {
		d.Ended += "; it comes and goes: probed once more for this table, it was as predicted"
	}
}

// try applies a trial alone, under a new name, and judges its cells that are wanted.
func (s *session) try(ctx context.Context, t Trial, name string, wanted func(pair) bool) ([]reach.CellVerdict, error) {
	c := t.Case.clone()
	c.Service.Name = name
	unsettled, err := s.sandbox.apply(ctx, []Case{c}, func(pod string) bool { return slices.Contains(t.Pods, pod) })
	if err != nil {
		return nil, err
	}
	if unsettled != "" {
		return nil, fmt.Errorf("trial %s: %s", name, unsettled)
	}
	w, err := s.sandbox.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(pairs(w, s.vantages, c.Service.Namespace+"/"+name), func(p pair) bool { return !wanted(p) })
	if len(list) == 0 {
		return nil, nil // without the address that shows it, it does not
	}
	seen, err := s.observer.observe(ctx, list[:min(len(list), mostCells)], min(s.Convergence, trialConvergence))
	return seen.cells, err
}

// alike says whether a pair is of the same kinds as one of the cells.
func alike(p pair, cells []reach.CellVerdict) bool {
	return slices.ContainsFunc(cells, func(c reach.CellVerdict) bool {
		return p.vantage.Kind == c.Cell.Vantage.Kind && p.target.Kind == c.Cell.Target.Kind
	})
}

// selected are the pods that a case's selector finds: others cannot matter to it.
func (s *session) selected(c Case) []string {
	var names []string
	for i := range s.plan.Pods {
		if pod := &s.plan.Pods[i]; len(c.Service.Spec.Selector) > 0 && labels.SelectorFromSet(c.Service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return names
}

// troubled makes a table for each Service that has cells which are not as predicted, of those cells only.
func troubled(cells []reach.CellVerdict) []reach.Table {
	byService := map[string][]reach.CellVerdict{}
	for _, c := range cells {
		if c.Result == reach.Fail || c.Result == reach.Inconclusive {
			byService[c.Cell.Target.Service] = append(byService[c.Cell.Target.Service], c)
		}
	}
	var tables []reach.Table
	for _, service := range slices.Sorted(maps.Keys(byService)) {
		tables = append(tables, tableOf("cells of "+service+" that are not as predicted", byService[service]))
	}
	return tables
}

// firstOf is the first thing wrong with cells, and how much more there is.
func firstOf(cells []reach.CellVerdict) string {
	var bad []reach.CellVerdict
	for _, c := range cells {
		if c.Result == reach.Fail || c.Result == reach.Inconclusive {
			bad = append(bad, c)
		}
	}
	if len(bad) == 0 {
		return "nothing was probed"
	}
	slices.SortStableFunc(bad, func(a, b reach.CellVerdict) int { return cmp.Compare(a.Result, b.Result) }) // Fail first
	text := fmt.Sprintf("from %s to %s: %s", bad[0].Cell.Vantage.Name, bad[0].Cell.Target.Name(), bad[0].Why)
	if len(bad) > 1 {
		text += fmt.Sprintf("; and %d more cells", len(bad)-1)
	}
	return text
}

// mixture says what a batch is made of.
func mixture(cases []Case) string {
	counts := map[string]int{}
	for _, c := range cases {
		spec := &c.Service.Spec
		kind := string(spec.Type)
		if world.Headless(&c.Service) {
			kind = "headless"
		}
		counts[kind]++
		for word, is := range map[string]bool{
			"without selector": c.Manual != nil, "externalTrafficPolicy Local": spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
			"internalTrafficPolicy Local": world.InternalLocal(&c.Service), "ClientIP affinity": spec.SessionAffinity == corev1.ServiceAffinityClientIP,
		} {
			if is {
				counts[word]++
			}
		}
	}
	var parts []string
	for _, kind := range []string{"ClusterIP", "NodePort", "LoadBalancer", "headless", "ExternalName", "without selector",
		"externalTrafficPolicy Local", "internalTrafficPolicy Local", "ClientIP affinity"} {
		if counts[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
		}
	}
	return strings.Join(parts, ", ")
}
