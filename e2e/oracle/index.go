package oracle

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// dest is where a packet is sent to.
type dest struct {
	addr     netip.Addr
	port     uint16
	protocol reach.Protocol
}

// nodePortKey is what a node port is known by; each IP family has its own proxy.
type nodePortKey struct {
	family   corev1.IPFamily
	port     uint16
	protocol reach.Protocol
}

// index finds, by address and port as the proxies do, what is served where.
type index struct {
	*site
	list   []slot
	places map[string]int // in list, by the Services' names
	*addresses
	strays []discoveryv1.EndpointSlice // those of no Service in list
}

// slot is a Service with its endpoints. Either may change without the other.
type slot struct {
	service   *service
	endpoints *endpoints
}

// addresses are those of the Services. They refer to them by their places, so most changes of a Service leave them as they are.
type addresses struct {
	fronts    map[dest]held       // what is served at an address, by port
	owners    map[netip.Addr]held // whose address it is, whatever the port
	left      map[netip.Addr]int  // the ClusterIPs of Services that kube-proxy leaves to another proxy
	nodePorts map[nodePortKey]portAt
	health    map[uint16]int // by health-check node port
}

// portAt is a Service's port: their places in index.list and service.ports.
type portAt struct{ service, port int }

// held is who has an address.
type held struct {
	kind frontKind
	by   portAt
	// others are further Services that have the same address and port.
	others []held
}

// frontKind is as what an address belongs to a Service.
type frontKind string

const (
	frontClusterIP  frontKind = "ClusterIP"
	frontExternalIP frontKind = "external IP"
	frontLB         frontKind = "load-balancer address"
	frontLBProxy    frontKind = "load-balancer address with ipMode Proxy"
)

// front is one address of a Service, with one of its ports or, where port is nil, with none of them.
type front struct {
	kind    frontKind
	service *service
	port    *servicePort
	// others are further Services that have the same address and port.
	others []front
}

// service is a Service, and what kube-proxy serves for it: everything by family, and only in the families of its ClusterIPs.
type service struct {
	*corev1.Service
	name       string // "namespace/name"
	place      int    // in index.list; -1: its endpoints are not known
	clusterIPs []netip.Addr
	proxied    bool // kube-proxy handles it; otherwise there are no ports
	ports      []*servicePort
	fronts     []servedAt
}

// servedAt is an address at which one of a Service's ports is served.
type servedAt struct {
	dest
	kind frontKind
	port int
}

// servicePort is one port of a Service in one IP family: what kube-proxy has its rules for.
type servicePort struct {
	service *service
	port    corev1.ServicePort
	family  corev1.IPFamily
}

func newService(object *corev1.Service, place int) *service {
	s := &service{Service: object, name: world.Name(object), place: place, clusterIPs: world.ClusterIPs(object), proxied: world.Proxied(object)}
	if !s.proxied {
		return s
	}
	externalIPs, ingresses := world.ExternalIPs(object), world.Ingresses(object)
	for _, clusterIP := range s.clusterIPs {
		family := world.FamilyOf(clusterIP)
		for _, p := range object.Spec.Ports {
			sp := &servicePort{service: s, port: p, family: family}
			add := func(addr netip.Addr, kind frontKind) {
				if world.FamilyOf(addr) == family {
					s.fronts = append(s.fronts, servedAt{dest{addr, uint16(p.Port), sp.protocol()}, kind, len(s.ports)})
				}
			}
			add(clusterIP, frontClusterIP)
			for _, addr := range externalIPs {
				add(addr, frontExternalIP)
			}
			for _, ingress := range ingresses {
				if ingress.Proxy {
					add(ingress.Addr, frontLBProxy)
				} else {
					add(ingress.Addr, frontLB)
				}
			}
			s.ports = append(s.ports, sp)
		}
	}
	return s
}

// likewise reports whether two versions of a Service have the same addresses and ports.
func (s *service) likewise(other *service) bool {
	return s.proxied == other.proxied && world.HealthCheckPort(s.Service) == world.HealthCheckPort(other.Service) &&
		slices.Equal(s.clusterIPs, other.clusterIPs) && slices.Equal(s.fronts, other.fronts) &&
		slices.EqualFunc(s.ports, other.ports, func(a, b *servicePort) bool { return a.port.NodePort == b.port.NodePort })
}

func newIndex(w world.World) index {
	x := index{site: newSite(w), places: make(map[string]int, len(w.Services))}
	for i := range w.Services {
		x.add(&w.Services[i], nil)
	}
	listed := make([][]discoveryv1.EndpointSlice, len(x.list))
	for i := range w.Slices {
		if place, known := x.places[world.ServiceOf(&w.Slices[i])]; known {
			listed[place] = append(listed[place], w.Slices[i])
		} else {
			x.strays = append(x.strays, w.Slices[i])
		}
	}
	for i := range x.list {
		x.list[i].endpoints = newEndpoints(x.list[i].service, listed[i])
	}
	x.addresses = x.address()
	return x
}

