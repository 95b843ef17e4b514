// Command proxier runs kube-proxy's own proxiers of one release on worlds that it reads from standard input, one JSON
// document each, and answers each with the rules that they write. It touches nothing of the machine: the proxiers write to
// fakes of nft and iptables.
//
// scripts/test-oracle.sh builds it with the pins of that release.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/svclab/svclab/e2e/oracle/differential/proxier/iptables"
	"github.com/svclab/svclab/e2e/oracle/differential/proxier/nftables"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	utilsysctl "k8s.io/component-helpers/node/util/sysctl"
	sysctltest "k8s.io/component-helpers/node/util/sysctl/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/proxy"
	"k8s.io/kubernetes/pkg/proxy/apis"
	kubeproxyconfig "k8s.io/kubernetes/pkg/proxy/apis/config"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
	utiliptables "k8s.io/kubernetes/pkg/util/iptables"
	iptablestest "k8s.io/kubernetes/pkg/util/iptables/testing"
)

// request is a world as kube-proxy sees it, and its settings.
type request struct {
	Services           []*corev1.Service
	Slices             []*discoveryv1.EndpointSlice
	ServiceCIDRs       []string
	Nodes              []node
	Modes              []string
	Families           []corev1.IPFamily
	ClusterCIDRs       []string
	NodeCIDR           bool   // pods are told by the node's own range, not by ClusterCIDRs
	InterfacePrefix    string // if set, pods are told by their interfaces
	MasqueradeAll      bool
	LocalhostNodePorts bool
	NodePortAddresses  []string
}

// node is a Node with its interfaces' addresses, the primary one of each family first.
type node struct {
	Name, Zone string
	Addrs      []string
	PodCIDRs   []string
}

type response struct {
	Error   string
	Proxies []written
}

// written is what one proxier wrote, and where its health checks answer with what.
type written struct {
	Node, Mode string
	Family     corev1.IPFamily
	Rules      string
	Health     []health
}

// health is one port of health checks. Without addresses it is open at all.
type health struct {
	Addrs     []string
	Port      uint16
	Service   string
	Endpoints int
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "proxier:", err)
		os.Exit(2)
	}
}

