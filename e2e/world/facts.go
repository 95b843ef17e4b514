package world

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// The proxy modes that Facts.ProxyMode names. Any other text counts as ModeUnknown.
const (
	ModeNFTables = "nftables"
	ModeIPTables = "iptables"
	ModeIPVS     = "ipvs"
	ModeUnknown  = "unknown"
)

// OtherMode is iptables mode for nftables mode, and nftables mode for any other.
func OtherMode(mode string) string {
	if mode == ModeNFTables {
		return ModeIPTables
	}
	return ModeNFTables
}

// Egress says whose address a pod's packets carry once they have left its node, where no Service is involved.
type Egress string

// What the pod network does with a pod's source address.
const (
	// EgressUnknown allows for both.
	EgressUnknown Egress = ""
	// EgressNode: the packets are masqueraded to the address of the pod's node.
	EgressNode Egress = "node"
	// EgressPod: the pod's own address is kept.
	EgressPod Egress = "pod"
)

// Detection is how kube-proxy tells the cluster's pods from other senders (its detectLocalMode).
// https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
type Detection string

// The ways of detection.
const (
	// DetectClusterCIDR: sources in PodCIDRs are pods. A family without a prefix has no detection, and kube-proxy leaves out the
	// rules that need it.
	DetectClusterCIDR Detection = ""
	// DetectNodeCIDR: sources in the pod range of the kube-proxy's own node are pods.
	DetectNodeCIDR Detection = "NodeCIDR"
	// DetectUnknown allows for detection, and for none: the interface modes, and a kube-proxy whose settings cannot be read.
	DetectUnknown Detection = "unknown"
)

// Facts are what prediction needs and API objects do not say; the code that creates or attaches to the cluster sets them.
type Facts struct {
	// ProxyMode is kube-proxy's: ModeNFTables, ModeIPTables, ModeIPVS or ModeUnknown.
	ProxyMode string
	// NodeModes are the modes, by node name, of kube-proxies whose mode differs from ProxyMode: while a cluster is switched node by
	// node, each node goes by its own. See ModeOf.
	NodeModes map[string]string
	// ProxyRelease is kube-proxy's release, "1.35" or "v1.35.4", where predictions depend on it; empty: one of v1.36 or newer.
	ProxyRelease string
	// PodCIDRs are the pod ranges, which are kube-proxy's clusterCIDR, one prefix per IP family.
	PodCIDRs []netip.Prefix
	// Detection is how kube-proxy tells pods from other senders.
	Detection Detection
	// MasqueradeAll: kube-proxy masquerades all packets to ClusterIPs, whoever sends them.
	MasqueradeAll bool
	// NodeMasqueradeAll is MasqueradeAll of the kube-proxies in NodeModes: each mode has a setting of its own.
	NodeMasqueradeAll bool
	// NoLocalhostNodePorts: iptables mode does not serve node ports on IPv4 loopback addresses (localhostNodePorts is false).
	NoLocalhostNodePorts bool
	// NodePortAddresses are kube-proxy's nodePortAddresses: prefixes and the words primary, localhost and all. Without any,
	// nftables mode takes "primary" and the other modes "all". See ServesNodePortsAt.
	NodePortAddresses []string
	// LoopbackProxy: kube-proxy's feature gate KubeProxyNFTablesLocalhostNodePorts is on (KEP-6032). See ProxiesLoopback.
	LoopbackProxy bool
	// ServiceCIDRs are the ranges ClusterIPs come from. Take adds those of the ServiceCIDR objects.
	ServiceCIDRs []netip.Prefix
	// Domain is the cluster's DNS domain; empty means "cluster.local".
	Domain string
	// Slots maps slots ("worker") to node names ("svclab-worker"). A node in no slot goes by its name.
	Slots map[string]string
	// LoadBalancer: a load-balancer controller runs. LoadBalancerClass is the class it serves; when it is
	// empty the controller serves the Services that name no class.
	LoadBalancer      bool
	LoadBalancerClass string
	// NoLayer2: the cluster has MetalLB's API and no L2Advertisement. Then MetalLB works in BGP mode, or only its CRDs are left, and
	// that no speaker reports a Service does not mean that no node announces it.
	NoLayer2 bool
	// NodesUseClusterDNS: node vantages use the cluster's DNS, not their own resolver.
	NodesUseClusterDNS bool
	// DropsStrays: each node drops Service- and pod-range packets that would leave it by its default route,
	// after kube-proxy's filter rules have seen them.
	DropsStrays bool
	// RefusesFreely: the nodes' kernels do not limit how many ICMP errors they send (net.ipv4.icmp_ratelimit), so that many
	// connections may be refused at once.
	RefusesFreely bool
	// PodToNode and PodToOutside say whether a pod's source address is rewritten on the way to another node's
	// address, and to one outside the cluster.
	PodToNode, PodToOutside Egress
	// NodeSources are further addresses, by node name, that packets masqueraded by that node may leave with,
	// in addition to its own addresses and the first address of its pod ranges.
	NodeSources map[string][]netip.Prefix
	// Externals are the hosts outside the cluster that names lead to. Nil: not known; empty: there are none.
	Externals []External
	// OutsideRoutes are routes that the outside vantage has in addition to its own link, and the node they go through.
	OutsideRoutes map[netip.Prefix]string
	// PortsDeclared: every pod that declares container ports listens on those and no others. It holds for
	// all that svclab applies. A pod's ListensAnnotation goes before it.
	PortsDeclared bool
}

