package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// own begins the name of a vantage that is a pod of the Service.
const own = "backend/"

// clients choose, for each Service, the nodes and clients to predict for: one of each kind that can differ. Two nodes are equal if
// their objects are, in what a proxy's rules or the way of a packet depend on, and if the same sorts of endpoints of the Service
// are on them. Clients are on one node of each kind. Node ports are at two, because a client's own node differs from another one.
type clients struct {
	w       world.World
	targets *world.Targeter
	// plain are nodes by what their objects say, zoned the same with their zones, which count only where slices have hints.
	plain, zoned [][]int
	pods         []reach.Vantage // of each node, at its index
	podOf        map[netip.Addr]*corev1.Pod
	nodeOf       map[netip.Addr]string // the node that has an address
	// placed are the nodes that slices of any Service place a pod's address on though its pod is elsewhere.
	placed map[netip.Addr]string
}

func newClients(w world.World) *clients {
	c := &clients{w: w, targets: w.Targeter(), podOf: map[netip.Addr]*corev1.Pod{}, nodeOf: map[netip.Addr]string{}, placed: map[netip.Addr]string{}}
	for i := range w.Pods {
		if pod := &w.Pods[i]; !pod.Spec.HostNetwork && !world.Ended(pod) {
			for _, addr := range world.PodAddrs(pod) {
				c.podOf[addr] = pod
			}
		}
	}
	for i := range w.Slices {
		for _, e := range w.Slices[i].Endpoints {
			for _, text := range e.Addresses {
				addr, err := netip.ParseAddr(text)
				if pod := c.podOf[addr]; err == nil && pod != nil && e.NodeName != nil && *e.NodeName != pod.Spec.NodeName && !strings.Contains(c.placed[addr], *e.NodeName+" ") {
					c.placed[addr] += *e.NodeName + " "
				}
			}
		}
	}
	plain, zoned := map[string]int{}, map[string]int{}
	add := func(classes *[][]int, index map[string]int, key string, i int) {
		at, known := index[key]
		if !known {
			at = len(*classes)
			index[key] = at
			*classes = append(*classes, nil)
		}
		(*classes)[at] = append((*classes)[at], i)
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		for _, addr := range world.NodeAddrs(n) {
			c.nodeOf[addr] = n.Name
		}
		key := c.class(n)
		add(&c.plain, plain, key, i)
		add(&c.zoned, zoned, key+" "+n.Labels[corev1.LabelTopologyZone], i)
		c.pods = append(c.pods, reach.Vantage{Name: "pod/" + n.Name, Kind: reach.Pod, Node: n.Name, Namespace: "svclab-clients", PodName: "client-" + n.Name, Addrs: c.free(n)})
	}
	return c
}

// class is what a node's object says that matters: whether it is Ready, which sorts of addresses it has, whether it has pod ranges,
// and whether nodePortAddresses hold for the same of its addresses.
func (c *clients) class(n *corev1.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %d", world.NodeReady(n), len(world.Gateways(n)))
	primary := map[corev1.IPFamily]netip.Addr{}
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if addr, ok := world.PrimaryAddr(n, family); ok {
			primary[family] = addr
		}
	}
	for _, addr := range world.NodeAddrs(n) {
		serves, known := c.w.Facts.ServesNodePortsAt(c.w.Facts.ProxyMode, addr, primary)
		pod, _ := c.w.Facts.PodRange(addr)
		fmt.Fprintf(&b, " %s %v %v %v %v", world.FamilyOf(addr), primary[world.FamilyOf(addr)] == addr, serves, known, pod.IsValid() && pod.Contains(addr))
	}
	for _, addr := range c.free(n) {
		pod, _ := c.w.Facts.PodRange(addr)
		fmt.Fprintf(&b, " %v", pod.IsValid() && pod.Contains(addr))
	}
	fmt.Fprintf(&b, " %d", len(c.w.Facts.NodeSources[n.Name]))
	for prefix, node := range c.w.Facts.OutsideRoutes {
		if node == n.Name {
			fmt.Fprintf(&b, " %s", prefix)
		}
	}
	return b.String()
}

