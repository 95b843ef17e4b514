package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// flow starts requests at a steady rate until stdin ends or has a line "stop", the duration is over, or ctx ends. It is
// open-loop: a request that hangs does not delay the next, so the number of lost requests measures an outage. Every request
// that was due is reported. A request that could not start because too many are in flight is ProbeFailed.
func flow(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	out := &lineWriter{out: stdout}
	out.write(wire.Line{Hello: &wire.Hello{Version: wire.Version}})
	in := newLineReader(stdin)
	spec, err := readFlow(in)
	if err != nil {
		return err
	}
	out.gather = spec.Gather
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		awaitStop(in.in)
		cancel()
	}()
	count := 0
	switch spec.Kind {
	case reach.FlowNew:
		count = emit(ctx, starting, spec, inFlight(spec), out)
	case reach.FlowKept:
		count = emitOnOne(ctx, starting, spec, out)
	default:
		if count, err = emitDatagrams(ctx, starting, spec, out); err != nil {
			return errors.Join(err, out.failed())
		}
	}
	out.write(wire.Line{Done: &wire.Done{Count: count}})
	return out.failed()
}

// emit runs the requests, at most limit at a time, and returns how many were due after all are reported. The end of starting
// stops new requests. The end of ctx also interrupts those in flight.
func emit(ctx, starting context.Context, spec wire.Flow, limit int, out *lineWriter) int {
	var (
		started  = time.Now()
		gap      = time.Second / time.Duration(spec.PerSecond)
		slots    = make(chan struct{}, limit)
		requests sync.WaitGroup
		count    int
	)
	// Starts are computed from the beginning of the flow, so a late start does not delay the following ones.
	for count < due(spec) && pause(starting, time.Until(started.Add(time.Duration(count)*gap))) {
		count++
		select {
		case slots <- struct{}{}:
		default:
			out.write(wire.Line{Request: &reach.Observation{Outcome: reach.ProbeFailed, At: time.Now(),
				Detail: fmt.Sprintf("not sent: %d requests are in flight", limit)}})
			continue
		}
		requests.Go(func() {
			o := newProbe(spec.Cell).run(ctx)
			<-slots
			out.write(wire.Line{Request: &o})
		})
	}
	requests.Wait()
	return count
}

// emitOnOne is emit over one connection: the requests follow each other, and one that fails is a connection that broke.
func emitOnOne(ctx, starting context.Context, spec wire.Flow, out *lineWriter) int {
	var (
		started = time.Now()
		gap     = time.Second / time.Duration(spec.PerSecond)
		talk    *conversation
		count   int
	)
	for count < due(spec) && pause(starting, time.Until(started.Add(time.Duration(count)*gap))) {
		count++
		p := newProbe(spec.Cell)
		o := p.within(ctx, func(ctx context.Context) { talk = p.again(ctx, talk) })
		out.write(wire.Line{Request: &o})
	}
	if talk != nil {
		_ = talk.conn.Close() // all its answers have been read
	}
	return count
}

// due returns how many requests a flow starts in its complete duration.
func due(spec wire.Flow) int {
	return max(1, int(spec.Duration.Seconds()*float64(spec.PerSecond)))
}

// inFlight returns how many requests may be in flight: those that start within two timeouts, plus one second's. In an outage each takes
// a whole timeout, and a prober that a busy machine has kept waiting starts at once what was due meanwhile.
func inFlight(spec wire.Flow) int {
	within := int(2*spec.Cell.Timeout.Seconds()*float64(spec.PerSecond)) + spec.PerSecond + 1
	return min(within, wire.MaxInFlight)
}

func readFlow(in *lineReader) (wire.Flow, error) {
	var spec wire.Flow
	if err := in.next("a flow", &spec); err != nil {
		return spec, err
	}
	switch {
	case spec.Version != wire.Version:
		return spec, badf("the flow has protocol %d, this prober %d; rebuild the older of the two", spec.Version, wire.Version)
	case spec.PerSecond < 1 || spec.PerSecond > wire.MaxPerSecond:
		return spec, badf("%d requests a second, 1 to %d are allowed", spec.PerSecond, wire.MaxPerSecond)
	case spec.Gather < 0:
		return spec, badf("requests are gathered for %v, which is negative", spec.Gather)
	case spec.Duration <= 0 || spec.Duration > wire.MaxFlow:
		return spec, badf("a flow of %v, at most %v is allowed", spec.Duration, wire.MaxFlow)
	}
	if err := checkCell(&spec.Cell); err != nil {
		return spec, badf("flow: %w", err)
	}
	if why := wire.CheckFlow(spec.Kind, spec.Cell.Form); why != "" {
		return spec, badf("flow: %s", why)
	}
	return spec, nil
}

// awaitStop returns at the end of the input or at a line "stop". Some transports cannot close stdin alone.
func awaitStop(in *bufio.Reader) {
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.TrimSpace(line) == "stop" {
			return
		}
	}
}