func run(in io.Reader, out io.Writer) error {
	klog.SetLogger(logr.Discard())
	// What runs the rules is a fake, whose kernel has all features.
	if err := os.Setenv("KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK", "true"); err != nil {
		return err
	}
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var answer response
		for _, n := range r.Nodes {
			for _, family := range r.Families {
				for _, mode := range r.Modes {
					w, err := r.write(n, family, mode)
					if err != nil {
						answer.Error = fmt.Sprintf("%s %s on %s: %v", mode, family, n.Name, err)
					}
					answer.Proxies = append(answer.Proxies, w)
				}
			}
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
}

// write runs the proxier of one node, mode and IP family until it has written its rules.
func (r *request) write(n node, family corev1.IPFamily, mode string) (written, error) {
	var (
		w        = written{Node: n.Name, Mode: mode, Family: family}
		checks   = &healthChecks{}
		provider proxy.Provider
		ports    *proxyutil.NodePortAddresses
		rules    func() string
		nodeIP   = n.primary(family)
		config   = r.config(n, mode)
		detector = r.detector(n, family)
	)
	switch mode {
	case "nftables":
		p, err := newNFTables(config, family, detector, n.Name, nodeIP)
		if err != nil {
			return w, err
		}
		provider, ports = p, nftables.Detach(p, n, checks)
		rules = func() string { return nftables.Rules(p) }
	case "iptables":
		fake := iptablestest.NewFake()
		if family == corev1.IPv6Protocol {
			fake = iptablestest.NewIPv6Fake()
		}
		p, err := newIPTables(config, family, fake, detector, n.Name, nodeIP)
		if err != nil {
			return w, err
		}
		provider, ports = p, iptables.Detach(p, n, checks)
		rules = func() string {
			var all bytes.Buffer
			_ = fake.SaveInto("", &all) // the fake's own extension: all tables; it fails for an unknown table only
			return all.String()
		}
	default:
		return w, fmt.Errorf("unknown mode %q", mode)
	}
	// As ProxyServer.Run in cmd/kube-proxy/app/server.go: other proxies' Services and slices labelled headless are not seen.
	provider.OnTopologyChange(map[string]string{corev1.LabelTopologyZone: n.Zone})
	if len(r.ServiceCIDRs) > 0 {
		provider.OnServiceCIDRsChanged(r.ServiceCIDRs)
	}
	for _, s := range r.Services {
		if _, other := s.Labels[apis.LabelServiceProxyName]; !other {
			provider.OnServiceAdd(s)
		}
	}
	for _, s := range r.Slices {
		if _, headless := s.Labels[corev1.IsHeadlessService]; !headless {
			provider.OnEndpointSliceAdd(s)
		}
	}
	provider.OnServiceSynced()
	provider.OnEndpointSlicesSynced() // writes
	w.Rules = rules()
	var err error
	w.Health, err = checks.open(ports, n)
	if err == nil && !checks.synced {
		err = errors.New("it did not write its rules")
	}
	return w, err
}

// newNFTables calls nftables.NewProxier, which takes the configuration as one value since v1.37.
func newNFTables(c *kubeproxyconfig.KubeProxyConfiguration, family corev1.IPFamily, d proxyutil.LocalTrafficDetector, name string, ip net.IP) (*nftables.Proxier, error) {
	ctx := context.Background()
	switch create := any(nftables.NewProxier).(type) {
	case func(context.Context, *kubeproxyconfig.KubeProxyConfiguration, corev1.IPFamily, proxyutil.LocalTrafficDetector, string, net.IP,
		events.EventRecorder, *healthcheck.ProxyHealthServer, bool) (*nftables.Proxier, error):
		return create(ctx, c, family, d, name, ip, nil, nil, false)
	case func(context.Context, corev1.IPFamily, time.Duration, time.Duration, bool, int, proxyutil.LocalTrafficDetector, string, net.IP,
		events.EventRecorder, *healthcheck.ProxyHealthServer, []string, bool) (*nftables.Proxier, error):
		return create(ctx, family, c.SyncPeriod.Duration, c.MinSyncPeriod.Duration, c.Linux.MasqueradeAll, int(*c.NFTables.MasqueradeBit), d, name, ip,
			nil, nil, c.NodePortAddresses, false)
	default:
		return nil, fmt.Errorf("nftables.NewProxier has the unknown type %T", create)
	}
}

// newIPTables is newNFTables for iptables mode.
func newIPTables(c *kubeproxyconfig.KubeProxyConfiguration, family corev1.IPFamily, ipt utiliptables.Interface, d proxyutil.LocalTrafficDetector, name string, ip net.IP) (*iptables.Proxier, error) {
	ctx, sysctl := context.Background(), sysctltest.NewFake()
	sysctl.Settings["net/ipv4/conf/all/route_localnet"] = 1
	switch create := any(iptables.NewProxier).(type) {
	case func(context.Context, *kubeproxyconfig.KubeProxyConfiguration, corev1.IPFamily, utiliptables.Interface, utilsysctl.Interface,
		proxyutil.LocalTrafficDetector, string, net.IP, events.EventRecorder, *healthcheck.ProxyHealthServer, bool) (*iptables.Proxier, error):
		return create(ctx, c, family, ipt, sysctl, d, name, ip, nil, nil, false)
	case func(context.Context, corev1.IPFamily, utiliptables.Interface, utilsysctl.Interface, time.Duration, time.Duration, bool, bool, int,
		proxyutil.LocalTrafficDetector, string, net.IP, events.EventRecorder, *healthcheck.ProxyHealthServer, []string, bool) (*iptables.Proxier, error):
		return create(ctx, family, ipt, sysctl, c.SyncPeriod.Duration, c.MinSyncPeriod.Duration, c.Linux.MasqueradeAll, *c.IPTables.LocalhostNodePorts,
			int(*c.IPTables.MasqueradeBit), d, name, ip, nil, nil, c.NodePortAddresses, false)
	default:
		return nil, fmt.Errorf("iptables.NewProxier has the unknown type %T", create)
	}
}

// config is kube-proxy's configuration with its defaults, as cmd/kube-proxy/app makes it.
func (r *request) config(n node, mode string) *kubeproxyconfig.KubeProxyConfiguration {
	bit := int32(14)
	c := &kubeproxyconfig.KubeProxyConfiguration{}
	c.Linux.MasqueradeAll, c.IPTables.LocalhostNodePorts = r.MasqueradeAll, &r.LocalhostNodePorts
	c.IPTables.MasqueradeBit, c.NFTables.MasqueradeBit = &bit, &bit
	c.SyncPeriod.Duration, c.MinSyncPeriod.Duration = time.Minute, time.Second
	words := r.NodePortAddresses
	if len(words) == 0 && mode == "nftables" {
		words = []string{kubeproxyconfig.NodePortAddressesPrimary}
	}
	for _, word := range words { // releases before v1.37 know the word primary only
		switch word {
		case "localhost":
			c.NodePortAddresses = append(c.NodePortAddresses, "127.0.0.0/8", "::1/128")
			continue
		case "all":
			c.NodePortAddresses = append(c.NodePortAddresses, "0.0.0.0/0", "::/0")
			continue
		case kubeproxyconfig.NodePortAddressesPrimary:
		default:
			c.NodePortAddresses = append(c.NodePortAddresses, word)
			continue
		}
		for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
			if ip := n.primary(family); ip != nil && !ip.IsLoopback() {
				c.NodePortAddresses = append(c.NodePortAddresses, fmt.Sprintf("%s/%d", ip, map[corev1.IPFamily]int{corev1.IPv4Protocol: 32, corev1.IPv6Protocol: 128}[family]))
			}
		}
	}
	return c
}

