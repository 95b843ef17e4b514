package oracle

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// endpoints are the EndpointSlices of a Service, and what has been worked out of them.
type endpoints struct {
	listed []discoveryv1.EndpointSlice                     // all, as the world has them
	slices map[corev1.IPFamily][]discoveryv1.EndpointSlice // those that count, by IP family

	mu       sync.Mutex
	backends map[*servicePort][]backend
	routed   map[routeKey]*routing
}

func newEndpoints(s *service, list []discoveryv1.EndpointSlice) *endpoints {
	e := &endpoints{listed: list, slices: map[corev1.IPFamily][]discoveryv1.EndpointSlice{}, backends: map[*servicePort][]backend{}, routed: map[routeKey]*routing{}}
	for i := range list {
		// kube-proxy does not see slices with this label, which Kubernetes gives to those of headless Services
		if _, hidden := list[i].Labels[corev1.IsHeadlessService]; !hidden || !s.proxied {
			family := corev1.IPFamily(list[i].AddressType)
			e.slices[family] = append(e.slices[family], list[i])
		}
	}
	return e
}

// endpoints returns the EndpointSlices of a Service, which is one of the world's.
func (o *Oracle) endpoints(s *service) *endpoints { return o.index.list[s.place].endpoints }

// routeKey names what one node's proxy has worked out for one Service port. Nodes of a zone that no endpoint is on, or has a hint for,
// share it: node is nil, zone set.
type routeKey struct {
	port *servicePort
	node *node
	zone string
}

// routing is where one node's proxy sends a Service port's packets.
type routing struct {
	// cluster are the endpoints for traffic policy Cluster, local those for Local.
	cluster, local *group
	// any: the port has a usable endpoint somewhere in the cluster.
	any bool
	// listed is how many addresses the EndpointSlices hold, numbered for how many they have a number for this
	// port: what a reason needs to say why none can be used.
	listed, numbered int
	// others are the ports that the slices have, where this one is not among them: "web/TCP, 53/UDP".
	others string
}

// backend is one endpoint and what answers there.
type backend struct {
	world.Endpoint // its Node is where packets to it go, whatever the slice says; empty outside the cluster
	// local is the node whose traffic policy Local may use it, which is what the slice says and nothing else.
	local string
	// name is the backend's name in its answers; empty if it is not known.
	name string
	// pod: it is a pod that is known. host: the address is a node's, so packets to it are not forwarded once they are on that node.
	pod, host bool
	// listens says whether something answers there, deaf why not. unknown: the backend is not known.
	listens world.Listening
	deaf    reach.Phrase
	unknown bool
}

// group are endpoints that share a rule, and what it takes to predict for all of them.
type group struct {
	backends []*backend
	names    []string     // of those that listen, sorted, each once
	certain  []string     // of those that listen for certain
	choice   reach.Phrase // "any of 2 ready endpoints (a, b)"
	addrs    map[netip.Addr]bool
	// The kinds of answer to expect.
	listening, maybe, deaf, unknown bool
	nameless                        bool // one that listens has no known name
	why                             reach.Phrase
	// samples are listening backends, two addresses of each place that differs in whose address it sees: one may be the client's own.
	samples []backend
	// terminating: no endpoint is ready, so these (if any) are terminating but still serving. distribution is the hint in force ("zone", "node").
	terminating  bool
	distribution string
	unready      bool // one counts as ready though its pod is not
}

// routing works out, once, what a node's proxy does with a Service port.
func (o *Oracle) routing(sp *servicePort, n *node) *routing {
	return o.once(routeKey{port: sp, node: n}, func() *routing {
		concerned := func(b backend) bool { return b.local == n.name || b.Node == n.name || slices.Contains(b.Nodes, n.name) }
		if slices.ContainsFunc(o.backends(sp), concerned) {
			return o.route(sp, n)
		}
		return o.once(routeKey{port: sp, zone: n.zone}, func() *routing { return o.route(sp, n) })
	})
}

// once returns the routing of a key, which work makes if it is not there yet.
func (o *Oracle) once(key routeKey, work func() *routing) *routing {
	e := o.endpoints(key.port.service)
	e.mu.Lock()
	r := e.routed[key]
	e.mu.Unlock()
	if r == nil {
		r = work()
		e.mu.Lock()
		e.routed[key] = r
		e.mu.Unlock()
	}
	return r
}

