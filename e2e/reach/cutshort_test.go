package reach

import (
	"strings"
	"testing"
)

// A cell whose last probe could not be sent fails by what the others saw, and is Inconclusive where they saw
// nothing wrong. It never passes, and a backend that may have answered the missing probes is not missing.
func TestJudgeACellCutShort(t *testing.T) {
	var (
		want   = Prediction{Outcomes: []Outcome{Reached}, Backends: []string{"a", "b"}, Reason: "both are ready"}
		sticky = Prediction{Outcomes: []Outcome{Reached}, Backends: []string{"a", "b"}, Sticky: true}
		denied = Prediction{Outcomes: []Outcome{TimedOut}}
		a, b   = Observation{Outcome: Reached, Backend: "a"}, Observation{Outcome: Reached, Backend: "b"}
		lost   = Observation{Outcome: TimedOut}
		cut    = Observation{Outcome: ProbeFailed, Detail: "the run's deadline passed"}
	)
	for name, c := range map[string]struct {
		oracle   Prediction
		expected *Prediction
		seen     []Observation
		result   Result
		why      string
	}{
		"lost before":             {want, nil, []Observation{a, lost, cut}, Fail, "got TimedOut (1 of 3 probes); expected because both are ready; later probes could not be sent: the run's deadline passed"},
		"lost, with a table":      {want, &want, []Observation{lost, cut}, Fail, "later probes could not be sent"},
		"only the table differs":  {denied, &want, []Observation{lost, cut}, Fail, "expected table"},
		"only the oracle differs": {want, &denied, []Observation{lost, cut}, Fail, "oracle"},
		"another backend":         {want, nil, []Observation{{Outcome: Reached, Backend: "c"}, cut}, Fail, "backend"},
		"two backends in turn":    {sticky, nil, []Observation{a, b, cut}, Fail, "affinity"},
		"one backend so far":      {want, nil, []Observation{a, a, cut}, Inconclusive, "could not probe: the run's deadline passed"},
		"as predicted so far":     {want, nil, []Observation{a, b, cut}, Inconclusive, "could not probe: the run's deadline passed"},
		"nothing was sent":        {want, nil, []Observation{cut}, Inconclusive, "could not probe: the run's deadline passed"},
		"nothing was reported":    {want, nil, nil, Inconclusive, "no observation was reported"},
		"left out after a loss":   {want, nil, []Observation{lost, {Outcome: Unprobed, Detail: "on purpose"}}, Skipped, "on purpose"},
	} {
		v := Judge(Cell{Observations: c.seen}, c.oracle, c.expected)
		if v.Result != c.result || !strings.Contains(v.Alone+v.Why, c.why) {
			t.Errorf("%s: %s, %s: %s", name, v.Result, v.Alone, v.Why)
		}
		if (v.Result == Fail) != (len(v.Differences) > 0) || (v.Result == Fail) != (v.Alone != "") {
			t.Errorf("%s: differences %v, alone %q", name, v.Differences, v.Alone)
		}
	}
	missing := Compare(want, Cell{Observations: []Observation{a, a}})
	if len(missing) != 1 || missing[0].Field != "missing backend" {
		t.Errorf("all probes were sent: %v", missing)
	}
}
