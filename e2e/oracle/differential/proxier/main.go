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
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/svclab/svclab/e2e/oracle/differential/proxier/iptables"
	"github.com/svclab/svclab/e2e/oracle/differential/proxier/nftables"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	sysctltest "k8s.io/component-helpers/node/util/sysctl/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/proxy"
	"k8s.io/kubernetes/pkg/proxy/apis"
	kubeproxyconfig "k8s.io/kubernetes/pkg/proxy/apis/config"
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
	Then               []change
}

// change is what a proxier sees after its first sync. It syncs after each.
type change struct {
	Services                       []*corev1.Service
	Slices                         []*discoveryv1.EndpointSlice
	DeletedServices, DeletedSlices []string
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
		sync     func()
	)
	switch mode {
	case "nftables":
		p, err := r.newNFTables(n, family)
		if err != nil {
			return w, err
		}
		provider, ports = p, nftables.Detach(p, n, checks)
		rules, sync = func() string { return nftables.Rules(p) }, func() { nftables.Sync(p) }
	case "iptables":
		fake := iptablestest.NewFake()
		if family == corev1.IPv6Protocol {
			fake = iptablestest.NewIPv6Fake()
		}
		p, err := r.newIPTables(n, family, fake)
		if err != nil {
			return w, err
		}
		provider, ports = p, iptables.Detach(p, n, checks)
		sync = func() { iptables.Sync(p) }
		rules = func() string {
			var all bytes.Buffer
			_ = fake.SaveInto("", &all) // the fake's own extension: all tables; it fails for an unknown table only
			return all.String()
		}
	default:
		return w, fmt.Errorf("unknown mode %q", mode)
	}
	// As ProxyServer.Run in cmd/kube-proxy/app/server.go: other proxies' Services and slices labelled headless are not seen.
	switch p := any(provider).(type) {
	case interface{ OnTopologyChange(map[string]string) }:
		p.OnTopologyChange(map[string]string{corev1.LabelTopologyZone: n.Zone})
	case interface{ OnNodeAdd(*corev1.Node) }: // before v1.34
		p.OnNodeAdd(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelTopologyZone: n.Zone}}})
	default:
		return w, fmt.Errorf("%T learns of its node's zone in an unknown way", provider)
	}
	if p, knows := any(provider).(interface{ OnServiceCIDRsChanged([]string) }); knows && len(r.ServiceCIDRs) > 0 {
		p.OnServiceCIDRsChanged(r.ServiceCIDRs)
	}
	seen := seen{services: map[string]*corev1.Service{}, slices: map[string]*discoveryv1.EndpointSlice{}}
	seen.see(provider, change{Services: r.Services, Slices: r.Slices})
	provider.OnServiceSynced()
	provider.OnEndpointSlicesSynced() // writes
	for _, then := range r.Then {
		seen.see(provider, then)
		sync()
	}
	w.Rules = rules()
	var err error
	w.Health, err = checks.open(ports, n)
	if err == nil && !checks.synced {
		err = errors.New("it did not write its rules")
	}
	return w, err
}

// seen are the objects that a proxier has got as events.
type seen struct {
	services map[string]*corev1.Service
	slices   map[string]*discoveryv1.EndpointSlice
}

// see tells a proxier of a change, as the informers of kube-proxy do: an object that is no longer among those they watch is gone.
func (s seen) see(p proxy.Provider, c change) {
	for _, service := range c.Services {
		_, other := service.Labels[apis.LabelServiceProxyName]
		tell(s.services, service, !other, p.OnServiceAdd, p.OnServiceUpdate, p.OnServiceDelete)
	}
	for _, slice := range c.Slices {
		_, headless := slice.Labels[corev1.IsHeadlessService]
		tell(s.slices, slice, !headless, p.OnEndpointSliceAdd, p.OnEndpointSliceUpdate, p.OnEndpointSliceDelete)
	}
	for _, key := range c.DeletedSlices {
		if old := s.slices[key]; old != nil {
			tell(s.slices, old, false, p.OnEndpointSliceAdd, p.OnEndpointSliceUpdate, p.OnEndpointSliceDelete)
		}
	}
	for _, key := range c.DeletedServices {
		if old := s.services[key]; old != nil {
			tell(s.services, old, false, p.OnServiceAdd, p.OnServiceUpdate, p.OnServiceDelete)
		}
	}
}

// tell tells of one object, which is watched or not.
func tell[T metav1.Object](seen map[string]T, object T, watched bool, added func(T), updated func(_, _ T), deleted func(T)) {
	key := object.GetNamespace() + "/" + object.GetName()
	switch old, known := seen[key]; {
	case !watched && known:
		deleted(old)
		delete(seen, key)
	case !watched:
	case known:
		updated(old, object)
		seen[key] = object
	default:
		added(object)
		seen[key] = object
	}
}

// construct calls a New… function and returns its first result. The parameters differ from release to release. Their types tell
// what each is, and those of one type keep their order.
func construct[T any](function any, args ...any) (T, error) {
	var none T
	f := reflect.ValueOf(function)
	in := make([]reflect.Value, f.Type().NumIn())
	for i := range in {
		want := f.Type().In(i)
		at := slices.IndexFunc(args, func(a any) bool { return a != nil && reflect.TypeOf(a).AssignableTo(want) })
		if at < 0 {
			in[i] = reflect.Zero(want) // a recorder of events, a health server
			continue
		}
		in[i] = reflect.ValueOf(args[at])
		if slices.Contains([]reflect.Kind{reflect.Bool, reflect.Int, reflect.Int64}, want.Kind()) { // one of several
			args = slices.Delete(slices.Clone(args), at, at+1)
		}
	}
	out := f.Call(in)
	if len(out) > 1 {
		if err, failed := out[1].Interface().(error); failed {
			return none, err
		}
	}
	made, ok := out[0].Interface().(T)
	if !ok {
		return none, fmt.Errorf("%s makes a %s", f.Type(), out[0].Type())
	}
	return made, nil
}

