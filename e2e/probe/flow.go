package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// ErrUnprobed is wrapped by the error of a Flow that must not run from its vantage.
var ErrUnprobed = errors.New("not probed")

// FlowRequest is a target for a continuous flow of requests.
type FlowRequest struct {
	Vantage reach.Vantage
	Target  reach.Target
	// PerSecond is how many requests start each second, whether or not earlier ones have ended. At most wire.MaxPerSecond.
	PerSecond int
	// Kind is what the requests have in common; the zero value: nothing, each is a new connection. Over a kept connection a
	// request is lost only if the connection breaks or hangs.
	Kind reach.FlowKind
	// Timeout of one request, name lookup included; 0: DefaultTimeout.
	Timeout time.Duration
	// Duration ends a flow that the caller does not stop; 0: ten minutes, at most wire.MaxFlow.
	Duration time.Duration
	// Gather is how late a request may be reported after it has ended, so that it is together with others: exec copies each report through
	// five processes, which costs more than the request. 0: immediately.
	Gather time.Duration
	// Form and Family are as in Request.
	Form   Form
	Family int
}

const defaultFlow = 10 * time.Minute

// Flow is a running flow of requests.
type Flow struct {
	vantage reach.Vantage
	input   *io.PipeWriter
	cancel  context.CancelFunc
	timeout time.Duration
	stderr  tail

	stop  sync.Once
	hello chan struct{} // closed when the prober runs
	ended chan struct{} // closed when the transport has ended and its complete output is counted

	mu      sync.Mutex
	tally   tally
	greeted bool
	done    *wire.Done
	broken  error // what was wrong with the output
	failed  error // what the transport said
}

// Flow starts a flow and returns when the prober runs at the vantage. The caller must Stop the flow; the end of ctx ends it
// too. It counts every request, including those of an outage. It returns an error if the prober cannot be started, after as
// many tries as in Observe, and ErrUnprobed if the vantage must not probe the target.
func (c *Client) Flow(ctx context.Context, r FlowRequest) (*Flow, error) {
	what := fmt.Sprintf("flow from %s to %s", r.Vantage.Name, r.Target.Name())
	if r.Duration == 0 {
		r.Duration = defaultFlow
	}
	q, err := Request{Vantage: r.Vantage, Target: r.Target, Timeout: r.Timeout, Form: r.Form, Family: r.Family}.plan()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case r.PerSecond < 1 || r.PerSecond > wire.MaxPerSecond:
		return nil, fmt.Errorf("%s: %d requests a second, 1 to %d are allowed", what, r.PerSecond, wire.MaxPerSecond)
	case wire.CheckFlow(r.Kind, q.cell.Form) != "":
		return nil, fmt.Errorf("%s: %s", what, wire.CheckFlow(r.Kind, q.cell.Form))
	case r.Duration < 0 || r.Duration > wire.MaxFlow:
		return nil, fmt.Errorf("%s: for %v, at most %v is allowed", what, r.Duration, wire.MaxFlow)
	}
	if q.refusal == "" {
		q.refusal = c.forbidden(ctx, q, map[netip.Addr]string{})
	}
	if q.refusal != "" {
		return nil, fmt.Errorf("%s: %w: %s", what, ErrUnprobed, q.refusal)
	}
	spec := wire.Flow{Version: wire.Version, Cell: q.cell, PerSecond: r.PerSecond, Kind: r.Kind, Duration: r.Duration, Gather: r.Gather}
	for try := range c.tries {
		if try > 0 && !sleep(ctx, time.Duration(try)*c.retryPause) {
			break
		}
		var f *Flow
		if f, err = c.startFlow(ctx, r.Vantage, spec); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", what, err)
}

func (c *Client) startFlow(ctx context.Context, v reach.Vantage, spec wire.Flow) (*Flow, error) {
	path, err := c.exec.Prober(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("copy the prober to %s: %w", v.Name, err)
	}
	head, err := encode(spec, nil)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithTimeout(ctx, spec.Duration+spec.Cell.Timeout+c.grace)
	input, feed := io.Pipe()
	f := &Flow{vantage: v, input: feed, cancel: cancel, timeout: spec.Cell.Timeout + c.grace,
		hello: make(chan struct{}), ended: make(chan struct{})}
	output, sink := io.Pipe()
	read := make(chan struct{})
	go func() {
		f.read(output)
		close(read)
	}()
	go func() {
		err := c.exec.Exec(running, v, []string{path, "flow"}, io.MultiReader(head, input), sink, &f.stderr)
		_ = sink.Close()
		_ = input.CloseWithError(io.ErrClosedPipe) // wakes a Stop that is still writing
		<-read
		f.mu.Lock()
		f.failed = err
		f.mu.Unlock()
		cancel()
		close(f.ended)
	}()
	timer := time.NewTimer(c.grace)
	defer timer.Stop()
	select {
	case <-f.hello:
		return f, nil
	case <-f.ended:
	case <-timer.C:
		cancel()
		<-f.ended
	}
	trouble := "it did not run"
	if f.broken != nil {
		trouble = f.broken.Error()
	}
	return nil, errors.New(explain(v, trouble, f.failed, f.stderr.String()))
}

// read counts the prober's lines until its output ends.
func (f *Flow) read(output *io.PipeReader) {
	lines := bufio.NewReader(output)
	for {
		text, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			f.count(text)
		}
		if err != nil {
			return
		}
	}
}

func (f *Flow) count(text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return // the rest is not trusted; it is read only so that the prober does not block
	}
	line, err := parseLine(text)
	switch {
	case err != nil:
		f.broken = err
		if !f.greeted {
			f.cancel() // this program is not a prober, so it may never end
		}
	case line.Hello != nil && !f.greeted:
		f.greeted = true
		close(f.hello)
	case line.Request != nil && f.greeted && f.done == nil:
		f.tally.add(*line.Request)
	case line.Done != nil && f.greeted && f.done == nil:
		f.done = line.Done
	default:
		f.broken = fmt.Errorf("a line out of place: %.100q", bytes.TrimSpace(text))
	}
}

// Snapshot returns the report on the requests that have ended so far.
func (f *Flow) Snapshot() FlowReport {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally.report()
}

// Observed returns the requests that have ended so far, in the order of their starts. After Stop these are all.
func (f *Flow) Observed() []reach.Observation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(f.tally.observed), func(a, b reach.Observation) int { return a.At.Compare(b.At) })
}

// Stop ends the flow, waits for the requests in flight and returns the report on all requests. Further calls return the same.
// It returns an error if the prober's output is incomplete, together with the report on the part that arrived.
func (f *Flow) Stop() (FlowReport, error) {
	f.stop.Do(func() {
		go func() {
			// The line "stop" is for transports that cannot close stdin alone. The write may block until the transport
			// ends, and has no reader if the flow has ended.
			_, _ = io.WriteString(f.input, "stop\n")
			_ = f.input.Close()
		}()
	})
	timer := time.NewTimer(f.timeout)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-timer.C:
		f.cancel()
		<-f.ended
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	report := f.tally.report()
	var trouble string
	switch {
	case f.broken != nil:
		trouble = f.broken.Error()
	case f.done == nil:
		trouble = fmt.Sprintf("its output ends after %d requests", report.Sent)
	case f.done.Count != report.Sent:
		trouble = fmt.Sprintf("it sent %d requests, %d were reported", f.done.Count, report.Sent)
	default:
		return report, nil
	}
	return report, errors.New(explain(f.vantage, trouble, f.failed, f.stderr.String()))
}
