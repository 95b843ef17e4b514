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

// sessionCommands are the commands that `prober session` runs: those that end without being stopped.
var sessionCommands = []string{"probe", "synced"}

// errClientGone is the cause of a context that the end of stdin cancelled.
var errClientGone = errors.New("the client is gone")

// session runs commands from stdin one after the other, each as a separate prober would. It ends when stdin ends, or when
// no command has arrived for the idle time. It saves a client that returns every second from starting a process each time.
func session(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var (
		set  = flag.NewFlagSet("prober session", flag.ContinueOnError)
		idle = set.Duration("idle", time.Minute, "how long to wait for a command")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		return badInput{err}
	}
	if set.NArg() > 0 || *idle <= 0 {
		return badf("session wants a positive --idle and no arguments, got %q", args)
	}
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	var (
		commands = make(chan wire.Command)
		broken   = make(chan error, 1)
	)
	// Stdin is read while a command runs, because its end must cancel that command.
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
			if err := execute(ctx, command, stdout); err != nil {
				return err
			}
		case err := <-broken:
			return err
		case <-time.After(*idle):
			return nil
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, errClientGone) {
				return cause
			}
			return <-broken // it was sent before the cancellation
		}
	}
}

// execute runs one command and prints its frames. It returns an error only if stdout fails.
func execute(ctx context.Context, command wire.Command, stdout io.Writer) error {
	out := &lineWriter{out: stdout}
	out.write(wire.Frame{Begun: &wire.Begun{}})
	var (
		said bytes.Buffer
		code = 2
	)
	if len(command.Args) > 0 && slices.Contains(sessionCommands, command.Args[0]) {
		code = run(ctx, command.Args, strings.NewReader(command.Input), stdout, &said)
	} else {
		said.WriteString("prober: session runs only " + strings.Join(sessionCommands, " and "))
	}
	out.write(wire.Frame{Ended: &wire.Ended{Code: code, Said: said.String()}})
	return out.failed()
}
