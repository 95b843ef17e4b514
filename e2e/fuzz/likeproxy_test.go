package fuzz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/world"
)

// The lab's kube-proxies get the settings of the other cluster's, translated to the lab's addresses; what cannot be translated is said.
func TestLikeProxies(t *testing.T) {
	node := func(addr string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: addr}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr}}}}
	}
	theirs, ours := []corev1.Node{node("10.1.0.1"), node("10.1.0.2")}, []corev1.Node{node("172.18.0.2"), node("172.18.0.3")}
	lab := testFacts(false)
	for name, c := range map[string]struct {
		change    func(from, to *world.Facts)
		addresses string // nodePortAddresses
		wrong     func(iptables, nftables world.Facts) bool
		notes     []string
		own       bool
	}{
		"the defaults": {change: func(*world.Facts, *world.Facts) {}, own: true},
		"masqueradeAll of one mode": {change: func(from, _ *world.Facts) { from.MasqueradeAll = true }, notes: []string{"those of the other cluster: iptables.masqueradeAll: true"},
			wrong: func(i, n world.Facts) bool { return !i.MasqueradeAll || n.MasqueradeAll }},
		"loopback": {change: func(from, _ *world.Facts) { from.NoLocalhostNodePorts = true }, notes: []string{"localhostNodePorts: false"},
			wrong: func(i, _ world.Facts) bool { return !i.NoLocalhostNodePorts }},
		"NodeCIDR": {change: func(from, to *world.Facts) { from.Detection, to.Detection = world.DetectNodeCIDR, world.DetectNodeCIDR }, notes: []string{"detectLocalMode: NodeCIDR"},
			wrong: func(i, n world.Facts) bool {
				return i.Detection != world.DetectNodeCIDR || n.Detection != world.DetectNodeCIDR
			}},
		"no clusterCIDR": {change: func(from, to *world.Facts) { from.PodCIDRs, to.PodCIDRs = nil, nil }, notes: []string{"clusterCIDR: none"},
			wrong: func(i, n world.Facts) bool { return len(i.PodCIDRs)+len(n.PodCIDRs) > 0 }},
		"by interfaces": {change: func(from, to *world.Facts) { from.Detection, to.Detection = world.DetectUnknown, world.DetectUnknown }, own: true,
			notes: []string{"not as in the other cluster: how kube-proxy tells pods"}},
		"a word":                {change: func(from, _ *world.Facts) { from.NodePortAddresses = []string{"primary"} }, addresses: "primary", notes: []string{"nodePortAddresses: [primary]"}},
		"the nodes' own range":  {change: func(from, _ *world.Facts) { from.NodePortAddresses = []string{"10.0.0.0/8"} }, addresses: "172.18.0.2/32 172.18.0.3/32", notes: []string{"of [10.0.0.0/8]"}},
		"everything":            {change: func(from, _ *world.Facts) { from.NodePortAddresses = []string{"0.0.0.0/0", "127.0.0.0/8"} }, addresses: "0.0.0.0/0 127.0.0.0/8", notes: []string{"0.0.0.0/0"}},
		"a range of no node's":  {change: func(from, _ *world.Facts) { from.NodePortAddresses = []string{"172.16.0.0/12", "fd00::/8"} }, addresses: "192.0.2.0/24 2001:db8::/32", notes: []string{"192.0.2.0/24"}},
		"a range of one node's": {change: func(from, _ *world.Facts) { from.NodePortAddresses = []string{"10.1.0.2/32"} }, own: true, notes: []string{"10.1.0.2/32, which are of some nodes only"}},
		"a gate":                {change: func(from, _ *world.Facts) { from.LoopbackProxy = true }, own: true, notes: []string{"KubeProxyNFTablesLocalhostNodePorts"}},
	} {
		w, from, to := ownServices(t)
		w.Nodes = theirs
		c.change(&from, &to)
		by, notes := LikeProxies(w, from, to, lab, ours)
		if (by == nil) != c.own || !c.own && len(by) != 2 {
			t.Errorf("%s: %+v", name, by)
			continue
		}
		all := strings.Join(notes, "\n")
		if missing := slices.DeleteFunc(slices.Clone(c.notes), func(part string) bool { return strings.Contains(all, part) }); len(missing) > 0 || len(c.notes) == 0 && all != "" {
			t.Errorf("%s: the notes do not say %q:\n%s", name, missing, all)
		}
		i, n := by[world.ModeIPTables], by[world.ModeNFTables]
		if c.wrong != nil && c.wrong(i, n) {
			t.Errorf("%s: %+v\n%+v", name, i, n)
		}
		if got := strings.Trim(fmt.Sprint(n.NodePortAddresses), "[]"); got != c.addresses {
			t.Errorf("%s: nodePortAddresses %q, want %q", name, got, c.addresses)
		}
	}
}
