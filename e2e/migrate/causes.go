package migrate

import (
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// cause is why cells change, as far as it says what to do. The oracle has the reason of each cell.
type cause struct {
	id, title string
	// do says what to do before the switch, by the mode that is switched to.
	do map[string]string
	// doc is the document, where another one than the rule's says more.
	doc     string
	applies func(Change) bool
}

// other is the cause of changes that no cause is written for.
const other = "other"

// docDiff is what Kubernetes documents of the difference between the modes.
const docDiff = "https://kubernetes.io/docs/reference/networking/virtual-ips/#migrating-from-iptables-mode-to-nftables"

// toNFTables is advice for a switch to nftables mode.
func toNFTables(text string) map[string]string { return map[string]string{world.ModeNFTables: text} }

// causes returns all causes. The first that applies counts, and the last one applies to every change.
func causes() []cause {
	rules := func(names ...string) func(Change) bool {
		return func(c Change) bool {
			for _, name := range names {
				if c.Before.Rule == name || c.After.Rule == name {
					return true
				}
			}
			return false
		}
	}
	kind := func(kind reach.TargetKind) func(Change) bool {
		return func(c Change) bool { return c.Target.Kind == kind }
	}
	return []cause{
		{id: "localhost", title: "node ports on a node's loopback address", doc: docDiff, applies: kind(reach.Localhost), do: toNFTables(
			"Find the clients: in iptables mode the metric kubeproxy_iptables_localhost_nodeports_accepted_packets_total of kube-proxy counts their packets. " +
				"Point them to the node's primary address or to the ClusterIP, or give the pods a hostPort. To try it before the switch, set iptables.localhostNodePorts: false: " +
				"that closes the same ports, and can be undone at once.")},
		{id: "other-addresses", title: "node ports at a node's other addresses", doc: docDiff,
			applies: func(c Change) bool {
				return c.Target.Kind == reach.NodePort && rules("nodeport-secondary-address")(c)
			}, do: toNFTables(
				"Point clients and load balancers to each node's primary address, or set nodePortAddresses to the ranges that they use. It holds in both modes. " +
					"To try it before the switch, set nodePortAddresses: [primary] in iptables mode.")},
		{id: "other-addresses-healthcheck", title: "health checks at a node's other addresses", doc: docDiff, applies: kind(reach.HealthCheck), do: toNFTables(
			"Have the load balancer check each node's primary address, or set nodePortAddresses to the ranges that it uses.")},
		{id: "unallocated", title: "addresses of the Service range that no Service has, or whose Service kube-proxy leaves to another proxy", applies: rules("clusterip-unallocated"), do: toNFTables(
			"If another proxy serves a Service by the label service.kubernetes.io/service-proxy-name, check that its packets do not need kube-proxy's node to forward them: " +
				"nftables mode drops them. Else nothing.")},
		{id: "undeclared-port", title: "ports of a ClusterIP that its Service does not declare",
			applies: rules("clusterip-undeclared-port-refused", "clusterip-undeclared-port-dropped", "clusterip-undeclared-port-routed"), do: toNFTables(
				"Nothing, unless a client or an alert expects a timeout: it gets a refusal at once.")},
		{id: "source-ranges", title: "loadBalancerSourceRanges", applies: func(c Change) bool {
			return rules("loadbalancer-source-ranges")(c) || c.Target.Kind == reach.LoadBalancer && rules("loadbalancer-announcer-unknown")(c)
		}, do: toNFTables(
			"Check that loadBalancerSourceRanges list every client that is to get in, those inside the cluster too. In nftables mode they hold also while the Service has no endpoint, " +
				"and at an address that is an external IP of the Service as well.")},
		{id: "own-packets", title: "packets of a node itself to a load-balancer or external address without endpoints", applies: rules("no-endpoints-iptables-output"), do: toNFTables(
			"Nothing: the node itself refuses them at once.")},
		{id: "masquerade", title: "source addresses, by masqueradeAll", doc: "https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/",
			applies: func(c Change) bool { return c.effect() == Source }, do: map[string]string{
				world.ModeNFTables: "iptables.masqueradeAll does not hold in nftables mode. Set nftables.masqueradeAll to the same value.",
				world.ModeIPTables: "nftables.masqueradeAll does not hold in iptables mode. Set iptables.masqueradeAll to the same value."}},
		{id: "hairpin", title: "pods that reach themselves through a Service", applies: func(c Change) bool {
			answers := func(p reach.Prediction) bool { return slices.Contains(p.Backends, c.Vantage.PodName) }
			return rules("hairpin-across-nodes", "hairpin")(c) || strings.HasPrefix(c.Vantage.Name, own) && answers(c.Before) != answers(c.After)
		}, do: toNFTables(
			"Set nodeName of the endpoint in the EndpointSlice to the pod's node. A controller of your own that writes slices must do so too. " +
				"A pod that sends to itself through a node port of another node is to use the ClusterIP.")},
		{id: "closed-local", title: "node ports at addresses where they are not served, with externalTrafficPolicy Local",
			applies: func(c Change) bool { return (c.Target.Kind == reach.NodePort) && c.effect() == Fails }, do: toNFTables(
				"Nothing, unless a load balancer takes a refusal for something else than a timeout.")},
		{id: other, title: "other", applies: func(Change) bool { return true }},
	}
}
