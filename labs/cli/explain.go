package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/explain/collect"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

// explainFlags are the flags of explain.
type explainFlags struct {
	kubeconfig, context, namespace string
	from, at, protocol             string
	port                           uint16
	spread, noProbe                bool
	verbose, plain                 bool
}

func (a *app) explain() *cobra.Command {
	f := explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain [NAMESPACE/]SERVICE",
		Short: "Say why a Service cannot be reached, and which field to change",
		Long: `Probes a Service at every address it has, from pods, nodes and machines outside the cluster. Shows what was observed and
what was predicted. If the two differ, or differ from your intent, it names the causes, each with the field to change and
a command.

The cluster is the lab's own, or the one that --kubeconfig names. The ambient kubeconfig is never used. In a cluster that
svclab did not create, client pods are put into the namespace svclab-clients and removed afterwards. Nothing else is
changed anywhere.

State your intent with --from, --at, --port, --protocol and --spread: then a restriction that is there by design counts
as a cause too.

Exit codes: 0 no cause was found, 1 a cause was found, 2 no verdict was possible.`,
		Example: `  svclab explain my-service
  svclab explain shop/web --from outside --port 30080
  svclab explain shop/web --kubeconfig ~/.kube/config --context staging`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExplain(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster that svclab did not create")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of a SERVICE that is given without one")
	flags.StringVar(&f.from, "from", "", "intent: the client that reaches it: pod, node, outside, host, or one of them, as node/worker")
	flags.StringVar(&f.at, "at", "", "intent: the kind of address: "+strings.Join(addressKinds(), ", "))
	flags.Uint16Var(&f.port, "port", 0, "intent: the port")
	flags.StringVar(&f.protocol, "protocol", "", "intent: the protocol: TCP, UDP or SCTP")
	flags.BoolVar(&f.spread, "spread", false, "intent: one client reaches all backends")
	flags.BoolVar(&f.noProbe, "no-probe", false, "only predict; send no request")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print every cell with what was predicted and why")
	flags.BoolVar(&f.plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	a.ClusterFlags(cmd)
	return cmd
}

func addressKinds() []string {
	var list []string
	for _, kind := range []reach.TargetKind{reach.ClusterIP, reach.DNSName, reach.NodePort, reach.Localhost, reach.LoadBalancer,
		reach.ExternalIP, reach.ExternalName, reach.HealthCheck, reach.Endpoint} {
		list = append(list, string(kind))
	}
	return list
}

// intent checks the flags and returns the intent that they state.
func (f explainFlags) intent() (explain.Intent, error) {
	h := explain.Intent{From: f.from, At: reach.TargetKind(f.at), Port: f.port, Protocol: reach.Protocol(strings.ToUpper(f.protocol)), Spread: f.spread}
	kind, _, _ := strings.Cut(f.from, "/")
	switch {
	case f.at != "" && !slices.Contains(addressKinds(), f.at):
		return h, fmt.Errorf("--at %s is no kind of address; the kinds are %s", f.at, strings.Join(addressKinds(), ", "))
	case f.from != "" && !slices.Contains([]reach.VantageKind{reach.Pod, reach.Node, reach.Outside, reach.Host}, reach.VantageKind(kind)):
		return h, fmt.Errorf("--from %s is no vantage; use pod, node, outside or host, or one of them, as node/worker", f.from)
	case f.protocol != "" && !slices.Contains([]reach.Protocol{reach.TCP, reach.UDP, reach.SCTP}, h.Protocol):
		return h, fmt.Errorf("--protocol %s is not TCP, UDP or SCTP", f.protocol)
	case f.context != "" && f.kubeconfig == "":
		return h, errors.New("--context needs --kubeconfig: name the file too")
	}
	return h, nil
}

// qualified returns the Service as "namespace/name".
func (f explainFlags) qualified(arg string) (string, error) {
	namespace, name, found := strings.Cut(arg, "/")
	if !found {
		namespace, name = f.namespace, arg
	}
	if namespace == "" || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is no Service; name it as NAMESPACE/SERVICE, or SERVICE in the namespace of --namespace", arg)
	}
	return namespace + "/" + name, nil
}

func (a *app) runExplain(ctx context.Context, arg string, f explainFlags) (err error) {
	intent, err := f.intent()
	if err != nil {
		return err
	}
	service, err := f.qualified(arg)
	if err != nil {
		return err
	}
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return err
	}
	var c *cluster.Cluster
	if f.kubeconfig != "" {
		c, err = cluster.Existing(ctx, f.kubeconfig, f.context, settings)
	} else {
		c, err = cluster.Attach(ctx, settings)
	}
	if err != nil {
		return err
	}
	defer func() { // removes the client pods of an existing cluster, also after Ctrl-C
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, c.Close(clean))
	}()
	found, err := collect.About(ctx, c, service, intent, !f.noProbe)
	if err != nil {
		return err
	}
	return a.printExplanation(found, f)
}

// printExplanation prints the table and the causes, and returns the verdict: there is a cause, or there is none.
func (a *app) printExplanation(found explain.Case, f explainFlags) error {
	style := a.ReportStyle(f.verbose, f.plain)
	if len(found.Table.Cells) > 0 {
		if err := report.Table(a.Out, found.Table, style); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.Out); err != nil {
			return err
		}
	}
	finding := explain.Explain(found)
	if err := explain.Text(a.Out, finding, style.Width, !f.noProbe); err != nil {
		return err
	}
	switch {
	case len(finding.Causes) > 0:
		return console.Judged(reach.Fail)
	case f.noProbe:
		return nil
	}
	return console.Judged(found.Table.Result())
}
