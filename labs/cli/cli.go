// Package cli is the svclab command: one file per verb. Verdicts and tables go to Out, progress and errors to Err; the
// exit code is 0 for a pass, 1 for a failure that was observed, 2 for everything that kept the verb from a verdict.
package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/cli/learn"
)

// app makes the verbs.
type app struct{ console.App }

// Main runs the command and returns its exit code. The first SIGINT or SIGTERM cancels the work, and the verb removes
// what it was making. The second ends the process at once.
func Main(ctx context.Context, args []string, streams console.Streams, manifests, exercises fs.FS) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		signal.Ignore(syscall.SIGPIPE) // Ctrl-C has ended the reader of a pipeline too, and the cleanup prints
		start := ""
		if console.Terminal(streams.Err) {
			start = console.ClearBelow // progress may stand there
		}
		_, _ = fmt.Fprintln(streams.Err, start+"svclab: interrupted; cleaning up (interrupt again to end at once and leave things behind)")
		cancel(console.ErrInterrupted)
		<-signals
		os.Exit(2)
	}()
	a := &app{console.App{Streams: streams, Manifests: manifests, Exercises: exercises}}
	return a.Run(ctx, a.command(), args)
}

// The groups of verbs in the help text, in its order.
const (
	groupProve   = "prove"
	groupLearn   = "learn"
	groupAny     = "any"
	groupMachine = "machine"
	groupWrite   = "write"
)

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:     "svclab",
		Short:   "Verify and learn how Kubernetes Services expose ports at layer 4",
		Version: version(),
		Long: `svclab starts a real kind cluster, applies Services of every type, and proves with real traffic who reaches them, from
where, and why.

The flags that describe the lab's cluster, such as --mode, can be set by environment variables too. The help text of a
verb shows the variable behind each such flag; a flag that is given wins. SVCLAB_ROOT names the checkout of the project
if svclab is not run inside it.

Exit codes: 0 pass, 1 fail, 2 no verdict was possible.`,
		Example: `  svclab doctor                     see whether this machine is ready
  svclab e2e                        bring a cluster up, run the whole suite, take it down
  svclab up && svclab learn         the exercises
  svclab conformance --kubeconfig staging.yaml --dry-run`,
	}
	root.SetVersionTemplate("svclab {{.Version}}\n")
	for _, group := range []struct {
		id, title string
		verbs     []*cobra.Command
	}{
		{groupProve, "Prove, on the lab's cluster:", []*cobra.Command{a.verify(), a.e2e(), a.matrix(), a.fuzz(), a.releases(), a.mutants(), a.upstream(), a.merge(), a.diff(), a.picture()}},
		{groupLearn, "Learn:", []*cobra.Command{learn.Command(&a.App)}},
		{groupAny, "Any cluster:", []*cobra.Command{a.conformance(), a.explain(), a.trace(), a.watch(), a.migrate()}},
		{groupMachine, "The lab's cluster and this machine:", []*cobra.Command{a.up(), a.down(), a.doctor()}},
		{groupWrite, "Write:", []*cobra.Command{a.scenario()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, verb := range group.verbs {
			verb.GroupID = group.id
			verb.Flags().SortFlags = false // a verb's own flags come before those of the cluster
			root.AddCommand(verb)
		}
	}
	root.SetHelpCommandGroupID(groupMachine)
	root.SetCompletionCommandGroupID(groupMachine)
	return root
}
