package steps

import (
	"context"
	"fmt"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
)

const (
	// tracedCells bounds the cells of a step that are traced because they differ. One that gets no answer takes a second.
	tracedCells = 12
	// tracedTries is how many connections of a cell are traced until one leaves the predicted path, for faults that hit
	// some connections only: one in three is met by 8 of them with a chance of 0.96.
	tracedTries = 8
)

// trace follows a connection of each cell that differs, or of every cell where the settings say so, and notes where it left the
// predicted path. A cluster whose kernels cannot be read is not traced, and a trace judges nothing.
func (env *Env) trace(ctx context.Context, result observe.Result) (lines []string, err error) {
	tracer, can := env.Cluster.(Tracer)
	if !can || env.Policy.NoTrace {
		return nil, nil
	}
	var (
		cells   []*reach.CellVerdict
		skipped int
	)
	for _, t := range result.Tables {
		for i := range t.Cells {
			c := &t.Cells[i]
			switch _, unprobed, failed := c.Cell.Probed(); {
			case unprobed != "" || failed != "" || c.Result != reach.Fail && !env.Settings.TraceAll:
			case len(cells) >= tracedCells && !env.Settings.TraceAll:
				skipped++
			default:
				cells = append(cells, c)
			}
		}
	}
	if len(cells) == 0 {
		return nil, nil
	}
	tries := tracedTries
	if env.Settings.TraceAll {
		tries = 1
	}
	var (
		list            = make([]reach.Cell, len(cells))
		same, differ    int
		took, most, all time.Duration
	)
	for i, c := range cells {
		list[i] = c.Cell
	}
	env.Progress.Say("a connection of each cell that differs to be traced", "")
	began := time.Now()
	traced, err := tracer.Trace(ctx, result.World, list, tries)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil { // the verdict stands without it
		return []string{"no connection could be traced: " + err.Error()}, nil
	}
	all = time.Since(began)
	for i, t := range traced {
		cells[i].Traced = t.Says
		took, most = took+t.Took, max(most, t.Took)
		switch t.Result {
		case reach.Pass:
			same++
		case reach.Fail:
			differ++
		}
		if env.Settings.TraceAll && t.Result != reach.Pass {
			lines = append(lines, fmt.Sprintf("%s → %s: %s", list[i].Vantage.Name, list[i].Target.Name(), t.Says))
		}
	}
	line := fmt.Sprintf("traced %d cells in %s, each in %s and at most %s beside its probes: %d walked as predicted, %d did not, of %d this is not known",
		len(cells), all.Round(10*time.Millisecond), (took / time.Duration(len(cells))).Round(time.Millisecond), most.Round(time.Millisecond), same, differ, len(cells)-same-differ)
	if skipped > 0 {
		line += fmt.Sprintf("; %d more that differ were not traced", skipped)
	}
	return append([]string{line}, lines...), nil
}
