// Package cli is the svclab command: one file per verb. Verdicts and tables go to Out, progress and errors to Err; the
// exit code is 0 for a pass, 1 for a failure that was seen, 2 for everything that kept it from being judged.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/setup"
)

// Streams are what the command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is what the verbs share.
type app struct {
	Streams
	manifests, exercises fs.FS
	config               setup.Config
}

// errInterrupted is the cause of a context that ended by Ctrl-C or SIGTERM.
var errInterrupted = errors.New("interrupted")

// Main runs the command and returns its exit code. The first SIGINT or SIGTERM ends the work in good order, which
// removes what was being made; the second ends the process at once.
func Main(ctx context.Context, args []string, streams Streams, manifests, exercises fs.FS) int {
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
		start := ""
		if terminal(streams.Err) {
			start = wiped // a clock's line may stand there
		}
		_, _ = fmt.Fprintln(streams.Err, start+"svclab: interrupted; cleaning up (once more to end at once, leaving things behind)")
		cancel(errInterrupted)
		<-signals
		os.Exit(2)
	}()

	a := &app{Streams: streams, manifests: manifests, exercises: exercises}
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return a.exitCode(err)
}

// verdictError ends a verb whose verdict, already printed, is not a pass.
type verdictError struct{ result reach.Result }

func (e verdictError) Error() string { return "the verdict is " + string(e.result) }

// judged turns a result into what a verb returns.
func judged(result reach.Result) error {
	if result == reach.Pass {
		return nil
	}
	return verdictError{result}
}

func (a *app) exitCode(err error) int {
	var verdict verdictError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &verdict):
		return verdict.result.ExitCode()
	}
	var script *setup.ScriptError
	if !errors.As(err, &script) { // a script has said what is wrong itself
		_, _ = fmt.Fprintln(a.Err, "svclab: error:", err)
	}
	return 2
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "svclab",
		Short: "Verify and learn how Kubernetes Services expose ports at layer 4",
		Long: `svclab starts a real kind cluster, applies Services of every type, and proves with real
traffic, from every place a client can stand, who reaches what and why.

Every flag can be set by an environment variable too: --mode by SVCLAB_MODE, and so on.
Exit codes: 0 pass, 1 fail, 2 could not be judged.`,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.configure(cmd) },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	flags := root.PersistentFlags()
	flags.String("name", "svclab", "the kind cluster's name")
	flags.String("mode", "nftables", "kube-proxy's mode: nftables or iptables")
	flags.String("family", "ipv4", "IP families: ipv4 or dual")
	flags.String("kubernetes", "", "Kubernetes minor version, as 1.37 (default: scripts/versions.env)")
	flags.String("images", "auto", "where images come from: pull, build, or auto (pull when a registry answers)")
	flags.Int("workers", 2, "worker nodes beside the control plane")
	flags.Int("host-port", 30080, "nodePort published on 127.0.0.1 of this machine; 0 for none")
	flags.String("output", "", "folder for everything that is written (default: _output in the checkout)")
	root.AddCommand(a.explain(), a.fuzz(), a.conformance(), a.learn())
	root.AddCommand(a.doctor(), a.up(), a.down(), a.verify(), a.e2e(), a.matrix(), a.diff(), a.mutants(), a.upstream())
	return root
}

// configure reads the environment, then the flags that were set.
func (a *app) configure(cmd *cobra.Command) error {
	if cmd.Annotations[needsNoCheckout] != "" {
		return nil
	}
	var err error
	if a.config, err = setup.FromEnv(a.manifests, a.Err); err != nil {
		return err
	}
	flags := cmd.Flags()
	for name, to := range map[string]*string{"name": &a.config.Name, "mode": &a.config.ProxyMode, "family": &a.config.Family,
		"kubernetes": &a.config.Kubernetes, "images": &a.config.Images, "output": &a.config.Output} {
		if flags.Changed(name) {
			if *to, err = flags.GetString(name); err != nil {
				return err
			}
		}
	}
	for name, to := range map[string]*int{"workers": &a.config.Workers, "host-port": &a.config.HostPort} {
		if flags.Changed(name) {
			if *to, err = flags.GetInt(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// needsNoCheckout marks verbs that work without the project's scripts.
const needsNoCheckout = "svclab/needs-no-checkout"
