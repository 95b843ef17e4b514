package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/conformance"
	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/explain/collect"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/cli/learn"
)

// explainFlags are the flags of explain.
type explainFlags struct {
	kubeconfig, context, namespace string
	from, at, protocol             string
	port                           uint16
	spread, noProbe                bool
	verbose, plain                 bool
	// of a cluster that svclab did not create
	clients                      conformance.ClientOptions
	extras                       extrasFlags
	dryRun, readSockets, outside bool
}

// mostEndpoints bounds the endpoints of a Service that are probed at their own addresses in a cluster that svclab did not create.
const mostEndpoints = 10

func (a *app) explain() *cobra.Command {
	f := explainFlags{}
	cmd := &cobra.Command{
		Use:   "explain [NAMESPACE/]SERVICE",
		Short: "Say why a Service cannot be reached, and which field to change",
		Long: `Probes a Service at every address it has, from pods, nodes and machines outside the cluster. Shows what was observed and
what was predicted. If the two differ, or differ from your intent, it names the causes, each with the field to change and
a command.

The cluster is the lab's own, or the one that --kubeconfig names. The ambient kubeconfig is never used.

In a cluster that svclab did not create, no Docker engine is needed. The user's permissions are checked before anything is
created. Client pods run on a sample of the nodes, half of them nodes that run the Service's pods, in the namespace
svclab-clients. It is removed at the end, also after Ctrl-C; what a killed run left, the next one removes. A Lease excludes
other runs of explain and conformance, from any machine, while one is alive. --dry-run prints what would be created and
probed. --no-probe creates nothing. Probes do not leave the cluster: a host that an ExternalName names is probed only with
--probe-outside, a port that a Service does not declare only where kube-proxy rejects it. In the Service's own pods, no
command is run without --read-sockets. Nothing else is changed anywhere.

In the namespace of an exercise that you are doing, an explanation counts as a hint.

State your intent with --from, --at, --port, --protocol and --spread: then a restriction that is there by design counts
as a cause too.

Exit codes: 0 no cause was found, 1 a cause was found, 2 no verdict was possible.`,
		Example: `  svclab explain my-service
  svclab explain shop/web --from outside --port 30080
  svclab explain shop/web --kubeconfig ~/.kube/config --context staging --dry-run
  svclab explain shop/web --kubeconfig ~/.kube/config --context staging`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExplain(cmd, args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster that svclab did not create")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = false
	own.BoolVar(&f.dryRun, "dry-run", false, "with --kubeconfig: only print what would be created and probed, and where")
	own.BoolVar(&f.readSockets, "read-sockets", false, "with --kubeconfig: read what the Service's pods listen on where they refuse, by running cat /proc/net/tcp in them")
	own.BoolVar(&f.outside, "probe-outside", false, "with --kubeconfig: also probe a host outside the cluster that an ExternalName names")
	own.IntVar(&f.clients.Sample, "sample", conformance.DefaultSample, "with --kubeconfig: how many nodes send and receive requests, at most")
	own.Uint64Var(&f.clients.Seed, "seed", 1, "with --kubeconfig: seed of the choice of the sampled nodes")
	addClients(own, &f.clients, &f.extras)
	flags.AddFlagSet(own)
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
	cmd.PreRunE = ownOrNamed(cmd.PreRunE, &f.kubeconfig, &f.context, own)
	return cmd
}

// addClients adds the flags of the clients of a visit.
func addClients(flags *pflag.FlagSet, o *conformance.ClientOptions, extras *extrasFlags) {
	flags.BoolVar(&o.NodesFromHere, "probe-nodes-from-here", false, "with --kubeconfig: probe the nodes' addresses from this machine even if the packets leave it")
	flags.StringVar(&o.Image, "image", "", "with --kubeconfig: the client pods' image, an agnhost")
	flags.StringVar(&o.Registry, "image-registry", "", "with --kubeconfig: registry to pull e2e-test-images/agnhost from, instead of registry.k8s.io")
	extras.add(flags, "with --kubeconfig: ")
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
	kind, node, one := strings.Cut(f.from, "/")
	switch {
	case f.at != "" && !slices.Contains(addressKinds(), f.at):
		return h, fmt.Errorf("--at %s is no kind of address; the kinds are %s", f.at, strings.Join(addressKinds(), ", "))
	case f.from != "" && !slices.Contains([]reach.VantageKind{reach.Pod, reach.Node, reach.Outside, reach.Host}, reach.VantageKind(kind)) || one && node == "":
		return h, fmt.Errorf("--from %s is no vantage; use pod, node, outside or host, or one of them, as node/worker", f.from)
	case f.protocol != "" && !slices.Contains([]reach.Protocol{reach.TCP, reach.UDP, reach.SCTP}, h.Protocol):
		return h, fmt.Errorf("--protocol %s is not TCP, UDP or SCTP", f.protocol)
	}
	return h, f.clients.Check()
}

// qualified returns the Service as "namespace/name".
func (f explainFlags) qualified(arg string) (string, error) {
	namespace, name, found := strings.Cut(arg, "/")
	if !found {
		namespace, name = f.namespace, arg
	}
	if len(validation.IsDNS1123Label(namespace))+len(validation.IsDNS1123Label(name)) > 0 {
		return "", fmt.Errorf("%q in namespace %q is no Service; name it as NAMESPACE/SERVICE, or SERVICE in the namespace of --namespace", name, namespace)
	}
	return namespace + "/" + name, nil
}

func (a *app) runExplain(cmd *cobra.Command, arg string, f explainFlags) error {
	ctx := cmd.Context()
	service, err := f.qualified(arg)
	if err != nil {
		return err
	}
	if f.clients.Extras, err = f.extras.read(); err != nil {
		return err
	}
	intent, err := f.intent()
	if err != nil {
		return err
	}
	var (
		found explain.Case
		where string
	)
	if f.kubeconfig != "" {
		found, err = a.explainExisting(ctx, service, intent, f)
	} else {
		found, where, err = a.explainLab(ctx, service, intent, f)
	}
	if err != nil || f.dryRun {
		return err
	}
	if f.kubeconfig == "" {
		namespace, _, _ := strings.Cut(service, "/")
		if err := learn.CountExplanation(&a.App, cmd, namespace); err != nil {
			return err
		}
	}
	return a.printExplanation(found, where, f)
}

// explainLab gathers what there is to know of a Service of the lab's cluster, and where a packet to it ends.
func (a *app) explainLab(ctx context.Context, service string, intent explain.Intent, f explainFlags) (found explain.Case, where string, err error) {
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return found, "", err
	}
	c, err := cluster.Attach(ctx, settings, cluster.Free)
	if err != nil {
		return found, "", err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, c.Close(clean))
	}()
	found, err = collect.About(ctx, c, service, intent, collect.Options{Probe: !f.noProbe, Outside: true, ReadSockets: true})
	if err != nil || f.noProbe {
		return found, "", err
	}
	where, err = a.ends(ctx, lab.Cluster{Cluster: c}, found)
	return found, where, err
}

