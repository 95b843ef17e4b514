package oracle

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// node is a Node with its addresses worked out.
type node struct {
	name  string
	zone  string
	ready bool
	// mode is that of its kube-proxy.
	mode  string
	addrs []netip.Addr
	// primary is the address kube-proxy takes for the node's own, by family.
	primary map[corev1.IPFamily]netip.Addr
	// outward are the addresses, by family, that packets leaving the node masqueraded may have; inward those
	// that packets to one of its own pods may have.
	outward, inward map[corev1.IPFamily][]netip.Prefix
	// podRange are the first of the pod ranges in the node's object, by family.
	podRange map[corev1.IPFamily]netip.Prefix
}

func newNode(object *corev1.Node, facts world.Facts) *node {
	n := &node{
		name: object.Name, zone: object.Labels[corev1.LabelTopologyZone], ready: world.NodeReady(object), mode: mode(facts, object.Name),
		addrs: world.NodeAddrs(object), primary: map[corev1.IPFamily]netip.Addr{},
		outward: map[corev1.IPFamily][]netip.Prefix{}, inward: map[corev1.IPFamily][]netip.Prefix{},
		podRange: map[corev1.IPFamily]netip.Prefix{},
	}
	for _, text := range object.Spec.PodCIDRs {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			if family := world.FamilyOf(prefix.Addr()); !n.podRange[family].IsValid() {
				n.podRange[family] = prefix
			}
		}
	}
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if addr, ok := world.PrimaryAddr(object, family); ok {
			n.primary[family] = addr
			n.outward[family] = append(n.outward[family], single(addr))
		}
	}
	for _, prefix := range facts.NodeSources[n.name] {
		family := world.FamilyOf(prefix.Addr())
		n.outward[family] = append(n.outward[family], prefix)
	}
	for family, prefixes := range n.outward {
		n.inward[family] = slices.Clone(prefixes)
	}
	for _, gateway := range world.Gateways(object) {
		family := world.FamilyOf(gateway)
		n.inward[family] = append(n.inward[family], single(gateway))
	}
	return n
}

// modes are the modes of the nodes' kube-proxies in words: "nftables", or "iptables and nftables" while nodes differ.
func (o *Oracle) modes() string {
	var modes []string
	for _, n := range o.index.nodeList {
		modes = append(modes, n.mode)
	}
	if len(modes) == 0 {
		return mode(o.w.Facts, "")
	}
	slices.Sort(modes)
	return strings.Join(slices.Compact(modes), " and ")
}

// owns reports whether addr is one of the addresses in the node's object.
func (n *node) owns(addr netip.Addr) bool { return slices.Contains(n.addrs, addr) }

// single is the prefix that holds one address.
func single(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
