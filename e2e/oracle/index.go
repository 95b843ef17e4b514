package oracle

import (
	"net/netip"
	"slices"
	"sync"

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
	services  map[string]*service
	others    map[string]*service   // those of namespaces whose endpoints are not known
	fronts    map[dest]front        // what is served at an address, by port
	owners    map[netip.Addr]front  // whose address it is, whatever the port
	left      map[netip.Addr]string // the ClusterIPs of Services that kube-proxy leaves to another proxy, by name
	nodePorts map[nodePortKey]*servicePort
	elsewhere map[dest]string        // the same of Services whose endpoints are not known, by name
	foreign   map[nodePortKey]string // and of their node ports
	health    map[uint16]*service    // by health-check node port
	nodes     map[string]*node
	byAddr    map[netip.Addr]*node
	nodeList  []*node // in the world's order
	pods      map[string]*corev1.Pod
	podByAddr map[netip.Addr]*corev1.Pod
	hostPods  map[string][]*corev1.Pod // host-network pods by node
	externals map[netip.Addr]*world.External
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

// service is a Service with its name ("namespace/name") and its EndpointSlices by family.
type service struct {
	*corev1.Service
	name   string
	slices map[corev1.IPFamily][]discoveryv1.EndpointSlice
}

// servicePort is one port of a Service in one IP family: what kube-proxy has its rules for.
type servicePort struct {
	service *service
	port    corev1.ServicePort
	family  corev1.IPFamily

	once     sync.Once
	backends []backend
}

func newIndex(w world.World) index {
	n := len(w.Services) // worlds are made by the ten thousand: maps that grow take most of the time
	x := index{
		services: make(map[string]*service, n), others: map[string]*service{}, fronts: make(map[dest]front, 2*n), owners: make(map[netip.Addr]front, 2*n), left: map[netip.Addr]string{},
		nodePorts: make(map[nodePortKey]*servicePort, n), elsewhere: map[dest]string{}, foreign: map[nodePortKey]string{},
		health: map[uint16]*service{}, nodes: map[string]*node{}, byAddr: map[netip.Addr]*node{},
		pods: map[string]*corev1.Pod{}, podByAddr: map[netip.Addr]*corev1.Pod{},
		hostPods: map[string][]*corev1.Pod{}, externals: map[netip.Addr]*world.External{},
	}
	for i := range w.Nodes {
		n := newNode(&w.Nodes[i], w.Facts)
		x.nodes[n.name] = n
		x.nodeList = append(x.nodeList, n)
		for _, addr := range n.addrs {
			x.byAddr[addr] = n
		}
	}
	x.addPods(w.Pods)
	for i := range w.Facts.Externals {
		for _, addr := range w.Facts.Externals[i].Addrs {
			x.externals[addr] = &w.Facts.Externals[i]
		}
	}
	for i := range w.Services {
		s := &w.Services[i]
		x.services[world.Name(s)] = &service{Service: s, name: world.Name(s), slices: map[corev1.IPFamily][]discoveryv1.EndpointSlice{}}
	}
	for i := range w.Slices {
		s := x.services[world.ServiceOf(&w.Slices[i])]
		if s == nil {
			continue
		}
		// kube-proxy does not see slices with this label, which Kubernetes gives to those of headless Services
		if _, hidden := w.Slices[i].Labels[corev1.IsHeadlessService]; !hidden || !world.Proxied(s.Service) {
			family := corev1.IPFamily(w.Slices[i].AddressType)
			s.slices[family] = append(s.slices[family], w.Slices[i])
		}
	}
	for i := range w.Services {
		switch s := x.services[world.Name(&w.Services[i])]; {
		case world.Proxied(s.Service):
			x.addService(s)
		case s.Spec.Type != corev1.ServiceTypeExternalName:
			for _, addr := range world.ClusterIPs(s.Service) {
				x.left[addr] = s.name
			}
		}
	}
	for i := range w.Elsewhere {
		x.addElsewhere(&w.Elsewhere[i])
	}
	return x
}

func (x *index) addPods(pods []corev1.Pod) {
	for i := range pods {
		pod := &pods[i]
		x.pods[world.Name(pod)] = pod
		switch {
		case world.Ended(pod):
		case pod.Spec.HostNetwork:
			x.hostPods[pod.Spec.NodeName] = append(x.hostPods[pod.Spec.NodeName], pod)
		default:
			for _, addr := range world.PodAddrs(pod) {
				if held := x.podByAddr[addr]; held == nil || held.DeletionTimestamp != nil {
					x.podByAddr[addr] = pod
				}
			}
		}
	}
}

// addService enters what kube-proxy serves for a Service: everything by family, and only in the families of
// its ClusterIPs.
func (x *index) addService(s *service) {
	if port := world.HealthCheckPort(s.Service); port != 0 {
		x.health[port] = s
	}
	for _, clusterIP := range world.ClusterIPs(s.Service) {
		family := world.FamilyOf(clusterIP)
		x.owners[clusterIP] = front{kind: frontClusterIP, service: s}
		for _, p := range s.Spec.Ports {
			sp := &servicePort{service: s, port: p, family: family}
			x.enter(clusterIP, frontClusterIP, sp)
			for _, addr := range world.ExternalIPs(s.Service) {
				if world.FamilyOf(addr) == family {
					x.enter(addr, frontExternalIP, sp)
				}
			}
			for _, ingress := range world.Ingresses(s.Service) {
				if world.FamilyOf(ingress.Addr) != family {
					continue
				}
				kind := frontLB
				if ingress.Proxy {
					kind = frontLBProxy
				}
				x.enter(ingress.Addr, kind, sp)
			}
			if p.NodePort != 0 {
				x.nodePorts[nodePortKey{family, uint16(p.NodePort), sp.protocol()}] = sp
			}
		}
	}
}

// enter notes that a port is served at an address. An address that several Services share has several owners. Of
// those that are alike the first one is kept, which only matters to the wording of a reason; but a load balancer
// counts before an external IP, for it brings packets to a node, whichever Service they are for.
func (x *index) enter(addr netip.Addr, kind frontKind, sp *servicePort) {
	key := dest{addr, uint16(sp.port.Port), sp.protocol()}
	f := front{kind: kind, service: sp.service, port: sp}
	switch held, served := x.fronts[key]; {
	case !served || held.kind == frontLBProxy || held.service == sp.service && kind != frontLBProxy:
		f.others = held.others
		x.fronts[key] = f
	case kind != frontLBProxy: // for an address with ipMode Proxy kube-proxy has no rule
		held.others = append(slices.DeleteFunc(held.others, func(o front) bool { return o.service == sp.service }), f)
		x.fronts[key] = held
	}
	if owner, owned := x.owners[addr]; !owned || owner.kind == frontExternalIP && kind != frontExternalIP {
		x.owners[addr] = front{kind: kind, service: sp.service}
	}
}

func (x *index) addElsewhere(s *corev1.Service) {
	x.others[world.Name(s)] = &service{Service: s, name: world.Name(s)}
	if !world.Proxied(s) {
		return
	}
	addrs := slices.Concat(world.ClusterIPs(s), world.ExternalIPs(s), world.BalancerAddrs(s))
	for _, p := range s.Spec.Ports {
		for _, addr := range addrs {
			x.elsewhere[dest{addr, uint16(p.Port), protocolOf(p.Protocol)}] = world.Name(s)
		}
		for _, clusterIP := range world.ClusterIPs(s) {
			if p.NodePort != 0 {
				x.foreign[nodePortKey{world.FamilyOf(clusterIP), uint16(p.NodePort), protocolOf(p.Protocol)}] = world.Name(s)
			}
		}
	}
	for _, clusterIP := range world.ClusterIPs(s) {
		if _, owned := x.owners[clusterIP]; !owned {
			x.owners[clusterIP] = front{kind: frontClusterIP, service: x.others[world.Name(s)]}
		}
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
