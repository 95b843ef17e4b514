package reach

import (
	"fmt"
	"slices"
	"time"
)

// Result is the outcome of judging: of one cell, one check, one scenario or one run.
type Result string

// The results, and what a program that ends with one exits with: 0, 1, 2.
const (
	Pass         Result = "Pass"
	Fail         Result = "Fail"
	Inconclusive Result = "Inconclusive"
	// Skipped is only for whole scenarios and for cells left out on purpose; it never stands for a pass.
	Skipped Result = "Skipped"
)

// ExitCode is the process exit code for a run that ended with r.
func (r Result) ExitCode() int {
	switch r {
	case Pass:
		return 0
	case Fail:
		return 1
	default:
		return 2
	}
}

// Worse returns the graver of two results: Fail, then Inconclusive, then Pass, then Skipped.
// A failure that was observed stays a failure even if other probes could not be sent.
func Worse(a, b Result) Result {
	rank := map[Result]int{Skipped: 0, Pass: 1, Inconclusive: 2, Fail: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// CellVerdict is one cell of a table after judging.
type CellVerdict struct {
	Cell Cell `json:"cell"`
	// Oracle is what the oracle predicted. Expected is what the expected table of the scenario says; nil where
	// the probe has no such table (explain, fuzz).
	Oracle   Prediction  `json:"oracle"`
	Expected *Prediction `json:"expected,omitempty"`
	Result   Result      `json:"result"`
	// Alone names which of the three stands alone against the other two: "observation", "oracle",
	// "expected table"; "all three" when no two agree; empty on a pass.
	Alone string `json:"alone,omitempty"`
	// Differences are between the observation and what it should have been.
	Differences []Difference `json:"differences,omitempty"`
	// Why says in one sentence what is wrong, or why it is unprobed or inconclusive.
	Why string `json:"why,omitempty"`
	// Traced says in one sentence where one more connection, sent after the cell was judged, left the predicted path, or that it
	// did not. Empty: none was traced. It judges nothing.
	Traced string `json:"traced,omitempty"`
}

// Table is a judged reachability table: vantages × targets.
type Table struct {
	Title    string        `json:"title"`
	Vantages []Vantage     `json:"vantages"`
	Targets  []Target      `json:"targets"`
	Cells    []CellVerdict `json:"cells"` // row-major: one vantage's targets after the other
	// Behind is how long at least, by node, kube-proxy there had not followed the objects after they had settled.
	Behind map[string]time.Duration `json:"behindNs,omitempty"`
}

// Result is the worst of the table's cells. A table without a probed cell is Inconclusive.
func (t Table) Result() Result {
	result := Skipped
	for _, c := range t.Cells {
		result = Worse(result, c.Result)
	}
	if result == Skipped {
		return Inconclusive
	}
	return result
}

// Cell returns the cell of the named vantage and target.
func (t Table) Cell(vantage, target string) (CellVerdict, bool) {
	for _, c := range t.Cells {
		if c.Cell.Vantage.Name == vantage && c.Cell.Target.Name() == target {
			return c, true
		}
	}
	return CellVerdict{}, false
}

// Step is one judged step of a scenario: a table, a check that is not a table, or both.
type Step struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Tables hold what was probed in the step.
	Tables []Table `json:"tables,omitempty"`
	// Lines are what a check that is no table found, one fact a line.
	Lines []string `json:"lines,omitempty"`
	// Timeline is what flows recorded in the step, where they ran.
	Timeline *Timeline `json:"timeline,omitempty"`
	// Missing are in the expected tables but not in the cluster, where that is a failure and not an error: in an exercise's goal.
	Missing []Missing `json:"missing,omitempty"`
	// Why says what went wrong when the step did not pass.
	Why     string        `json:"why,omitempty"`
	Elapsed time.Duration `json:"elapsedNs"`
}

// Missing is something that an expected table names and the cluster does not have.
type Missing struct {
	// What says in one line what is missing.
	What string `json:"what"`
	// From and To are the clients and targets of a row that covers no cell. Both are empty if something else is missing.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Verdict is all that is known after one scenario.
type Verdict struct {
	Scenario   string        `json:"scenario"`
	Title      string        `json:"title"`
	Behaviours []string      `json:"behaviours"`
	Result     Result        `json:"result"`
	Steps      []Step        `json:"steps"`
	Skip       string        `json:"skip,omitempty"` // why it was not run
	Elapsed    time.Duration `json:"elapsedNs"`
}

// Judge compares one cell with the oracle's prediction and with the expected table's, if there is one. All three must
// agree; Alone says which one does not.
//
// A cell cannot pass if some of its probes could not be sent. It is a Fail if those that were sent differ, because no
// later probe could have changed that. If they do not, it is Inconclusive.
func Judge(cell Cell, oracle Prediction, expected *Prediction) CellVerdict {
	v := judgeSent(cell, oracle, expected)
	switch _, unprobed, failed := cell.Probed(); {
	case failed != "" && v.Result == Fail:
		v.Why += "; later probes could not be sent: " + failed
	case failed != "":
		v.Result, v.Why = Inconclusive, "could not probe: "+failed
	case unprobed != "":
		v = CellVerdict{Cell: cell, Oracle: oracle, Expected: expected, Result: Skipped, Why: unprobed}
	}
	return v
}

// judgeSent judges the probes that were sent.
func judgeSent(cell Cell, oracle Prediction, expected *Prediction) CellVerdict {
	v := CellVerdict{Cell: cell, Oracle: oracle, Expected: expected, Result: Pass}
	byOracle := Compare(oracle, cell)
	doubted := oracle.Doubt != "" && !slices.ContainsFunc(cell.Observations, func(o Observation) bool { return o.Outcome == Reached || o.Outcome == WrongAnswer })
	if expected == nil {
		switch {
		case len(byOracle) == 0:
		case doubted:
			v.Result, v.Why = Inconclusive, fmt.Sprintf("no probe was answered, and %s", oracle.Doubt)
		default:
			v.Result, v.Alone, v.Differences = Fail, "observation", byOracle
			v.Why = fmt.Sprintf("%s; expected because %s", byOracle[0], oracle.Reason)
		}
		return v
	}
	// What the oracle knows of chance holds for the table's prediction too, which does not say.
	withChance := *expected
	withChance.Even = oracle.Even && slices.Equal(oracle.Backends, expected.Backends)
	if withChance.Allows(Reached) {
		withChance.Certain = oracle.Certain
	}
	byExpected := Compare(withChance, cell)
	switch {
	case len(byExpected) == 0 && (len(byOracle) == 0 || doubted): // the table knows more than the objects say
		return v
	case len(byOracle) > 0 && len(byExpected) > 0:
		v.Alone, v.Differences = "observation", byExpected
		if !compatible(oracle, *expected) {
			v.Alone = "all three"
		}
		v.Why = fmt.Sprintf("%s; expected because %s", byExpected[0], oracle.Reason)
	case len(byOracle) > 0:
		v.Alone, v.Differences = "oracle", byOracle
		v.Why = fmt.Sprintf("the cluster does what the expected table says, but the oracle predicts otherwise (%s): %s", oracle.Rule, byOracle[0])
	default:
		v.Alone, v.Differences = "expected table", byExpected
		v.Why = fmt.Sprintf("the cluster does what the oracle predicts, but the expected table says otherwise: %s", byExpected[0])
	}
	v.Result = Fail
	return v
}

// compatible reports whether some observation could satisfy both predictions' outcomes.
func compatible(a, b Prediction) bool {
	for _, o := range a.Outcomes {
		if b.Allows(o) {
			return true
		}
	}
	return false
}
