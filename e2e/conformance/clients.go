package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// ClientOptions are the settings of a run's clients.
type ClientOptions struct {
	// Image is the sample app's complete image reference. Registry replaces registry.k8s.io for its image. Both empty: the
	// manifests' image, or an agnhost that the nodes have.
	Image, Registry string
	// Sample is the maximum number of nodes that get clients and are probed. Seed chooses them.
	Sample int
	Seed   uint64
	// NodesFromHere: this machine may send requests to the nodes' addresses by any route. InPod: svclab runs in a pod of the
	// cluster, so this machine is not a vantage.
	NodesFromHere, InPod bool
	// Tracing: the clients read the packet filters of their nodes. They run only on nodes that matter to the packet, and those in the
	// nodes' networks are privileged.
	Tracing bool
	// Extras are added to the namespaces and pods of the run.
	Extras cluster.Extras
}

// Check returns what is wrong with the options, as far as that is known without the cluster.
func (o ClientOptions) Check() error {
	switch {
	case o.Image != "" && o.Registry != "":
		return errors.New("--image names a complete image, so --image-registry has no effect; use one of them")
	case o.Sample < 1:
		return fmt.Errorf("--sample %d is no number of nodes; use 1 or more", o.Sample)
	case strings.Contains(o.Registry, "://"):
		return fmt.Errorf("--image-registry %s is a URL; name a registry such as registry.example.com/mirror", o.Registry)
	}
	if _, err := name.ParseReference(cmp.Or(o.Image, "agnhost")); err != nil {
		return fmt.Errorf("--image: %w; name an image such as registry.example.com/agnhost:2.53", err)
	}
	if _, err := name.NewRepository(cmp.Or(strings.TrimSuffix(o.Registry, "/"), "registry.k8s.io") + "/agnhost"); err != nil {
		return fmt.Errorf("--image-registry: %w; name a registry such as registry.example.com/mirror", err)
	}
	return o.Extras.Check()
}

// DefaultSample is the default size of the sample. Most scenarios need three nodes; more nodes find more differences.
const DefaultSample = 6

// Clients are the clients of a run on a cluster that svclab did not create: the nodes that they run on, their image, and
// whether this machine is one of them.
type Clients struct {
	Sample Sample
	Server string
	Image  Image
	// guard checks this machine's probes. host is why it makes none. hostAddrs are its addresses towards the nodes.
	guard     probe.Guard
	host      string
	hostAddrs []netip.Addr
	// nodes are all nodes of the cluster. unresponsive has the reason for each node that does not answer.
	nodes        []corev1.Node
	unresponsive map[string]string
	version      string
	manifest     string // the image that the manifests name
}

