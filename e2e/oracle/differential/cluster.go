package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fate is what becomes of a probe, as far as it is known.
type fate string

const (
	reached fate = "reached"
	refused fate = "refused" // by a rule, or by the kernel of a node
	deaf    fate = "deaf"    // an endpoint does not listen
	perhaps fate = "perhaps" // an endpoint may not listen
	lost    fate = "lost"
	nowhere fate = "nowhere" // no host has the address
	away    fate = "away"    // it leaves by a default route
	unknown fate = "unknown" // nothing says what is there
)

// outcomes are what a prober may see of a fate.
func (f fate) outcomes(protocol reach.Protocol) []reach.Outcome {
	closed := []reach.Outcome{reach.Refused}
	if protocol == reach.UDP { // the kernel sends one client only so many ICMP errors a second
		closed = append(closed, reach.TimedOut)
	}
	switch f {
	case reached:
		return []reach.Outcome{reach.Reached}
	case refused:
		return []reach.Outcome{reach.Refused}
	case deaf:
		return closed
	case perhaps:
		return append(closed, reach.Reached)
	case lost:
		return []reach.Outcome{reach.TimedOut}
	case nowhere:
		return []reach.Outcome{reach.Unreachable, reach.TimedOut}
	case away:
		return []reach.Outcome{reach.Unreachable, reach.TimedOut, reach.Refused}
	default:
		return []reach.Outcome{reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable}
	}
}

// ending is how one run of a probe ended.
type ending struct {
	fate     fate
	to       netip.AddrPort // the endpoint
	chosen   netip.AddrPort // by the first proxy
	backend  string
	sources  []netip.Prefix // that the backend may see
	recorded map[string]bool
	chance   float64
	open     bool
	trace    []string
}

// cluster is a world whose nodes have the rules that their proxiers wrote.
type cluster struct {
	w       world.World
	release string
	nodes   map[string]*corev1.Node
	rules   map[string]map[corev1.IPFamily]*ruleset
	health  map[string]map[corev1.IPFamily][]health
	byAddr  map[netip.Addr]string // the node that has an address
	pods    map[netip.Addr]*corev1.Pod
	virtual map[netip.Addr]bool // load-balancer addresses that a node announces; false: with ipMode Proxy
}

func newCluster(w world.World, release string, proxies []written) (*cluster, error) {
	c := &cluster{w: w, release: release, nodes: map[string]*corev1.Node{}, rules: map[string]map[corev1.IPFamily]*ruleset{},
		health: map[string]map[corev1.IPFamily][]health{}, byAddr: map[netip.Addr]string{}, pods: map[netip.Addr]*corev1.Pod{}, virtual: map[netip.Addr]bool{}}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		c.nodes[n.Name] = n
		for _, addr := range interfaces(n) {
			c.byAddr[addr] = n.Name
		}
	}
	for i := range w.Pods {
		if pod := &w.Pods[i]; !pod.Spec.HostNetwork && !world.Ended(pod) {
			for _, addr := range world.PodAddrs(pod) {
				c.pods[addr] = pod
			}
		}
	}
	for i := range w.Services {
		for _, ingress := range world.Ingresses(&w.Services[i]) {
			c.virtual[ingress.Addr] = c.virtual[ingress.Addr] || !ingress.Proxy
		}
	}
	for _, p := range proxies {
		parse := parseNFT
		if p.Mode == world.ModeIPTables {
			parse = parseIPTables
		}
		rules, err := parse(p.Rules)
		if err != nil {
			return nil, fmt.Errorf("the rules of %s's %s proxier for %s: %w", p.Node, p.Mode, p.Family, err)
		}
		if c.rules[p.Node] == nil {
			c.rules[p.Node], c.health[p.Node] = map[corev1.IPFamily]*ruleset{}, map[corev1.IPFamily][]health{}
		}
		c.rules[p.Node][p.Family], c.health[p.Node][p.Family] = rules, p.Health
	}
	return c, nil
}

// probe is a packet on its way.
type probe struct {
	*cluster
	picks      *picks
	packet     packet
	target     reach.Target
	vantage    reach.Vantage
	affinity   map[string]bool
	recorded   map[string]bool
	sources    []netip.Prefix
	changes    []change
	hops       int
	chosen     netip.AddrPort
	redirected bool // to an endpoint
	traced     bool
	trace      []string
}

// change is a translation of addresses on a node. The answers must come through it.
type change struct {
	node       string
	masquerade bool
	src        netip.Addr // before it
}

