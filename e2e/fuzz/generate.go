package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// lbEvery spreads LoadBalancer Services: at most one in so many, since the pool of addresses is small.
const lbEvery = 8

// podStream is the second half of the seed from which pods come; the i-th Service's is i.
const podStream = 1 << 32

// Generate returns the plan of a seed: count Services over a dozen pods. The i-th Service depends on the seed, the scene
// and i alone, not on count.
func Generate(seed uint64, scene Scene, count int) Plan {
	plan := Plan{Seed: seed, Pods: randomPods(rand.New(rand.NewPCG(seed, podStream)), scene)}
	for i := range count {
		g := generator{Rand: rand.New(rand.NewPCG(seed, uint64(i))), scene: scene, pods: plan.Pods, index: i}
		plan.Cases = append(plan.Cases, g.service())
	}
	return plan
}

// generator makes one Service.
type generator struct {
	*rand.Rand
	scene Scene
	pods  []corev1.Pod
	index int
}

// chance is true in n of 100 cases.
func (g generator) chance(n int) bool { return g.IntN(100) < n }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func serviceName(i int) string { return fmt.Sprintf("s%03d", i) }

// Limits of what the API admits, which the generator goes to now and then.
const (
	// longestName is how long a Service's name may be, and longestPortName a port's.
	longestName, longestPortName = 63, 15
	// MaxPorts is how many ports a generated Service has at most.
	MaxPorts = 120
	// limitEvery is how many Services there are to one with a limit reached, of each kind of limit.
	limitEvery = 12
)

// long is a name filled up to a length.
func long(name string, length int) string {
	return name + "-" + strings.Repeat("x", length-len(name)-1)
}

// limits has the Service reach some limit of the API: the longest names, or many ports.
func (g generator) limits(c *Case) {
	spec := &c.Service.Spec
	switch g.index % limitEvery {
	case 3:
		c.Service.Name = long(c.Service.Name, longestName)
		for i := range spec.Ports {
			if spec.Ports[i].Name != "" {
				spec.Ports[i].Name = long(spec.Ports[i].Name, longestPortName)
			}
		}
	case 7:
		if spec.Type != corev1.ServiceTypeClusterIP || spec.ClusterIP == corev1.ClusterIPNone { // node ports are few
			return
		}
		if len(spec.Ports) == 1 {
			spec.Ports[0].Name = "p0"
		}
		want := 1 + g.IntN(MaxPorts)
		for n := int32(20_000); len(spec.Ports) < want; n++ {
			spec.Ports = append(spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("n%d", n), Protocol: corev1.ProtocolTCP, Port: n, TargetPort: intstr.FromInt32(tcpMain)})
		}
	}
}

// externals gives a Service addresses of externalIPs, one or two of each family that it is served in.
func (g generator) externals(spec *corev1.ServiceSpec) {
	for _, family := range g.scene.Families {
		if len(spec.IPFamilies) > 0 && !slices.Contains(spec.IPFamilies, family) || len(spec.IPFamilies) == 0 && family != g.scene.Families[0] {
			continue
		}
		for range 1 + g.IntN(2) {
			spec.ExternalIPs = append(spec.ExternalIPs, fmt.Sprintf(map[corev1.IPFamily]string{corev1.IPv4Protocol: "192.0.2.%d", corev1.IPv6Protocol: "2001:db8::%d"}[family], 10*(g.index%25)+g.IntN(10)+1))
		}
	}
	slices.Sort(spec.ExternalIPs)
	spec.ExternalIPs = slices.Compact(spec.ExternalIPs)
}

func (g generator) service() Case {
	c := Case{Service: corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: g.scene.Namespace, Name: serviceName(g.index)}}}
	spec := &c.Service.Spec
	headless := false
	switch roll := g.IntN(100); {
	case g.scene.LoadBalancer && g.index%lbEvery == 0:
		spec.Type = corev1.ServiceTypeLoadBalancer
	case roll < 42:
		spec.Type = corev1.ServiceTypeClusterIP
	case roll < 75:
		spec.Type = corev1.ServiceTypeNodePort
	case roll < 92:
		spec.Type, spec.ClusterIP, headless = corev1.ServiceTypeClusterIP, corev1.ClusterIPNone, true
	default:
		spec.Type, spec.ExternalName = corev1.ServiceTypeExternalName, g.externalName()
		return c
	}
	if !headless || !g.chance(15) { // a headless Service needs no port
		spec.Ports = g.ports(spec.Type == corev1.ServiceTypeLoadBalancer)
	}
	g.families(spec)
	if g.chance(30) && !headless { // which ignores it
		spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	if g.chance(25) {
		spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if g.chance(20) {
		spec.PublishNotReadyAddresses = true
	}
	if g.chance(15) {
		spec.TrafficDistribution = ptr(pick(g.Rand, corev1.ServiceTrafficDistributionPreferSameNode, corev1.ServiceTrafficDistributionPreferSameZone))
	}
	if !headless && g.chance(20) {
		g.externals(spec)
	}
	if (spec.Type != corev1.ServiceTypeClusterIP || len(spec.ExternalIPs) > 0) && g.chance(45) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		if g.chance(25) {
			spec.AllocateLoadBalancerNodePorts = ptr(false)
		}
		if g.chance(30) && len(g.scene.Ranges) > 0 {
			spec.LoadBalancerSourceRanges = []string{pick(g.Rand, g.scene.Ranges...).String()}
		}
	}
	g.limits(&c)
	if g.chance(18) {
		c.Manual = g.manual(spec)
	} else {
		spec.Selector = g.selector()
	}
	return c
}