// ends traces a packet of a cell that is not answered, and says at which hop it ends: of one that differs from the prediction
// if there is one, else of the first that fits the intent.
func (a *app) ends(ctx context.Context, c lab.Cluster, found explain.Case) (string, error) {
	var chosen *reach.CellVerdict
	for i := range found.Table.Cells {
		cell := &found.Table.Cells[i]
		_, unprobed, failed := cell.Cell.Probed()
		wanted := !cell.Cell.Target.Undeclared && found.Intent.Wants(cell.Cell.Vantage, cell.Cell.Target)
		silent := !slices.ContainsFunc(cell.Cell.Observations, func(o reach.Observation) bool { return o.Outcome == reach.Reached })
		switch {
		case unprobed != "" || failed != "" || !wanted || cell.Result != reach.Fail && !silent:
		case chosen == nil, cell.Result == reach.Fail && chosen.Result != reach.Fail:
			chosen = cell
		}
	}
	if chosen == nil {
		return "", nil
	}
	traced, err := c.Trace(ctx, found.World, []reach.Cell{chosen.Cell}, 1)
	if err != nil {
		if ctx.Err() == nil { // the explanation is complete without it
			_, _ = fmt.Fprintf(a.Err, "svclab: no packet could be traced: %v\n", err)
			return "", nil
		}
		return "", err
	}
	return traced[0].Ends, nil
}

