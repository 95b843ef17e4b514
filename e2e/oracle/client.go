package oracle

import (
	"net/netip"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// client is the sender of a packet, as the proxy that handles the packet sees it.
type client struct {
	kind reach.VantageKind
	// label is how reasons name it: "pod client-worker on svclab-worker".
	label reach.Phrase
	// node is where it stands; nil outside the cluster.
	node *node
	// addr is its source address in the packet's IP family; invalid where it is not known.
	addr netip.Addr
	// rewritten are the addresses that it may be instead, where its node has rewritten it on the way.
	rewritten []netip.Prefix
	// foreign: its vantage has addresses, and none of the packet's family.
	foreign bool
}

// client makes the client of a vantage, for packets to an address of to's family.
func (o *Oracle) client(v reach.Vantage, to netip.Addr) client {
	c := client{kind: v.Kind, node: o.index.nodes[v.Node]}
	addrs := v.Addrs
	switch v.Kind {
	case reach.Pod:
		pod := o.index.pods[v.Namespace+"/"+v.PodName]
		if pod != nil && pod.Spec.HostNetwork {
			c.kind = reach.Node
		}
		if pod != nil && c.node == nil {
			c.node = o.index.nodes[pod.Spec.NodeName]
		}
		if pod != nil && len(addrs) == 0 {
			addrs = world.PodAddrs(pod)
		}
		c.label = reach.Say("pod %s on %s", v.PodName, v.Node)
	case reach.Node:
		c.label = reach.Say("%s", v.Node)
	default:
		c.label = reach.Say("%s", v.Kind)
	}
	if c.node == nil && (v.Kind == reach.Pod || v.Kind == reach.Node) {
		c.node = o.index.stranger(v.Node)
	}
	if c.kind == reach.Node {
		// A node may own several addresses; it leaves with its primary one, which its vantage lists too.
		if addr, ok := c.node.primary[world.FamilyOf(to)]; ok {
			c.addr = addr
			return c
		}
	}
	c.foreign = len(addrs) > 0
	for _, addr := range addrs {
		if addr = addr.Unmap(); addr.Is4() == to.Is4() {
			c.addr, c.foreign = addr, false
			break
		}
	}
	return c
}

// seenAs are the addresses that the client's packets may have, as they are. Its address is known.
func (c client) seenAs() []netip.Prefix {
	if c.rewritten != nil {
		return c.rewritten
	}
	return []netip.Prefix{single(c.addr)}
}

// at reports whether the client runs on node n, so that n's proxy sees its packets first.
func (c client) at(n *node) bool { return n != nil && c.node == n }

// sender is what a kube-proxy takes a client for. detects is false if no rule of its tells pods from others.
type sender struct{ pod, detects bool }

// senders are what the kube-proxy of a node may take a client for. It only compares the source address with a prefix: its
// clusterCIDR, or its node's pod range. They are more than one where the way of detection is not known.
func (o *Oracle) senders(c client, at *node, family netip.Addr) []sender {
	var (
		prefix netip.Prefix
		ok     bool
	)
	switch o.w.Facts.Detection {
	case world.DetectClusterCIDR:
		prefix, ok = o.w.Facts.PodRange(family)
	case world.DetectNodeCIDR:
		prefix, ok = at.podRange[world.FamilyOf(family)]
	default:
		return []sender{{}, {pod: c.kind == reach.Pod, detects: true}}
	}
	switch {
	case !ok:
		return []sender{{}}
	case !c.addr.IsValid():
		return []sender{{pod: c.kind == reach.Pod, detects: true}}
	default:
		return []sender{{pod: prefix.Contains(c.addr), detects: true}}
	}
}

// bySender predicts for each of a client's senders. The rules that may differ are those for pods.
func (o *Oracle) bySender(c client, at *node, sp *servicePort, predict func(sender) prediction) prediction {
	var predictions []prediction
	for _, s := range o.senders(c, at, o.clusterAddr(sp)) {
		predictions = append(predictions, predict(s))
	}
	if len(predictions) == 1 {
		return predictions[0]
	}
	return union(ruleDetectUnknown, reach.Say("how kube-proxy on %s tells pods from other senders is not known", at.name), predictions...)
}

// crossing returns the forms that a client's packet may have when it arrives at another node: the pod network may have
// rewritten a pod's source address. Other clients keep theirs. Every pod has a node (see stranger).
func (o *Oracle) crossing(c client, to netip.Addr) []client {
	if c.kind == reach.Node {
		c.rewritten = c.node.outward[world.FamilyOf(to)]
	}
	if c.kind != reach.Pod {
		return []client{c}
	}
	rewritten := c
	rewritten.addr, rewritten.rewritten = c.node.primary[world.FamilyOf(to)], c.node.outward[world.FamilyOf(to)]
	switch o.w.Facts.PodToNode {
	case world.EgressPod:
		return []client{c}
	case world.EgressNode:
		return []client{rewritten}
	default:
		return []client{rewritten, c}
	}
}