// External is a host outside the cluster.
type External struct {
	// Name is the DNS name it has, without the final dot.
	Name string
	// Addrs are the addresses the name resolves to, as the cluster's DNS answers.
	Addrs []netip.Addr
	// Backend is the name in its answers.
	Backend string
	// TCP and UDP are the ports it listens on. It refuses all others.
	TCP, UDP []uint16
}

// ModeOf is the mode of the kube-proxy on a node.
func (f Facts) ModeOf(node string) string {
	if mode := f.NodeModes[node]; mode != "" {
		return mode
	}
	return f.ProxyMode
}

// MasqueradesAll is MasqueradeAll of the kube-proxy on a node.
func (f Facts) MasqueradesAll(node string) bool {
	if f.ModeOf(node) != f.ProxyMode {
		return f.NodeMasqueradeAll
	}
	return f.MasqueradeAll
}

// ProxyBefore reports whether kube-proxy is known to be older than v1.MINOR.
func (f Facts) ProxyBefore(minor uint) bool {
	release, err := version.ParseGeneric(f.ProxyRelease)
	return err == nil && release.LessThan(version.MajorMinor(1, minor))
}

// ClusterDomain is the cluster's DNS domain, without dots at either end.
func (f Facts) ClusterDomain() string {
	if domain := strings.Trim(f.Domain, "."); domain != "" {
		return domain
	}
	return "cluster.local"
}

// Serves says whether the cluster's load-balancer controller serves a Service of that class; nil is no class.
// (KEP-1959: a controller with a class serves that class only, one without serves Services without.)
func (f Facts) Serves(class *string) bool {
	if !f.LoadBalancer {
		return false
	}
	if class == nil {
		return f.LoadBalancerClass == ""
	}
	return *class == f.LoadBalancerClass
}

// PodRange is kube-proxy's clusterCIDR of addr's family. ok is false where the family has none.
func (f Facts) PodRange(addr netip.Addr) (prefix netip.Prefix, ok bool) {
	for _, p := range f.PodCIDRs {
		if p.Addr().Is4() == addr.Is4() {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// HasFamily says whether Services can have addresses of an IP family, IPv4 or IPv6; of "" always.
func (f Facts) HasFamily(family string) bool {
	return family == "" || slices.ContainsFunc(f.ServiceCIDRs, func(p netip.Prefix) bool {
		return string(FamilyOf(p.Addr())) == family
	})
}

// InServiceRange says whether addr is in one of the ranges ClusterIPs come from.
func (f Facts) InServiceRange(addr netip.Addr) bool {
	for _, p := range f.ServiceCIDRs {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// ServesNodePortsAt says whether kube-proxy in a mode serves node ports at addr, an address of a node whose primary ones (by family)
// are primary. known is false where this depends on a proxy mode that is not known. Loopback addresses have rules of their own
// beside this one. A family without a prefix is served at all addresses.
// (NewNodePortAddresses in pkg/proxy/util/nodeport_addresses.go, and cmd/kube-proxy/app, of k8s.io/kubernetes.)
func (f Facts) ServesNodePortsAt(mode string, addr netip.Addr, primary map[corev1.IPFamily]netip.Addr) (serves, known bool) {
	list := f.NodePortAddresses
	if len(list) == 0 {
		list = []string{"all"}
		if mode == ModeNFTables {
			list = []string{"primary"}
		}
		if own, ok := primary[FamilyOf(addr)]; mode != ModeNFTables && mode != ModeIPTables && (!ok || own != addr) {
			return false, false
		}
	}
	ofFamily := false
	for _, text := range list {
		switch text {
		case "all":
			return true, true
		case "localhost":
			ofFamily = true
			serves = serves || addr.IsLoopback()
		case "primary":
			if own, ok := primary[FamilyOf(addr)]; ok {
				ofFamily = true
				serves = serves || own == addr
			}
		default:
			if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() == addr.Is4() {
				ofFamily = true
				serves = serves || prefix.Contains(addr)
			}
		}
	}
	return serves || !ofFamily, true
}

// ProxiesLoopback says whether a process of a kube-proxy of that mode serves TCP node ports on a family's loopback addresses: in nftables mode, where
// nodePortAddresses names them. The word "all" and the whole address space do not.
// (ContainsExplicitLoopback in pkg/proxy/util/nodeport_addresses.go of k8s.io/kubernetes.)
func (f Facts) ProxiesLoopback(mode string, family corev1.IPFamily) bool {
	return mode == ModeNFTables && f.LoopbackProxy && slices.ContainsFunc(f.NodePortAddresses, func(text string) bool {
		prefix, err := netip.ParsePrefix(text)
		return text == "localhost" || err == nil && prefix.Addr().IsLoopback() && FamilyOf(prefix.Addr()) == family
	})
}
