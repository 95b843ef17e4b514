package migrate

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/svclab/svclab/e2e/world"
)

// minKernel returns the kernel below which kube-proxy does not start in nftables mode: NFTablesKubeProxyKernelVersion of
// pkg/util/kernel/constants.go of k8s.io/kubernetes.
func minKernel() *version.Version { return version.MajorMinor(5, 13) }

// surroundings adds what matters next to the Services.
func (r *Report) surroundings(w world.World, from, to world.Facts) {
	if from.ProxyMode == to.ProxyMode {
		return
	}
	if to.ProxyMode == world.ModeNFTables {
		for i := range w.Nodes {
			r.Nodes = append(r.Nodes, nodeFindings(&w.Nodes[i])...)
		}
	}
	for i := range w.DaemonSets {
		if f, writes := program(&w.DaemonSets[i], to.ProxyMode); writes {
			r.Programs = append(r.Programs, f)
		}
	}
	r.Unknown = append(r.Unknown,
		"programs that run on the nodes without Kubernetes: firewalld, ufw, scripts that add to kube-proxy's chains or expect them; look with iptables-save and nft list ruleset on one node of each kind",
		"dashboards and alerts on metrics that only one mode has, such as kubeproxy_sync_proxy_rules_iptables_total")
	if to.ProxyMode == world.ModeNFTables {
		r.Unknown = append(r.Unknown, "the version of nft on the nodes and in kube-proxy's image: 1.0.1 or newer is needed; run nft --version in both")
	}
	if from.Detection == world.DetectUnknown {
		r.Unknown = append(r.Unknown, "how kube-proxy tells pods from other senders (detectLocalMode goes by interfaces, or cannot be read): where that decides, both modes are taken to do the same")
	}
}

// nodeFindings says why nftables mode does not run on a node, or may not.
func nodeFindings(n *corev1.Node) (found []Finding) {
	info := n.Status.NodeInfo
	switch kernel, err := version.ParseGeneric(info.KernelVersion); {
	case strings.EqualFold(n.Labels[corev1.LabelOSStable], "windows"):
		return []Finding{{What: n.Name, Why: "is a Windows node, which has neither mode"}}
	case err != nil:
		found = append(found, Finding{What: n.Name, Why: "does not report its kernel version; nftables mode needs 5.13 or newer", Do: "run uname -r on it"})
	case kernel.LessThan(minKernel()):
		found = append(found, Finding{What: n.Name, Blocks: true, Why: fmt.Sprintf("has kernel %s: kube-proxy in nftables mode does not start on kernels before 5.13", info.KernelVersion),
			Do: "update the node's kernel, or keep the node in iptables mode"})
	}
	switch kubelet, err := version.ParseGeneric(info.KubeletVersion); {
	case err != nil:
	case kubelet.LessThan(version.MajorMinor(1, world.NFTablesSince)):
		found = append(found, Finding{What: n.Name, Blocks: true, Why: fmt.Sprintf("has Kubernetes %s, whose kube-proxy has no nftables mode", info.KubeletVersion), Do: "update the node to 1.31 or newer"})
	case kubelet.LessThan(version.MajorMinor(1, world.NFTablesDefault)):
		found = append(found, Finding{What: n.Name, Blocks: true, Why: fmt.Sprintf("has Kubernetes %s, in which nftables mode is alpha", info.KubeletVersion),
			Do: "update the node to 1.31 or newer, or set the feature gate NFTablesProxyMode of kube-proxy"})
	}
	return found
}

// writer is a program that is known to write packet rules on nodes.
type writer struct {
	// image is a part of its image's name, do what to look at, source where its code or its authors say so.
	image, do, source string
}

// writers are those that are known. Each sentence was checked against the source.
func writers() []writer {
	return []writer{
		{"calico", "nftablesMode of its FelixConfiguration must fit kube-proxy's mode. Auto does: Felix looks for kube-proxy's nftables table, and restarts when that comes or goes. " +
			"Where a release has no Auto or it is not set, set Enabled for the nodes in nftables mode",
			"https://github.com/projectcalico/calico/blob/master/felix/dataplane/linux/int_dataplane.go"},
		{"cilium", "if it replaces kube-proxy (kubeProxyReplacement: true), the mode of kube-proxy does not matter", "https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/"},
		{"flannel", "it writes chains of its own (FLANNEL-POSTRTG, FLANNEL-FWD) and reads none of kube-proxy's, so they go on to work next to nftables mode. On a node without iptables, set EnableNFTables in its net-conf.json",
			"https://github.com/flannel-io/flannel/blob/master/pkg/trafficmngr/iptables/iptables.go"},
		{"node-cache", "node-local DNS exempts its addresses from connection tracking by iptables rules (raw table, NOTRACK), so that they are not translated. Its authors do not say whether this is supported " +
			"next to nftables mode: check lookups on one node first", "https://github.com/kubernetes/dns/issues/682"},
	}
}

// program says whether a DaemonSet may read or write packet rules on the nodes: its pods are in the nodes' network and may administer
// it. kube-proxy itself does not count.
func program(set *appsv1.DaemonSet, mode string) (Finding, bool) {
	spec := set.Spec.Template.Spec
	if !spec.HostNetwork {
		return Finding{}, false
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		s := c.SecurityContext
		if s == nil || strings.Contains(c.Image, "kube-proxy") || !administers(s) {
			continue
		}
		f := Finding{What: "daemonset " + world.Name(set), Why: fmt.Sprintf("runs %s in the nodes' network with the right to change packet rules", c.Image),
			Do: "ask its documentation whether it reads kube-proxy's iptables chains, or needs them"}
		if mode == world.ModeIPTables {
			f.Do = "ask its documentation whether it reads kube-proxy's nftables tables, or needs them"
		}
		for _, k := range writers() {
			if strings.Contains(c.Image, k.image) {
				f.Do, f.Doc = k.do, k.source
				break
			}
		}
		return f, true
	}
	return Finding{}, false
}

func administers(s *corev1.SecurityContext) bool {
	if s.Privileged != nil && *s.Privileged {
		return true
	}
	return s.Capabilities != nil && slices.ContainsFunc(s.Capabilities.Add, func(c corev1.Capability) bool { return c == "NET_ADMIN" || c == "ALL" || c == "CAP_NET_ADMIN" })
}
