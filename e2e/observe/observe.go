// Package observe finds out what traffic does and judges it. It is the one engine behind scenarios, the goals of
// exercises, fuzz and explain; a Policy says in what these uses differ.
//
// The engine works in two phases, after the caller has waited for the objects to settle.
//
// Converge: DNS, load balancers and proxies follow the objects and do not report when they are done. So the engine
// sends few probes to each cell, and again to the cells that differ from the prediction, until no cell differs or the
// bound has passed. Nothing seen in this phase is judged. It ends when the proxies have written their rules, at the earliest,
// as far as they tell: see WaitForKubeProxy.
//
// Judge: the engine probes every cell in full. It keeps every observation and judges it. When all have been probed, it probes
// denials a second time, so that a hole which opens late is seen, and the others a few times more.
//
// This cannot hide flapping. The first phase decides only when the judged pass begins, never what it finds: that pass
// probes all cells, it is not repeated, and no cell is probed again because of what was seen. A path that works now and
// then must work in each of its probes there (at least 8, see MaxProbes), whatever it did before. The first phase does
// hide one thing on purpose: a delay up to the bound, which is a setting and is printed in the report.
//
// The package does not wait for objects and does not know scenarios: see packages wait and table.
package observe

import (
	"context"
	"fmt"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Prober sends requests and returns one cell per request, in the same order; probe.Client is one.
//
// Observe ends by itself, within the time that its requests need at most. The engine sets no deadline: a deadline that
// does not follow from the requests would turn a path that drops every packet into cells that could not be probed.
type Prober interface {
	Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error)
}

// Predict returns the oracle for a snapshot.
type Predict func(w world.World) func(v reach.Vantage, t reach.Target) reach.Prediction

// Table is a table to observe, in one snapshot.
type Table struct {
	Title    string
	Vantages []reach.Vantage
	Targets  []reach.Target
	Cells    []Cell
	// Missing are in the expected table but not in the cluster.
	Missing []reach.Missing
	// Proportions: its cells with the same backends get as many connections as show that one of these is preferred.
	Proportions bool
}

// Cell is one cell to observe.
type Cell struct {
	Vantage reach.Vantage
	Target  reach.Target
	// Expected is what the expected table says; nil where there is no such table.
	Expected *reach.Prediction
}

// Engine observes tables. Prober, Snapshot, Predict, Tables and Timeouts must be set.
type Engine struct {
	Policy   Policy
	Prober   Prober
	Timeouts Timeouts
	// Within bounds convergence: how long traffic may differ from the prediction after the objects have settled.
	Within time.Duration
	// Snapshot reads the world as it is now. It bounds itself.
	Snapshot func(ctx context.Context) (world.World, error)
	Predict  Predict
	// Tables returns the tables to observe in a snapshot.
	Tables func(w world.World) ([]Table, error)
	// Adjust, where set, changes observations and forecasts before they are compared.
	Adjust func(cells []reach.Cell, forecasts []Forecast)
	// Programmed, where set, returns when the proxies have written what the objects say: how long each had not, by node, and a
	// line where that is not known. See WaitForKubeProxy. The engine converges meanwhile, and judges nothing before.
	Programmed func(ctx context.Context) (behind map[string]time.Duration, unknown string)
	// Progress, where set, is called with what the engine waits for and what it saw last.
	Progress func(what, seen string)
	// Sums, where set, counts the probes of a scenario that are judged together: by node those that its kube-proxy had to deny, by
	// Service those that chose among backends. Cells get more of them as long as there are too few to notice what the sums are
	// judged for. Leave it nil where the nodes' kernels limit how many refusals they send.
	Sums map[string]int
	// Seed decides the order in which requests are sent.
	Seed uint64
}