// free returns addresses of a node's pod ranges that no pod has: those of a client.
func (c *clients) free(n *corev1.Node) []netip.Addr {
	var addrs []netip.Addr
	for _, gateway := range world.Gateways(n) {
		addr := gateway.Next()
		for c.podOf[addr] != nil {
			addr = addr.Next()
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

// of returns the vantages and targets of the i-th Service.
func (c *clients) of(i int) ([]reach.Vantage, []reach.Target) {
	s := &c.w.Services[i]
	name := world.Name(s)
	here, zones := c.endpoints(s)
	var nodes []corev1.Node
	var vantages []reach.Vantage
	classes := c.plain
	if zones {
		classes = c.zoned
	}
	backends := c.backends(s, here)
	for _, class := range classes {
		kept := map[string]int{}
		for _, j := range class {
			n := &c.w.Nodes[j]
			kept[here[n.Name]]++
			own := slices.ContainsFunc(backends, func(v reach.Vantage) bool { return v.Node == n.Name })
			if own || kept[here[n.Name]] <= 2 {
				nodes = append(nodes, *n)
			}
			if kept[here[n.Name]] == 1 {
				vantages = append(vantages, c.pods[j], nodeVantage(n))
			}
		}
	}
	vantages = append(vantages, backends...)
	vantages = append(vantages, outside(s)...)
	targets, direct := c.targets.Everywhere(name, nodes...), 0
	return vantages, slices.DeleteFunc(targets, func(t reach.Target) bool {
		switch t.Kind {
		case reach.Endpoint: // no proxy changes a packet to an endpoint's own address: one is enough
			direct++
			return direct > 1
		case reach.DNSName: // it leads to the ClusterIP
			return world.Proxied(s)
		default:
			return false
		}
	})
}

// endpoints says, for each node that has some, which sorts of endpoints of the Service it has. zones: slices have hints of zones.
func (c *clients) endpoints(s *corev1.Service) (here map[string]string, zones bool) {
	sorts := map[string][]string{}
	for _, slice := range c.targets.SlicesOf(world.Name(s)) {
		for _, e := range slice.Endpoints {
			sort := conditions(&slice, e)
			if addr, err := netip.ParseAddr(firstOf(e.Addresses)); err == nil {
				if c.nodeOf[addr] != "" {
					sort += " host"
				}
				if pod := c.podOf[addr]; pod != nil {
					sort += listenText(pod)
				}
			}
			var on string
			if e.NodeName != nil {
				on = *e.NodeName
				sorts[on] = append(sorts[on], sort)
			}
			for _, text := range e.Addresses { // where it really is
				addr, err := netip.ParseAddr(text)
				if err != nil {
					continue
				}
				real := c.nodeOf[addr]
				if pod := c.podOf[addr]; pod != nil {
					real = pod.Spec.NodeName
				}
				if real != "" && real != on {
					sorts[real] = append(sorts[real], sort+" elsewhere")
				}
			}
			if e.Hints != nil {
				zones = zones || len(e.Hints.ForZones) > 0
				for _, node := range e.Hints.ForNodes {
					sorts[node.Name] = append(sorts[node.Name], "hint "+sort)
				}
			}
		}
	}
	for _, addr := range append(world.ExternalIPs(s), world.BalancerAddrs(s)...) { // external IPs may be announced too, for another Service
		if node := c.w.Announcers[addr]; node != "" {
			sorts[node] = append(sorts[node], "announces "+addr.String()) // two nodes may announce one each
		}
	}
	if ranges := sourceRanges(s); len(ranges) > 0 {
		for i := range c.w.Nodes {
			n := &c.w.Nodes[i]
			for _, addr := range slices.Concat(world.NodeAddrs(n), c.pods[i].Addrs) {
				if slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) }) {
					sorts[n.Name] = append(sorts[n.Name], fmt.Sprintf("admitted %s %v", world.FamilyOf(addr), c.nodeOf[addr] != ""))
				}
			}
		}
	}
	here = map[string]string{}
	for node, list := range sorts {
		slices.Sort(list)
		here[node] = strings.Join(slices.Compact(list), ", ")
	}
	return here, zones
}

// conditions are what a slice says of an endpoint's state, and whether kube-proxy sees the slice.
func conditions(slice *discoveryv1.EndpointSlice, e discoveryv1.Endpoint) string {
	_, hidden := slice.Labels[corev1.IsHeadlessService]
	is := func(condition *bool, otherwise bool) bool {
		return condition == nil && otherwise || condition != nil && *condition
	}
	return fmt.Sprintf("%s %v %v %v %v", slice.AddressType, hidden, is(e.Conditions.Ready, true), is(e.Conditions.Serving, true), is(e.Conditions.Terminating, false))
}

func firstOf(addresses []string) string {
	if len(addresses) == 0 {
		return ""
	}
	return addresses[0]
}

