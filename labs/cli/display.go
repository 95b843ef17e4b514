package cli

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/cli/console"
)

const (
	redraw = 200 * time.Millisecond
	// logEvery is how often what runs is printed where no line can be rewritten.
	logEvery = time.Minute
	// guessed is how long a scenario may take that has no known run.
	guessed = 20 * time.Second
	// narrowest is the fewest columns of a terminal in which lines are rewritten.
	narrowest = 30
)

// display shows a run to a person. On a terminal it has a line for each scenario that runs and a bar over all of them, and
// rewrites them; what failed stays above. Elsewhere it prints a line for each scenario that has ended. It is also where
// everything else is printed meanwhile.
//
// The cursor rests at the start of what is rewritten, and everything below it is cleared before something is written. So a
// program that writes to the terminal by itself, a terminal that changes its size and a svclab that is killed leave at most
// the lines of the last picture.
type display struct {
	w io.Writer
	// size is the terminal's; nil: no line can be rewritten. It is asked each time: terminals are resized.
	size func() (columns, rows int)
	// took is how long scenarios took in the last run.
	took map[string]time.Duration

	mu       sync.Mutex
	began    time.Time
	planned  map[string]bool
	done     map[string]reach.Result
	running  []*underWay
	drawn    bool
	stopped  chan struct{}
	finished chan struct{}
}

// underWay is a scenario that runs.
type underWay struct {
	name, step, waits string
	began             time.Time
}

var _ runner.Reporter = (*display)(nil)

// showing returns the progress of a run of the planned scenarios, which may be known later; took is how long they took in the
// last run. Until stop is called, what is printed to Err and logged for the cluster goes through it. With verbose every step is
// a line.
func (a *app) showing(verbose, plain bool, planned []string, took map[string]time.Duration) (reporter runner.Reporter, stop func()) {
	if verbose {
		return runner.Lines(a.Err), func() {}
	}
	p := newDisplay(a.Err, nil, planned, took)
	if console.Rewritable(a.Err) && !plain && runtime.GOOS != "windows" {
		to := a.Err
		p.size = func() (int, int) { return console.Size(to) }
	}
	err, log := a.Err, a.Config.Log
	a.Err, a.Config.Log = p, p
	p.start()
	return p, func() {
		p.stop()
		a.Err, a.Config.Log = err, log
	}
}

// over is a terminal on which what is written takes the place of what is rewritten there.
type over struct{ io.Writer }

func (o over) Write(text []byte) (int, error) {
	_, err := o.Writer.Write(append([]byte(console.ClearBelow), text...))
	return len(text), err
}

// log is where a cluster logs during a run.
func (a *app) log() io.Writer {
	if console.Rewritable(a.Err) {
		return over{a.Err}
	}
	return a.Err
}

func newDisplay(w io.Writer, size func() (int, int), planned []string, took map[string]time.Duration) *display {
	p := &display{w: w, size: size, took: took, began: time.Now(), planned: map[string]bool{}, done: map[string]reach.Result{},
		stopped: make(chan struct{}), finished: make(chan struct{})}
	for _, name := range planned {
		p.planned[name] = true
	}
	return p
}

// start shows the progress from time to time, until stop.
func (p *display) start() {
	every := logEvery
	if p.size != nil {
		every = redraw
	}
	go func() {
		defer close(p.finished)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.stopped:
				return
			case <-tick.C:
				p.mu.Lock()
				if p.size != nil {
					p.print("")
				} else if len(p.running) > 0 {
					p.print("  … " + p.summary() + "; " + p.what() + "\n")
				}
				p.mu.Unlock()
			}
		}
	}()
}

// stop clears what is rewritten.
func (p *display) stop() {
	close(p.stopped)
	<-p.finished
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = nil
	p.print("")
}

// Write prints text, which must end with a line.
func (p *display) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(string(text))
	return len(text), nil
}

// print prints text above what is rewritten, and that again. An error is dropped: a failure to show progress ends no run.
func (p *display) print(text string) {
	var out bytes.Buffer
	if p.drawn {
		out.WriteString(console.ClearBelow)
	}
	out.WriteString(text)
	p.drawn = false
	if lines := p.picture(); len(lines) > 0 && (text == "" || strings.HasSuffix(text, "\n")) {
		out.WriteString(strings.Join(lines, "\n"))
		if len(lines) > 1 {
			fmt.Fprintf(&out, "\x1b[%dA", len(lines)-1)
		}
		out.WriteString("\r")
		p.drawn = true
	}
	if out.Len() > 0 {
		_, _ = p.w.Write(out.Bytes())
	}
}

