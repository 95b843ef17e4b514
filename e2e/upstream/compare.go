package upstream

import (
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
)

// Comparison has upstream's run and svclab's own on the same cluster.
type Comparison struct {
	Cluster  report.Cluster `json:"cluster"`
	Upstream Outcome        `json:"upstream"`
	// Ours is nil when only upstream's specs were run.
	Ours       *Scenarios `json:"svclab,omitempty"`
	Behaviours []Row      `json:"behaviours"`
}

// Scenarios sums up a run of svclab's scenarios.
type Scenarios struct {
	Planned int `json:"planned"`
	Passed  int `json:"passed"`
	Skipped int `json:"skipped"`
	// Failed counts those that failed or could not be judged.
	Failed  int           `json:"failed"`
	Probes  int           `json:"probes"`
	Result  reach.Result  `json:"result"`
	Elapsed time.Duration `json:"elapsedNs"`
}

// Row is one behaviour.
type Row struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	// Theirs has upstream's specs about it, Ours svclab's scenarios.
	Theirs Side `json:"upstream"`
	Ours   Side `json:"svclab"`
}

// Side is how upstream or svclab did on one behaviour.
type Side struct {
	// Names are the specs or scenarios that ran; empty if the behaviour is not covered.
	Names []string `json:"names,omitempty"`
	// Result is their worst result; Skipped if none ran.
	Result reach.Result `json:"result"`
	// Elapsed is their total time. A spec or scenario about several behaviours counts completely for each.
	Elapsed time.Duration `json:"elapsedNs"`
}

// Covered reports whether a spec or scenario about the behaviour ran.
func (s Side) Covered() bool { return len(s.Names) > 0 }

func (s *Side) add(name string, result reach.Result, elapsed time.Duration) {
	if result == reach.Skipped || slices.Contains(s.Names, name) {
		return
	}
	s.Names, s.Result, s.Elapsed = append(s.Names, name), reach.Worse(s.Result, result), s.Elapsed+elapsed
}

// Compare compares upstream's outcome with a run of svclab's scenarios; ours is nil without one.
func Compare(described report.Cluster, theirs Outcome, ours *report.Run) Comparison {
	c := Comparison{Cluster: described, Upstream: theirs}
	for _, b := range scenario.Behaviours() {
		row := Row{ID: b.ID, Text: b.Text, Theirs: Side{Result: reach.Skipped}, Ours: Side{Result: reach.Skipped}}
		for _, spec := range theirs.Specs {
			if slices.Contains(spec.Behaviours, b.ID) {
				row.Theirs.add(spec.Name, spec.Result, spec.Elapsed)
			}
		}
		if ours != nil {
			for _, v := range ours.Verdicts {
				if slices.Contains(v.Behaviours, b.ID) {
					row.Ours.add(v.Scenario, v.Result, v.Elapsed)
				}
			}
		}
		c.Behaviours = append(c.Behaviours, row)
	}
	if ours == nil {
		return c
	}
	sum := Scenarios{Planned: len(ours.Plan.Planned), Skipped: len(ours.Skips()), Probes: ours.Totals().Probes, Result: ours.Result(), Elapsed: ours.Elapsed}
	for _, v := range ours.Verdicts {
		switch v.Result {
		case reach.Pass:
			sum.Passed++
		case reach.Fail, reach.Inconclusive:
			sum.Failed++
		}
	}
	c.Ours = &sum
	return c
}

// Result is the worst of both.
func (c Comparison) Result() reach.Result {
	if c.Ours == nil {
		return c.Upstream.Result()
	}
	return reach.Worse(c.Upstream.Result(), c.Ours.Result)
}

// covered counts the behaviours that each side covers.
func (c Comparison) covered() (theirs, ours int) {
	for _, row := range c.Behaviours {
		if row.Theirs.Covered() {
			theirs++
		}
		if row.Ours.Covered() {
			ours++
		}
	}
	return theirs, ours
}
