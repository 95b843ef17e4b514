package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Totals are the counts of a run. Run = Passed + Failed + Inconclusive; Planned may be less than
// Run + Skipped + Lost when a scenario ran that was not planned.
type Totals struct {
	Planned, Run, Passed, Failed, Inconclusive, Skipped, Lost int
	Cells                                                     CellTotals
	// Probes is the number of connections and datagrams that were sent and accounted for.
	Probes int
	// Unprobed are the reasons for which cells were left out, the most frequent first.
	Unprobed []ReasonCount
}

// CellTotals count the cells of tables. Cells = AsExpected + Differ + Unknown + Unprobed.
type CellTotals struct {
	Cells      int `json:"total"`
	AsExpected int `json:"asExpected"`
	Differ     int `json:"differ"`
	Unknown    int `json:"couldNotBeProbed"`
	Unprobed   int `json:"notProbedOnPurpose"`
}

// ReasonCount is how many cells share a reason.
type ReasonCount struct {
	Reason string
	Count  int
}

// Totals counts the run.
func (r Run) Totals() Totals {
	t := Totals{Planned: len(r.Plan.Planned), Skipped: len(r.Skips()), Lost: len(r.Lost())}
	reasons := map[string]int{}
	for _, v := range r.Verdicts {
		switch v.Result {
		case reach.Pass:
			t.Passed++
		case reach.Fail:
			t.Failed++
		case reach.Inconclusive:
			t.Inconclusive++
		}
		for _, s := range v.Steps {
			for _, table := range s.Tables {
				t.Probes += countTable(table, &t.Cells, reasons)
			}
		}
	}
	t.Run = t.Passed + t.Failed + t.Inconclusive
	for reason, count := range merged(reasons) {
		t.Unprobed = append(t.Unprobed, ReasonCount{Reason: reason, Count: count})
	}
	slices.SortFunc(t.Unprobed, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return t
}

// merged joins reasons that differ only in addresses.
func merged(reasons map[string]int) map[string]int {
	byShape := map[string][]string{}
	for reason := range reasons {
		words := strings.Fields(reason)
		for i, word := range words {
			if _, err := netip.ParseAddr(strings.TrimRight(word, ";,.")); err == nil {
				words[i] = "*"
			}
		}
		shape := strings.Join(words, " ")
		byShape[shape] = append(byShape[shape], reason)
	}
	out := map[string]int{}
	for _, same := range byShape {
		slices.Sort(same)
		text := same[0]
		if len(same) > 1 {
			text += fmt.Sprintf(" (likewise %d more)", len(same)-1)
		}
		for _, reason := range same {
			out[text] += reasons[reason]
		}
	}
	return out
}

// countTable adds the table's cells to totals and to reasons and returns how many probes it holds.
func countTable(table reach.Table, totals *CellTotals, reasons map[string]int) (probes int) {
	for _, c := range table.Cells {
		totals.Cells++
		switch c.Result {
		case reach.Pass:
			totals.AsExpected++
		case reach.Fail:
			totals.Differ++
		case reach.Skipped:
			totals.Unprobed++
			reasons[cmp.Or(c.Why, "no reason was given")]++
		default:
			totals.Unknown++
		}
		for _, o := range c.Cell.Observations {
			if o.Outcome != reach.Unprobed && o.Outcome != reach.ProbeFailed {
				probes++
			}
		}
	}
	return probes
}

func cellTotals(tables ...reach.Table) (totals CellTotals, probes int) {
	reasons := map[string]int{}
	for _, t := range tables {
		probes += countTable(t, &totals, reasons)
	}
	return totals, probes
}

// Slowest returns at most n of the scenarios that ran, the slowest first.
func (r Run) Slowest(n int) []reach.Verdict {
	ran := slices.DeleteFunc(slices.Clone(r.Verdicts), func(v reach.Verdict) bool { return v.Result == reach.Skipped })
	slices.SortStableFunc(ran, func(a, b reach.Verdict) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	return ran[:min(n, len(ran))]
}
