package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Shard says that a run was one of several parts of all its scenarios.
type Shard struct {
	// Index is from 1 to Of.
	Index int `json:"index"`
	Of    int `json:"of"`
	// All are the scenarios of all parts, in their order.
	All []string `json:"all"`
}

// Part is the result of a shard, and the file it is from.
type Part struct {
	File string
	Run  Run
}

// Merge joins the results of all shards into that of one run. It returns an error if one is missing or there twice, if they are
// of different clusters, versions or settings, and if they are not the parts of the same scenarios. Elapsed is from the first
// that began to the last that ended.
func Merge(parts []Part) (Run, error) {
	if len(parts) == 0 {
		return Run{}, errors.New("no result was named")
	}
	parts = slices.SortedStableFunc(slices.Values(parts), func(a, b Part) int { return indexOf(a.Run) - indexOf(b.Run) })
	first := parts[0]
	for _, p := range parts {
		if p.Run.Shard == nil {
			return Run{}, fmt.Errorf("%s is no result of a shard", p.File)
		}
		if what, a, b := difference(first.Run, p.Run); what != "" {
			return Run{}, fmt.Errorf("%s and %s differ in the %s: %s and %s", first.File, p.File, what, a, b)
		}
	}
	merged := first.Run
	all, of := merged.Shard.All, merged.Shard.Of
	var missing []string
	for index := 1; index <= of; index++ {
		var files []string
		for _, p := range parts {
			if p.Run.Shard.Index == index {
				files = append(files, p.File)
			}
		}
		switch {
		case len(files) == 0:
			missing = append(missing, fmt.Sprintf("%d/%d", index, of))
		case len(files) > 1:
			return Run{}, fmt.Errorf("shard %d/%d is there %d times: %s", index, of, len(files), strings.Join(files, ", "))
		}
	}
	if len(missing) > 0 {
		return Run{}, fmt.Errorf("the result of shard %s is missing", strings.Join(missing, ", "))
	}
	planned, verdicts := map[string]string{}, map[string]reach.Verdict{}
	end := merged.Started.Add(merged.Elapsed)
	for _, p := range parts {
		for _, name := range p.Run.Plan.Planned {
			if other, twice := planned[name]; twice || !slices.Contains(all, name) {
				return Run{}, fmt.Errorf("%s has scenario %s, which is not its part (%s)", p.File, name, other)
			}
			planned[name] = p.File
		}
		for _, v := range p.Run.Verdicts {
			if planned[v.Scenario] != p.File {
				return Run{}, fmt.Errorf("%s has a verdict of scenario %s, which it did not plan", p.File, v.Scenario)
			}
			verdicts[v.Scenario] = v
		}
		if p.Run.Started.Before(merged.Started) {
			merged.Started = p.Run.Started
		}
		if ended := p.Run.Started.Add(p.Run.Elapsed); ended.After(end) {
			end = ended
		}
	}
	merged.Elapsed, merged.Shard, merged.Verdicts = end.Sub(merged.Started), nil, nil
	for _, name := range all { // one that no part planned is lost, and the run no pass
		if v, judged := verdicts[name]; judged {
			merged.Verdicts = append(merged.Verdicts, v)
		}
	}
	merged.Plan = PlanFor(all, merged.Verdicts)
	if merged.Conformance != nil {
		merged.Conformance = mergedConformance(parts, merged)
	}
	return merged, nil
}

func indexOf(run Run) int {
	if run.Shard == nil {
		return 0
	}
	return run.Shard.Index
}

// difference names the first setting in which two runs differ, and what it is in each. The machines' Docker engines may differ.
func difference(a, b Run) (what, inA, inB string) {
	for _, setting := range []struct {
		name string
		of   func(Run) any
	}{
		{"kind of run", func(r Run) any {
			return map[bool]string{true: "conformance", false: "e2e or verify"}[r.Conformance != nil]
		}},
		{"version of svclab", func(r Run) any { return r.Tool + " " + r.Version }},
		{"number of shards", func(r Run) any { return r.Shard.Of }},
		{"scenarios", func(r Run) any { return r.Shard.All }},
		{"cluster's name", func(r Run) any { return r.Cluster.Name }},
		{"version of Kubernetes", func(r Run) any { return r.Cluster.Kubernetes }},
		{"proxy mode", func(r Run) any { return r.Cluster.ProxyMode }},
		{"release of kube-proxy", func(r Run) any { return r.Cluster.Proxy }},
		{"release of CoreDNS", func(r Run) any { return r.Cluster.CoreDNS }},
		{"IP families", func(r Run) any { return r.Cluster.Families }},
		{"cluster's provider", func(r Run) any { return r.Cluster.Provider }},
		{"nodes", func(r Run) any { return r.Cluster.Nodes }},
		{"settings", func(r Run) any {
			if r.Conformance == nil {
				return nil
			}
			c := *r.Conformance
			return []any{c.Profile, c.Only, c.Image, c.Features, c.Vantages.Nodes, c.Vantages.Sampled, c.Vantages.Seed}
		}},
	} {
		textA, errA := json.Marshal(setting.of(a))
		textB, errB := json.Marshal(setting.of(b))
		if err := errors.Join(errA, errB); err != nil || string(textA) != string(textB) {
			return setting.name, string(textA), string(textB)
		}
	}
	return "", "", ""
}

// mergedConformance joins the reports of the parts. A behaviour is verified by the scenarios of all of them.
func mergedConformance(parts []Part, merged Run) *Conformance {
	c := *merged.Conformance
	totals := merged.Totals()
	c.Started, c.Elapsed, c.Result = merged.Started.UTC(), merged.Elapsed.Round(1e8).String(), merged.Result()
	c.Statistics = Statistics{Probes: totals.Probes, Cells: totals.Cells}
	rows := map[string]ScenarioResult{}
	c.Scenarios, c.Behaviours, c.Reproduce = nil, slices.Clone(c.Behaviours), nil
	for _, p := range parts {
		c.Reproduce = append(c.Reproduce, p.Run.Conformance.Reproduce...)
		for _, s := range p.Run.Conformance.Scenarios {
			rows[s.Name] = s
		}
	}
	for _, name := range merged.Plan.Planned {
		row, there := rows[name]
		if !there {
			row = ScenarioResult{Name: name, Result: reach.Inconclusive, Reason: "no shard planned it"}
		}
		c.Scenarios = append(c.Scenarios, row)
		c.Statistics.Scenarios.Add(row.Result)
	}
	for i, b := range c.Behaviours {
		whole := BehaviourResult{ID: b.ID, Text: b.Text, Profile: b.Profile, Result: reach.Skipped}
		for _, p := range parts {
			at := slices.IndexFunc(p.Run.Conformance.Behaviours, func(other BehaviourResult) bool { return other.ID == b.ID })
			if at < 0 || len(p.Run.Conformance.Behaviours[at].Scenarios) == 0 {
				continue
			}
			part := p.Run.Conformance.Behaviours[at]
			whole.Result = reach.Worse(whole.Result, part.Result)
			whole.Partial = whole.Partial || part.Partial || part.Result == reach.Skipped
			whole.Scenarios = append(whole.Scenarios, part.Scenarios...)
			whole.Reasons = append(whole.Reasons, part.Reasons...)
		}
		if len(whole.Scenarios) == 0 {
			whole.Reasons = b.Reasons
		}
		whole.Partial = whole.Partial && whole.Result != reach.Skipped
		c.Behaviours[i] = whole
		c.Statistics.Behaviours.Add(whole.Result)
	}
	return &c
}
