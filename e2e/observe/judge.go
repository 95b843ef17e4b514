package observe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// judgedPass probes every cell, then again when all have been: the denied ones as before, the others a few times. It returns the
// observations of both passes. A cell that was not answered in the first is not probed again: it would take all of its timeouts.
func (e Engine) judgedPass(ctx context.Context, forecasts []Forecast) ([]reach.Cell, error) {
	e.progress("the judged pass to end", "")
	plenty(forecasts, e.Sums)
	cells, err := e.probe(ctx, forecasts, first)
	if err != nil {
		return nil, err
	}
	var (
		indexes []int
		again   []Forecast
	)
	for i, f := range forecasts {
		if !f.answered() || anyReached(cells[i]) {
			indexes, again = append(indexes, i), append(again, f)
		}
	}
	held, err := e.probe(ctx, again, second)
	if err != nil {
		return nil, fmt.Errorf("probe again: %w", err)
	}
	for k, i := range indexes {
		cells[i].Observations = append(slices.Clone(cells[i].Observations), held[k].Observations...)
	}
	if e.Adjust != nil {
		e.Adjust(cells, forecasts)
	}
	return cells, nil
}

// send probes and adjusts.
func (e Engine) send(ctx context.Context, forecasts []Forecast) ([]reach.Cell, error) {
	cells, err := e.probe(ctx, forecasts, quick)
	if err == nil && e.Adjust != nil {
		e.Adjust(cells, forecasts)
	}
	return cells, err
}

// probe sends the requests in a random order, which is the same in every run, so that those to one Service, or from one
// table's row, do not all come at once: see betweenRefusals.
func (e Engine) probe(ctx context.Context, forecasts []Forecast, of pass) ([]reach.Cell, error) {
	if len(forecasts) == 0 {
		return nil, nil
	}
	var (
		requests []probe.Request
		indexes  []int // the forecast of each request
		cells    = make([]reach.Cell, len(forecasts))
		spread   = e.idle(forecasts, of)
	)
	for _, i := range rand.New(rand.NewPCG(e.Seed, uint64(len(forecasts)))).Perm(len(forecasts)) {
		r, times := forecasts[i].request(of, e.Timeouts), 1
		if forecasts[i].answered() {
			r.Spread = spread
		}
		if forecasts[i].silent() { // side by side: one after the other would only take longer
			times, r.Min, r.Max = r.Max, 1, 1
		}
		for range times {
			requests, indexes = append(requests, r), append(indexes, i)
		}
	}
	found, err := e.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if len(found) != len(requests) {
		return nil, fmt.Errorf("observe: %d cells were requested, %d came back", len(requests), len(found))
	}
	for k, i := range indexes {
		found[k].Observations = append(cells[i].Observations, found[k].Observations...)
		cells[i] = found[k]
	}
	return cells, nil
}

// idle is how long a judged pass waits for silent cells. The connections of the others are spread over that time.
func (e Engine) idle(forecasts []Forecast, of pass) (longest time.Duration) {
	for _, f := range forecasts {
		if of != quick && f.silent() {
			longest = max(longest, e.Timeouts.Silent)
		}
	}
	return longest
}

// judge judges one cell.
func (e Engine) judge(f Forecast, cell reach.Cell) reach.CellVerdict {
	if f.Expected == nil {
		return reach.Judge(cell, f.Oracle, nil)
	}
	expected := *f.Expected
	if e.Policy.ExpectedDecides {
		return judgeExpected(cell, f.Oracle, expected)
	}
	return reach.Judge(cell, f.Oracle, &expected)
}

// judgeExpected judges a cell by the expected table alone. What the oracle predicts of the objects says why.
func judgeExpected(cell reach.Cell, oracle, expected reach.Prediction) reach.CellVerdict {
	v := reach.Judge(cell, expected, nil)
	v.Oracle, v.Expected = oracle, &expected
	if v.Result != reach.Fail {
		return v
	}
	cause := "it is so because " + oracle.Reason
	v.Alone = "expected table"
	if len(reach.Compare(oracle, cell)) > 0 {
		v.Alone, cause = "observation", "the objects do not say why"
	}
	v.Why = strings.Replace(v.Why, "expected because "+expected.Reason, cause, 1)
	return v
}

// changes compares the world with the one that the predictions rest on, because a cell that differs may have been judged
// by a world that is gone.
func (e Engine) changes(ctx context.Context, p plan, result *Result) error {
	if !e.Policy.ChangedIsInconclusive {
		result.note(e.Snapshot(ctx))
		return nil
	}
	now, err := e.plan(ctx)
	if err != nil {
		return err
	}
	later := map[string]Forecast{}
	for _, f := range now.forecasts {
		later[cellName(f.Vantage, f.Target)] = f
	}
	forecasts := p.forecasts
	for _, t := range result.Tables {
		for i := range t.Cells {
			c, before := &t.Cells[i], forecasts[i]
			after, found := later[cellName(before.Vantage, before.Target)]
			if c.Result != reach.Fail || found && after.predicted == before.predicted {
				continue
			}
			reason := "the target is gone"
			if found {
				reason = after.Oracle.Reason + " now"
			}
			c.Result, c.Alone, c.Differences = reach.Inconclusive, "", nil
			c.Why = "the objects changed while it was probed: " + reason
		}
		forecasts = forecasts[len(t.Cells):]
	}
	return nil
}

// note says that the objects changed while the tables were observed. The verdict stands: the objects had settled, so
// something else changed them.
func (r *Result) note(now world.World, err error) {
	switch before := r.World.Versions(); {
	case err != nil:
		r.Lines = append(r.Lines, "what the objects were after the table was observed is not known: "+err.Error())
	case before != now.Versions():
		r.Lines = append(r.Lines, "objects changed while the table was observed: "+before+" before, "+now.Versions()+" after")
	}
}
