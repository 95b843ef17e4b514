package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/world"
)

// proxyModeURL is where kube-proxy reports its mode, on each node's loopback, unless its metricsBindAddress differs.
const proxyModeURL = "http://127.0.0.1:10249/proxyMode"

// finding is what an existing cluster's objects do not say.
type finding struct {
	mode ProxyMode
	// proxy has what kube-proxy's configuration says, and nothing else.
	proxy    world.Facts
	config   string // its text; empty where it cannot be read
	noLayer2 bool
	// addrs are all addresses each node has, by its name: packets that it masquerades leave with one of them.
	addrs map[string][]netip.Prefix
}

// ProxyMode is the mode of the kube-proxies, and its source.
type ProxyMode struct {
	// Mode is world.ModeNFTables, ModeIPTables, ModeIPVS or ModeUnknown.
	Mode string
	// Source says in a few words where the mode was read, or why it is unknown.
	Source string
}

// ProxyMode returns the mode in which the nodes' kube-proxies work: the one that they report themselves, else the one of their
// ConfigMap. Before DeployClients nothing runs on the nodes, so it is that of the ConfigMap.
func (c *Cluster) ProxyMode(ctx context.Context) (ProxyMode, error) {
	if c.engine != nil {
		return ProxyMode{Mode: c.settings.ProxyMode, Source: "the cluster was made so"}, nil
	}
	found, err := c.learn(ctx)
	return found.mode, err
}

// learn queries an existing cluster for what its objects do not say: once before it has clients, and once with them.
func (c *Cluster) learn(ctx context.Context) (finding, error) {
	return c.learned.get(fmt.Sprint(c.made), func() (finding, error) { return c.query(ctx) })
}

func (c *Cluster) query(ctx context.Context) (finding, error) {
	f := finding{mode: ProxyMode{Mode: world.ModeUnknown, Source: "neither a kube-proxy nor its ConfigMap says"}, addrs: map[string][]netip.Prefix{},
		proxy: world.Facts{Detection: world.DetectUnknown}}
	config, err := c.client.CoreV1().ConfigMaps("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err): // another proxy, or svclab may not read it
	case err != nil:
		return finding{}, fmt.Errorf("read the configuration of kube-proxy: %w", err)
	default:
		proxy, err := ReadProxyConfig(config.Data["config.conf"], "")
		if err != nil {
			return finding{}, fmt.Errorf("ConfigMap kube-system/kube-proxy: %w", err)
		}
		f.config = config.Data["config.conf"]
		f.mode, f.proxy = ProxyMode{Mode: proxy.ProxyMode, Source: "ConfigMap kube-system/kube-proxy"}, proxy
	}
	advertisements, err := c.dynamic.Resource(world.L2AdvertisementResource()).List(ctx, metav1.ListOptions{Limit: 1})
	switch {
	case err == nil:
		f.noLayer2 = len(advertisements.Items) == 0
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err): // no MetalLB, or svclab may not read it
	default:
		return finding{}, fmt.Errorf("list MetalLB's L2Advertisements: %w", err)
	}
	if !c.made { // client pods that are there belong to another run
		return f, nil
	}
	answers, err := c.queryNodes(ctx)
	if err != nil {
		return finding{}, err
	}
	reported := map[string][]string{} // the nodes, by mode
	for _, a := range answers {
		f.addrs[a.node] = a.addrs
		if a.mode != "" {
			reported[a.mode] = append(reported[a.mode], a.node)
		}
	}
	if mode, ok := agreed(reported); ok {
		f.mode = mode
	}
	return f, nil
}

