package conformance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
)

// judged returns the conformance report of a run.
func (p Plan) judged(run report.Run, proxySource string, found features, scenarios []adapted) report.Conformance {
	totals := run.Totals()
	c := report.Conformance{Started: run.Started.UTC(), Elapsed: run.Elapsed.Round(1e8).String(), Profile: string(p.Profile), Only: p.Only,
		Result: run.Result(), Cluster: run.Cluster, ProxySource: proxySource, Features: found, Image: p.Image.Name,
		Vantages: report.Vantages{Nodes: p.Sample.Total, Sampled: len(p.Sample.Slots), Whole: p.Sample.Whole(), Seed: p.Seed,
			Left: maps.Clone(p.Sample.Left), Unusable: map[string]string{string(reach.Outside): found.lacks(scenario.Outside)}},
		Reproduce: []string{p.Reproduce}}
	if totals.Run == 0 {
		c.Result = reach.Inconclusive // no scenario ran, so nothing was found wrong either
	}
	if p.host != "" {
		c.Vantages.Unusable[string(reach.Host)] = p.host
	}
	c.Statistics.Probes, c.Statistics.Cells = totals.Probes, totals.Cells
	c.Scenarios = scenarioRows(run, scenarios)
	for _, s := range c.Scenarios {
		c.Statistics.Scenarios.Add(s.Result)
	}
	c.Behaviours = behaviourRows(p.Options, run.Verdicts, c.Scenarios)
	for _, b := range c.Behaviours {
		c.Statistics.Behaviours.Add(b.Result)
	}
	return c
}

// scenarioRows returns one row for each scenario of the plan. A scenario that did not run before the end is Inconclusive.
func scenarioRows(run report.Run, scenarios []adapted) []report.ScenarioResult {
	var rows []report.ScenarioResult
	for _, f := range scenarios {
		row := report.ScenarioResult{Name: f.scenario.Name, Title: f.scenario.Title, Result: reach.Inconclusive, Reason: "the run ended without it"}
		for _, v := range run.Verdicts {
			if v.Scenario != row.Name {
				continue
			}
			row.Result, row.Reason = v.Result, report.Why(v)
			for _, step := range v.Steps { // those whose feature gate the cluster does not have
				if v.Result == reach.Pass && step.Result == reach.Skipped && f.left[step.Name] == "" {
					row.LeftOut = append(row.LeftOut, report.LeftOut{Step: step.Name, Reason: step.Why})
				}
			}
		}
		if row.Result != reach.Skipped {
			for _, name := range f.order {
				if why := f.left[name]; why != "" {
					row.LeftOut = append(row.LeftOut, report.LeftOut{Step: name, Reason: why})
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// behaviourRows returns one row for each behaviour of the profile, with the worst result of its scenarios.
func behaviourRows(o Options, verdicts []reach.Verdict, scenarios []report.ScenarioResult) []report.BehaviourResult {
	verifies := map[string][]string{} // behaviour: scenarios
	for _, v := range verdicts {
		for _, id := range v.Behaviours {
			verifies[id] = append(verifies[id], v.Scenario)
		}
	}
	var rows []report.BehaviourResult
	for _, b := range scenario.Behaviours() {
		if !o.Profile.Holds(b.Profile) || len(o.Only) > 0 && !slices.Contains(o.Only, b.ID) {
			continue
		}
		row := report.BehaviourResult{ID: b.ID, Text: b.Text, Profile: string(b.Profile), Result: reach.Skipped, Scenarios: verifies[b.ID]}
		if len(row.Scenarios) == 0 {
			row.Reasons = []string{"no planned scenario verifies it"}
		}
		for _, s := range scenarios {
			if !slices.Contains(row.Scenarios, s.Name) {
				continue
			}
			row.Result = reach.Worse(row.Result, s.Result)
			row.Partial = row.Partial || s.Result == reach.Skipped || len(s.LeftOut) > 0
			if s.Reason != "" {
				row.Reasons = append(row.Reasons, fmt.Sprintf("%s: %s", s.Name, s.Reason))
			}
			for _, left := range s.LeftOut {
				row.Reasons = append(row.Reasons, fmt.Sprintf("%s: left out %q: %s", s.Name, left.Step, left.Reason))
			}
		}
		row.Partial = row.Partial && row.Result != reach.Skipped
		rows = append(rows, row)
	}
	return rows
}
