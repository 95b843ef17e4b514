package conformance

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Options are the settings of a run.
type Options struct {
	Profile scenario.Profile
	// Features are the declared features. The others are detected.
	Features Declared
	// Image is the sample app's complete image reference. Registry replaces registry.k8s.io for its image. Both empty: the
	// manifests' image, or an agnhost that the nodes have.
	Image, Registry string
	// Sample is the maximum number of nodes that get clients and are probed. Seed chooses them.
	Sample int
	Seed   uint64
	// AddressWithin is how long detection waits for a load balancer to assign an address.
	AddressWithin time.Duration
	// NodesFromHere: this machine may send requests to the nodes' addresses by any route. InPod: svclab runs in a pod of the
	// cluster, so this machine is not a vantage.
	NodesFromHere, InPod bool
	// Only, if not empty, limits a run to these behaviours.
	Only []string
	// Kubectl is the program that scenarios with commands run.
	Kubectl string
	// Reproduce is the command that repeats the run.
	Reproduce string
}

// DefaultSample is the default size of the sample. Most scenarios need three nodes; more nodes find more differences.
const DefaultSample = 6

// Plan is what a run will do. Survey makes it before svclab creates anything.
type Plan struct {
	Options
	Sample   Sample
	Cluster  report.Cluster
	Server   string
	Image    Image
	features features // all but the load balancer, which Run detects by creating a Service
	// guard checks this machine's probes. host is why it makes none. hostAddrs are its addresses towards the nodes.
	guard     probe.Guard
	host      string
	hostAddrs []netip.Addr
	kubectl   string
	scenarios []scenario.Scenario
	// nodes are all nodes of the cluster. unresponsive has the reason for each node that does not answer.
	nodes        []corev1.Node
	unresponsive map[string]string
	version      string
	manifest     string // the image that the manifests name
	ranges       []netip.Prefix
}

