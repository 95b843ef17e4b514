package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Vantages are the vantages that clients can use now: pod/SLOT and node/SLOT for every node, outside, host. One that
// cannot be used because StopNode or PauseNode was called, or because this machine is not on the nodes' network, says so, and
// is left out of tables. One that should work and does not, for any other reason, is not left out: probes from it fail, which
// makes a verdict Inconclusive.
func (c *Cluster) Vantages(ctx context.Context) ([]reach.Vantage, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the vantages: %w", err)
	}
	pods, err := c.client.CoreV1().Pods(ClientsNamespace).List(ctx, metav1.ListOptions{LabelSelector: managedLabel + "=svclab"})
	if err != nil {
		return nil, fmt.Errorf("list the vantages: %w", err)
	}
	down, err := c.downNodes(ctx)
	if err != nil {
		return nil, err
	}
	var atPods, atNodes []reach.Vantage
	for _, node := range c.vantageNodes(nodes.Items, pods.Items) {
		name := node.Name
		inPod := podVantage(pods.Items, name, c.slot(name), c.podOf(name))
		onNode := nodeVantage(&node, c.slot(name))
		if why := down[name]; why != "" && slices.Contains(c.undo.pending(), "node "+name) {
			inPod.Unusable, onNode.Unusable = why, why
		}
		atPods, atNodes = append(atPods, inPod), append(atNodes, onNode)
	}
	vantages := slices.Concat(atPods, atNodes)
	if c.engine == nil {
		return append(vantages, reach.Vantage{Name: "host", Kind: reach.Host}), nil
	}
	network, err := c.network.get("", func() (docker.Network, error) { return c.dockerNetwork(ctx) })
	if err != nil {
		return nil, err
	}
	host := reach.Vantage{Name: "host", Kind: reach.Host, Addrs: gateways(network)}
	if host.Unusable, err = hostApart(c.info, host.Addrs); err != nil {
		return nil, fmt.Errorf("list the vantages: %w", err)
	}
	return append(vantages, reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: c.outside}, host), nil
}

// Guard keeps the host's probes on this machine. A route of the host by a node of a cluster of svclab's own does.
func (c *Cluster) Guard() *probe.RouteGuard {
	if c.engine == nil {
		return &probe.RouteGuard{}
	}
	return &probe.RouteGuard{Gateways: func(ctx context.Context) ([]netip.Addr, error) {
		nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the nodes: %w", err)
		}
		var addrs []netip.Addr
		for i := range nodes.Items {
			addrs = append(addrs, world.NodeAddrs(&nodes.Items[i])...)
		}
		return addrs, nil
	}}
}

// vantageNodes are the nodes that clients run on: those of a cluster of svclab's own in the order of its slots, in another
// cluster those whose clients have started or, before there is any, those with a slot.
func (c *Cluster) vantageNodes(nodes []corev1.Node, pods []corev1.Pod) []corev1.Node {
	if c.engine == nil {
		return slices.DeleteFunc(nodes, func(n corev1.Node) bool {
			return c.slots[n.Name] == "" || c.broken[n.Name] != nil || c.made && !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == c.podOf(n.Name) })
		})
	}
	names := c.nodeNames()
	nodes = slices.DeleteFunc(nodes, func(n corev1.Node) bool { return !slices.Contains(names, n.Name) })
	slices.SortFunc(nodes, func(a, b corev1.Node) int { return slices.Index(names, a.Name) - slices.Index(names, b.Name) })
	return nodes
}

// downNodes says of each node that does not run why not, if StopNode or PauseNode was called.
func (c *Cluster) downNodes(ctx context.Context) (map[string]string, error) {
	down := map[string]string{}
	if !slices.ContainsFunc(c.undo.pending(), func(what string) bool { return strings.HasPrefix(what, "node ") }) {
		return down, nil
	}
	containers, err := c.engine.Containers(ctx, "label="+kind.Label+"="+c.settings.Name)
	if err != nil {
		return nil, fmt.Errorf("list the vantages: %w", err)
	}
	for _, container := range containers {
		if container.State != "running" {
			down[container.Name] = fmt.Sprintf("the node %s is %s", container.Name, container.State)
		}
	}
	return down, nil
}

