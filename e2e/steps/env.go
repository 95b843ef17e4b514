package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is what steps need of the cluster they run on.
type Cluster interface {
	Client() kubernetes.Interface
	Dynamic() dynamic.Interface
	// Kubeconfig is the file kubectl is given, Context the context to use of it; empty: its current one.
	Kubeconfig() string
	Context() string
	// Vantages can send requests. Survey adds outside and host as unusable ones where the cluster lacks them.
	Vantages(ctx context.Context) ([]reach.Vantage, error)
	Facts(ctx context.Context) (world.Facts, error)
	// Lacks says why the cluster does not have a feature; empty: it has it.
	Lacks(f scenario.Feature) string
}

// NodeController is implemented by a Cluster whose nodes can be stopped and started.
type NodeController interface {
	// ControlNode does "start", "stop" or "restart" to the node of a slot, and returns when it is done; for start
	// and restart that is when the node is Ready again. "restart-api-server" ends the API server that runs on it, and
	// returns when another one is ready. "other-proxy-mode" starts the node's kube-proxy again in the mode that is not the
	// cluster's, "own-proxy-mode" in the cluster's; both return when it has written its rules.
	ControlNode(ctx context.Context, slot, action string) error
}

// RuleReader is implemented by a Cluster that can read the packet filters of its nodes.
type RuleReader interface {
	// ProxyLeftovers returns the chains and tables that kube-proxy has left on a node in another mode than its own.
	ProxyLeftovers(ctx context.Context, node string) ([]string, error)
}

// Tracer is implemented by a Cluster that can follow packets through the kernels of its nodes.
type Tracer interface {
	// Trace follows one connection of each cell, one after the other, up to tries times until it leaves the predicted path. It
	// returns one Traced for each. An error says why none could be followed.
	Trace(ctx context.Context, w world.World, cells []reach.Cell, tries int) ([]Traced, error)
}

// Traced is the path of one connection, compared with the predicted one.
type Traced struct {
	// Result is Pass if the path is as predicted, Fail if not, Inconclusive if that is not known.
	Result reach.Result
	// Says is the result in a sentence: where the path first differs. Ends says where a packet that was not answered ended,
	// differing or not.
	Says, Ends string
	// Took is how long the trace took in addition to the connection.
	Took time.Duration
}

// Commander is implemented by a Cluster that can run programs at its vantages.
type Commander = probe.Exec

// Prober sends requests; probe.Client is one, see ForClient.
type Prober interface {
	Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error)
	Flow(ctx context.Context, r probe.FlowRequest) (Flow, error)
}

// Flow is traffic under way.
type Flow interface {
	// Snapshot is the report on the requests that have ended so far.
	Snapshot() probe.FlowReport
	Stop() (probe.FlowReport, error)
}

// ForClient makes a Prober of a probe.Client.
func ForClient(c *probe.Client) Prober { return client{c} }

type client struct{ *probe.Client }

func (c client) Flow(ctx context.Context, r probe.FlowRequest) (Flow, error) {
	return c.Client.Flow(ctx, r)
}

// Predict is the oracle's signature.
type Predict func(w world.World, v reach.Vantage, t reach.Target) reach.Prediction

// Settings bound what steps do.
type Settings struct {
	// StepTimeout bounds a snapshot, and Convergence how long traffic may differ from the prediction after the objects have
	// settled.
	StepTimeout, Convergence time.Duration
	Timeouts                 observe.Timeouts
	// Kubectl is the program that Run calls.
	Kubectl string
	// TraceAll: a connection of every cell is traced, not only of those that differ.
	TraceAll bool
}