// Result is what was observed.
type Result struct {
	// Tables are judged, in the order of Engine.Tables.
	Tables []reach.Table
	// Missing are those of all tables.
	Missing []reach.Missing
	// Lines say when traffic was as predicted, and what changed meanwhile.
	Lines []string
	// World is the snapshot that the predictions rest on.
	World world.World
	// Judged is when the judged pass began: the proxies had written their rules, and traffic was as predicted or the bound had passed.
	Judged time.Time
}

// Verdict is the worst result of the tables' cells.
func (r Result) Verdict() reach.Result {
	result := reach.Skipped
	for _, t := range r.Tables {
		for _, c := range t.Cells {
			result = reach.Worse(result, c.Result)
		}
	}
	return result
}

// Observe converges, probes every cell in full, and judges. The error says why nothing could be judged: a snapshot or
// the tables could not be made, or ctx ended.
func (e Engine) Observe(ctx context.Context) (Result, error) {
	defer e.progress("", "")
	var (
		programmed    = make(chan struct{})
		behind        map[string]time.Duration
		unknown       string
		waiting, stop = context.WithCancel(ctx)
	)
	defer func() { stop(); <-programmed }()
	if e.Programmed == nil {
		close(programmed)
	} else {
		go func() { defer close(programmed); behind, unknown = e.Programmed(waiting) }()
	}
	p, line, err := e.converge(ctx, programmed)
	if err != nil {
		return Result{}, err
	}
	result := Result{World: p.world, Lines: []string{line}}
	e.progress("the proxies to have written their rules", "")
	if <-programmed; unknown != "" {
		result.Lines = []string{unknown, line}
	}
	for node := range p.behind {
		p.behind[node] = max(p.behind[node], behind[node])
	}
	result.Judged = time.Now()
	cells, err := e.judgedPass(ctx, p.forecasts)
	if err != nil {
		return result, err
	}
	verdicts := make([]reach.CellVerdict, len(cells))
	for i, f := range p.forecasts {
		verdicts[i] = e.judge(f, cells[i])
	}
	for _, t := range p.tables {
		result.Missing = append(result.Missing, t.Missing...)
		judged := reach.Table{Title: t.Title, Vantages: t.Vantages, Targets: t.Targets, Cells: verdicts[:len(t.Cells):len(t.Cells)], Behind: p.behind}
		verdicts = verdicts[len(t.Cells):]
		if len(judged.Cells) > 0 || !e.Policy.MissingFails {
			result.Tables = append(result.Tables, judged)
		}
	}
	if line := unpredicted(result.Tables); line != "" {
		result.Lines = append(result.Lines, line)
	}
	if result.Verdict() != reach.Fail {
		return result, nil
	}
	return result, e.changes(ctx, p, &result)
}