func podVantage(pods []corev1.Pod, node, slot, name string) reach.Vantage {
	v := reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: node, Namespace: ClientsNamespace, PodName: name}
	i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == name })
	if i < 0 {
		return v
	}
	v.Labels, v.Addrs = labels.Merge(pods[i].Labels, nil), world.PodAddrs(&pods[i])
	return v
}

// nodeVantage has the node's addresses, and those it has towards its own pods: packets to these leave with them.
func nodeVantage(node *corev1.Node, slot string) reach.Vantage {
	return reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: node.Name, Addrs: slices.Concat(world.NodeAddrs(node), world.Gateways(node))}
}

// hostApart says why this machine has none of the addresses of the nodes' bridge, and so is no vantage; "" where it has one.
func hostApart(info docker.Info, bridge []netip.Addr) (string, error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("read this machine's addresses: %w", err)
	}
	for _, addr := range own {
		if prefix, err := netip.ParsePrefix(addr.String()); err == nil && slices.Contains(bridge, prefix.Addr()) {
			return "", nil
		}
	}
	return cmp.Or(info.Apart(), fmt.Sprintf("this machine has none of the addresses of the nodes' bridge (%v)", bridge)), nil
}

// gateways are the addresses of the nodes' bridge, which are those of the machine that the engine runs on.
func gateways(network docker.Network) []netip.Addr {
	var addrs []netip.Addr
	for _, subnet := range network.Subnets {
		gateway := subnet.Gateway
		if !gateway.IsValid() { // engines before 27 do not say that of IPv6: it is the first address
			gateway = subnet.Prefix.Addr().Next()
		}
		addrs = append(addrs, gateway)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// Facts are what a prediction needs and the cluster's objects do not say.
func (c *Cluster) Facts(ctx context.Context) (world.Facts, error) {
	if c.engine == nil {
		return c.existingFacts(ctx)
	}
	facts := world.Facts{
		ProxyMode:    c.settings.ProxyMode,
		NodeModes:    c.NodeModes(),
		PodCIDRs:     c.settings.PodRanges(),
		ServiceCIDRs: c.settings.ServiceRanges(),
		Domain:       domain,
		Slots:        map[string]string{},
		LoadBalancer: true,
		// A node's own resolver is the engine's, which forwards to the machine's. So probes from nodes use Cluster.DNS.
		NodesUseClusterDNS: true,
		DropsStrays:        true,
		RefusesFreely:      true,
		// node-network.sh and kindnetd masquerade packets that leave the pod ranges
		PodToNode: world.EgressNode, PodToOutside: world.EgressNode,
		PortsDeclared: true,
	}
	for _, node := range c.nodeNames() {
		facts.Slots[c.slot(node)] = node
	}
	c.modes.mu.Lock()
	if like, set := c.modes.like[facts.ProxyMode]; set {
		facts.PodCIDRs, facts.Detection, facts.NodePortAddresses = like.PodCIDRs, like.Detection, like.NodePortAddresses
		facts.NoLocalhostNodePorts, facts.MasqueradeAll = like.NoLocalhostNodePorts, like.MasqueradeAll
		facts.NodeMasqueradeAll = c.modes.like[world.OtherMode(facts.ProxyMode)].MasqueradeAll
	}
	c.modes.mu.Unlock()
	for _, name := range outsideNames() {
		full := name + ".example.com"
		if name == "@" {
			full = "example.com"
		}
		facts.Externals = append(facts.Externals, world.External{Name: full, Addrs: c.outside, Backend: outsideBackend, TCP: []uint16{80, 443}})
	}
	return facts, nil
}
