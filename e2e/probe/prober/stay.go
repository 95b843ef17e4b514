package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// staying are the commands that `prober stay` carries out: those that end by themselves.
var staying = []string{"ask", "synced"}

// errClientGone is the cause of a context that the end of stdin ended.
var errClientGone = errors.New("the client is gone")

// stay carries out commands one after the other, each as a prober of its own would, until stdin ends or none has come
// for some time: a client that comes back every second need not have a process started for each question.
func stay(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var (
		set  = flag.NewFlagSet("prober stay", flag.ContinueOnError)
		idle = set.Duration("idle", time.Minute, "how long to wait for a command")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		return badInput{err}
	}
	if set.NArg() > 0 || *idle <= 0 {
		return badf("stay wants --idle of more than nothing, got %q", args)
	}
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	var (
		commands = make(chan wire.Command)
		broken   = make(chan error, 1)
	)
	go func() {
		in := newLineReader(stdin)
		for {
			var command wire.Command
			if err := in.next("a command", &command); err != nil {
				if in.ended {
					err = nil
				}
				broken <- err
				gone(errClientGone)
				return
			}
			select {
			case commands <- command:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case command := <-commands:
			if err := carryOut(ctx, command, stdout); err != nil {
				return err
			}
		case err := <-broken:
			return err
		case <-time.After(*idle):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// carryOut runs one command between its frames. The error is stdout's.
func carryOut(ctx context.Context, command wire.Command, stdout io.Writer) error {
	out := &lineWriter{out: stdout}
	out.frame(wire.Frame{Begun: &wire.Begun{}})
	var (
		said bytes.Buffer
		code = 2
	)
	if len(command.Args) > 0 && slices.Contains(staying, command.Args[0]) {
		code = run(ctx, command.Args, strings.NewReader(command.Input), stdout, &said)
	} else {
		said.WriteString("prober: stay carries out " + strings.Join(staying, " and ") + " only")
	}
	out.frame(wire.Frame{Ended: &wire.Ended{Code: code, Said: said.String()}})
	return out.failed()
}
