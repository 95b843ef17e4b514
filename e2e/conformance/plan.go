package conformance

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Options are the settings of a run.
type Options struct {
	Profile scenario.Profile
	// Features are the declared features. The others are detected.
	Features Declared
	ClientOptions
	// AddressWithin is how long detection waits for a load balancer to assign an address.
	AddressWithin time.Duration
	// Within bounds the run, and how long a pod of it lives.
	Within time.Duration
	// PublicBalancers: load balancers may have addresses on the internet.
	PublicBalancers bool
	// Manifests is the project's folder manifests/. Log receives what a run finds out before its first scenario.
	Manifests fs.FS
	Log       io.Writer
	// Only, if not empty, limits a run to these behaviours.
	Only []string
	// Shard is the part of the scenarios that are run. Took is how long each takes, by which they are dealt out.
	Shard scenario.Shard
	Took  map[string]time.Duration
	// Kubectl is the program that scenarios with commands run.
	Kubectl string
	// Reproduce is the command that repeats the run.
	Reproduce string
}

// Plan is what a run will do. Survey makes it before svclab creates anything.
type Plan struct {
	Options
	Clients
	Cluster   report.Cluster
	features  features // all but the load balancer, which Run detects by creating a Service
	kubectl   string
	scenarios []scenario.Scenario
	// all are the scenarios of all shards.
	all    []string
	ranges []netip.Prefix
	// nodePorts is the API server's range of node ports, known after preflight.
	nodePorts string
	// foreignPolicies are the API groups with policies that svclab does not read.
	foreignPolicies []string
}

// Survey reads the cluster and plans a run of the scenarios that are about the profile. It creates nothing. It returns a
// *MissingError if the user lacks permissions, and ErrContradiction if declared features are impossible.
func Survey(ctx context.Context, c *cluster.Cluster, all []scenario.Scenario, o Options) (Plan, error) {
	p := Plan{Options: o}
	if err := o.Check(); err != nil {
		return p, err
	}
	wanted := Permissions()
	if o.Extras.PullSecret != "" {
		wanted = append(wanted, Permission{Resource: "secrets", Verbs: []string{"create", "patch"}})
	}
	if err := Allowed(ctx, c.Client(), c.Context(), wanted); err != nil {
		return p, err
	}
	var err error
	if p.foreignPolicies, err = foreignPolicies(c.Client()); err != nil {
		return p, err
	}
	if p.Clients, err = newClients(ctx, c, all); err != nil {
		return p, err
	}
	if p.ranges, err = serviceRanges(ctx, c.Client()); err != nil {
		return p, err
	}
	if err := p.chooseNodes(ctx, c.Context()); err != nil {
		return p, err
	}
	if _, err := exec.LookPath(o.Kubectl); err != nil {
		p.kubectl = fmt.Sprintf("%s is not on this machine; --kubectl names another", o.Kubectl)
	}
	for _, s := range all {
		if o.about(s) {
			p.scenarios, p.all = append(p.scenarios, s), append(p.all, s.Name)
		}
	}
	p.scenarios, err = o.Shard.Take(p.scenarios, o.Took)
	return p, err
}

// chooseNodes chooses the sample and decides everything that depends on it.
func (p *Plan) chooseNodes(ctx context.Context, contextName string) error {
	chosen, err := p.use(ctx, choose(p.nodes, p.Options.Sample, p.Seed, p.unresponsive), p.ClientOptions)
	if err != nil {
		return err
	}
	families, err := dualStack(p.Features, p.ranges, chosen)
	if err != nil {
		return err
	}
	p.features = append(noFeature(p.Features), families)
	p.Cluster = describe(contextName, p.version, p.Sample, chosen, families.Present || len(p.ranges) == 2, p.ranges)
	return nil
}