// explainExisting does the same in the cluster that --kubeconfig names, or prints what it would do.
func (a *app) explainExisting(ctx context.Context, service string, intent explain.Intent, f explainFlags) (found explain.Case, err error) {
	c, err := cluster.Connect(ctx, f.kubeconfig, f.context, cluster.Settings{Manifests: a.Manifests, PodsFor: time.Hour, Extras: f.clients.Extras, Log: a.Err})
	if err != nil {
		return found, err
	}
	namespace, _, _ := strings.Cut(service, "/")
	if err := conformance.Allowed(ctx, c.Client(), c.Context(), conformance.VisitPermissions(namespace, !f.noProbe)); err != nil {
		return found, err
	}
	near, err := collect.Nodes(ctx, c.Client(), service)
	if err != nil {
		return found, err
	}
	_, node, named := strings.Cut(intent.From, "/")
	if named {
		near = []string{node}
	}
	visit, err := a.visit(ctx, c, near, f.clients)
	if err != nil {
		return found, err
	}
	if named && visit.Sample.Slots[node] == "" {
		return found, fmt.Errorf("--from %s: no client can run on a node %s of this cluster", intent.From, node)
	}
	options := collect.Options{Outside: f.outside, ReadSockets: f.readSockets, Most: mostEndpoints, Timeouts: conformance.Timeouts()}
	if found, err = collect.About(ctx, visit.Site(c), service, intent, options); err != nil || f.noProbe && !f.dryRun {
		return found, err
	}
	out := a.Err
	if f.dryRun {
		out = a.Out
	}
	if err := visit.Text(out, "svclab explain "+service, c.Context(), f.probes(found)); err != nil || f.dryRun {
		return found, err
	}
	err = a.during(ctx, c, visit, f.clients.Extras, func(locked context.Context) error {
		mode, err := c.ProxyMode(locked)
		if err != nil {
			return err
		}
		options.Probe, options.Prober = true, visit.Prober(c, mode.Mode)
		found, err = collect.About(locked, visit.Site(c), service, intent, options)
		return err
	})
	return found, err
}

// visit plans the visit of a cluster that svclab did not create. The scenarios name the clients' image.
func (a *app) visit(ctx context.Context, c *cluster.Cluster, near []string, o conformance.ClientOptions) (*conformance.Visit, error) {
	scenarios, err := a.scenarios(nil)
	if err != nil {
		return nil, err
	}
	return conformance.SurveyVisit(ctx, c, scenarios, near, o)
}

// during calls do while the clients of a visit run and its lock is held, and removes both, also after Ctrl-C.
func (a *app) during(ctx context.Context, c *cluster.Cluster, visit *conformance.Visit, extras cluster.Extras, do func(locked context.Context) error) (err error) {
	locked, release, err := conformance.Lock(ctx, c.Client(), extras, a.Err)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, release(clean, c.Close))
	}()
	if err := visit.Deploy(locked, c); err != nil {
		return err
	}
	return do(locked)
}

// probes says what would be probed and read, from predictions.
func (f explainFlags) probes(found explain.Case) (rows [][2]string) {
	targets, withheld := map[string]int{}, map[string]int{}
	for _, cell := range found.Table.Cells {
		why := cmp.Or(cell.Cell.Vantage.Unusable, conformance.Withheld(cell.Cell.Target, found.World.Facts.ProxyMode))
		if why != "" {
			withheld[why]++
		} else {
			targets[string(cell.Cell.Target.Kind)]++
		}
	}
	row := func(label, format string, args ...any) {
		rows = append(rows, [2]string{label, fmt.Sprintf(format, args...)})
	}
	row("probes", "from %d vantages, with at least 8 connections where an answer is expected and 2 where none is:", len(found.Table.Vantages))
	for _, kind := range addressKinds() {
		if n := targets[kind]; n > 0 {
			row("", "%-13s %d pairs of vantage and target", kind, n)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(withheld)) {
		row("not probed", "%d pairs: %s", withheld[why], why)
	}
	if found.Unprobed != "" {
		row("not probed", "%s", found.Unprobed)
	}
	if f.readSockets {
		row("reads", "/proc/net/tcp, tcp6, udp and udp6 by cat in at most 5 pods that refuse (--read-sockets)")
	}
	return rows
}

// printExplanation prints the table and the causes, and returns the verdict: Fail if there is a cause.
func (a *app) printExplanation(found explain.Case, where string, f explainFlags) error {
	style := a.ReportStyle(f.verbose, f.plain)
	if len(found.Table.Cells) > 0 {
		if err := report.Table(a.Out, found.Table, style); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.Out); err != nil {
			return err
		}
	}
	finding, traffic := explain.Explain(found), reach.Skipped
	finding.Where = where
	for _, c := range found.Table.Cells {
		traffic = reach.Worse(traffic, c.Result)
	}
	if err := explain.Text(a.Out, finding, style.Width, traffic); err != nil {
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
