package runner

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Events is a Reporter that writes each call as one line of JSON, for another process: see Replay. Of a verdict it writes
// what is said of the steps, not their tables.
func Events(w io.Writer) Reporter { return &events{to: json.NewEncoder(w)} }

type events struct {
	mu sync.Mutex
	to *json.Encoder
}

// event is a call of a Reporter.
type event struct {
	Call     string         `json:"svclab"`
	Scenario string         `json:"scenario,omitempty"`
	Step     string         `json:"step,omitempty"`
	Result   reach.Result   `json:"result,omitempty"`
	Elapsed  time.Duration  `json:"elapsedNs,omitempty"`
	Text     string         `json:"text,omitempty"`
	Run      []string       `json:"run,omitempty"`
	Skipped  []Skip         `json:"skipped,omitempty"`
	Verdict  *reach.Verdict `json:"verdict,omitempty"`
}

// put writes a line. That progress cannot be shown is no reason to stop a run, so the error is dropped.
func (e *events) put(what event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.to.Encode(what)
}

func (e *events) Planned(run []string, skipped []Skip) {
	e.put(event{Call: "planned", Run: run, Skipped: skipped})
}

func (e *events) Begin(scenario, step string) {
	e.put(event{Call: "begin", Scenario: scenario, Step: step})
}

func (e *events) End(scenario, step string, result reach.Result, elapsed time.Duration, line string) {
	e.put(event{Call: "end", Scenario: scenario, Step: step, Result: result, Elapsed: elapsed, Text: line})
}

func (e *events) Waiting(scenario, step string, elapsed time.Duration, what string) {
	e.put(event{Call: "waiting", Scenario: scenario, Step: step, Elapsed: elapsed, Text: what})
}

func (e *events) Finished(v reach.Verdict) {
	short := v
	short.Steps = nil
	for _, step := range v.Steps {
		short.Steps = append(short.Steps, reach.Step{Name: step.Name, Result: step.Result, Why: step.Why, Elapsed: step.Elapsed})
	}
	e.put(event{Call: "finished", Verdict: &short})
}

// Replay makes the call that a line of Events is of. It reports whether the line is one.
func Replay(line []byte, to Reporter) bool {
	var e event
	if json.Unmarshal(line, &e) != nil {
		return false
	}
	switch {
	case e.Call == "planned":
		to.Planned(e.Run, e.Skipped)
	case e.Call == "begin":
		to.Begin(e.Scenario, e.Step)
	case e.Call == "end":
		to.End(e.Scenario, e.Step, e.Result, e.Elapsed, e.Text)
	case e.Call == "waiting":
		to.Waiting(e.Scenario, e.Step, e.Elapsed, e.Text)
	case e.Call == "finished" && e.Verdict != nil:
		to.Finished(*e.Verdict)
	default:
		return false
	}
	return true
}
