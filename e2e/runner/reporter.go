package runner

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Reporter hears of a run's progress. Scenarios run side by side, so calls come from several goroutines.
type Reporter interface {
	// Planned tells, before anything is done, what will be run and what not.
	Planned(run []string, skipped []Skip)
	// Begin and End frame a step. End's line says what was found, where there is something to say.
	Begin(scenario, step string)
	End(scenario, step string, result reach.Result, elapsed time.Duration, line string)
	// Waiting is called again and again while a step says nothing else.
	Waiting(scenario, step string, elapsed time.Duration, what string)
	// Finished tells a scenario's verdict.
	Finished(v reach.Verdict)
}

// Lines is a Reporter that writes one line for each call.
func Lines(w io.Writer) Reporter { return &lines{w: w} }

type lines struct {
	mu sync.Mutex
	w  io.Writer
}

// put writes a line. That progress cannot be shown is no reason to stop a run, so the error is dropped.
func (l *lines) put(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.w, format+"\n", args...)
}

func (l *lines) Planned(run []string, skipped []Skip) {
	if all := len(run) + len(skipped); all != 1 { // a suite runs one at a time, and counts them itself
		l.put("%d scenarios: %d to run, %d skipped", all, len(run), len(skipped))
	}
	for _, s := range skipped {
		l.put("%s: skipped: %s", s.Scenario, s.Reason)
	}
}

func (l *lines) Begin(scenario, step string) { l.put("%s: %s …", scenario, step) }

func (l *lines) End(scenario, step string, result reach.Result, elapsed time.Duration, line string) {
	if line != "" {
		line = ": " + line
	}
	l.put("%s: %s: %s after %s%s", scenario, step, result, round(elapsed), line)
}

func (l *lines) Waiting(scenario, step string, elapsed time.Duration, what string) {
	if what == "" {
		what = "still at work"
	}
	l.put("%s: %s: %s: %s", scenario, step, round(elapsed), what)
}

func (l *lines) Finished(v reach.Verdict) {
	if v.Result == reach.Skipped {
		return // told when it was planned
	}
	l.put("%s: %s after %s", v.Scenario, v.Result, round(v.Elapsed))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// quiet is the Reporter of a runner that has none.
type quiet struct{}

func (quiet) Planned([]string, []Skip)                                {}
func (quiet) Begin(string, string)                                    {}
func (quiet) End(string, string, reach.Result, time.Duration, string) {}
func (quiet) Waiting(string, string, time.Duration, string)           {}
func (quiet) Finished(reach.Verdict)                                  {}
