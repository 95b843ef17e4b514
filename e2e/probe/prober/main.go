// Command prober is the small static program that svclab copies to every vantage. It reads probes from stdin and prints
// observations on stdout, one JSON document a line (see package wire). It does not know about Kubernetes. Exit codes: 0 it
// reported everything, 1 it could not do its work, 2 its input or flags are invalid.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"github.com/svclab/svclab/e2e/probe/wire"
)

const usage = `usage: prober probe               read cells from stdin, probe them, print observations
       prober flow                read one flow from stdin, send requests until stdin ends
       prober serve [flags]       answer requests, as the sample app or the outside world (prober serve -h)
       prober whohas --addr A     resolve an address on the link by ARP or NDP, print every owner
       prober session [flags]     read commands from stdin and run them (prober session -h)
       prober synced [flags]      wait until kube-proxy has programmed the changes it knows (prober synced -h)
       prober trace --class N     trace packets of this network namespace with a DSCP (see package wire)
       prober links               print the hardware addresses of this machine's interfaces
       prober version`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// badInput is an error in the input or the flags. The prober then exits with code 2.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

func badf(format string, args ...any) error { return badInput{fmt.Errorf(format, args...)} }

// run is main with its context, arguments and streams as parameters. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdin, stdout, stderr)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "prober: %v\n", err)
	if errors.As(err, new(badInput)) {
		return 2
	}
	return 1
}

func dispatch(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if !slices.Contains([]string{"serve", "session", "synced", "trace", "whohas"}, verb) && len(args) > 0 {
		return badf("%s takes no arguments, got %q\n%s", verb, args, usage)
	}
	switch verb {
	case "probe":
		return probeBatch(ctx, stdin, stdout)
	case "flow":
		return flow(ctx, stdin, stdout)
	case "serve":
		return serve(ctx, args, stdout, stderr)
	case "whohas":
		return whoHas(args, stdout, stderr)
	case "session":
		return session(ctx, args, stdin, stdout, stderr)
	case "synced":
		return synced(ctx, args, stdout, stderr)
	case "trace":
		return trace(ctx, args, stdin, stdout, stderr)
	case "links":
		return links(stdout)
	case "version":
		_, err := fmt.Fprintf(stdout, "svclab prober, protocol %d, %s %s/%s\n",
			wire.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	case "":
		return badf("no command\n%s", usage)
	default:
		return badf("unknown command %q\n%s", verb, usage)
	}
}