// newClients reads what the choice of clients depends on. It creates nothing.
func newClients(ctx context.Context, c *cluster.Cluster, all []scenario.Scenario) (Clients, error) {
	version, err := c.Client().Discovery().ServerVersion()
	if err != nil {
		return Clients{}, fmt.Errorf("get the cluster's version: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return Clients{}, fmt.Errorf("list the nodes: %w", err)
	}
	manifest, err := manifestImage(all)
	return Clients{Server: c.RESTConfig().Host, nodes: nodes.Items, unresponsive: withoutProber(ctx, nodes.Items), version: version.GitVersion, manifest: manifest}, err
}

// withoutProber returns the nodes of architectures for which svclab has no prober, with the reason.
func withoutProber(ctx context.Context, nodes []corev1.Node) map[string]string {
	why, without := map[string]string{}, map[string]string{}
	for i := range nodes {
		arch := nodes[i].Status.NodeInfo.Architecture
		if unusable(&nodes[i]) != "" {
			continue
		}
		if _, known := why[arch]; !known {
			why[arch] = ""
			if _, err := probe.Binary(ctx, "linux", arch); err != nil {
				why[arch] = fmt.Sprintf("have the architecture %s, for which this svclab has no prober (%s names one)", arch, probe.BinaryEnv)
			}
		}
		if why[arch] != "" {
			without[nodes[i].Name] = why[arch]
		}
	}
	return without
}

// use decides everything that depends on the sample, and returns its nodes.
func (c *Clients) use(ctx context.Context, sample Sample, o ClientOptions) (chosen []corev1.Node, err error) {
	c.Sample = sample
	if len(sample.Slots) == 0 {
		return nil, fmt.Errorf("no client can run on any node of the cluster (%d): %s", len(c.nodes), counted(sample.Left))
	}
	names := slices.Collect(maps.Values(sample.Slots))
	chosen = slices.DeleteFunc(slices.Clone(c.nodes), func(n corev1.Node) bool { return !slices.Contains(names, n.Name) })
	c.Image = chooseImage(c.manifest, o.Image, o.Registry, chosen)
	if c.checkHost(ctx, chosen, o); c.host == "" {
		_, err = probe.Binary(ctx, runtime.GOOS, runtime.GOARCH)
	}
	return chosen, err
}

// checkHost decides whether this machine can be a vantage: its packets to every chosen node's address must stay on its own
// bridges, unless the user permits any route.
func (c *Clients) checkHost(ctx context.Context, chosen []corev1.Node, o ClientOptions) {
	guard := nodesGuard{Guard: &probe.RouteGuard{}, nodes: map[netip.Addr]bool{}}
	c.guard, c.host, c.hostAddrs = guard, "", nil
	if o.InPod {
		c.host = "svclab itself runs in a pod of the cluster"
		return
	}
	for i := range chosen {
		for _, addr := range world.NodeAddrs(&chosen[i]) {
			if o.NodesFromHere {
				guard.nodes[addr] = true
			} else if why := guard.Check(ctx, reach.Vantage{Name: "host", Kind: reach.Host}, addr); why != "" {
				c.host = why + "; --probe-nodes-from-here allows it"
				return
			}
			if from := source(ctx, addr); from.IsValid() && !slices.Contains(c.hostAddrs, from) {
				c.hostAddrs = append(c.hostAddrs, from)
			}
		}
	}
}

// source returns the address from which this machine would send to another. It sends nothing.
func source(ctx context.Context, to netip.Addr) netip.Addr {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	if local, is := conn.LocalAddr().(*net.UDPAddr); is {
		return local.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// creates prints what is created for the clients and the lock.
func (c Clients) creates(row func(label, format string, args ...any), o ClientOptions) {
	row("creates", "namespace %s with %d pods, two on each chosen node, one of them in the node's network; they tolerate every taint;", cluster.ClientsNamespace, 2*len(c.Sample.Slots))
	if o.Tracing {
		row("", "those in a node's network are privileged and see the node's processes. Each adds a table inet svclab-trace-N to the node's")
		row("", "packet filter, which marks the packets of one connection and is removed by the kernel with the process that made it;")
	}
	row("", "namespace %s with a Lease, which excludes a second run;", LockNamespace)
}

// rows prints the nodes, the image and the use of this machine.
func (c Clients) rows(row func(label, format string, args ...any), o ClientOptions) {
	sampled := "all usable ones"
	switch {
	case o.Tracing:
		sampled = "those that the packet may pass"
	case !c.Sample.Whole():
		sampled = fmt.Sprintf("a sample by --seed %d, --sample %d", o.Seed, o.Sample)
	}
	row("nodes", "%d of %d, %s:", len(c.Sample.Slots), c.Sample.Total, sampled)
	for _, slot := range c.Sample.Order {
		if node := c.Sample.Slots[slot]; node == slot {
			row("", "%s", node)
		} else {
			row("", "%-13s %s", slot, node)
		}
	}
	if len(c.Sample.Left) > 0 {
		row("not chosen", "%s", counted(c.Sample.Left))
	}
	row("image", "%s (%s)", c.Image.Name, c.Image.Source)
	host := "probes the nodes' addresses"
	if c.host != "" {
		host = "makes no probes: " + c.host
	}
	row("here", "%s", host)
}

// rowsTo returns a function that prints a labelled row to b.
func rowsTo(b *strings.Builder) func(label, format string, args ...any) {
	return func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-11s %s\n", label, fmt.Sprintf(format, args...))
	}
}

func printPlan(w io.Writer, b *strings.Builder) error {
	if _, err := io.WriteString(w, report.Printable(b.String())); err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	return nil
}

// counted joins reasons, each with its count.
func counted(reasons map[string]int) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d that %s", reasons[why], why))
	}
	return strings.Join(parts, ", ")
}