// Survey reads the cluster and plans a run of the scenarios that are about the profile. It creates nothing. It returns a
// *MissingError if the user lacks permissions, and ErrContradiction if declared features are impossible.
func Survey(ctx context.Context, c *cluster.Cluster, all []scenario.Scenario, o Options) (Plan, error) {
	p := Plan{Options: o}
	if err := o.Features.check(o.Profile); err != nil {
		return p, err
	}
	for _, id := range o.Only {
		if !slices.Contains(o.behaviours(), id) {
			return p, fmt.Errorf("profile %s has no behaviour %q; it has %s", o.Profile, id, strings.Join(o.behaviours(), ", "))
		}
	}
	if err := Allowed(ctx, c.Client(), c.Context()); err != nil {
		return p, err
	}
	version, err := c.Client().Discovery().ServerVersion()
	if err != nil {
		return p, fmt.Errorf("get the cluster's version: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, fmt.Errorf("list the nodes: %w", err)
	}
	p.nodes, p.unresponsive, p.version = nodes.Items, map[string]string{}, version.GitVersion
	if p.ranges, err = serviceRanges(ctx, c.Client()); err != nil {
		return p, err
	}
	if p.manifest, err = manifestImage(all); err != nil {
		return p, err
	}
	p.Server = c.RESTConfig().Host
	if err := p.chooseNodes(ctx, c.Context()); err != nil {
		return p, err
	}
	if _, err := exec.LookPath(o.Kubectl); err != nil {
		p.kubectl = fmt.Sprintf("%s is not on this machine; --kubectl names another", o.Kubectl)
	}
	for _, s := range all {
		if o.about(s) {
			p.scenarios = append(p.scenarios, s)
		}
	}
	return p, nil
}

// chooseNodes chooses the sample and decides everything that depends on it.
func (p *Plan) chooseNodes(ctx context.Context, contextName string) error {
	p.Sample = choose(p.nodes, p.Options.Sample, p.Seed, p.unresponsive)
	if len(p.Sample.Slots) == 0 {
		return fmt.Errorf("no client can run on any node of the cluster (%d): %s", len(p.nodes), counted(p.Sample.Left))
	}
	names := slices.Collect(maps.Values(p.Sample.Slots))
	chosen := slices.DeleteFunc(slices.Clone(p.nodes), func(n corev1.Node) bool { return !slices.Contains(names, n.Name) })
	families, err := dualStack(p.Features, p.ranges, chosen)
	if err != nil {
		return err
	}
	p.features = append(noFeature(p.Features), families)
	p.Image = chooseImage(p.manifest, p.Options.Image, p.Registry, chosen)
	p.Cluster = describe(contextName, p.version, p.Sample, chosen, families.Present || len(p.ranges) == 2, p.ranges)
	p.checkHost(ctx, chosen)
	return p.probers(ctx, chosen)
}

// behaviours returns the IDs of the profile's behaviours.
func (o Options) behaviours() []string {
	var ids []string
	for _, b := range scenario.Behaviours() {
		if o.Profile.Holds(b.Profile) {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// about reports whether a scenario verifies a behaviour of the run. Profile core requires no feature, so it excludes scenarios
// that need one even if they verify a behaviour of core.
func (o Options) about(s scenario.Scenario) bool {
	if o.Profile == scenario.Core && slices.ContainsFunc(s.Needs.Features, func(f scenario.Feature) bool { return f != scenario.Outside }) {
		return false
	}
	wanted := o.Only
	if len(wanted) == 0 {
		wanted = o.behaviours()
	}
	return slices.ContainsFunc(s.Behaviours, func(id string) bool { return slices.Contains(wanted, id) })
}

// probers makes sure that there is a prober for every platform before svclab creates anything.
func (p *Plan) probers(ctx context.Context, chosen []corev1.Node) error {
	platforms := map[[2]string]bool{}
	for i := range chosen {
		platforms[[2]string{"linux", chosen[i].Status.NodeInfo.Architecture}] = true
	}
	if p.host == "" {
		platforms[[2]string{runtime.GOOS, runtime.GOARCH}] = true
	}
	for platform := range platforms {
		if _, err := probe.Binary(ctx, platform[0], platform[1]); err != nil {
			return err
		}
	}
	return nil
}

func describe(name, version string, sample Sample, chosen []corev1.Node, dual bool, ranges []netip.Prefix) report.Cluster {
	d := report.Cluster{Name: name, Kubernetes: version, ProxyMode: world.ModeUnknown, Provider: "existing"}
	slots := map[string]string{}
	for slot, node := range sample.Slots {
		slots[node] = slot
	}
	for _, r := range ranges {
		d.Families = append(d.Families, string(world.FamilyOf(r.Addr())))
	}
	if len(ranges) == 0 && dual {
		d.Families = []string{string(corev1.IPv4Protocol), string(corev1.IPv6Protocol)}
	}
	for i := range chosen {
		node := report.Node{Name: chosen[i].Name, Slot: slots[chosen[i].Name]}
		for label := range chosen[i].Labels {
			if role, is := strings.CutPrefix(label, "node-role.kubernetes.io/"); is {
				node.Roles = append(node.Roles, role)
			}
		}
		slices.Sort(node.Roles)
		d.Nodes = append(d.Nodes, node)
	}
	slices.SortFunc(d.Nodes, func(a, b report.Node) int {
		return slices.Index(sample.Order, a.Slot) - slices.Index(sample.Order, b.Slot)
	})
	return d
}

// checkHost decides whether this machine can be a vantage: its packets to every chosen node's address must stay on its own
// bridges, unless the user permits any route.
func (p *Plan) checkHost(ctx context.Context, chosen []corev1.Node) {
	guard := nodesGuard{Guard: &probe.RouteGuard{}, nodes: map[netip.Addr]bool{}}
	p.guard, p.host, p.hostAddrs = guard, "", nil
	if p.InPod {
		p.host = "svclab itself runs in a pod of the cluster"
		return
	}
	for i := range chosen {
		for _, addr := range world.NodeAddrs(&chosen[i]) {
			if p.NodesFromHere {
				guard.nodes[addr] = true
			} else if why := guard.Check(ctx, reach.Vantage{Name: "host", Kind: reach.Host}, addr); why != "" {
				p.host = why + "; --probe-nodes-from-here allows it"
				return
			}
			if from := source(ctx, addr); from.IsValid() && !slices.Contains(p.hostAddrs, from) {
				p.hostAddrs = append(p.hostAddrs, from)
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

// Text prints what the run will create, where, and from which vantages it will probe.
func (p Plan) Text(w io.Writer) error {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "svclab conformance, profile %s; scenarios to run: %d\n", p.Profile, len(p.scenarios))
	row("cluster", "context %s at %s, Kubernetes %s", p.Cluster.Name, p.Server, p.Cluster.Kubernetes)
	row("creates", "namespace %s with %d pods, two on each chosen node, one of them in the node's network;", cluster.ClientsNamespace, 2*len(p.Sample.Slots))
	row("", "namespace %s with a Lease, which excludes a second run; and", LockNamespace)
	row("", "a namespace svclab-SCENARIO-… for each scenario, with Services, pods and EndpointSlices, at most 4 at once")
	row("", "all labelled app.kubernetes.io/managed-by=svclab; all removed at the end, after Ctrl-C too")
	row("changes", "nothing that it did not create")
	sampled := "all usable ones"
	if !p.Sample.Whole() {
		sampled = fmt.Sprintf("a sample by --seed %d, --sample %d", p.Seed, p.Options.Sample)
	}
	row("nodes", "%d of %d, %s:", len(p.Sample.Slots), p.Sample.Total, sampled)
	for _, slot := range p.Sample.Order {
		row("", "%-13s %s", slot, p.Sample.Slots[slot])
	}
	if len(p.Sample.Left) > 0 {
		row("not chosen", "%s", counted(p.Sample.Left))
	}
	row("image", "%s (%s)", p.Image.Name, p.Image.Source)
	host := "probes the nodes' addresses"
	if p.host != "" {
		host = "makes no probes: " + p.host
	}
	row("here", "%s", host)
	for _, f := range p.features {
		row("feature", "%s", f)
	}
	row("feature", "%s", p.balancerLine())
	if p.kubectl != "" {
		row("kubectl", "%s; scenarios that run it are skipped", p.kubectl)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	return nil
}

func (p Plan) balancerLine() string {
	want, said := p.Features[scenario.LoadBalancer]
	switch {
	case p.Profile == scenario.Core:
		return "loadBalancer: " + notDetected
	case said && want:
		return "loadBalancer: declared present"
	case said:
		return "loadBalancer: declared absent"
	}
	return fmt.Sprintf("loadBalancer: to be detected by a Service of type LoadBalancer, which has %s to get an address", p.AddressWithin)
}

// counted joins reasons, each with its count.
func counted(reasons map[string]int) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d that %s", reasons[why], why))
	}
	return strings.Join(parts, ", ")
}