// probes follows a probe in all ways that it can go. affinity are the sets that have the client's address, by node.
func (c *cluster) probes(v reach.Vantage, t reach.Target, affinity map[string]bool, traced bool) []ending {
	var (
		endings []ending
		k       picks
		dst     = netip.MustParseAddr(t.Host).Unmap()
	)
	for k.reset() {
		p := &probe{cluster: c, picks: &k, target: t, vantage: v, affinity: affinity, recorded: map[string]bool{}, traced: traced,
			packet: packet{dst: dst, dport: t.Port, protocol: strings.ToLower(string(t.Protocol))}}
		e := p.send()
		e.recorded, e.chance, e.open, e.trace, e.chosen = p.recorded, k.chance, k.open, p.trace, p.chosen
		endings = append(endings, e)
	}
	return endings
}

func (p *probe) say(format string, args ...any) {
	if p.traced {
		p.trace = append(p.trace, fmt.Sprintf(format, args...))
	}
}

// send is the way from the client to the first node.
func (p *probe) send() ending {
	v := p.vantage
	dst := p.packet.dst
	found := false
	for _, addr := range v.Addrs {
		if addr.Is4() == dst.Is4() {
			p.from(addr)
			found = true
			break
		}
	}
	if !found {
		return ending{fate: nowhere}
	}
	switch v.Kind {
	case reach.Node:
		own := p.packet.src
		if dst.IsLoopback() {
			p.packet.src = dst
		}
		p.sources = p.inward(v.Node, own)
		return p.enter(v.Node, true, true)
	case reach.Pod:
		if pod := p.pods[dst]; pod != nil && slices.Contains(v.Addrs, dst) { // it does not leave the pod
			listens, _ := world.ListensOn(pod, p.packet.dport, corev1.Protocol(p.target.Protocol), p.w.Facts.PortsDeclared)
			return p.end(v.Node, netip.AddrPortFrom(dst, p.packet.dport), world.Identity(pod), listens)
		}
		return p.enter(v.Node, false, true)
	}
	// Outside, on the nodes' own link.
	if n, ok := p.byAddr[dst]; ok && slices.Contains(world.NodeAddrs(p.nodes[n]), dst) {
		return p.enter(n, false, false)
	}
	if e, announced := p.announced(""); announced {
		return e
	}
	if v.Kind == reach.Outside {
		var best netip.Prefix
		for prefix := range p.w.Facts.OutsideRoutes {
			if prefix.Contains(dst) && (!best.IsValid() || prefix.Bits() > best.Bits()) {
				best = prefix
			}
		}
		if best.IsValid() {
			return p.enter(p.w.Facts.OutsideRoutes[best], false, false)
		}
	}
	if e, external := p.external(); external {
		return e
	}
	return ending{fate: nowhere}
}

// from is the source that the packet has from here on.
func (p *probe) from(addr netip.Addr) {
	p.packet.src, p.sources = addr, []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
}

// outward are the addresses that a node's packets leave it with, inward those that its own pods see.
func (p *probe) outward(node string, primary netip.Addr) []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(primary, primary.BitLen())}
	for _, prefix := range p.w.Facts.NodeSources[node] {
		if prefix.Addr().Is4() == primary.Is4() && !slices.Contains(list, prefix) {
			list = append(list, prefix)
		}
	}
	return list
}

