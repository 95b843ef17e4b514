package world

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
)

// Targets are all that can be probed of a Service ("namespace/name"), sorted, the same for the same world:
// every address with every port and protocol declared there, its endpoints, one port no Service declares on
// each ClusterIP, and on each node one unallocated node port. Nil for a Service that is not there.
//
// A Localhost target is there once; every node probes its own (see Applicable). A Service whose load
// balancer gave it no address has no LoadBalancer target.
func (w World) Targets(service string) []reach.Target {
	return w.TargetsWith(service, FormFull)
}

// TargetsWith is Targets with the Service's DNS name in all of the given forms instead of the full one only.
func (w World) TargetsWith(service string, forms ...NameForm) []reach.Target {
	ports, nodePorts := w.usedPorts()
	return w.targets(service, forms, ports, nodePorts)
}

func (w World) targets(service string, forms []NameForm, ports, nodePorts map[uint16]bool) []reach.Target {
	s, ok := w.Service(service)
	if !ok {
		return nil
	}
	t := &targeting{w: w, service: &s, name: service, ports: ports, nodePorts: nodePorts}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		t.external(forms)
	case Headless(&s):
		t.headless(forms)
	default:
		t.virtual(forms)
	}
	t.endpoints()
	return t.sorted()
}

// Targeter lists the targets of many Services of one world. What they share, it works out once.
type Targeter struct {
	w                World
	ports, nodePorts map[uint16]bool
	services         map[string]int // in w.Services
	slices           map[string][]discoveryv1.EndpointSlice
}

// Targeter returns a Targeter of w, which must not change afterwards.
func (w World) Targeter() *Targeter {
	t := &Targeter{w: w, services: map[string]int{}, slices: map[string][]discoveryv1.EndpointSlice{}}
	t.ports, t.nodePorts = w.usedPorts()
	for i := range w.Services {
		t.services[Name(&w.Services[i])] = i
	}
	for i := range w.Slices {
		of := ServiceOf(&w.Slices[i])
		t.slices[of] = append(t.slices[of], w.Slices[i])
	}
	return t
}

// SlicesOf returns the EndpointSlices of a Service.
func (t *Targeter) SlicesOf(service string) []discoveryv1.EndpointSlice { return t.slices[service] }

// Everywhere returns World.Targets of a Service at the nodes given, and what may answer there in one proxy mode and not in another
// though the Service promises nothing: its node ports at the nodes' further addresses, and at its load-balancer and external
// addresses a port that no Service declares.
func (t *Targeter) Everywhere(service string, nodes ...corev1.Node) []reach.Target {
	i, ok := t.services[service]
	if !ok {
		return nil
	}
	part := t.w
	part.Services, part.Slices, part.Nodes = t.w.Services[i:i+1], t.slices[service], nodes
	list := part.targets(service, []NameForm{FormFull}, t.ports, t.nodePorts)
	for _, target := range list {
		switch target.Kind {
		case reach.LoadBalancer, reach.ExternalIP:
			if port, found := unused(target.Port, t.ports); found {
				target.Port, target.Undeclared = port, true
				list = append(list, target)
			}
		case reach.NodePort, reach.HealthCheck:
			node := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == target.Node })
			for _, addr := range NodeAddrs(&nodes[node]) {
				if addr.String() != target.Host && !target.Undeclared {
					second := target
					second.Host = addr.String()
					list = append(list, second)
				}
			}
		}
	}
	slices.SortStableFunc(list, compareTargets)
	return slices.Compact(list)
}

// Unallocated returns, for each range that ClusterIPs come from, an address that no Service has.
func (t *Targeter) Unallocated() []reach.Target {
	used := map[netip.Addr]bool{}
	for _, services := range [][]corev1.Service{t.w.Services, t.w.Elsewhere} {
		for i := range services {
			for _, addr := range ClusterIPs(&services[i]) {
				used[addr] = true
			}
		}
	}
	var list []reach.Target
	for _, prefix := range t.w.Facts.ServiceCIDRs {
		addr := prefix.Masked().Addr().Next()
		for used[addr] {
			addr = addr.Next()
		}
		if prefix.Contains(addr) {
			list = append(list, reach.Target{Kind: reach.ClusterIP, Host: addr.String(), Port: 80, Protocol: reach.TCP, Undeclared: true})
		}
	}
	return list
}