// picture are the lines that are rewritten: the scenarios that run, the eldest first, and the bar. None is as wide as the
// terminal, as some go to the next line then.
func (p *display) picture() []string {
	if p.size == nil || len(p.running) == 0 {
		return nil
	}
	columns, rows := p.size()
	if columns < narrowest || rows < 3 {
		return nil
	}
	columns--
	var lines []string
	for i, r := range p.running {
		if room := rows - 2; i == room-1 && len(p.running) > room {
			lines = append(lines, fmt.Sprintf("  and %d more", len(p.running)-i))
			break
		}
		what := r.step
		if r.waits != "" {
			what += ": " + r.waits
		}
		elapsed := fmt.Sprintf(" %4.0f s", time.Since(r.began).Seconds())
		lines = append(lines, fit("  "+fit(r.name, min(24, columns/3))+"  "+what, columns-len(elapsed))+elapsed)
	}
	text := " " + p.summary()
	bar := min(30, columns-2-report.Width(text))
	if bar < 5 {
		return append(lines, fit(" "+text, columns))
	}
	filled := int(p.fraction() * float64(bar))
	return append(lines, "  "+strings.Repeat("█", filled)+strings.Repeat("░", bar-filled)+text)
}

// fit cuts or fills text to a number of columns.
func fit(text string, columns int) string {
	text = report.ShortenEnd(strings.ReplaceAll(report.Printable(text), "\n", " "), columns, "…")
	return text + strings.Repeat(" ", max(0, columns-report.Width(text)))
}

// work is how long the planned scenarios take together, by the last run, and how much of that is done.
func (p *display) work() (done, all time.Duration) {
	known := func(name string) time.Duration {
		if took := p.took[name]; took > 0 {
			return took
		}
		return guessed
	}
	for name := range p.planned {
		if p.done[name] == reach.Skipped {
			continue
		}
		all += known(name)
		if p.done[name] != "" {
			done += known(name)
		}
	}
	for _, r := range p.running { // one that takes longer than then is never done before its end
		done += min(time.Since(r.began), known(r.name)*9/10)
	}
	return done, all
}

func (p *display) fraction() float64 {
	done, all := p.work()
	if all == 0 {
		return 0
	}
	return min(1, float64(done)/float64(all))
}

// summary says how far the run is.
func (p *display) summary() string {
	text := fmt.Sprintf("%d of %d", len(p.done), len(p.planned))
	bad := 0
	for _, result := range p.done {
		if result != reach.Pass && result != reach.Skipped {
			bad++
		}
	}
	if bad > 0 {
		text += fmt.Sprintf(", %d not passed", bad)
	}
	elapsed := time.Since(p.began)
	if done, all := p.work(); done > 0 && elapsed > 5*time.Second {
		left := time.Duration(float64(all-done) / float64(done) * float64(elapsed))
		text += fmt.Sprintf(", about %s left", max(left, time.Second).Round(time.Second))
	}
	return text
}

// what says what runs.
func (p *display) what() string {
	var all []string
	for _, r := range p.running {
		all = append(all, fmt.Sprintf("%s (%s, %.0f s)", r.name, r.step, time.Since(r.began).Seconds()))
	}
	return "running: " + report.Printable(strings.Join(all, ", "))
}

// Planned takes what is planned into the count.
func (p *display) Planned(run []string, skipped []runner.Skip) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.done)+len(p.running) == 0 {
		p.began = time.Now()
	}
	for _, name := range run {
		p.planned[name] = true
	}
	for _, s := range skipped {
		p.planned[s.Scenario], p.done[s.Scenario] = true, reach.Skipped
		if p.size == nil {
			p.print(report.Printable(s.Scenario+": skipped: "+s.Reason) + "\n")
		}
	}
}

// Begin shows the step of a scenario.
func (p *display) Begin(scenario, step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.running {
		if r.name == scenario {
			r.step, r.waits = step, ""
			return
		}
	}
	p.running = append(p.running, &underWay{name: scenario, step: step, began: time.Now()})
}

// End does nothing: the next step begins, or the scenario has ended.
func (p *display) End(string, string, reach.Result, time.Duration, string) {}

// Waiting shows what a step waits for.
func (p *display) Waiting(scenario, _ string, _ time.Duration, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.running {
		if r.name == scenario {
			r.waits = what
		}
	}
}

// Finished prints a line, and with a scenario that did not pass what is wrong in each step. On a terminal what passed leaves no
// line.
func (p *display) Finished(v reach.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.running {
		if r.name == v.Scenario {
			p.running = append(p.running[:i:i], p.running[i+1:]...)
			break
		}
	}
	p.planned[v.Scenario], p.done[v.Scenario] = true, v.Result
	if v.Result == reach.Skipped || v.Result == reach.Pass && p.size != nil {
		p.print("")
		return
	}
	text := fmt.Sprintf("%s: %s after %s\n", v.Scenario, v.Result, v.Elapsed.Round(10*time.Millisecond))
	for _, step := range v.Steps {
		if step.Result != reach.Pass && step.Result != reach.Skipped {
			text += fmt.Sprintf("  %s: %s: %s\n", step.Name, step.Result, strings.ReplaceAll(strings.TrimSpace(step.Why), "\n", "\n    "))
		}
	}
	p.print(report.Printable(text))
}