func portText(ports []discoveryv1.EndpointPort) string {
	var text string
	for _, port := range ports {
		if port.Name != nil && port.Port != nil {
			text += fmt.Sprintf(" %s %d", *port.Name, *port.Port)
		}
	}
	return text
}

// listenText is what a pod says of the ports that it listens on.
func listenText(pod *corev1.Pod) string {
	text := pod.Annotations[world.ListensAnnotation]
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			text += fmt.Sprintf(" %d/%s", port.ContainerPort, port.Protocol)
		}
	}
	return text
}

// mostMisplaced bounds the clients of one Service that its slices place on another node than their own, or on none.
const mostMisplaced = 32

// backends are clients that are pods of the Service: one of each sort of place that the slices and the pods say.
func (c *clients) backends(s *corev1.Service, here map[string]string) []reach.Vantage {
	var list []reach.Vantage
	kept, misplaced := map[string]bool{}, 0
	for _, slice := range c.targets.SlicesOf(world.Name(s)) {
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil {
				continue
			}
			v := reach.Vantage{Kind: reach.Pod, Namespace: s.Namespace, Addrs: []netip.Addr{addr.Unmap()}}
			said, listens := "", ""
			if e.NodeName != nil {
				said = *e.NodeName
			}
			switch pod := c.podOf[addr.Unmap()]; {
			case pod != nil:
				listens = listenText(pod)
				v.Namespace, v.PodName, v.Node, v.Addrs = pod.Namespace, pod.Name, pod.Spec.NodeName, world.PodAddrs(pod)
			case len(c.w.Pods) == 0 && e.TargetRef != nil && e.TargetRef.Kind == "Pod" && said != "" && c.nodeOf[addr.Unmap()] == "": // pods were not read
				v.PodName, v.Node = e.TargetRef.Name, said
			default:
				continue
			}
			// Where the slices place it on its own node, both modes masquerade a pod for itself there, and pods differ by what
			// is said of them and their node. Else each endpoint counts.
			sort := fmt.Sprint(conditions(&slice, e), portText(slice.Ports), listens, here[v.Node], e.Hints, c.placed[addr.Unmap()])
			if v.Node != said && misplaced < mostMisplaced {
				misplaced++
				sort = addr.String()
			}
			if !kept[sort] {
				kept[sort] = true
				v.Name = own + v.PodName
				list = append(list, v)
			}
		}
	}
	return list
}

// elsewhere returns what is predicted once for the whole cluster: an address of the Service range that no Service has.
func (c *clients) elsewhere() ([]reach.Vantage, []reach.Target) {
	var vantages []reach.Vantage
	for _, class := range c.plain {
		vantages = append(vantages, c.pods[class[0]], nodeVantage(&c.w.Nodes[class[0]]))
	}
	return vantages, c.targets.Unallocated()
}

func nodeVantage(n *corev1.Node) reach.Vantage {
	return reach.Vantage{Name: "node/" + n.Name, Kind: reach.Node, Node: n.Name, Addrs: slices.Concat(world.NodeAddrs(n), world.Gateways(n))}
}

// strangers are addresses for documentation (RFC 5737, RFC 3849, RFC 9637), which no real client has.
func strangers() [][]string {
	return [][]string{{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, {"2001:db8::1", "3fff::1"}}
}

// sourceRanges are a Service's loadBalancerSourceRanges, but for those that are no prefixes.
func sourceRanges(s *corev1.Service) (ranges []netip.Prefix) {
	for _, text := range s.Spec.LoadBalancerSourceRanges {
		if prefix, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			ranges = append(ranges, prefix)
		}
	}
	return ranges
}

// outside returns a client outside the cluster that the Service's loadBalancerSourceRanges do not admit, if it has some, and one
// that they do.
func outside(s *corev1.Service) []reach.Vantage {
	stranger := reach.Vantage{Name: string(reach.Outside), Kind: reach.Outside}
	admitted := reach.Vantage{Name: "outside/admitted", Kind: reach.Outside}
	ranges := sourceRanges(s)
	for _, prefix := range ranges {
		admitted.Addrs = append(admitted.Addrs, prefix.Addr())
	}
	for _, texts := range strangers() {
		for i, text := range texts {
			addr := netip.MustParseAddr(text)
			if i == len(texts)-1 || !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) }) {
				stranger.Addrs = append(stranger.Addrs, addr)
				break
			}
		}
	}
	if len(ranges) == 0 {
		return []reach.Vantage{stranger}
	}
	return []reach.Vantage{stranger, admitted}
}