// Applicable reports whether a target can be probed from a vantage at all: a node's loopback only by a node.
func Applicable(v reach.Vantage, t reach.Target) bool {
	return t.Kind != reach.Localhost || v.Kind == reach.Node
}

// targeting gathers the targets of one Service.
type targeting struct {
	w                World
	service          *corev1.Service
	name             string
	ports, nodePorts map[uint16]bool // in use anywhere
	list             []reach.Target
}

func (t *targeting) add(target reach.Target) {
	target.Service = t.name
	t.list = append(t.list, target)
}

// virtual adds the targets of a Service that kube-proxy handles.
func (t *targeting) virtual(forms []NameForm) {
	spec := t.service.Spec
	for _, addr := range ClusterIPs(t.service) {
		for _, port := range spec.Ports {
			t.address(reach.ClusterIP, addr, uint16(port.Port), port.Protocol)
		}
		if len(spec.Ports) > 0 {
			highest := slices.MaxFunc(spec.Ports, func(a, b corev1.ServicePort) int { return cmp.Compare(a.Port, b.Port) })
			if port, found := unused(uint16(highest.Port), t.ports); found {
				t.add(reach.Target{Kind: reach.ClusterIP, Host: addr.String(), Port: port, Protocol: protocol(highest.Protocol), Undeclared: true})
			}
		}
	}
	for _, port := range spec.Ports {
		for _, form := range forms {
			t.names(form, reach.Target{Port: uint16(port.Port), Protocol: protocol(port.Protocol)})
		}
		for _, addr := range ExternalIPs(t.service) {
			t.address(reach.ExternalIP, addr, uint16(port.Port), port.Protocol)
		}
		for _, ingress := range Ingresses(t.service) {
			t.address(reach.LoadBalancer, ingress.Addr, uint16(port.Port), port.Protocol)
		}
	}
	t.atNodes()
}

// names adds a Service's names in a form: each once or, where the Service has both IP families, once in each.
func (t *targeting) names(form NameForm, target reach.Target) {
	families := []int{0}
	if len(Families(t.service)) > 1 {
		families = []int{4, 6}
	}
	target.Kind = reach.DNSName
	for _, target.Host = range t.w.Names(t.service, form) {
		for _, target.Family = range families {
			t.add(target)
		}
	}
}

func (t *targeting) address(kind reach.TargetKind, addr netip.Addr, port uint16, p corev1.Protocol) {
	t.add(reach.Target{Kind: kind, Host: addr.String(), Port: port, Protocol: protocol(p)})
}

// atNodes adds node ports, the free one next to them, the loopback and the health-check node port.
func (t *targeting) atNodes() {
	var declared []corev1.ServicePort
	for _, port := range t.service.Spec.Ports {
		if port.NodePort != 0 {
			declared = append(declared, port)
		}
	}
	health := HealthCheckPort(t.service)
	for _, family := range Families(t.service) {
		for i := range t.w.Nodes {
			node := &t.w.Nodes[i]
			addr, ok := PrimaryAddr(node, family)
			if !ok {
				continue
			}
			at := reach.Target{Kind: reach.NodePort, Host: addr.String(), Node: node.Name, Slot: t.w.Slot(node.Name)}
			for _, port := range declared {
				at.Port, at.Protocol = uint16(port.NodePort), protocol(port.Protocol)
				t.add(at)
			}
			if len(declared) > 0 {
				if port, found := unused(uint16(declared[0].NodePort), t.nodePorts); found {
					free := at
					free.Port, free.Protocol, free.Undeclared = port, protocol(declared[0].Protocol), true
					t.add(free)
				}
			}
			if health != 0 {
				at.Kind, at.Port, at.Protocol = reach.HealthCheck, health, reach.TCP
				t.add(at)
			}
		}
		loopback := "127.0.0.1"
		if family == corev1.IPv6Protocol {
			loopback = "::1"
		}
		for _, port := range declared {
			t.add(reach.Target{Kind: reach.Localhost, Host: loopback, Port: uint16(port.NodePort), Protocol: protocol(port.Protocol)})
		}
	}
}

