package learn

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

const (
	tick = time.Second
	// logEvery is how often a spinner prints a line if it cannot rewrite one.
	logEvery = 10 * time.Second
)

// spinner shows a learner what svclab does and for how long. On a terminal it rewrites one line; otherwise it prints a line every
// ten seconds. It is also the runner's Reporter, and shows what the runner waits for.
type spinner struct {
	w        io.Writer
	language course.Language
	// terminal: the line can be rewritten.
	terminal bool

	mu      sync.Mutex
	waiting string
}

func newSpinner(w io.Writer, l course.Language, terminal bool) *spinner {
	return &spinner{w: w, language: l, terminal: terminal}
}

var _ runner.Reporter = (*spinner)(nil)

// run calls do and shows the spinner meanwhile.
func (p *spinner) run(id coach.Message, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var (
		began  = time.Now()
		ticks  = time.NewTicker(tick)
		logged = time.Duration(0)
	)
	defer ticks.Stop()
	p.Waiting("", "", 0, "")
	for {
		select {
		case err := <-done:
			p.clear()
			return err
		case <-ticks.C:
			elapsed := time.Since(began)
			if p.terminal {
				p.show(p.text(id, elapsed), "")
			} else if elapsed-logged >= logEvery {
				logged = elapsed
				p.put(p.text(id, elapsed) + "\n")
			}
		}
	}
}

// text says what svclab does, for how long, and what it waits for.
func (p *spinner) text(id coach.Message, elapsed time.Duration) string {
	what, seconds := coach.Say(p.language, id), int(elapsed.Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != "" {
		return coach.Say(p.language, coach.WaitingFor, what, seconds, p.waiting)
	}
	return coach.Say(p.language, coach.Seconds, what, seconds)
}

// show rewrites the line: right in full, and as much of left as fits before it. The terminal's last column stays empty,
// since some terminals wrap when it is written.
func (p *spinner) show(left, right string) {
	columns := console.Width(p.w, 80) - 1 // read each time: terminals are resized
	if right != "" {
		right = "  " + report.Wrap(right, columns-2)[0]
	}
	line := right
	if rest := columns - report.Width(right); rest > 0 {
		left = report.Wrap(left, rest)[0]
		if report.Width(left) <= rest { // Wrap never breaks a word, so a long one may not fit
			line = left + right
		}
	}
	p.put(console.ClearLine + line)
}

// clear empties the line.
func (p *spinner) clear() {
	if p.terminal {
		p.put(console.ClearLine)
	}
}

// put writes. It ignores errors: a failure to show progress must not end the work.
func (p *spinner) put(text string) { _, _ = fmt.Fprint(p.w, text) }

// Planned does nothing: an exercise has no plan.
func (p *spinner) Planned([]string, []runner.Skip) {}

// Begin forgets what the previous step waited for.
func (p *spinner) Begin(string, string) { p.Waiting("", "", 0, "") }

// End forgets what the step waited for.
func (p *spinner) End(string, string, reach.Result, time.Duration, string) { p.Waiting("", "", 0, "") }

// Waiting stores what is waited for.
func (p *spinner) Waiting(_, _ string, _ time.Duration, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = what
}

// Finished does nothing: the verb prints the verdict.
func (p *spinner) Finished(reach.Verdict) {}