// with returns the index in which a Service and its EndpointSlices take the place of those of its name, if there are any. What does not
// depend on them is shared.
func (x index) with(object *corev1.Service, list []discoveryv1.EndpointSlice) index {
	x.list = slices.Clone(x.list)
	place, known := x.places[world.Name(object)]
	if !known {
		x.places = maps.Clone(x.places)
		x.add(object, list)
		x.addresses = x.address()
		return x
	}
	before := x.list[place].service
	s := before
	if before.Service != object {
		s = newService(object, place)
	}
	x.list[place] = slot{s, newEndpoints(s, list)}
	if s != before && !s.likewise(before) {
		x.addresses = x.address()
	}
	return x
}

func (x *index) add(object *corev1.Service, list []discoveryv1.EndpointSlice) {
	s := newService(object, len(x.list))
	x.places[s.name] = s.place
	x.list = append(x.list, slot{s, newEndpoints(s, list)})
}

// service returns the Service of a name; nil if no Service has it, or its endpoints are not known.
func (x *index) service(name string) *service {
	if place, known := x.places[name]; known {
		return x.list[place].service
	}
	return nil
}

// front returns what is served at an address and port.
func (x *index) front(at dest) (front, bool) {
	h, served := x.fronts[at]
	if !served {
		return front{}, false
	}
	return x.held(h), true
}

func (x *index) held(h held) front {
	f := front{kind: h.kind, service: x.list[h.by.service].service, port: x.port(h.by)}
	for _, other := range h.others {
		f.others = append(f.others, x.held(other))
	}
	return f
}

func (x *index) port(at portAt) *servicePort { return x.list[at.service].service.ports[at.port] }

// owner returns whose address it is, whatever the port.
func (x *index) owner(addr netip.Addr) (front, bool) {
	if h, owned := x.owners[addr]; owned {
		return front{kind: h.kind, service: x.list[h.by.service].service}, true
	}
	if s := x.clusterIPs[addr]; s != nil {
		return front{kind: frontClusterIP, service: s}, true
	}
	return front{}, false
}

// nodePort returns the port of a Service that has a node port; nil without one.
func (x *index) nodePort(key nodePortKey) *servicePort {
	if at, served := x.nodePorts[key]; served {
		return x.port(at)
	}
	return nil
}

// address enters the addresses and node ports of all Services.
func (x *index) address() *addresses {
	n := len(x.list) // worlds are made by the ten thousand: maps that grow take most of the time
	a := &addresses{fronts: make(map[dest]held, 2*n), owners: make(map[netip.Addr]held, 2*n), left: map[netip.Addr]int{}, nodePorts: make(map[nodePortKey]portAt, n), health: map[uint16]int{}}
	for place := range x.list {
		s := x.list[place].service
		if !s.proxied && s.Spec.Type != corev1.ServiceTypeExternalName {
			for _, addr := range s.clusterIPs {
				a.left[addr] = place
			}
		}
		if !s.proxied {
			continue
		}
		if port := world.HealthCheckPort(s.Service); port != 0 {
			a.health[port] = place
		}
		for _, addr := range s.clusterIPs {
			a.owners[addr] = held{kind: frontClusterIP, by: portAt{service: place}}
		}
		for _, at := range s.fronts {
			a.enter(at.dest, held{kind: at.kind, by: portAt{place, at.port}})
		}
		for i, sp := range s.ports {
			if sp.port.NodePort != 0 {
				a.nodePorts[nodePortKey{sp.family, uint16(sp.port.NodePort), sp.protocol()}] = portAt{place, i}
			}
		}
	}
	return a
}

// enter notes that a port is served at an address. An address that several Services share has several owners. Of
// those that are alike the first one is kept, which only matters to the wording of a reason; but a load balancer
// counts before an external IP, for it brings packets to a node, whichever Service they are for.
func (a *addresses) enter(at dest, h held) {
	switch first, served := a.fronts[at]; {
	case !served || first.kind == frontLBProxy || first.by.service == h.by.service && h.kind != frontLBProxy:
		h.others = first.others
		a.fronts[at] = h
	case h.kind != frontLBProxy: // for an address with ipMode Proxy kube-proxy has no rule
		first.others = append(slices.DeleteFunc(first.others, func(o held) bool { return o.by.service == h.by.service }), h)
		a.fronts[at] = first
	}
	if owner, owned := a.owners[at.addr]; !owned || owner.kind == frontExternalIP && h.kind != frontExternalIP {
		a.owners[at.addr] = held{kind: h.kind, by: h.by}
	}
}

func (sp *servicePort) protocol() reach.Protocol { return protocolOf(sp.port.Protocol) }

// accessible says whether the port has any address meant for clients outside in its IP family, as ExternallyAccessible of
// pkg/proxy/serviceport.go of k8s.io/kubernetes.
func (sp *servicePort) accessible() bool {
	own := func(addr netip.Addr) bool { return world.FamilyOf(addr) == sp.family }
	return sp.port.NodePort != 0 || slices.ContainsFunc(world.ExternalIPs(sp.service.Service), own) ||
		slices.ContainsFunc(world.Ingresses(sp.service.Service), func(i world.Ingress) bool { return !i.Proxy && own(i.Addr) })
}

// sticky says whether the Service keeps each client with one endpoint.
func (sp *servicePort) sticky() bool {
	return sp.service.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
}

func protocolOf(p corev1.Protocol) reach.Protocol {
	if p == "" {
		return reach.TCP
	}
	return reach.Protocol(p)
}