// headless adds the names of a Service without an address: they lead to its pods, so the ports that answer
// are the pods' own. The Service's port is a target too where no pod has it: undeclared, as nothing maps it.
func (t *targeting) headless(forms []NameForm) {
	for _, port := range t.service.Spec.Ports {
		numbers := map[uint16]bool{}
		for _, family := range Families(t.service) {
			for _, e := range Endpoints(t.w.SlicesOf(t.name, family), port.Name, port.Protocol) {
				numbers[e.Port] = true
			}
		}
		if number := uint16(port.TargetPort.IntVal); len(numbers) == 0 && number != 0 {
			numbers[number] = true
		}
		unmapped := !numbers[uint16(port.Port)]
		numbers[uint16(port.Port)] = true
		for number := range numbers {
			for _, form := range forms {
				t.names(form, reach.Target{Port: number, Protocol: protocol(port.Protocol), Undeclared: unmapped && number == uint16(port.Port)})
			}
		}
	}
}

// external adds the names of an ExternalName Service, with the ports it declares or, as it needs none, 80.
func (t *targeting) external(forms []NameForm) {
	ports := t.service.Spec.Ports
	if len(ports) == 0 {
		ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	}
	for _, port := range ports {
		for _, form := range forms {
			for _, name := range t.w.Names(t.service, form) {
				t.add(reach.Target{Kind: reach.ExternalName, Host: name, Port: uint16(port.Port), Protocol: protocol(port.Protocol)})
			}
		}
	}
}

// endpoints adds the ready endpoints' own addresses.
func (t *targeting) endpoints() {
	for _, family := range Families(t.service) {
		list := t.w.SlicesOf(t.name, family)
		for _, port := range t.service.Spec.Ports {
			for _, e := range Endpoints(list, port.Name, port.Protocol) {
				if e.Ready {
					target := reach.Target{Kind: reach.Endpoint, Host: e.Addr.String(), Port: e.Port, Protocol: protocol(port.Protocol), Pod: e.Pod}
					if e.Node != "" {
						target.Node, target.Slot = e.Node, t.w.Slot(e.Node)
					}
					t.add(target)
				}
			}
		}
	}
}

// sorted returns the targets in order, each once.
func (t *targeting) sorted() []reach.Target {
	slices.SortFunc(t.list, compareTargets)
	return slices.Compact(t.list)
}

func compareTargets(a, b reach.Target) int {
	return cmp.Or(
		cmp.Compare(rank(a.Kind), rank(b.Kind)),
		cmp.Compare(max(a.IPFamily(), 4), max(b.IPFamily(), 4)),
		compareSlots(a.Slot, b.Slot),
		cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(len(a.Host), len(b.Host)),
		cmp.Compare(a.Host, b.Host),
		cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Protocol, b.Protocol),
	)
}

// rank is the order in which a table shows the kinds: from the inside of the cluster outwards.
func rank(kind reach.TargetKind) int {
	order := []reach.TargetKind{reach.ClusterIP, reach.DNSName, reach.NodePort, reach.Localhost, reach.LoadBalancer,
		reach.ExternalIP, reach.HealthCheck, reach.ExternalName, reach.Endpoint}
	return slices.Index(order, kind)
}

// unused is the first number above port that is not in use.
func unused(port uint16, used map[uint16]bool) (uint16, bool) {
	for n := int(port) + 1; n <= math.MaxUint16; n++ {
		if !used[uint16(n)] {
			return uint16(n), true
		}
	}
	return 0, false
}

func protocol(p corev1.Protocol) reach.Protocol { return reach.Protocol(protocolOf(p)) }
