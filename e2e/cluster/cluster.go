package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// ClientsNamespace is where the client pods live.
const ClientsNamespace = "svclab-clients"

// clientApp is their app.kubernetes.io/name label.
const clientApp = "svclab-client"

// Cluster is a cluster that works, with clients in every place. Make one with Up, Attach or Connect; its methods
// may be called concurrently. It is a probe.Exec and a probe.Prefixer.
type Cluster struct {
	*progress
	settings Settings
	// kubeconfig and context name what commands for people use.
	kubeconfig, context string
	config              *rest.Config
	client              sampled
	dynamic             dynamic.Interface
	objects             *resources.Resources

	// provider and engine are those of a cluster of svclab's own; nil for an existing one.
	provider *kind.Provider
	engine   *docker.Engine
	// madeMode is the proxy mode that kubeadm configured; settings.ProxyMode is the one in use, see UseProxy.
	madeMode string
	// info is what the engine says of itself; see ping.
	info docker.Info
	lock *Lock
	// made: this process made the client pods of an existing cluster, and is to remove them; inLab: that cluster is one of
	// svclab's own, whose other client pods stay.
	made, inLab bool
	// slots are the slots of an existing cluster's nodes, by name; see UseNodes.
	slots map[string]string
	// broken are the nodes of an existing cluster on which a client did not start, with the reason.
	broken    map[string]error
	stopWatch context.CancelFunc // see WatchServices
	// learned is what an existing cluster was found to be, without clients and with them.
	learned memo[finding]
	// dns is the address of the cluster's DNS Service.
	dns netip.AddrPort
	// outside are the outside world's addresses, network is the nodes' network: its addresses stay.
	outside []netip.Addr
	network memo[docker.Network]

	host probe.Local
	// programs are the probers by architecture, probers their paths by vantage.
	programs memo[[]byte]
	probers  memo[string]
	// containers are those in which programs are run, by namespace/pod.
	containers memo[string]
	sessions   probe.Pool
	undo       undos
	// modes: see NodeModes. like are kube-proxy's settings in each mode, see UseProxySettings; nil: the cluster's own.
	modes struct {
		mu   sync.Mutex
		by   map[string]string
		like map[string]world.Facts
	}
}

var (
	_ probe.Exec     = (*Cluster)(nil)
	_ probe.Prefixer = (*Cluster)(nil)
)

// Has reports whether the cluster has a feature.
func (c *Cluster) Has(f scenario.Feature) bool { return c.Lacks(f) == "" }

// Lacks says why the cluster does not have a feature; "" when it has.
func (c *Cluster) Lacks(f scenario.Feature) string {
	foreign := map[scenario.Feature]string{
		scenario.Outside:      "svclab has no machine on the network of a cluster that it did not make",
		scenario.NodeControl:  "svclab does not stop nodes of a cluster that it did not make",
		scenario.LoadBalancer: "svclab installs no load balancer in a cluster that it did not make",
	}
	dual := c.settings.Family == Dual
	switch f {
	case scenario.Outside, scenario.NodeControl, scenario.LoadBalancer:
		if c.engine == nil {
			return foreign[f]
		}
	case scenario.DualStack:
		if !dual {
			return "the cluster has one IP family only"
		}
	case scenario.SingleStack:
		if dual {
			return "this cluster has addresses of both IP families"
		}
	default:
		return fmt.Sprintf("svclab does not know the feature %q", f)
	}
	return ""
}

// connect makes the clients.
func (c *Cluster) connect(config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // of one small cluster's only user
	if c.engine == nil {
		config.QPS, config.Burst = 50, 100 // kubectl's own
	}
	config.UserAgent = "svclab"
	config.WarningHandler = rest.NoWarnings{} // they would be printed among the lines of progress; a step sees them in what kubectl prints
	typed := rest.CopyConfig(config)
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON // JSON takes both sides several times as long
	client, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	if c.objects, err = resources.New(config); err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	c.config, c.client = config, sampled{Interface: client}
	return nil
}

// Client is the typed client.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Resources is e2e-framework's client for typed objects. Its WithNamespace changes it for all callers: see wait.List.
func (c *Cluster) Resources() *resources.Resources { return c.objects }

// Dynamic is the client for objects of any type.
func (c *Cluster) Dynamic() dynamic.Interface { return c.dynamic }

// RESTConfig is a copy of the clients' configuration.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig is the file name of the kubeconfig that has the cluster.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Context is the name of the cluster's context in it.
func (c *Cluster) Context() string { return c.context }

// Name is the cluster's name; for an existing one its context's.
func (c *Cluster) Name() string {
	if c.engine == nil {
		return c.context
	}
	return c.settings.Name
}

// DNS is the address of the cluster's DNS Service, for vantages whose own resolver is another.
func (c *Cluster) DNS() netip.AddrPort { return c.dns }

// OutsideAddrs are the addresses of the outside world, IPv4 first; none where there is no such world.
func (c *Cluster) OutsideAddrs() []netip.Addr { return c.outside }

// Lock is the lock that the process has on the cluster.
func (c *Cluster) Lock() *Lock { return c.lock }

// Close ends the use of the cluster and leaves it as it is: what was broken for a test is restored, the lock is freed,
// and what was put into an existing cluster is removed.
func (c *Cluster) Close(ctx context.Context) error {
	c.sessions.Close()
	if c.stopWatch != nil {
		c.stopWatch()
	}
	err := c.RestoreAll(ctx)
	if c.made {
		err = errors.Join(err, c.removeClients(ctx))
	}
	return errors.Join(err, c.lock.Release())
}