// unpredicted counts the cells that passed because every outcome was allowed. That is no finding about them.
func unpredicted(tables []reach.Table) string {
	n, first := 0, ""
	for _, t := range tables {
		for _, c := range t.Cells {
			if c.Result != reach.Pass || !c.Oracle.Anything() || c.Expected != nil && !c.Expected.Anything() {
				continue
			}
			if n++; first == "" {
				first = fmt.Sprintf("%s → %s: %s", c.Cell.Vantage.Name, c.Cell.Target.Name(), c.Oracle.Reason)
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d cells would have passed whatever came back, because it is not known what should; the first is %s", n, first)
}

// plan is the tables of one snapshot with their forecasts, which come in the order of the tables' cells.
type plan struct {
	world     world.World
	tables    []Table
	forecasts []Forecast
	// behind is how long, by node, traffic through its kube-proxy was seen not to be as predicted.
	behind map[string]time.Duration
}

// plan takes a snapshot and predicts every cell.
func (e Engine) plan(ctx context.Context) (plan, error) {
	w, err := e.Snapshot(ctx)
	if err != nil {
		return plan{}, err
	}
	tables, err := e.Tables(w)
	if err != nil {
		return plan{}, err
	}
	var (
		p       = plan{world: w, tables: tables}
		predict = e.Predict(w)
		spread  = endpointCounts(w)
	)
	for _, t := range tables {
		for _, c := range t.Cells {
			f := Forecast{Cell: c, Oracle: predict(c.Vantage, c.Target), policy: e.Policy, endpoints: spread.of(c.Target)}
			if !f.Oracle.Wants() && f.Oracle.Allows(reach.Reached) {
				// Some connections may be refused, and a few refusals in a row end a cell: not every backend is seen.
				f.Oracle.AnyBackend = true
			}
			if f.endpoints > manyEndpoints {
				f.Oracle.Certain = nil
			}
			f.predicted = fmt.Sprint(f.Oracle)
			f.dns = lookupsTo(w, c.Vantage, c.Target)
			p.forecasts = append(p.forecasts, f)
		}
		for i := range t.Cells {
			p.forecasts[len(p.forecasts)-len(t.Cells)+i].proportions = t.Proportions
		}
	}
	return p, nil
}

func (e Engine) progress(what, seen string) {
	if e.Progress != nil {
		e.Progress(what, seen)
	}
}

// reprobe is the pause between two rounds of convergence. What is waited for is in kernels and DNS caches, where
// nothing can be watched.
const reprobe = 200 * time.Millisecond

const converging = "traffic to be as predicted"

// converge probes until no cell differs from the prediction or the bound has passed, which begins when the proxies have
// programmed their rules. Each round has a snapshot of its
// own, and a cell whose prediction changed with it is probed again. It returns the plan of the last round.
func (e Engine) converge(ctx context.Context, programmed <-chan struct{}) (p plan, line string, err error) {
	var (
		start = time.Now()
		began = start // of the bound
		// both by the cell and what is predicted of it
		converged, unanswered = map[string]bool{}, map[string]bool{}
		behind                = map[string]time.Duration{}
	)
	defer func() {
		p.behind = behind
		for i := range p.forecasts {
			p.forecasts[i].unanswered = e.Policy.GiveUpUnanswered && unanswered[p.forecasts[i].key()]
		}
	}()
	for round := 1; ; round++ {
		if p, err = e.plan(ctx); err != nil {
			return p, "", err
		}
		var open []Forecast
		for _, f := range p.forecasts {
			if !converged[f.key()] {
				open = append(open, f)
			}
		}
		cells, err := e.send(ctx, open)
		if err != nil {
			return p, "", err
		}
		differing, example := 0, ""
		for i, f := range open {
			matches := f.matches(cells[i])
			// Adjust may have made a cell match that no backend answered.
			unanswered[f.key()] = !anyReached(cells[i]) && (!matches || f.answered())
			if proxy := f.proxy(); proxy != "" {
				late := time.Duration(0)
				if at := lastLost(cells[i], matches); !at.IsZero() {
					late = at.Sub(start)
				}
				behind[proxy] = max(behind[proxy], late)
			}
			if matches {
				converged[f.key()] = true
				continue
			}
			if differing++; example == "" {
				example = f.Vantage.Name + " → " + f.Target.Name()
			}
		}
		select {
		case <-programmed:
		default:
			began = time.Now()
		}
		since := time.Since(start)
		switch {
		case differing == 0 && round == 1:
			return p, "as predicted at once", nil
		case differing == 0:
			return p, fmt.Sprintf("as predicted %s after the objects settled, in round %d", since.Round(10*time.Millisecond), round), nil
		case time.Since(began) >= e.Within:
			return p, fmt.Sprintf("%d cells were not as predicted %s after the objects settled (the bound is %s), first %s",
				differing, since.Round(10*time.Millisecond), e.Within, example), nil
		}
		seen := fmt.Sprintf("%d cells are not, first %s", differing, example)
		e.progress(converging, seen)
		if err := wait.Sleep(ctx, reprobe); err != nil {
			return p, "", fmt.Errorf("wait for %s (%s): %w", converging, seen, err)
		}
	}
}