func (p *probe) inward(node string, primary netip.Addr) []netip.Prefix {
	list := p.outward(node, primary)
	for _, addr := range world.Gateways(p.nodes[node]) {
		if addr.Is4() == primary.Is4() {
			list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return list
}

// announced takes a packet to the node that announces its address; announced is false if none does.
func (p *probe) announced(from string) (e ending, announced bool) {
	vip, known := p.virtual[p.packet.dst]
	if !known && from != "" && p.w.Announcers == nil && p.externalIP(p.packet.dst) {
		vip, known = true, true // somebody may have routed it to a node
	}
	switch {
	case !known:
		return e, false
	case !vip && p.w.Announcers == nil:
		return ending{fate: unknown}, true // the load balancer itself
	case !vip:
		return ending{fate: nowhere}, true
	case p.w.Announcers == nil:
		var nodes []string
		for i := range p.w.Nodes {
			if p.w.Nodes[i].Name != from {
				nodes = append(nodes, p.w.Nodes[i].Name)
			}
		}
		i := p.picks.either(len(nodes) + 1)
		if i == len(nodes) {
			return ending{fate: nowhere}, true
		}
		return p.enter(nodes[i], false, false), true
	}
	n := p.w.Announcers[p.packet.dst]
	if n == "" || n == from {
		return ending{fate: nowhere}, true
	}
	return p.enter(n, false, false), true
}

// externalIP says whether an address is among a Service's externalIPs.
func (c *cluster) externalIP(addr netip.Addr) bool {
	return slices.ContainsFunc(c.w.Services, func(s corev1.Service) bool { return slices.Contains(world.ExternalIPs(&s), addr) })
}

// enter takes the packet through a node. own: a process of the node sent it. here: the sender is on the node, or it is the
// node.
func (p *probe) enter(node string, own, here bool) ending {
	if p.hops++; p.hops > 4 {
		return ending{fate: nowhere}
	}
	family := world.FamilyOf(p.packet.dst)
	rules := p.rules[node][family]
	if rules == nil {
		return ending{fate: nowhere}
	}
	primary, _ := world.PrimaryAddr(p.nodes[node], family)
	m := &machine{rules: rules, node: node, picks: p.picks, affinity: p.affinity, recorded: p.recorded, trace: p.say,
		local: func(addr netip.Addr) bool { return addr.IsLoopback() || p.byAddr[addr] == node }}
	p.packet.mark, p.packet.dnat, p.packet.masq, p.packet.link = 0, false, false, here && !own
	before := p.packet.src
	v, arrived := m.transit(&p.packet, own)
	p.say("%s: %s, to %s, port %d", node, [...]string{"", "accepted", "dropped", "rejected"}[v], p.packet.dst, p.packet.dport)
	switch v {
	case drop:
		return ending{fate: lost}
	case reject:
		return ending{fate: refused}
	}
	masquerade := p.packet.masq
	if p.packet.dnat {
		if !p.redirected {
			p.chosen = netip.AddrPortFrom(p.packet.dst, p.packet.dport)
		}
		p.redirected = true
	}
	_, isPod := p.pods[p.packet.dst]
	stays := arrived || isPod && p.pods[p.packet.dst].Spec.NodeName == node
	switch {
	case masquerade && stays:
		p.packet.src, p.sources = primary, p.inward(node, primary)
	case masquerade:
		p.packet.src, p.sources = primary, p.outward(node, primary)
	case own && arrived:
		p.from(primary)
	case own && !stays:
		p.packet.src, p.sources = primary, p.outward(node, primary)
	case here && !own && !stays:
		masquerade = p.egress(node, primary, isPod)
	}
	if p.packet.dnat || masquerade {
		p.changes = append(p.changes, change{node: node, masquerade: masquerade, src: before})
	}
	return p.onward(node, arrived)
}

// egress is what the pod network does with the source address of a pod's packet that leaves the pod's node. It reports whether
// it changed it.
func (p *probe) egress(node string, primary netip.Addr, toPod bool) bool {
	rule := p.w.Facts.PodToOutside
	switch {
	case toPod, p.inPodRange(p.packet.dst):
		return false
	case p.byAddr[p.packet.dst] != "":
		rule = p.w.Facts.PodToNode
	}
	if rule == world.EgressPod || rule == world.EgressUnknown && p.picks.either(2) == 0 {
		return false
	}
	p.packet.src, p.sources = primary, p.outward(node, primary)
	return true
}

func (p *probe) inPodRange(addr netip.Addr) bool {
	return slices.ContainsFunc(podRanges(), func(r netip.Prefix) bool { return r.Contains(addr) })
}

// onward is the way of a packet that has left a node, or has come to it.
func (p *probe) onward(node string, arrived bool) ending {
	to := netip.AddrPortFrom(p.packet.dst, p.packet.dport)
	if arrived {
		return p.atNode(node, to)
	}
	if pod := p.pods[p.packet.dst]; pod != nil {
		if pod.Spec.NodeName != node {
			p.say("to pod %s on %s", pod.Name, pod.Spec.NodeName)
			return p.enter(pod.Spec.NodeName, false, false)
		}
		return p.atPod(pod, to)
	}
	if other := p.byAddr[p.packet.dst]; other != "" {
		return p.enter(other, false, false)
	}
	if e, announced := p.announced(node); announced {
		return e
	}
	if e, external := p.external(); external {
		return e
	}
	stray := p.w.Facts.InServiceRange(p.packet.dst)
	switch {
	case p.redirected:
		return ending{fate: unknown, to: to}
	case stray && p.w.Facts.DropsStrays:
		return ending{fate: lost}
	case stray:
		return ending{fate: away}
	default:
		return ending{fate: nowhere}
	}
}

// answers says whether the answers of a host on a node (or on none) come back through all translations: the last one is met
// first, and each only where the way to its source address goes through its node.
func (p *probe) answers(node string) bool {
	src := p.packet.src
	for _, c := range slices.Backward(p.changes) {
		owner := p.byAddr[src]
		if pod := p.pods[src]; pod != nil {
			owner = pod.Spec.NodeName
		} else if p.vantage.Kind == reach.Pod && slices.Contains(p.vantage.Addrs, src) {
			owner = p.vantage.Node
		}
		if !c.masquerade && c.node != node && c.node != owner {
			return false
		}
		node, src = c.node, c.src
	}
	return true
}

func (p *probe) atPod(pod *corev1.Pod, to netip.AddrPort) ending {
	if p.packet.src == p.packet.dst {
		p.say("pod %s drops a packet from its own address", pod.Name)
		return ending{fate: lost, to: to}
	}
	listens, _ := world.ListensOn(pod, to.Port(), corev1.Protocol(p.target.Protocol), p.w.Facts.PortsDeclared)
	return p.end(pod.Spec.NodeName, to, world.Identity(pod), listens)
}

func (p *probe) end(node string, to netip.AddrPort, backend string, listens world.Listening) ending {
	switch {
	case !p.answers(node):
		p.say("the answers of %s do not come back the same way", backend)
		return ending{fate: lost, to: to}
	case listens == world.ListensNot:
		return ending{fate: deaf, to: to}
	case listens == world.ListensMaybe:
		return ending{fate: perhaps, to: to, backend: backend, sources: p.sources}
	default:
		return ending{fate: reached, to: to, backend: backend, sources: p.sources}
	}
}

// external is a host outside the cluster.
func (p *probe) external() (e ending, external bool) {
	for i := range p.w.Facts.Externals {
		x := &p.w.Facts.Externals[i]
		if !slices.Contains(x.Addrs, p.packet.dst) {
			continue
		}
		ports := x.TCP
		if p.packet.protocol == "udp" {
			ports = x.UDP
		}
		listens := world.ListensNot
		if slices.Contains(ports, p.packet.dport) {
			listens = world.Listens
		}
		return p.end("", netip.AddrPortFrom(p.packet.dst, p.packet.dport), x.Backend, listens), true
	}
	return e, false
}

// atNode is the end of a packet at an address of a node: health checks, host-network pods, or nothing.
func (p *probe) atNode(node string, to netip.AddrPort) ending {
	if p.target.Kind == reach.HealthCheck {
		return p.healthCheck(node, to)
	}
	for i := range p.w.Pods {
		pod := &p.w.Pods[i]
		if !pod.Spec.HostNetwork || pod.Spec.NodeName != node || world.Ended(pod) {
			continue
		}
		strict := !p.redirected || !p.hostEndpoint(to) || p.w.Facts.PortsDeclared
		if listens, _ := world.ListensOn(pod, to.Port(), corev1.Protocol(p.target.Protocol), strict); listens != world.ListensNot {
			return p.end(node, to, world.Identity(pod), listens)
		}
	}
	switch {
	case !p.answers(node):
		return ending{fate: lost, to: to}
	case !p.redirected:
		return ending{fate: refused, to: to}
	case p.hostEndpoint(to):
		return ending{fate: deaf, to: to}
	default:
		return ending{fate: unknown, to: to}
	}
}

// hostEndpoint says whether the target's Service has an address and port of a node as a pod's endpoint.
func (p *probe) hostEndpoint(to netip.AddrPort) bool {
	for _, name := range p.of(p.target) {
		s, _ := p.w.Service(name)
		for _, port := range s.Spec.Ports {
			for _, e := range world.Endpoints(p.w.SlicesOf(name, world.FamilyOf(to.Addr())), port.Name, port.Protocol) {
				if e.Addr == to.Addr() && e.Port == to.Port() && string(port.Protocol) == string(p.target.Protocol) && e.Pod != "" {
					return true
				}
			}
		}
	}
	return false
}

func (p *probe) healthCheck(node string, to netip.AddrPort) ending {
	var answers []string
	for family, list := range p.health[node] {
		for _, h := range list {
			// Before v1.36 the socket at all addresses was one for both families: newServiceHealthServer in
			// pkg/proxy/healthcheck/service_health.go.
			both := len(h.Addrs) == 0 && world.ReleaseBefore(p.release, "v1.36.0")
			if h.Port == to.Port() && (both || family == world.FamilyOf(to.Addr())) && (len(h.Addrs) == 0 || slices.Contains(h.Addrs, to.Addr())) {
				answers = add(answers, fmt.Sprintf("localEndpoints=%d", h.Endpoints))
			}
		}
	}
	if len(answers) == 0 {
		return ending{fate: refused, to: to}
	}
	slices.Sort(answers)
	return ending{fate: reached, to: to, backend: answers[p.picks.either(len(answers))]}
}