// route sorts endpoints as kube-proxy does (CategorizeEndpoints in pkg/proxy/topology.go of k8s.io/kubernetes): ready ones,
// narrowed by topology hints for policy Cluster; where there are none, those that terminate but still serve (KEP-1669), for
// each policy by itself: a node without a ready endpoint of its own falls back although others have one.
func (o *Oracle) route(sp *servicePort, n *node) *routing {
	backends, list := o.backends(sp), o.endpoints(sp.service).slices[sp.family]
	r := &routing{numbered: len(backends)}
	for i := range list {
		r.listed += len(list[i].Endpoints)
	}
	if ports := world.SlicePorts(list); len(ports) > 0 && !slices.Contains(ports, world.SlicePort{Name: sp.port.Name, Protocol: corev1.Protocol(sp.protocol())}) {
		r.others = portList(ports)
	}
	ready := func(b *backend) bool { return b.Ready }
	going := func(b *backend) bool { return b.Serving && b.Terminating }
	here := func(b *backend) bool { return b.local == n.name }
	r.any = slices.ContainsFunc(backends, func(b backend) bool { return ready(&b) || going(&b) })

	mode := distribution(backends, n)
	fits := func(b *backend) bool {
		switch mode {
		case "node":
			return slices.Contains(b.Nodes, n.name)
		case "zone":
			return slices.Contains(b.Zones, n.zone)
		default:
			return true
		}
	}
	cluster := keep(backends, func(b *backend) bool { return ready(b) && fits(b) })
	fallback := len(cluster) == 0
	if fallback {
		cluster = keep(backends, going)
	}
	r.cluster = o.group(n, cluster, fallback, mode)

	local := keep(backends, func(b *backend) bool { return here(b) && ready(b) })
	fallback = len(local) == 0
	if fallback {
		local = keep(backends, func(b *backend) bool { return here(b) && going(b) })
	}
	r.local = o.group(n, local, fallback, "")
	return r
}

// backends are the endpoints of a Service port, with what answers there, computed once.
func (o *Oracle) backends(sp *servicePort) []backend {
	of := o.endpoints(sp.service)
	of.mu.Lock()
	defer of.mu.Unlock()
	backends, known := of.backends[sp]
	if !known {
		for _, e := range world.Endpoints(of.slices[sp.family], sp.port.Name, sp.port.Protocol) {
			backends = append(backends, o.backend(sp.service.Namespace, e, sp.port.Protocol))
		}
		of.backends[sp] = backends
	}
	return backends
}

// distribution is the hint that a node's proxy heeds: that for nodes, else that for zones, and either only if
// every ready endpoint has one and at least one of them is for this node or zone. kube-proxy ignores hints that do not cover
// every ready endpoint, because the controller may be half way through a change (KEP-2433).
func distribution(backends []backend, n *node) string {
	var ready, node, zone bool
	allNode, allZone := true, true
	for i := range backends {
		b := &backends[i]
		if !b.Ready {
			continue
		}
		ready = true
		allNode = allNode && len(b.Nodes) > 0
		allZone = allZone && len(b.Zones) > 0
		node = node || slices.Contains(b.Nodes, n.name)
		zone = zone || slices.Contains(b.Zones, n.zone)
	}
	switch {
	case ready && allNode && node:
		return "node"
	case ready && allZone && zone:
		return "zone"
	default:
		return ""
	}
}

func keep(backends []backend, wanted func(*backend) bool) []*backend {
	var kept []*backend
	for i := range backends {
		if wanted(&backends[i]) {
			kept = append(kept, &backends[i])
		}
	}
	return kept
}

func (o *Oracle) group(n *node, backends []*backend, fallback bool, mode string) *group {
	g := &group{backends: backends, terminating: fallback, addrs: make(map[netip.Addr]bool, len(backends))}
	if !fallback {
		g.distribution = mode
	}
	places := map[place][]netip.Addr{}
	for _, b := range backends {
		g.add(b)
		at := o.place(*b, n)
		if (b.unknown || b.listens != world.ListensNot) && len(places[at]) < 2 && !slices.Contains(places[at], b.Addr) {
			places[at] = append(places[at], b.Addr)
			g.samples = append(g.samples, *b)
		}
	}
	g.finish()
	return g
}

// place is where an endpoint is, as far as it matters to whose address it sees.
type place struct{ local, host, pod bool }

func (o *Oracle) place(b backend, n *node) place {
	return place{local: b.on(n), host: b.host, pod: o.isPod(b)}
}

