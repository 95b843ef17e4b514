package fuzz

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/world"
)

// StandIns are Services of another cluster in a form in which the lab's cluster can have them: with the same types, ports, policies
// and endpoints in the same states, but with addresses of the lab's own and backends of svclab's. Nothing else of the other cluster
// is in them.
type StandIns struct {
	// Notes say what was left out or differs, one a line.
	Notes    []string
	services []standIn
}

// standIn is one Service, and the endpoints of its slices.
type standIn struct {
	service   corev1.Service
	ports     []discoveryv1.EndpointPort
	endpoints []placed
}

// placed is an endpoint and the number of the node, of those that take pods, on which its stand-in runs.
type placed struct {
	node     int
	endpoint ManualEndpoint
}

// How many Services are applied at most, of them of each cause of changes, and with an address of the load balancer's pool.
const (
	mostStandIns, mostOfCause, mostBalanced = 24, 4, 5
	// podsOnNode is how many stand-ins run on each node.
	podsOnNode = 2
)

// NewStandIns chooses Services of a world, those first that a switch of the mode changes by a report, some of each cause. families are
// those of the lab's cluster.
func NewStandIns(w world.World, report migrate.Report, families []corev1.IPFamily) StandIns {
	var (
		list     StandIns
		chosen   []string
		balanced = 0
		other    = map[string]int{}
	)
	note := func(n int, why string) {
		if n > 0 {
			list.Notes = append(list.Notes, fmt.Sprintf("%s left out: %s", counted(n, "Service"), why))
		}
	}
	take := func(name string) {
		s, found := w.Service(name)
		switch {
		case !found || slices.Contains(chosen, name):
		case !world.Proxied(&s):
			other["kube-proxy does not serve them (ExternalName, headless, or left to another proxy)"]++
			chosen = append(chosen, name)
		case !slices.ContainsFunc(world.Families(&s), func(f corev1.IPFamily) bool { return slices.Contains(families, f) }):
			other["the lab's cluster has no addresses of their IP family; SVCLAB_FAMILY=dual gives it both"]++
			chosen = append(chosen, name)
		case s.Spec.Type == corev1.ServiceTypeLoadBalancer && balanced >= mostBalanced:
			other["the lab's load balancer has few addresses"]++
			chosen = append(chosen, name)
		case len(list.services) >= mostStandIns:
			other[fmt.Sprintf("at most %d are applied, some of each cause of changes and of each type", mostStandIns)]++
			chosen = append(chosen, name)
		default:
			if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
				balanced++
			}
			chosen = append(chosen, name)
			list.services = append(list.services, standInOf(w, &s, families))
		}
	}
	for _, g := range report.Groups {
		if g.Declared {
			for _, name := range g.Services[:min(len(g.Services), mostOfCause)] {
				take(name)
			}
		}
	}
	// the others by their types in turn
	byType := map[string][]string{}
	for i := range w.Services {
		s := &w.Services[i]
		kind := fmt.Sprint(s.Spec.Type, s.Spec.SessionAffinity, s.Spec.ExternalTrafficPolicy, world.InternalLocal(s))
		byType[kind] = append(byType[kind], world.Name(s))
	}
	kinds := make([]string, 0, len(byType))
	for kind := range byType {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for i := 0; len(kinds) > 0; i++ {
		kinds = slices.DeleteFunc(kinds, func(kind string) bool { return i >= len(byType[kind]) })
		for _, kind := range kinds {
			take(byType[kind][i])
		}
	}
	whys := make([]string, 0, len(other))
	for why := range other {
		whys = append(whys, why)
	}
	slices.Sort(whys)
	for _, why := range whys {
		note(other[why], why)
	}
	list.rename()
	return list
}

// rename gives the Services names that are unique in one namespace: "shop-web" of shop/web; and node ports that no two have.
func (l *StandIns) rename() {
	used, ports := map[string]bool{}, map[string]bool{}
	for i := range l.services {
		s := &l.services[i].service
		name := s.Namespace + "-" + s.Name
		if name[0] >= '0' && name[0] <= '9' {
			name = "n" + name
		}
		if len(name) > longestName {
			name = strings.TrimRight(name[:longestName-3], "-")
		}
		for k, base := 2, name; used[name]; k++ {
			name = fmt.Sprintf("%s-%d", strings.TrimRight(base[:min(len(base), longestName-3)], "-"), k)
		}
		used[name], s.Name = true, name
		for k := range s.Spec.Ports {
			key := fmt.Sprint(s.Spec.Ports[k].NodePort, s.Spec.Ports[k].Protocol)
			if ports[key] {
				s.Spec.Ports[k].NodePort = 0
			}
			ports[key] = true
		}
	}
}