// Env is where the steps of one scenario are done. Its exported fields are set before the first step; then Survey is called.
type Env struct {
	Cluster  Cluster
	Prober   Prober
	Predict  Predict
	Settings Settings
	Policy   observe.Policy

	Scenario scenario.Scenario
	// Namespace is the scenario's own; Also are further ones in which steps may do as they like.
	Namespace string
	Also      []string
	// Progress is what the step under way is waiting for.
	Progress Progress

	// Facts and Vantages are what Survey found.
	Facts    world.Facts
	Vantages []reach.Vantage

	kinds     discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	flows     map[string]Flow
	sent      map[string]int // see observe.Engine.Sums
	journal   journal
	down      []string // slots of nodes that a step stopped
	announcer string   // see Announcer
	// former are the ClusterIPs that the scenario's Services have or had: see table.Site.
	former map[string][]netip.Addr

	// step is under way. run is the context that ends with the run and not with the step's time: only probes get it,
	// because the time they need follows from the tables.
	step scenario.Step
	run  context.Context //nolint:containedctx // see above
	// once: the step looks once and does not wait.
	once bool
}

// Action is a kind of step that can be done.
type Action interface {
	scenario.Action
	// Do does the step. An error made by reach.Failf says that the cluster is wrong; any other says that it could not be
	// found out. The report is valid with an error too.
	Do(ctx context.Context, env *Env) (Report, error)
}

// Report is what a step found.
type Report struct {
	Tables  []reach.Table
	Lines   []string
	Missing []reach.Missing
}

// Do does one step. bounded ends with the step's time, ctx with the run only.
func (env *Env) Do(ctx, bounded context.Context, step scenario.Step) (Report, error) {
	action, ok := step.Action.(Action)
	if !ok {
		return Report{}, fmt.Errorf("%T is no kind of step that can be done", step.Action)
	}
	env.step, env.run, env.once = step, ctx, env.Policy.LookOnce && action.ReadOnly()
	return action.Do(bounded, env)
}

// StopFlows stops the flows that no step has stopped. One that does not stop does not keep it from the others.
func (env *Env) StopFlows() error {
	var errs []error
	for name, flow := range env.flows {
		if _, err := flow.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop traffic %s: %w", name, err))
		}
	}
	env.flows = nil
	return errors.Join(errs...)
}

// NodesDown reports whether a node is down that a step stopped.
func (env *Env) NodesDown() bool { return len(env.down) > 0 }

// The labels of everything that svclab makes on a cluster.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "svclab"
)

// Learn finds out the cluster's facts and API. It is enough for steps that send no requests.
func (env *Env) Learn(ctx context.Context) error {
	if env.mapper == nil {
		// Deferred: it reads the API again for a kind that it does not know, as of a CustomResourceDefinition made later.
		env.kinds = memory.NewMemCacheClient(env.Cluster.Client().Discovery())
		env.mapper = restmapper.NewDeferredDiscoveryRESTMapper(env.kinds)
	}
	facts, err := env.Cluster.Facts(ctx)
	if err != nil {
		return fmt.Errorf("learn the cluster's facts: %w", err)
	}
	// The probes of a node send their lookups to the cluster's DNS, whatever resolver the node has.
	facts.NodesUseClusterDNS = true
	env.Facts = facts
	return nil
}

// Survey is Learn, and lists the vantages. It is done again where a step may have changed them, as by restarting a node.
func (env *Env) Survey(ctx context.Context) error {
	if err := env.Learn(ctx); err != nil {
		return err
	}
	vantages, err := env.Cluster.Vantages(ctx)
	if err != nil {
		return fmt.Errorf("list the vantages: %w", err)
	}
	env.Vantages = withMissing(vantages)
	return nil
}

// withMissing adds the vantages that a table may speak of though the cluster does not have them. Their cells
// are then counted as not probed, with the reason, instead of being left out.
func withMissing(vantages []reach.Vantage) []reach.Vantage {
	vantages = slices.Clone(vantages)
	for _, v := range []reach.Vantage{
		{Name: string(reach.Outside), Kind: reach.Outside, Unusable: "this cluster has no vantage outside of it"},
		{Name: string(reach.Host), Kind: reach.Host, Unusable: "this machine is no vantage of this cluster"},
	} {
		if !slices.ContainsFunc(vantages, func(have reach.Vantage) bool { return have.Kind == v.Kind }) {
			vantages = append(vantages, v)
		}
	}
	return vantages
}

func corev1Resource(name string) schema.GroupVersionResource {
	return corev1.SchemeGroupVersion.WithResource(name)
}
