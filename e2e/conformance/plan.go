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

// Options are what a user can say of a run.
type Options struct {
	Profile scenario.Profile
	// Features are declared; what is not is detected.
	Features Declared
	// Image is what the sample app runs, whole; Registry where its image is pulled from instead of registry.k8s.io. Both
	// empty: the manifests' image, or an agnhost that the nodes have.
	Image, Registry string
	// Sample is how many nodes are stood on and asked at most, Seed what they are chosen by.
	Sample int
	Seed   uint64
	// AddressWithin is how long a load balancer may take to give an address when it is looked for.
	AddressWithin time.Duration
	// NodesFromHere: this machine may ask the nodes' addresses, whatever way leads there. InPod: this machine is a pod of
	// the cluster itself, and so no vantage of its own.
	NodesFromHere, InPod bool
	// Only, when not empty, are the behaviours that a run is limited to.
	Only []string
	// Kubectl is the program that scenarios with commands run.
	Kubectl string
	// Reproduce is the command that does the same again.
	Reproduce string
}

// DefaultSample is how many nodes are asked where nobody says otherwise. Three are the least for most scenarios; the rest
// give chance more nodes to differ on.
const DefaultSample = 6

// Plan is what a run will do, known before anything is made.
type Plan struct {
	Options
	Sample   Sample
	Cluster  report.Cluster
	Server   string
	Image    Image
	features features // all but the load balancer, which is looked for by asking
	// guard is what this machine's probes pass, host why it asks nothing, hostAddrs its addresses towards the nodes.
	guard     probe.Guard
	host      string
	hostAddrs []netip.Addr
	kubectl   string
	scenarios []scenario.Scenario
	// nodes are all of the cluster's, silent those that turned out not to answer, with the reason.
	nodes    []corev1.Node
	silent   map[string]string
	version  string
	manifest string // the image that the manifests name
	ranges   []netip.Prefix
}

// Survey looks at the cluster and plans a run of the scenarios that are about the profile. Nothing is made. The error is
// a *MissingError where the user may not do what a run needs, and ErrContradiction where features were declared that
// cannot be so.
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
		return p, fmt.Errorf("ask the cluster's version: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, fmt.Errorf("list the nodes: %w", err)
	}
	p.nodes, p.silent, p.version = nodes.Items, map[string]string{}, version.GitVersion
	if p.ranges, err = serviceRanges(ctx, c.Client()); err != nil {
		return p, err
	}
	if p.manifest, err = manifestImage(all); err != nil {
		return p, err
	}
	p.Server = c.RESTConfig().Host
	if err := p.stand(ctx, c.Context()); err != nil {
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

// stand chooses the nodes, and decides all that depends on which they are.
func (p *Plan) stand(ctx context.Context, contextName string) error {
	p.Sample = choose(p.nodes, p.Options.Sample, p.Seed, p.silent)
	if len(p.Sample.Slots) == 0 {
		return fmt.Errorf("no client can stand on any of the cluster's %d nodes: %s", len(p.nodes), counted(p.Sample.Left))
	}
	names := slices.Collect(maps.Values(p.Sample.Slots))
	var chosen []corev1.Node
	for i := range p.nodes {
		if slices.Contains(names, p.nodes[i].Name) {
			chosen = append(chosen, p.nodes[i])
		}
	}
	families, err := dualStack(p.Features, p.ranges, chosen)
	if err != nil {
		return err
	}
	p.features = append(noFeature(p.Features), families)
	p.Image = chooseImage(p.manifest, p.Options.Image, p.Registry, chosen)
	p.Cluster = describe(contextName, p.version, p.Sample, chosen, families.Present || len(p.ranges) == 2, p.ranges)
	p.standHere(ctx, chosen)
	return p.probers(ctx, chosen)
}

// behaviours are the IDs of those that the profile holds a cluster to.
func (o Options) behaviours() []string {
	var ids []string
	for _, b := range scenario.Behaviours() {
		if o.Profile.Holds(b.Profile) {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// about reports whether a scenario verifies a behaviour that the run is about. Core is about no feature: what needs one is
// not part of it, though it verifies a behaviour of core as well.
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

// probers makes sure that there is a prober for every platform it is to run on, before anything is made.
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

// standHere finds out whether this machine can be a vantage: whether its packets to every chosen node's address stay on
// bridges of its own, or may go further because the user said so.
func (p *Plan) standHere(ctx context.Context, chosen []corev1.Node) {
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
				p.host = why + "; --ask-nodes-from-here allows it"
				return
			}
			if from := source(ctx, addr); from.IsValid() && !slices.Contains(p.hostAddrs, from) {
				p.hostAddrs = append(p.hostAddrs, from)
			}
		}
	}
}

// source is the address with which this machine would send to another. Nothing is sent.
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

// Text writes what the run will make, where, and from where it will ask.
func (p Plan) Text(w io.Writer) error {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "svclab conformance, profile %s, will run %d scenarios\n", p.Profile, len(p.scenarios))
	row("cluster", "context %s at %s, Kubernetes %s", p.Cluster.Name, p.Server, p.Cluster.Kubernetes)
	row("makes", "namespace %s with %d pods, two on each chosen node, one of them in the node's network;", cluster.ClientsNamespace, 2*len(p.Sample.Slots))
	row("", "namespace %s with a Lease, by which a second run is kept out; and", LockNamespace)
	row("", "a namespace svclab-SCENARIO-… for each scenario, with Services, pods and EndpointSlices, at most 4 at once")
	row("", "all labelled app.kubernetes.io/managed-by=svclab; all removed at the end, after Ctrl-C too")
	row("changes", "nothing that is not its own")
	sampled := "all of them that can be"
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
	host := "asks the nodes' addresses"
	if p.host != "" {
		host = "asks nothing: " + p.host
	}
	row("here", "%s", host)
	for _, f := range p.features {
		row("feature", "%s", featureLine(f))
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
		return "loadBalancer: " + notLookedFor
	case said && want:
		return "loadBalancer: declared to be there"
	case said:
		return "loadBalancer: declared not to be there"
	}
	return fmt.Sprintf("loadBalancer: to be detected by a Service of type LoadBalancer, which has %s to get an address", p.AddressWithin)
}

func featureLine(f report.Feature) string {
	has := "no"
	if f.Present {
		has = "yes"
	}
	return fmt.Sprintf("%s: %s, %s: %s", f.Name, has, f.Source, f.Detail)
}

// counted joins reasons with how often each was found.
func counted(reasons map[string]int) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d that %s", reasons[why], why))
	}
	return strings.Join(parts, ", ")
}