// standInOf is a Service without what belongs to its own cluster.
func standInOf(w world.World, s *corev1.Service, families []corev1.IPFamily) standIn {
	var made standIn
	made.service.Namespace, made.service.Name = s.Namespace, s.Name
	spec := &made.service.Spec
	spec.Type, spec.SessionAffinity, spec.SessionAffinityConfig = s.Spec.Type, s.Spec.SessionAffinity, s.Spec.SessionAffinityConfig.DeepCopy()
	spec.ExternalTrafficPolicy, spec.InternalTrafficPolicy = s.Spec.ExternalTrafficPolicy, s.Spec.InternalTrafficPolicy
	spec.PublishNotReadyAddresses, spec.LoadBalancerSourceRanges = s.Spec.PublishNotReadyAddresses, slices.Clone(s.Spec.LoadBalancerSourceRanges)
	spec.AllocateLoadBalancerNodePorts = s.Spec.AllocateLoadBalancerNodePorts
	numbers := map[string]int32{} // of the stand-ins, by the number in the slices
	for _, p := range s.Spec.Ports {
		spec.Ports = append(spec.Ports, corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: p.Protocol, NodePort: p.NodePort, TargetPort: intstr.FromInt32(tcpMain)})
	}
	if len(world.Families(s)) > 1 && len(families) > 1 {
		policy := corev1.IPFamilyPolicyRequireDualStack
		spec.IPFamilyPolicy, spec.IPFamilies = &policy, slices.Clone(s.Spec.IPFamilies)
	} else if len(families) > 1 {
		policy := corev1.IPFamilyPolicySingleStack
		spec.IPFamilyPolicy, spec.IPFamilies = &policy, slices.Clone(s.Spec.IPFamilies)[:min(1, len(s.Spec.IPFamilies))]
	}
	for i, addr := range world.ExternalIPs(s) { // of the ranges for documentation, by which no packet leaves the machine
		if addr.Is4() && i < 2 {
			spec.ExternalIPs = append(spec.ExternalIPs, fmt.Sprintf("192.0.2.%d", 1+hashed(s.Namespace+"/"+s.Name+addr.String())%250))
		}
	}
	name := world.Name(s)
	family := families[0]
	if own := world.Families(s); len(own) > 0 && slices.Contains(families, own[0]) {
		family = own[0]
	}
	seen := map[string]bool{}
	onNode := map[int]int{}
	for _, slice := range w.SlicesOf(name, family) {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Protocol != nil && *p.Protocol == corev1.ProtocolSCTP {
				continue
			}
			protocol := corev1.ProtocolTCP
			if p.Protocol != nil {
				protocol = *p.Protocol
			}
			key := fmt.Sprint(protocol, *p.Port)
			if numbers[key] == 0 {
				if numbers[key] = firstMore + int32(len(numbers)%morePorts); protocol == corev1.ProtocolUDP {
					numbers[key] = udpMain
				}
			}
			portName := ""
			if p.Name != nil {
				portName = *p.Name
			}
			if !seen[portName+string(protocol)] {
				seen[portName+string(protocol)] = true
				made.ports = append(made.ports, discoveryv1.EndpointPort{Name: ptr(portName), Port: ptr(numbers[key]), Protocol: ptr(protocol)})
			}
		}
		for _, e := range slice.Endpoints {
			node := 0
			if e.NodeName != nil {
				node = slices.IndexFunc(w.Nodes, func(n corev1.Node) bool { return n.Name == *e.NodeName })
			}
			node = max(node, 0)
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if onNode[node] >= podsOnNode*2 || !ready && len(made.endpoints) >= 8 {
				continue
			}
			onNode[node]++
			one := placed{node: node, endpoint: ManualEndpoint{Referred: e.TargetRef != nil, Placed: e.NodeName != nil, Conditions: *e.Conditions.DeepCopy()}}
			made.endpoints = append(made.endpoints, one)
		}
	}
	slices.SortStableFunc(made.ports, func(a, b discoveryv1.EndpointPort) int { return cmp.Compare(*a.Name, *b.Name) })
	return made
}

// hashed is a number that a text always gives.
func hashed(text string) int {
	sum := 0
	for _, b := range []byte(text) {
		sum = (sum*31 + int(b)) % 1_000_003
	}
	return sum
}

// standInPods are the backends: some on each node, which listen on all ports.
func standInPods(scene Scene) []corev1.Pod {
	var pods []corev1.Pod
	for i := range podsOnNode {
		for n, node := range scene.Nodes {
			b := backend{name: standInName(n, i), node: node, tcp: tcpMain, tcpName: "web", udp: udpMain, labels: map[string]string{appLabel: appName}}
			pods = append(pods, b.pod(scene.Namespace))
		}
	}
	return pods
}

func standInName(node, i int) string { return fmt.Sprintf("stand-in-%d%c", node, 'a'+rune(i)) }

// in are the Services as cases of a namespace, whose endpoints are on so many nodes: those of one node stay together.
func (l StandIns) in(scene Scene) []Case {
	var cases []Case
	for _, one := range l.services {
		c := Case{Service: *one.service.DeepCopy(), Manual: &Manual{Ports: slices.Clone(one.ports)}}
		c.Service.Namespace = scene.Namespace
		used := map[int]int{}
		for _, e := range one.endpoints {
			node := e.node % len(scene.Nodes)
			if used[node] >= podsOnNode {
				continue
			}
			m := e.endpoint
			m.Pod = standInName(node, used[node])
			used[node]++
			c.Manual.Endpoints = append(c.Manual.Endpoints, m)
		}
		cases = append(cases, c)
	}
	return cases
}