// externalName is a name that exists, one that does not, or another Service's, which may itself not be there.
func (g generator) externalName() string {
	inside := fmt.Sprintf("%s.%s.svc.%s", serviceName(max(g.index-1-g.IntN(4), 0)), g.scene.Namespace, g.scene.Domain)
	if len(g.scene.Names) == 0 || g.chance(40) {
		return inside
	}
	if g.chance(30) {
		return "missing." + g.scene.Names[0]
	}
	return pick(g.Rand, g.scene.Names...)
}

// families says in which IP families a Service is served. Where the cluster has one only, it says nothing.
func (g generator) families(spec *corev1.ServiceSpec) {
	if len(g.scene.Families) < 2 {
		return
	}
	first := g.IntN(2)
	both := []corev1.IPFamily{g.scene.Families[first], g.scene.Families[1-first]}
	switch g.IntN(4) {
	case 0:
		spec.IPFamilyPolicy, spec.IPFamilies = ptr(corev1.IPFamilyPolicySingleStack), both[:1]
	case 1:
		spec.IPFamilyPolicy, spec.IPFamilies = ptr(corev1.IPFamilyPolicyPreferDualStack), both[:1]
	case 2:
		spec.IPFamilyPolicy, spec.IPFamilies = ptr(corev1.IPFamilyPolicyRequireDualStack), both
	}
}

// ports are one to three, no two with the same number and protocol.
func (g generator) ports(lb bool) []corev1.ServicePort {
	type key struct {
		number   int32
		protocol corev1.Protocol
	}
	var (
		ports []corev1.ServicePort
		taken = map[key]bool{}
	)
	for range 1 + g.IntN(3) {
		p := corev1.ServicePort{Protocol: corev1.ProtocolTCP, Port: pick(g.Rand, 80, 80, 443, 53, tcpMain, int32(7000+g.IntN(1000)))}
		if g.chance(30) && !lb || g.chance(10) {
			p.Protocol = corev1.ProtocolUDP
		}
		if taken[key{p.Port, p.Protocol}] {
			continue
		}
		taken[key{p.Port, p.Protocol}] = true
		p.Name, p.TargetPort = fmt.Sprintf("p%d", len(ports)), g.targetPort(p)
		ports = append(ports, p)
	}
	if len(ports) == 1 && g.chance(50) {
		ports[0].Name = ""
	}
	return ports
}

// targetPort is mostly one that some pods listen on, by number or by name; now and then it is left to be the port itself,
// or is a name that no pod has.
func (g generator) targetPort(p corev1.ServicePort) intstr.IntOrString {
	main, other, name, otherName := tcpMain, tcpOther, "web", "alt"
	if p.Protocol == corev1.ProtocolUDP {
		main, other, name, otherName = udpMain, udpOther, "gram", "gram"
	}
	switch roll := g.IntN(100); {
	case roll < 40:
		return intstr.FromInt32(main)
	case roll < 50:
		return intstr.FromInt32(other)
	case roll < 80:
		return intstr.FromString(name)
	case roll < 88:
		return intstr.FromString(otherName)
	case roll < 94:
		return intstr.FromString("nowhere")
	default:
		return intstr.FromInt32(p.Port)
	}
}

// selector mostly selects some pods, sometimes all and sometimes none.
func (g generator) selector() map[string]string {
	switch roll := g.IntN(100); {
	case roll < 12:
		return map[string]string{appLabel: appName}
	case roll < 22:
		return map[string]string{"color": "none"}
	case roll < 55:
		return map[string]string{"color": pick(g.Rand, colors()...)}
	case roll < 80:
		return map[string]string{"size": pick(g.Rand, sizes()...)}
	default:
		return map[string]string{"color": pick(g.Rand, colors()...), "size": pick(g.Rand, sizes()...)}
	}
}

// manual are endpoints in states that no controller leaves: not ready but serving, terminating but serving, without node,
// with hints.
func (g generator) manual(spec *corev1.ServiceSpec) *Manual {
	m := &Manual{Room: g.scene.Room}
	if g.chance(12) {
		return m // a Service without endpoints
	}
	for _, p := range spec.Ports {
		if len(spec.Ports) > 1 && g.chance(15) {
			continue
		}
		number := tcpMain
		if p.Protocol == corev1.ProtocolUDP {
			number = udpMain
		}
		if p.TargetPort.IntVal != 0 {
			number = p.TargetPort.IntVal
		}
		m.Ports = append(m.Ports, discoveryv1.EndpointPort{Name: ptr(p.Name), Port: ptr(number), Protocol: ptr(p.Protocol)})
	}
	m.Parts, m.Overlap = g.IntN(4)%3, g.chance(20)
	if g.chance(15) {
		g.crowd(m)
	}
	hinted := g.chance(25)
	for _, i := range g.Perm(len(g.pods))[:1+g.IntN(4)] {
		e := ManualEndpoint{Pod: g.pods[i].Name, Referred: g.chance(60), Placed: g.chance(75)}
		switch g.IntN(6) {
		case 0:
			e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
		case 1:
			e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(g.chance(50))}
		case 2, 3:
			e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(true)}
		}
		if hinted && g.chance(85) {
			e.ForNodes = []string{pick(g.Rand, g.scene.Nodes...)}
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}

// crowd gives a Service many endpoints, ready or not, often as many as it may have.
func (g generator) crowd(m *Manual) {
	room := MaxEndpoints - podCount // the others are Endpoints
	some := func() int {
		if g.chance(40) {
			return room
		}
		return 1 + g.IntN(room)
	}
	if g.chance(60) {
		m.Many = some()
		room -= m.Many
	}
	if room > 0 && (m.Many == 0 || g.chance(50)) {
		m.Waiting, m.Size = some(), pick(g.Rand, controllerSlice, apiSlice)
	}
}
