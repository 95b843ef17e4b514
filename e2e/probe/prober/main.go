// Command prober is the small static program that svclab puts into every vantage. It is fed probes on stdin
// and answers on stdout, one JSON document a line (package wire); it knows nothing of Kubernetes. Exit codes:
// 0 all was reported, 1 it could not do its work, 2 it was asked nonsense.
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

const usage = `usage: prober ask                 read cells on stdin, ask them, answer on stdout
       prober flow                read one flow on stdin, keep asking until stdin ends
       prober serve [flags]       be the outside world's server (prober serve -h)
       prober whohas --addr A     ask the link by ARP or NDP who has an address, print all who answer
       prober stay [flags]        read commands on stdin and carry them out (prober stay -h)
       prober synced [flags]      wait until kube-proxy has written what it knows (prober synced -h)
       prober links               print the hardware addresses of this place
       prober version`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// badInput is an error of whoever called the prober; it ends in exit code 2.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

func badf(format string, args ...any) error { return badInput{fmt.Errorf(format, args...)} }

// run is main with its surroundings passed in; it returns the exit code.
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
	if !slices.Contains([]string{"serve", "stay", "synced", "whohas"}, verb) && len(args) > 0 {
		return badf("%s takes no arguments, got %q\n%s", verb, args, usage)
	}
	switch verb {
	case "ask":
		return ask(ctx, stdin, stdout)
	case "flow":
		return flow(ctx, stdin, stdout)
	case "serve":
		return serve(ctx, args, stdout, stderr)
	case "whohas":
		return whoHas(args, stdout, stderr)
	case "stay":
		return stay(ctx, args, stdin, stdout, stderr)
	case "synced":
		return synced(ctx, args, stdout, stderr)
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
