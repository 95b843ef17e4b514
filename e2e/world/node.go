package world

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// PrimaryAddr is the node's address of one IP family as kube-proxy sees it: the first InternalIP, else the
// first ExternalIP. ok is false where the node has none.
func PrimaryAddr(node *corev1.Node, family corev1.IPFamily) (addr netip.Addr, ok bool) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range node.Status.Addresses {
			if a.Type != kind {
				continue
			}
			if addr, err := netip.ParseAddr(a.Address); err == nil && FamilyOf(addr) == family {
				return addr, true
			}
		}
	}
	return netip.Addr{}, false
}

// NodeAddrs are all addresses that a node's object says are its own, of both IP families.
func NodeAddrs(node *corev1.Node) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range node.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if addr, err := netip.ParseAddr(a.Address); err == nil {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// Gateways are the first addresses of a node's pod ranges: the node's end of every pod's link, with the
// ptp and bridge plugins alike, and what a packet for a pod of this node is masqueraded to.
func Gateways(node *corev1.Node) []netip.Addr {
	ranges := node.Spec.PodCIDRs
	if len(ranges) == 0 && node.Spec.PodCIDR != "" {
		ranges = []string{node.Spec.PodCIDR}
	}
	var addrs []netip.Addr
	for _, text := range ranges {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			addrs = append(addrs, prefix.Masked().Addr().Next())
		}
	}
	return addrs
}

// NodeReady says whether the node's Ready condition is true. A node without that condition counts as ready.
func NodeReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

// FamilyOf is the IP family of an address.
func FamilyOf(addr netip.Addr) corev1.IPFamily {
	if addr.Is4() || addr.Is4In6() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}