// Check returns what is wrong with the options, as far as that is known without the cluster.
func (o Options) Check() error {
	if err := o.Features.check(o.Profile); err != nil {
		return err
	}
	for _, id := range o.Only {
		if !slices.Contains(o.behaviours(), id) {
			return fmt.Errorf("profile %s has no behaviour %q; it has %s", o.Profile, id, strings.Join(o.behaviours(), ", "))
		}
	}
	return o.ClientOptions.Check()
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

// Text prints what the run will create, where, and from which vantages it will probe.
func (p Plan) Text(w io.Writer) error {
	var b strings.Builder
	row := rowsTo(&b)
	fmt.Fprintf(&b, "svclab conformance, profile %s; scenarios to run: %d\n", p.Profile, len(p.scenarios))
	row("cluster", "context %s at %s, Kubernetes %s", p.Cluster.Name, p.Server, p.Cluster.Kubernetes)
	p.creates(row, p.ClientOptions)
	row("", "for a moment a namespace svclab-%s-… with Services without pods, to see what the cluster admits;", preflightName)
	row("", "a namespace svclab-SCENARIO-… for each scenario, with Services, pods and EndpointSlices, at most 4 at once")
	row("", "all labelled app.kubernetes.io/managed-by=svclab; all removed at the end, after Ctrl-C too")
	row("changes", "nothing that it did not create")
	row("exposes", "the sample app, which answers a pod's name, the client's address and an echo, and runs no command:")
	row("", "in the cluster at ClusterIPs and pod addresses, and")
	row("", "to everyone who can reach a node at node ports of every node, %d-%d or chosen by the cluster%s", firstNodePort, lastNodePort, p.balancersText())
	row("until", "its scenario ends, most after a minute or two. After a kill -9 its pods serve nothing %s (--time-limit) later;", p.Within)
	row("", "the Services and namespaces stay until svclab conformance --clean")
	p.rows(row, p.ClientOptions)
	row("policies", "pods opt out of service meshes; a failure next to a NetworkPolicy is no verdict")
	if len(p.foreignPolicies) > 0 {
		row("", "not read, so what they deny looks like a failure: policies of %s", strings.Join(p.foreignPolicies, ", "))
	}
	for _, f := range p.features {
		row("feature", "%s", f)
	}
	row("feature", "%s", p.balancerLine())
	if p.kubectl != "" {
		row("kubectl", "%s; what needs it is left out", p.kubectl)
	}
	return printPlan(w, &b)
}

// Names returns the names that say whose cluster it is, for report.Redact.
func (p Plan) Names() map[string]string {
	names := map[string]string{p.Cluster.Name: "context"}
	if server, err := url.Parse(p.Server); err == nil {
		if _, err := netip.ParseAddr(server.Hostname()); err != nil { // an address becomes another one, as all do
			names[server.Hostname()] = "server"
		}
	}
	for i := range p.nodes {
		names[p.nodes[i].Name] = fmt.Sprintf("node-%d", i+1)
	}
	for slot, node := range p.Sample.Slots {
		names[node] = slot
	}
	if registry, _, _ := strings.Cut(p.Image.Name, "/"); strings.ContainsAny(registry, ".:") && !strings.HasPrefix(appImage, registry) {
		names[registry] = "registry.example"
	}
	return names
}

// firstNodePort and lastNodePort are the bounds of the node ports that the scenarios name.
const firstNodePort, lastNodePort = 30000, 30100

func (p Plan) balancersText() string {
	want, said := p.Features[scenario.LoadBalancer]
	switch {
	case p.Profile == scenario.Core || said && !want:
		return "; at no load balancer"
	case p.PublicBalancers:
		return "; and to everyone who can reach the addresses of load balancers, ON THE INTERNET too (--public-load-balancers)"
	}
	return "; and at internal load balancers: one that assigns an address of the internet is not used"
}

func (p Plan) balancerLine() string {
	want, said := p.Features[scenario.LoadBalancer]
	switch {
	case p.Profile == scenario.Core:
		return "loadBalancer: " + notDetected
	case said && want && p.PublicBalancers:
		return "loadBalancer: declared present"
	case said:
		return "loadBalancer: declared absent"
	}
	return fmt.Sprintf("loadBalancer: to be detected by a Service of type LoadBalancer, which has %s to get an address", p.AddressWithin)
}
