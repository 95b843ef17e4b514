package oracle

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/world"
)

// The names of kube-proxy's chains for one port of a Service. The policy is Cluster or Local; external is for addresses meant for
// clients outside. (servicePortChainNameBase in pkg/proxy/nftables/proxier.go and portProtoHash in pkg/proxy/iptables/proxier.go of
// k8s.io/kubernetes.)
type chainNames struct{ cluster, local, external, firewall string }

// nftNameMost is how long the name of a chain may be without its prefix (chainNameBaseLengthMax there).
const nftNameMost = 240

func nftChains(sp *servicePort) chainNames {
	text := fmt.Sprintf("%s/%s/%s", sp.service.name, strings.ToLower(string(sp.protocol())), sp.port.Name)
	base := digest(text, 8) + "-" + text
	if len(base) > nftNameMost {
		base = base[:nftNameMost-3] + "..."
	}
	return chainNames{"service-" + base, "local-" + base, "external-" + base, "firewall-" + base}
}

func iptablesChains(sp *servicePort) chainNames {
	name := sp.service.name
	if sp.port.Name != "" {
		name += ":" + sp.port.Name
	}
	hash := digest(name+strings.ToLower(string(sp.protocol())), 16)
	return chainNames{"KUBE-SVC-" + hash, "KUBE-SVL-" + hash, "KUBE-EXT-" + hash, "KUBE-FW-" + hash}
}

func digest(text string, length int) string {
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.EncodeToString(sum[:])[:length]
}

// matched is how kube-proxy's rules find the Service of a route that hands the packet on, and the same in words.
func (o *Oracle) matched(r route) (h Hop, element string) {
	h = Hop{Kind: HopMatch}
	sp, protocol := r.by.port, strings.ToLower(string(r.to.protocol))
	internal := r.by.rule == ruleClusterIP || r.by.rule == ruleITPLocal
	_, byAddress := o.index.front(r.to)
	switch r.at.mode {
	case world.ModeNFTables:
		names := nftChains(sp)
		h.Table, h.Chains = family(r.to.addr)+" kube-proxy", []string{"services"}
		if byAddress {
			h.Element = fmt.Sprintf("map service-ips: %s . %s . %d", r.to.addr, protocol, r.to.port)
		} else {
			h.Element = fmt.Sprintf("map service-nodeports: %s . %d", protocol, r.to.port)
		}
		h.Chains = append(h.Chains, names.of(r, internal)...)
	case world.ModeIPTables:
		names := iptablesChains(sp)
		h.Table, h.Chains = family(r.to.addr)+" nat", []string{"KUBE-SERVICES"}
		h.Element = fmt.Sprintf("rule for %s/%s port %d", r.to.addr, protocol, r.to.port)
		if !byAddress {
			h.Chains = append(h.Chains, "KUBE-NODEPORTS")
			h.Element = fmt.Sprintf("rule for %s node port %d", protocol, r.to.port)
		}
		h.Chains = append(h.Chains, names.of(r, internal)...)
	default:
		return h, "in proxy mode " + r.at.mode
	}
	return h, h.Element
}

// of are the chains from where the Service is found to where an endpoint is chosen.
func (n chainNames) of(r route, internal bool) (chains []string) {
	if !internal {
		chains = append(chains, n.external)
	}
	if slices.Contains([]string{ruleITPLocal, ruleETPLocal}, r.by.rule) {
		return append(chains, n.local)
	}
	return append(chains, n.cluster)
}

// endsIn are the table, and the chains that can end a packet so. Without chains, no rule of kube-proxy does.
func endsIn(r route, end string) (table string, chains []string) {
	if end != EndRejected && end != EndDropped {
		return "", nil
	}
	switch r.at.mode {
	case world.ModeNFTables:
		table = family(r.to.addr) + " kube-proxy"
		switch r.rule {
		case ruleNoEndpoints:
			return table, []string{"reject-chain"}
		case ruleUndeclaredRefused, ruleUnallocated:
			return table, []string{"cluster-ips-check"}
		case ruleLBRanges:
			return table, []string{"firewall-"}
		case ruleITPLocalNone, ruleETPLocalNone:
			return table, []string{"service-endpoints-check", "nodeport-endpoints-check"}
		}
	case world.ModeIPTables:
		table = family(r.to.addr) + " filter"
		switch r.rule {
		case ruleNoEndpoints, ruleITPLocalNone, ruleETPLocalNone:
			return table, []string{"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS"}
		case ruleLBRanges:
			return table, []string{"KUBE-PROXY-FIREWALL"}
		}
	}
	return "", nil
}

func family(addr netip.Addr) string {
	if addr.Is4() {
		return "ip"
	}
	return "ip6"
}
