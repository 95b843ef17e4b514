package fuzz

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// Prefixes that no node of the lab's has, those for documentation (RFC 5737, RFC 3849).
const (
	nowhere  = "192.0.2.0/24"
	nowhere6 = "2001:db8::/32"
)

// LikeProxies returns kube-proxy's settings in both modes for the lab's cluster, which work there as those of another cluster do: w is
// that cluster, and from and to its kube-proxy in either mode. by is nil if the lab's own settings do. notes say what is taken over
// and what cannot be, one a line.
func LikeProxies(w world.World, from, to, lab world.Facts, labNodes []corev1.Node) (by map[string]world.Facts, notes []string) {
	var taken []string
	like := world.Facts{PodCIDRs: lab.PodCIDRs, NoLocalhostNodePorts: from.NoLocalhostNodePorts}
	if like.NoLocalhostNodePorts {
		taken = append(taken, "iptables.localhostNodePorts: false")
	}
	switch from.Detection {
	case world.DetectNodeCIDR:
		like.Detection = from.Detection
		taken = append(taken, "detectLocalMode: NodeCIDR")
	case world.DetectClusterCIDR:
		like.PodCIDRs = slices.DeleteFunc(slices.Clone(lab.PodCIDRs), func(p netip.Prefix) bool {
			served := slices.ContainsFunc(w.Services, func(s corev1.Service) bool { return slices.Contains(world.Families(&s), world.FamilyOf(p.Addr())) })
			_, has := from.PodRange(p.Addr())
			return served && !has
		})
		if len(like.PodCIDRs) < len(lab.PodCIDRs) {
			taken = append(taken, "clusterCIDR: none of a family")
		}
	default:
		notes = append(notes, "not as in the other cluster: how kube-proxy tells pods from other senders. Its detectLocalMode goes by the names of interfaces, or its ConfigMap is not known. The lab's goes by clusterCIDR")
	}
	var left []string
	like.NodePortAddresses, left = likeAddresses(from.NodePortAddresses, w.Nodes, labNodes)
	if len(like.NodePortAddresses) > 0 {
		taken = append(taken, fmt.Sprintf("nodePortAddresses: [%s], of [%s]", strings.Join(like.NodePortAddresses, ", "), strings.Join(from.NodePortAddresses, ", ")))
	}
	if len(left) > 0 {
		notes = append(notes, fmt.Sprintf("not as in the other cluster: nodePortAddresses %s, which are of some nodes only. The lab's nodes have one address of each family", strings.Join(left, ", ")))
	}
	if from.LoopbackProxy {
		notes = append(notes, "not as in the other cluster: the feature gate KubeProxyNFTablesLocalhostNodePorts is off")
	}
	by = map[string]world.Facts{}
	for _, f := range []world.Facts{from, to} {
		one := like
		one.ProxyMode, one.MasqueradeAll = f.ProxyMode, f.MasqueradeAll
		if by[one.ProxyMode] = one; f.MasqueradeAll {
			taken = append(taken, f.ProxyMode+".masqueradeAll: true")
		}
	}
	if len(taken) == 0 {
		return nil, notes
	}
	return by, append([]string{"kube-proxy's settings are those of the other cluster: " + strings.Join(taken, "; ")}, notes...)
}

// likeAddresses translates nodePortAddresses from one cluster's nodes to another's. Words, loopback addresses and the whole address space
// stay. A prefix that holds the primary address of every node becomes the primary addresses of the other nodes; one that holds none
// holds none there either. left are prefixes that differ by node.
func likeAddresses(list []string, nodes, others []corev1.Node) (like, left []string) {
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Bits() == 0 || prefix.Addr().IsLoopback() {
			like = append(like, text)
			continue
		}
		family := world.FamilyOf(prefix.Addr())
		with, without := 0, 0
		for i := range nodes {
			switch addr, ok := world.PrimaryAddr(&nodes[i], family); {
			case ok && prefix.Contains(addr):
				with++
			case ok:
				without++
			}
		}
		switch {
		case with > 0 && without > 0:
			left = append(left, text)
		case with > 0:
			for i := range others {
				if addr, ok := world.PrimaryAddr(&others[i], family); ok {
					like = append(like, netip.PrefixFrom(addr, addr.BitLen()).String())
				}
			}
		case family == corev1.IPv4Protocol:
			like = append(like, nowhere)
		default:
			like = append(like, nowhere6)
		}
	}
	return like, left
}