// detector is getLocalDetectors of cmd/kube-proxy/app/server_linux.go, for one IP family.
func (r *request) detector(n node, family corev1.IPFamily) proxyutil.LocalTrafficDetector {
	if r.InterfacePrefix != "" {
		return proxyutil.NewDetectLocalByInterfaceNamePrefix(r.InterfacePrefix)
	}
	ranges := r.ClusterCIDRs
	if r.NodeCIDR {
		ranges = n.PodCIDRs
	}
	if cidrs := proxyutil.MapCIDRsByIPFamily(ranges)[family]; len(cidrs) > 0 {
		return proxyutil.NewDetectLocalByCIDR(cidrs[0].String())
	}
	return proxyutil.NewNoOpLocalDetector()
}

// primary is the node's first address of a family; nil without one.
func (n node) primary(family corev1.IPFamily) net.IP {
	for _, text := range n.Addrs {
		if strings.Contains(text, ":") == (family == corev1.IPv6Protocol) {
			return net.ParseIP(text)
		}
	}
	return nil
}

// InterfaceAddrs makes a node its own network.
func (n node) InterfaceAddrs() ([]net.Addr, error) {
	addrs := []net.Addr{&net.IPNet{IP: net.ParseIP("127.0.0.1"), Mask: net.CIDRMask(8, 32)}, &net.IPNet{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}}
	for _, text := range n.Addrs {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, fmt.Errorf("no address: %s", text)
		}
		addrs = append(addrs, &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)})
	}
	return addrs, nil
}

// healthChecks keeps what a proxier tells its health server.
type healthChecks struct {
	ports     map[types.NamespacedName]uint16
	endpoints map[types.NamespacedName]int
	synced    bool
}

func (h *healthChecks) SyncServices(ports map[types.NamespacedName]uint16) error {
	h.ports = ports
	return nil
}

func (h *healthChecks) SyncEndpoints(endpoints map[types.NamespacedName]int) error {
	h.endpoints, h.synced = endpoints, true
	return nil
}

// open says where the health server listens: newServiceHealthServer of pkg/proxy/healthcheck/service_health.go.
func (h *healthChecks) open(ports *proxyutil.NodePortAddresses, n node) ([]health, error) {
	var addrs []string
	if !ports.MatchAll() {
		ips, err := ports.GetNodeIPs(n)
		if err != nil {
			return nil, err
		}
		for _, ip := range ips {
			addrs = append(addrs, ip.String())
		}
		slices.Sort(addrs)
	}
	var list []health
	for service, port := range h.ports {
		if ports.MatchAll() || len(addrs) > 0 {
			list = append(list, health{Addrs: addrs, Port: port, Service: service.String(), Endpoints: h.endpoints[service]})
		}
	}
	slices.SortFunc(list, func(a, b health) int { return int(a.Port) - int(b.Port) })
	return list, nil
}