// isPod says whether an endpoint is in the pod network.
func (o *Oracle) isPod(b backend) bool {
	prefix, known := o.w.Facts.PodRange(b.Addr)
	return known && prefix.Contains(b.Addr) || (b.pod || b.Pod != "") && !b.host
}

func (g *group) add(b *backend) {
	g.addrs[b.Addr] = true
	g.unready = g.unready || b.Ready && !b.Serving
	switch {
	case b.unknown:
		g.unknown = true
	case b.listens == world.ListensNot:
		g.deaf = true
	case b.listens == world.ListensMaybe:
		g.maybe = true
	default:
		g.listening = true
		if b.name != "" {
			g.certain = append(g.certain, b.name)
		}
	}
	if b.deaf.Format != "" && g.why.Format == "" {
		g.why = b.deaf
	}
	if b.unknown || b.listens != world.ListensNot {
		g.nameless = g.nameless || b.name == ""
		g.names = append(g.names, b.name)
	}
}

func (g *group) finish() {
	slices.Sort(g.names)
	g.names = slices.Compact(g.names)
	slices.Sort(g.certain)
	g.certain = slices.Compact(g.certain)
	number := count(len(g.backends), reach.Say("ready endpoint"), reach.Say("ready endpoints"))
	if g.terminating {
		number = count(len(g.backends), reach.Say("terminating but still serving endpoint"), reach.Say("terminating but still serving endpoints"))
	}
	g.choice = reach.Say("any of %s", reach.Say("%s %s", number, "("+listed(g.backends)+")"))
	switch {
	case len(g.backends) == 1 && g.terminating:
		g.choice = reach.Say("the only one, %s (terminating but still serving)", listed(g.backends))
	case len(g.backends) == 1:
		g.choice = reach.Say("the only one, %s", listed(g.backends))
	}
}

// backend finds what answers at an endpoint. A pod is found by the name the slice gives, else by its address; an
// address outside the cluster may be one the facts know.
func (o *Oracle) backend(namespace string, e world.Endpoint, p corev1.Protocol) backend {
	b := backend{Endpoint: e, local: e.Node, listens: world.Listens}
	pod := o.index.pods[namespace+"/"+e.Pod]
	if e.Pod == "" {
		pod = o.index.podByAddr[e.Addr]
	}
	owner := o.index.byAddr[e.Addr]
	b.host = owner != nil
	if pod == nil && owner != nil {
		for _, candidate := range o.index.hostPods[owner.name] {
			if listens, _ := world.ListensOn(candidate, e.Port, p, true); listens == world.Listens {
				pod = candidate
			}
		}
	}
	switch { // where packets go, whatever the slice says
	case owner != nil:
		b.Node = owner.name
	case pod == nil && e.Pod == "":
		b.Node = ""
	}
	switch external := o.index.externals[e.Addr]; {
	case pod != nil:
		b.pod, b.name = true, world.Identity(pod)
		b.listens, b.deaf = world.ListensOn(pod, e.Port, p, o.w.Facts.PortsDeclared)
		b.Node = pod.Spec.NodeName
	case e.Pod != "":
		b.name = e.Pod
	case external != nil:
		b.name = external.Backend
		if !slices.Contains(externalPorts(external, protocolOf(p)), e.Port) {
			b.listens, b.deaf = world.ListensNot, reach.Say("%s does not listen on %d/%s", external.Backend, e.Port, protocolOf(p))
		}
	default:
		b.unknown = true
	}
	return b
}

// on says whether the endpoint is on a node.
func (b backend) on(n *node) bool { return n != nil && b.Node == n.name }

// portList is "web/TCP, dns/UDP"; a port without a name goes as "(no name)".
func portList(ports []world.SlicePort) string {
	var texts []string
	for _, p := range ports {
		texts = append(texts, cmp.Or(p.Name, "(no name)")+"/"+string(p.Protocol))
	}
	return strings.Join(texts, ", ")
}

// count is "1 thing" or "2 things".
func count(n int, one, more reach.Phrase) reach.Phrase {
	if n == 1 {
		more = one
	}
	return reach.Say("%d %s", n, more)
}

// listed names endpoints, the first few of them.
func listed(backends []*backend) string {
	const most = 4
	var names []string
	for i, b := range backends {
		if i == most {
			names = append(names, "…")
			break
		}
		switch {
		case b.Pod != "":
			names = append(names, b.Pod)
		case b.name != "":
			names = append(names, b.name)
		default:
			names = append(names, b.Addr.String())
		}
	}
	return strings.Join(names, ", ")
}
