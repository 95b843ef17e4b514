package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// tracer reads from the kernel what packets of a class passed; see trace_linux.go.
type tracer interface {
	// Table is the name of the table that marks the packets.
	Table() string
	// Collect returns what has passed since the last call.
	Collect() (wire.Trace, error)
	Close() error
}

// errTaken: another prober traces packets of the class in this network namespace.
var errTaken = errors.New("another prober traces packets of this class here")

// trace is the verb: see wire.Tracing.
func trace(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var (
		set   = flag.NewFlagSet("prober trace", flag.ContinueOnError)
		class = set.Int("class", 0, "DSCP of the packets to trace")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return badInput{err}
	}
	if set.NArg() > 0 || *class < wire.MinClass || *class > wire.MaxClass || *class%wire.ClassStep != wire.MinClass {
		return badf("trace wants --class of the pool for local use (%d, %d, … %d) and no arguments, got %q",
			wire.MinClass, wire.MinClass+wire.ClassStep, wire.MaxClass, args)
	}
	t, err := startTracer(uint8(*class))
	out := &lineWriter{out: stdout}
	if errors.Is(err, errTaken) {
		out.write(wire.Tracing{Armed: &wire.Armed{Taken: true}})
		return out.failed()
	}
	if err != nil {
		return err
	}
	defer t.Close()
	out.write(wire.Tracing{Armed: &wire.Armed{Table: t.Table()}})
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, more := <-lines:
			switch {
			case !more:
				return out.failed()
			case strings.TrimSpace(line) != "collect":
				return badf("trace reads lines \"collect\", got %.40q", line)
			}
			seen, err := t.Collect()
			if err != nil {
				return fmt.Errorf("read the trace: %w", err)
			}
			if out.write(wire.Tracing{Trace: &seen}); out.failed() != nil {
				return out.failed()
			}
		}
	}
}
