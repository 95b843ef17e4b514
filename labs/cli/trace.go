package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/conformance"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/cli/console"
)

// traceFlags are the flags of trace.
type traceFlags struct {
	kubeconfig, context  string // of a cluster that svclab did not create
	protocol, format     string
	family               int
	noProbe, short, full bool
	plain                bool
	// of a cluster that svclab did not create
	privileged, dryRun bool
	clients            conformance.ClientOptions
	extras             extrasFlags
}

// mostTraced bounds the nodes of a cluster that svclab did not create whose kernels are read.
const mostTraced = 6

func (a *app) trace() *cobra.Command {
	f := traceFlags{}
	cmd := &cobra.Command{
		Use:   "trace FROM TO",
		Short: "Follow one packet through the kernels of all nodes, and compare its path with the prediction",
		Long: `Predicts the path of a packet hop by hop, sends one connection or datagram, reads its path from the packet filter and
the connection tracking of every node, in both directions, and says at which hop the two differ.

FROM is a vantage: pod/worker, node/worker2, outside, host, or a pod as NAMESPACE/POD. A pod that is not svclab's is not
entered: the connection is made by a process on its node, in the pod's network namespace.

TO is NAMESPACE/SERVICE[:PORT], NODE:PORT, localhost:PORT, ADDRESS[:PORT] or NAME[:PORT].

On the nodes, only packets of this one connection are traced: its socket gives them a DSCP of those for local use, and a
table of svclab's own marks these packets and the answers to them. The kernel removes the table with the process that made
it, however that ends. Nothing of kube-proxy's is changed, and no packet is.

The cluster is the lab's own. Of one that svclab did not create, which --kubeconfig names, only the prediction is printed:
nothing is sent, created or read on its nodes. With --privileged-trace the packet is sent and traced there too, by two pods on
each node that it may pass, six nodes at most. One of the two is privileged and in the node's network. What will run where is
printed first; --dry-run prints it and ends. The pods are removed at the end, also after Ctrl-C; a Lease excludes other runs.
What a data plane that is not kube-proxy does inside is not predicted. The ambient kubeconfig is never used.

Exit codes: 0 the packet walked as predicted, 1 it did not, 2 no verdict was possible.`,
		Example: `  svclab trace pod/worker default/my-service
  svclab trace outside worker2:30080 --short
  svclab trace shop/frontend-7d4b9 shop/backend:http --format json > before.json
  svclab trace shop/frontend-7d4b9 shop/backend --kubeconfig staging.yaml
  svclab trace shop/frontend-7d4b9 shop/backend --kubeconfig staging.yaml --privileged-trace --dry-run
  svclab trace diff before.json after.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.kubeconfig != "" {
				return a.traceExisting(cmd.Context(), args[0], args[1], f)
			}
			return a.runTrace(cmd.Context(), args[0], args[1], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster that svclab did not create: only predict, without --privileged-trace")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	flags.StringVar(&f.protocol, "protocol", "", "TCP or UDP (default: that of the Service's port, else TCP)")
	flags.IntVar(&f.family, "ip", 0, "4 or 6: the IP family of the address, or of what a name resolves to")
	flags.BoolVar(&f.noProbe, "no-probe", false, "only predict; send nothing and read no kernel")
	flags.BoolVar(&f.short, "short", false, "only the hops that matter to a learner, six at most")
	flags.BoolVar(&f.full, "full", false, "with every rule that the packet matched, and the connections as the nodes track them")
	flags.StringVar(&f.format, "format", "text", "text, json, svg or mermaid")
	flags.BoolVar(&f.plain, "plain", false, "ASCII only (also if the output is no terminal)")
	foreign := pflag.NewFlagSet("", pflag.ContinueOnError)
	foreign.SortFlags = false
	foreign.BoolVar(&f.privileged, "privileged-trace", false, "with --kubeconfig: send the packet, and read the kernels of its nodes from privileged pods")
	foreign.BoolVar(&f.dryRun, "dry-run", false, "with --privileged-trace: only print what would run where")
	addClients(foreign, &f.clients, &f.extras)
	flags.AddFlagSet(foreign)
	a.ClusterFlags(cmd)
	cmd.PreRunE = ownOrNamed(cmd.PreRunE, &f.kubeconfig, &f.context, foreign)
	cmd.AddCommand(a.traceDiff())
	return cmd
}

func (f traceFlags) check() error {
	switch {
	case !slices.Contains([]string{"", "TCP", "UDP"}, strings.ToUpper(f.protocol)):
		return fmt.Errorf("--protocol %s is not TCP or UDP", f.protocol)
	case !slices.Contains([]int{0, 4, 6}, f.family):
		return fmt.Errorf("--ip %d is not 4 or 6", f.family)
	case f.short && f.full:
		return errors.New("--short and --full print different things; use one of them")
	case f.dryRun && !f.privileged:
		return errors.New("--dry-run prints what --privileged-trace would run; without that, nothing is created")
	case f.privileged && f.noProbe:
		return errors.New("--privileged-trace sends a packet, and --no-probe sends none; use one of them")
	case !slices.Contains([]string{"text", "json", "svg", "mermaid"}, f.format):
		return fmt.Errorf("--format %s is not text, json, svg or mermaid", f.format)
	}
	return nil
}

func (a *app) runTrace(ctx context.Context, from, to string, f traceFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return err
	}
	c, err := cluster.Attach(ctx, settings, cluster.Free)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, c.Close(clean))
	}()
	w, walk, err := walked(ctx, c, from, to, f)
	if err != nil {
		return err
	}
	if f.noProbe {
		return a.printTrace(trace.Predicted(walk), f)
	}
	if v := walk.Vantage; v.Unusable != "" {
		return fmt.Errorf("nothing can be sent from %s: %s", v.Name, v.Unusable)
	}
	result, err := lab.Cluster{Cluster: c}.TraceWalk(ctx, w, walk)
	if err != nil {
		return err
	}
	return a.printTrace(result, f)
}

// traceExisting prints the prediction for a cluster that svclab did not create and, where the user permits it, the trace.
func (a *app) traceExisting(ctx context.Context, from, to string, f traceFlags) (err error) {
	if f.clients.Extras, err = f.extras.read(); err != nil {
		return err
	}
	f.clients.Tracing, f.clients.Sample = true, mostTraced
	if err := errors.Join(f.check(), f.clients.Check()); err != nil {
		return err
	}
	c, err := a.connected(ctx, f.kubeconfig, f.context, cluster.Settings{PodsFor: time.Hour, Privileged: f.privileged, Extras: f.clients.Extras})
	if err != nil {
		return err
	}
	if err := conformance.Allowed(ctx, c.Client(), c.Context(), conformance.VisitPermissions("", f.privileged && !f.noProbe)); err != nil {
		return err
	}
	w, walk, err := walked(ctx, c, from, to, f)
	if err != nil {
		return err
	}
	if f.noProbe || !f.privileged {
		t := trace.Predicted(walk)
		if !f.noProbe {
			t.Why += ": the kernels of a cluster that svclab did not create are read only with --privileged-trace"
		}
		f.noProbe = true
		return a.printTrace(t, f)
	}
	if why := cmp.Or(conformance.Withheld(walk.Target, w.Facts.ProxyMode), trace.Leaves(walk.Target)); why != "" {
		return fmt.Errorf("nothing is sent to %s: %s; --no-probe predicts", to, why)
	}
	near := trace.Nodes(w, walk)
	f.clients.Sample = min(len(near), mostTraced)
	visit, err := a.visit(ctx, c, near[:f.clients.Sample], f.clients)
	if err != nil {
		return err
	}
	out := a.Err
	if f.dryRun {
		out = a.Out
	}
	more := [][2]string{{"sends", fmt.Sprintf("one connection or datagram from %s to %s", from, to)}}
	if v := walk.Vantage; v.Kind == reach.Pod && v.Namespace != cluster.ClientsNamespace {
		more = append(more, [2]string{"", fmt.Sprintf("by a process of svclab's pod on %s, in the network namespace of pod %s/%s", v.Node, v.Namespace, v.PodName)})
	}
	if err := visit.Text(out, "svclab trace "+from+" "+to, c.Context(), more); err != nil || f.dryRun {
		return err
	}
	return a.during(ctx, c, visit, f.clients.Extras, func(locked context.Context) error {
		vantages, err := visit.Site(c).Vantages(locked)
		if err != nil {
			return err
		}
		// A client of svclab's has its address now. Other nodes than those with clients are in the world of before only.
		v, err := trace.VantageOf(w, vantages, from)
		if err != nil {
			return err
		}
		if v.Unusable != "" {
			return fmt.Errorf("nothing can be sent from %s: %s", v.Name, v.Unusable)
		}
		result, err := lab.Cluster{Cluster: c}.TraceWalk(locked, w, oracle.New(w).Walk(v, walk.Target))
		if err != nil {
			return err
		}
		return a.printTrace(result, f)
	})
}

// walked predicts the path between FROM and TO, as the user named them.
func walked(ctx context.Context, c *cluster.Cluster, from, to string, f traceFlags) (world.World, oracle.Walk, error) {
	w, vantages, err := traceWorld(ctx, c)
	if err != nil {
		return w, oracle.Walk{}, err
	}
	v, err := trace.VantageOf(w, vantages, from)
	if err != nil {
		return w, oracle.Walk{}, err
	}
	target, err := trace.TargetOf(w, to, trace.Choice{Protocol: reach.Protocol(strings.ToUpper(f.protocol)), Family: f.family})
	if err != nil {
		return w, oracle.Walk{}, err
	}
	return w, oracle.New(w).Walk(v, target), nil
}

// traceWorld is a snapshot of all namespaces, because FROM and TO may be in any.
func traceWorld(ctx context.Context, c *cluster.Cluster) (world.World, []reach.Vantage, error) {
	list, err := c.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return world.World{}, nil, fmt.Errorf("list the namespaces: %w", err)
	}
	facts, err := c.Facts(ctx)
	if err != nil {
		return world.World{}, nil, err
	}
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return world.World{}, nil, err
	}
	w, err := world.Take(ctx, c.Client(), c.Client().Discovery(), c.Dynamic(), facts, namespaceNames(list.Items)...)
	if err != nil {
		return world.World{}, nil, err
	}
	// Pods of others may listen on ports that they do not declare, and often do.
	w.Facts.PortsDeclared = false
	// A pod in a node's network that declares no port may listen on any; the oracle would have it answer at all of them.
	w.Pods = slices.DeleteFunc(w.Pods, func(p corev1.Pod) bool {
		return p.Spec.HostNetwork && !slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return len(c.Ports) > 0 })
	})
	return w, vantages, nil
}

func namespaceNames(list []corev1.Namespace) []string {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names
}

func (a *app) printTrace(t trace.Trace, f traceFlags) error {
	var err error
	switch f.format {
	case "json":
		out := json.NewEncoder(a.Out)
		out.SetIndent("", "  ")
		err = out.Encode(t)
	case "svg":
		err = trace.SVG(a.Out, t)
	case "mermaid":
		err = trace.Mermaid(a.Out, t)
	default:
		detail := trace.Normal
		if f.short {
			detail = trace.Short
		} else if f.full {
			detail = trace.Full
		}
		err = trace.Text(a.Out, t, detail, f.plain)
	}
	if err != nil {
		return fmt.Errorf("print the trace: %w", err)
	}
	if f.noProbe {
		return nil
	}
	return console.Judged(t.Result)
}

func (a *app) traceDiff() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff A.json B.json",
		Short: "Compare two traces: of two modes, two releases, or before and after a change",
		Long: `Compares two traces that svclab trace --format json wrote, hop by hop: which hops only one of them has, and where kube-proxy's
rules, the node, what was seen or the result differ. Addresses and ports of clients are not compared.

Exit codes: 0 the paths are alike, 1 they differ, 2 a file could not be read.`,
		Example: "  svclab trace diff before.json after.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var both [2]trace.Trace
			for i, path := range args {
				text, err := os.ReadFile(path)
				if err != nil {
					return fmt.Errorf("read a trace: %w; name a file that svclab trace --format json wrote", err)
				}
				if both[i], err = trace.Read(text); err != nil {
					return fmt.Errorf("read %s: %w; name a file that svclab trace --format json wrote", path, err)
				}
			}
			alike, err := trace.Diff(a.Out, both[0], both[1])
			if err != nil {
				return fmt.Errorf("print the comparison: %w", err)
			}
			if !alike {
				return console.Judged(reach.Fail)
			}
			return nil
		},
	}
	return cmd
}
