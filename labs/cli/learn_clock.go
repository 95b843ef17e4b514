package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

const (
	tick = time.Second
	// sayAgain is how often a clock that cannot rewrite its line says another.
	sayAgain = 10 * time.Second
	// wiped makes a terminal's line empty.
	wiped = "\r\x1b[K"
)

// clock tells a learner what is being done and for how long. On a terminal it rewrites one line; else it says a line now
// and then. It is the runner's Reporter, of which it tells what is waited for.
type clock struct {
	w        io.Writer
	language course.Language
	lively   bool

	mu      sync.Mutex
	waiting string
}

func newClock(w io.Writer, l course.Language, lively bool) *clock {
	return &clock{w: w, language: l, lively: lively}
}

var _ runner.Reporter = (*clock)(nil)

// run does something while the clock goes.
func (c *clock) run(id coach.ID, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var (
		began = time.Now()
		ticks = time.NewTicker(tick)
		said  = time.Duration(0)
	)
	defer ticks.Stop()
	c.Waiting("", "", 0, "")
	for {
		select {
		case err := <-done:
			c.wipe()
			return err
		case <-ticks.C:
			elapsed := time.Since(began)
			if c.lively {
				c.pin(c.text(id, elapsed), "")
			} else if elapsed-said >= sayAgain {
				said = elapsed
				c.put(c.text(id, elapsed) + "\n")
			}
		}
	}
}

// text says what is being done, for how long, and what is waited for.
func (c *clock) text(id coach.ID, elapsed time.Duration) string {
	what, seconds := coach.Say(c.language, id), int(elapsed.Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting != "" {
		return coach.Say(c.language, coach.WaitingFor, what, seconds, c.waiting)
	}
	return coach.Say(c.language, coach.Seconds, what, seconds)
}

// pin rewrites the one line of a lively clock. Of left as much is shown as there is room for beside right.
func (c *clock) pin(left, right string) {
	room := c.columns() - 1
	if right != "" {
		right = "  " + report.Wrap(right, room-2)[0]
	}
	line := right
	if rest := room - report.Width(right); rest > 0 {
		left = report.Wrap(left, rest)[0]
		if report.Width(left) <= rest { // a word is never broken
			line = left + right
		}
	}
	c.put(wiped + line)
}

// wipe removes the line of a lively clock.
func (c *clock) wipe() {
	if c.lively {
		c.put(wiped)
	}
}

// columns is the terminal's width; terminals are resized.
func (c *clock) columns() int {
	if file, ok := c.w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// put writes. That progress cannot be shown stops nothing.
func (c *clock) put(s string) { _, _ = fmt.Fprint(c.w, s) }

// Planned, Begin, End and Finished have nothing for a learner: the verdict says it.
func (c *clock) Planned([]string, []runner.Skip) {}

// Begin forgets what the step before waited for.
func (c *clock) Begin(string, string) { c.Waiting("", "", 0, "") }

// End is as Begin.
func (c *clock) End(string, string, reach.Result, time.Duration, string) { c.Waiting("", "", 0, "") }

// Waiting keeps what is waited for.
func (c *clock) Waiting(_, _ string, _ time.Duration, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = what
}

// Finished is as Planned.
func (c *clock) Finished(reach.Verdict) {}