const (
	syncPeriod, minSyncPeriod = time.Minute, time.Second
	masqueradeBit             = 14
)

// arguments are what the proxiers' constructors take: the configuration as one value since v1.37, its parts before.
func (r *request) arguments(c *kubeproxyconfig.KubeProxyConfiguration, n node, family corev1.IPFamily, more ...any) ([]any, error) {
	local, err := r.detector(n, family)
	return append([]any{context.Background(), c, family, local, n.Name, n.primary(family), c.NodePortAddresses, syncPeriod, minSyncPeriod, masqueradeBit}, more...), err
}

// switches are the booleans that a constructor takes: its settings, unless it has them from the configuration, and at last whether it is
// to prepare the system only.
func switches(function any, settings ...bool) []any {
	t := reflect.TypeOf(function)
	for i := range t.NumIn() {
		if t.In(i) == reflect.TypeFor[*kubeproxyconfig.KubeProxyConfiguration]() {
			settings = nil
		}
	}
	var list []any
	for _, s := range append(settings, false) {
		list = append(list, s)
	}
	return list
}

func (r *request) newNFTables(n node, family corev1.IPFamily) (*nftables.Proxier, error) {
	c, err := r.config(n, "nftables")
	if err != nil {
		return nil, err
	}
	args, err := r.arguments(c, n, family, append(switches(nftables.NewProxier, r.MasqueradeAll), sysctltest.NewFake())...)
	if err != nil {
		return nil, err
	}
	return construct[*nftables.Proxier](nftables.NewProxier, args...)
}

func (r *request) newIPTables(n node, family corev1.IPFamily, ipt utiliptables.Interface) (*iptables.Proxier, error) {
	c, err := r.config(n, "iptables")
	if err != nil {
		return nil, err
	}
	sysctl := sysctltest.NewFake()
	sysctl.Settings["net/ipv4/conf/all/route_localnet"] = 1
	args, err := r.arguments(c, n, family, append(switches(iptables.NewProxier, r.MasqueradeAll, r.LocalhostNodePorts), sysctl, ipt)...)
	if err != nil {
		return nil, err
	}
	return construct[*iptables.Proxier](iptables.NewProxier, args...)
}

// config is kube-proxy's configuration with its defaults, as cmd/kube-proxy/app makes it. It is read from text, as its fields
// have moved: those that a release lacks are passed over.
func (r *request) config(n node, mode string) (*kubeproxyconfig.KubeProxyConfiguration, error) {
	masquerade := map[string]any{"MasqueradeBit": masqueradeBit, "MasqueradeAll": r.MasqueradeAll, "LocalhostNodePorts": r.LocalhostNodePorts}
	text, err := json.Marshal(map[string]any{"Linux": masquerade, "IPTables": masquerade, "NFTables": masquerade,
		"SyncPeriod": syncPeriod.String(), "MinSyncPeriod": minSyncPeriod.String(), "NodePortAddresses": r.nodePortAddresses(n, mode)})
	if err != nil {
		return nil, err
	}
	c := &kubeproxyconfig.KubeProxyConfiguration{}
	return c, json.Unmarshal(text, c)
}

// nodePortAddresses are kube-proxy's with the words replaced. Releases before v1.37 know the word primary only, as the only one.
func (r *request) nodePortAddresses(n node, mode string) []string {
	words := r.NodePortAddresses
	if len(words) == 0 && mode == "nftables" {
		words = []string{"primary"}
	}
	var addresses []string
	for _, word := range words {
		switch word {
		case "localhost":
			addresses = append(addresses, "127.0.0.0/8", "::1/128")
		case "all":
			addresses = append(addresses, "0.0.0.0/0", "::/0")
		case "primary":
			for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
				if ip := n.primary(family); ip != nil && !ip.IsLoopback() {
					addresses = append(addresses, fmt.Sprintf("%s/%d", ip, map[corev1.IPFamily]int{corev1.IPv4Protocol: 32, corev1.IPv6Protocol: 128}[family]))
				}
			}
		default:
			addresses = append(addresses, word)
		}
	}
	return addresses
}

// detector is getLocalDetectors of cmd/kube-proxy/app/server_linux.go, for one IP family.
func (r *request) detector(n node, family corev1.IPFamily) (proxyutil.LocalTrafficDetector, error) {
	if r.InterfacePrefix != "" {
		return construct[proxyutil.LocalTrafficDetector](proxyutil.NewDetectLocalByInterfaceNamePrefix, r.InterfacePrefix)
	}
	ranges := r.ClusterCIDRs
	if r.NodeCIDR {
		ranges = n.PodCIDRs
	}
	for _, prefix := range ranges {
		if strings.Contains(prefix, ":") == (family == corev1.IPv6Protocol) {
			return construct[proxyutil.LocalTrafficDetector](proxyutil.NewDetectLocalByCIDR, prefix)
		}
	}
	return proxyutil.NewNoOpLocalDetector(), nil
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