// agreed returns the mode that the kube-proxies report. Where they differ it is unknown; ok is false where none reports a mode.
func agreed(reported map[string][]string) (mode ProxyMode, ok bool) {
	nodes := 0
	var parts []string
	for name, by := range reported {
		nodes += len(by)
		parts = append(parts, fmt.Sprintf("%s on %s", name, strings.Join(by, ", ")))
		mode.Mode = name
	}
	slices.Sort(parts)
	switch {
	case len(reported) == 0:
		return ProxyMode{}, false
	case len(reported) > 1:
		return ProxyMode{Mode: world.ModeUnknown, Source: "the kube-proxies do not agree: " + strings.Join(parts, "; ")}, true
	case !slices.Contains([]string{world.ModeIPTables, world.ModeNFTables, world.ModeIPVS}, mode.Mode):
		return ProxyMode{Mode: world.ModeUnknown, Source: "the kube-proxies say " + mode.Mode}, true
	}
	mode.Source = fmt.Sprintf("said by the kube-proxy of %d of the nodes queried", nodes)
	return mode, true
}

// answer is what was read on one node.
type answer struct {
	node, mode string
	addrs      []netip.Prefix
}

// queryNodes reads, through each host-network client pod, the addresses of its node and the mode of its kube-proxy.
func (c *Cluster) queryNodes(ctx context.Context) ([]answer, error) {
	pods, err := c.client.CoreV1().Pods(ClientsNamespace).List(ctx, metav1.ListOptions{LabelSelector: managedLabel + "=svclab"})
	if err != nil {
		return nil, fmt.Errorf("list the client pods: %w", err)
	}
	var nodes []string
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Spec.HostNetwork && pod.Name == c.hostPodOf(pod.Spec.NodeName) {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	answers := make([]answer, len(nodes))
	var group errgroup.Group
	group.SetLimit(8)
	for i, node := range nodes {
		group.Go(func() error {
			answers[i] = answer{node: node}
			var tables bytes.Buffer
			// read by cat, which every image with a shell has; a node without IPv6 has no if_inet6
			if err := c.execPod(ctx, ClientsNamespace, c.hostPodOf(node), []string{"sh", "-c", "cat /proc/net/fib_trie; cat /proc/net/if_inet6 2>/dev/null || true"}, nil, &tables, nil); err != nil {
				return fmt.Errorf("read the addresses of node %s: %w", node, err)
			}
			for _, addr := range localAddrs(tables.String()) {
				answers[i].addrs = append(answers[i].addrs, netip.PrefixFrom(addr, addr.BitLen()))
			}
			answers[i].mode = c.queryProxy(ctx, node)
			return nil
		})
	}
	return answers, group.Wait()
}

// queryProxy returns the mode that the node's kube-proxy reports; empty where none answers. That is no error: the node may have
// another proxy, or none.
func (c *Cluster) queryProxy(ctx context.Context, node string) string {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var mode bytes.Buffer
	if err := c.execPod(ctx, ClientsNamespace, c.hostPodOf(node), []string{"curl", "--noproxy", "*", "--silent", "--fail", "--max-time", "10", proxyModeURL}, nil, &mode, nil); err != nil {
		return ""
	}
	return strings.TrimSpace(mode.String())
}

// localAddrs parses the addresses of a network namespace: IPv4 from /proc/net/fib_trie, IPv6 from /proc/net/if_inet6. It leaves
// out loopback and link-local addresses.
func localAddrs(text string) []netip.Addr {
	var (
		addrs []netip.Addr
		last  netip.Addr
	)
	add := func(addr netip.Addr) {
		if !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "|--": // a leaf: "|-- 172.18.0.2", its routes on the lines below
			last, _ = netip.ParseAddr(fields[1])
		case len(fields) == 3 && fields[0] == "/32" && fields[1] == "host" && fields[2] == "LOCAL" && last.IsValid():
			add(last)
		case len(fields) == 6 && len(fields[0]) == 32: // "fc00f853…02 9c 40 00 80 eth0"
			if addr, ok := hexAddr(fields[0]); ok {
				add(addr)
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// hexAddr reads an IPv6 address of 32 hexadecimal digits.
func hexAddr(digits string) (netip.Addr, bool) {
	var groups []string
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	addr, err := netip.ParseAddr(strings.Join(groups, ":"))
	return addr, err == nil
}
