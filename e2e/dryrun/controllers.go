package dryrun

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/world"
)

// reconcile brings the model to the state in which a cluster has settled: what the API server's defaults, the workload
// controllers, the kubelets, MetalLB and the EndpointSlice controller make of the objects.
func (m *model) reconcile() error {
	for _, d := range all[*appsv1.Deployment](m) {
		m.workload("Deployment", d.Name, d.Spec.Replicas, d.Spec.Template, true)
	}
	for _, s := range all[*appsv1.StatefulSet](m) {
		m.workload("StatefulSet", s.Name, s.Spec.Replicas, s.Spec.Template, false)
	}
	for _, pod := range all[*corev1.Pod](m) {
		if err := m.kubelet(pod); err != nil {
			return err
		}
	}
	for _, s := range all[*corev1.Service](m) {
		if err := m.service(s); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	for _, s := range all[*corev1.Service](m) { // after all have their ports: two may share an address
		m.loadBalancer(s)
	}
	for _, s := range all[*corev1.Service](m) {
		m.endpointSlices(s)
	}
	for _, e := range all[*corev1.Endpoints](m) { //nolint:staticcheck // deprecated, and mirrored all the same
		m.mirror(e)
	}
	return nil
}

// workload makes or removes pods of a template until there are as many as the workload wants. Terminating pods do not count.
func (m *model) workload(kind, name string, replicas *int32, template corev1.PodTemplateSpec, random bool) {
	key := kindOf(kind) + "/" + name
	var pods []*corev1.Pod
	for _, pod := range all[*corev1.Pod](m) {
		if ownedBy(pod, key, name) && pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	want := 1
	if replicas != nil {
		want = int(*replicas)
	}
	for len(pods) > want {
		last := pods[len(pods)-1]
		m.remove("pod/" + last.Name)
		pods = pods[:len(pods)-1]
	}
	for n := 0; len(pods) < want; n++ {
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Namespace = m.namespace
		pod.Name = fmt.Sprintf("%s-%d", name, n)
		if random {
			m.count++
			pod.GenerateName = name + "-template-"
			pod.Name = fmt.Sprintf("%s%05d", pod.GenerateName, m.count)
		} else if _, taken := m.objects["pod/"+pod.Name]; taken {
			continue
		}
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name}}
		m.schedule(pod, pods)
		m.set("pod/"+pod.Name, pod)
		pods = append(pods, pod)
	}
}

// schedule chooses the node with the fewest pods of the workload, among those that the pod may run on. That meets every
// topology spread by hostname.
func (m *model) schedule(pod *corev1.Pod, others []*corev1.Pod) {
	if pod.Spec.NodeName != "" {
		return
	}
	best, fewest := "", 0
	for _, node := range all[*corev1.Node](m) {
		if !admits(node, pod) {
			continue
		}
		n := 0
		for _, other := range others {
			if other.Spec.NodeName == node.Name {
				n++
			}
		}
		if best == "" || n < fewest {
			best, fewest = node.Name, n
		}
	}
	pod.Spec.NodeName = best
}

// admits reports whether a node has what the pod selects. The control plane of a lab has no taint.
func admits(node *corev1.Node, pod *corev1.Pod) bool {
	if !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(node.Labels)) {
		return false
	}
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if !slices.ContainsFunc(term.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return r.Operator == corev1.NodeSelectorOpIn && !slices.Contains(r.Values, node.Labels[r.Key])
		}) {
			return true
		}
	}
	return false
}

// kubelet gives a pod its addresses and its conditions. It takes every readiness probe to succeed, so a pod is ready as
// soon as the conditions of its readiness gates are true.
func (m *model) kubelet(pod *corev1.Pod) error {
	m.schedule(pod, nil)
	i := slices.IndexFunc(slots, func(slot string) bool { return nodeName(slot) == pod.Spec.NodeName })
	if i < 0 {
		return fmt.Errorf("pod %s fits on none of the nodes", pod.Name)
	}
	if len(pod.Status.PodIPs) == 0 {
		m.count++
		for _, family := range m.families() {
			addr := m.podAddr(i, family)
			if pod.Spec.HostNetwork {
				addr = hostAddr(i+2, family)
			}
			pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: addr})
		}
		pod.Status.PodIP, pod.Status.Phase = pod.Status.PodIPs[0].IP, corev1.PodRunning
	}
	status := func(kind corev1.PodConditionType) corev1.ConditionStatus {
		for _, c := range pod.Status.Conditions {
			if c.Type == kind {
				return c.Status
			}
		}
		return corev1.ConditionFalse
	}
	ready := corev1.ConditionTrue
	for _, gate := range pod.Spec.ReadinessGates {
		if status(gate.ConditionType) != corev1.ConditionTrue {
			ready = corev1.ConditionFalse
		}
	}
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready})
	return nil
}

// service sets the defaults of a Service, assigns what the API server assigns, and clears what its type cannot have.
func (m *model) service(s *corev1.Service) error {
	spec := &s.Spec
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range spec.Ports {
		port := &spec.Ports[i]
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		if port.TargetPort == (intstr.IntOrString{}) {
			port.TargetPort = intstr.FromInt32(port.Port)
		}
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		s.Status.LoadBalancer, spec.AllocateLoadBalancerNodePorts = corev1.LoadBalancerStatus{}, nil
	}
	if spec.Type == corev1.ServiceTypeExternalName {
		spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies, spec.IPFamilyPolicy = "", nil, nil, nil
	} else if err := m.clusterIPs(s); err != nil {
		return err
	}
	m.nodePorts(s)
	m.former[s.Name] = world.ClusterIPs(s)
	return nil
}

// clusterIPs decides a Service's IP families, and gives it a ClusterIP of each that it has none of yet.
func (m *model) clusterIPs(s *corev1.Service) error {
	spec, families := &s.Spec, m.families()
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		if len(spec.IPFamilies) > 1 {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	for _, family := range spec.IPFamilies {
		if !slices.Contains(families, family) {
			return fmt.Errorf("the cluster has no %s", family)
		}
	}
	want := slices.Clone(spec.IPFamilies)
	for _, family := range families { // the one that the Service names first stays the first
		if !slices.Contains(want, family) {
			want = append(want, family)
		}
	}
	switch *spec.IPFamilyPolicy {
	case corev1.IPFamilyPolicySingleStack:
		want = want[:1]
	case corev1.IPFamilyPolicyRequireDualStack:
		if len(families) < 2 {
			return fmt.Errorf("the cluster has one IP family only")
		}
	case corev1.IPFamilyPolicyPreferDualStack:
	}
	spec.IPFamilies = want
	if world.Headless(s) {
		spec.ClusterIPs = []string{corev1.ClusterIPNone}
		return nil
	}
	has := world.ClusterIPs(s)
	spec.ClusterIPs = nil
	for _, family := range want {
		addr := address("10.96.", "fd00:10:96::", m.count+100, family)
		if i := slices.IndexFunc(has, func(a netip.Addr) bool { return world.FamilyOf(a) == family }); i >= 0 {
			addr = has[i].String()
		} else {
			m.count++
		}
		spec.ClusterIPs = append(spec.ClusterIPs, addr)
	}
	spec.ClusterIP = spec.ClusterIPs[0]
	return nil
}

// nodePorts assigns node ports and the health-check node port, and clears those that a Service of its type does not have.
func (m *model) nodePorts(s *corev1.Service) {
	spec := &s.Spec
	balanced := spec.Type == corev1.ServiceTypeLoadBalancer
	has := spec.Type == corev1.ServiceTypeNodePort || balanced
	if balanced && spec.AllocateLoadBalancerNodePorts == nil {
		yes := true
		spec.AllocateLoadBalancerNodePorts = &yes
	}
	assigns := has && (!balanced || *spec.AllocateLoadBalancerNodePorts)
	for i := range spec.Ports {
		switch port := &spec.Ports[i]; {
		case !has:
			port.NodePort = 0
		case port.NodePort == 0 && assigns:
			m.count++
			port.NodePort = int32(31000 + 10*m.count) // a gap, so that the next number stays undeclared
		}
	}
	switch {
	case !has && len(spec.ExternalIPs) == 0:
		spec.ExternalTrafficPolicy = ""
	case spec.ExternalTrafficPolicy == "":
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	switch local := balanced && world.ExternalLocal(s); {
	case !local:
		spec.HealthCheckNodePort = 0
	case spec.HealthCheckNodePort == 0:
		m.count++
		spec.HealthCheckNodePort = int32(31005 + 10*m.count)
	}
}

// loadBalancer does what MetalLB does: it assigns an address of each IP family of the Service, the wanted ones if there are
// any, and withdraws those that it no longer has a pool for.
func (m *model) loadBalancer(s *corev1.Service) {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || !m.facts().Serves(s.Spec.LoadBalancerClass) {
		return
	}
	has := world.Ingresses(s)
	s.Status.LoadBalancer.Ingress = nil
	if m.poolGone || m.poolClosed && len(has) == 0 {
		return
	}
	wanted := world.Asked(s)
	if slices.ContainsFunc(wanted, func(addr netip.Addr) bool { return !m.free(addr, s) }) {
		return
	}
	mode := corev1.LoadBalancerIPModeVIP
	for _, family := range s.Spec.IPFamilies {
		of := func(a netip.Addr) bool { return world.FamilyOf(a) == family }
		addr := ""
		if i := slices.IndexFunc(wanted, of); i >= 0 {
			addr = wanted[i].String()
		} else if i := slices.IndexFunc(has, func(g world.Ingress) bool { return of(g.Addr) }); i >= 0 && len(wanted) == 0 {
			addr = has[i].Addr.String()
		} else if len(wanted) == 0 {
			m.count++
			addr = poolAddr(m.count, family)
		}
		if addr != "" {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: addr, IPMode: &mode})
		}
	}
}

// poolAddr is an address of MetalLB's pool.
func poolAddr(n int, family corev1.IPFamily) string {
	if family == corev1.IPv6Protocol {
		return fmt.Sprintf("fc00:f853:ccd:e793::ff:%x", n)
	}
	return fmt.Sprintf("172.18.%d.%d", 200+n/250, n%250+1)
}

// free reports whether MetalLB would give a Service an address: no other Service has it, or both have the same sharing key
// and no port in common.
func (m *model) free(addr netip.Addr, s *corev1.Service) bool {
	for _, other := range all[*corev1.Service](m) {
		if other.Name == s.Name || !slices.ContainsFunc(world.Ingresses(other), func(g world.Ingress) bool { return g.Addr == addr }) {
			continue
		}
		if key := s.Annotations[world.ShareAnnotation]; key == "" || key != other.Annotations[world.ShareAnnotation] {
			return false
		}
		for _, port := range s.Spec.Ports {
			if slices.ContainsFunc(other.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port.Port && p.Protocol == port.Protocol }) {
				return false
			}
		}
	}
	return true
}

// endpointSlices replaces the slices that the EndpointSlice controller makes for a Service with a selector: one for each IP
// family and each set of port numbers that its pods have.
func (m *model) endpointSlices(s *corev1.Service) {
	for _, slice := range all[*discoveryv1.EndpointSlice](m) {
		if ownedBy(slice, "service/"+s.Name, s.Name) {
			m.remove("endpointslice/" + slice.Name)
		}
	}
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	made := map[string]*discoveryv1.EndpointSlice{}
	for _, pod := range all[*corev1.Pod](m) {
		if world.Ended(pod) || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		ports, text := endpointPorts(s, pod)
		for _, family := range s.Spec.IPFamilies {
			name := strings.ToLower(fmt.Sprintf("%s-%s-%s", s.Name, family, text))
			if made[name] == nil {
				made[name] = &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(family), Ports: ports,
					ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: m.namespace, Labels: map[string]string{discoveryv1.LabelServiceName: s.Name},
						OwnerReferences: []metav1.OwnerReference{{Kind: "Service", Name: s.Name}}}}
				if world.Headless(s) {
					made[name].Labels[corev1.IsHeadlessService] = ""
				}
			}
			zone := m.objects["node/"+pod.Spec.NodeName].GetLabels()[corev1.LabelTopologyZone]
			made[name].Endpoints = append(made[name].Endpoints, endpoint(s, pod, zone, family))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		m.set("endpointslice/"+name, made[name])
	}
}

// endpointPorts are the ports of a pod's slice, and the same as a text. A named target port that the pod lacks is left out.
func endpointPorts(s *corev1.Service, pod *corev1.Pod) ([]discoveryv1.EndpointPort, string) {
	var (
		ports []discoveryv1.EndpointPort
		text  []string
	)
	for _, port := range s.Spec.Ports {
		if number, found := world.ResolveTargetPort(pod, port); found {
			name, protocol, n := port.Name, port.Protocol, int32(number)
			ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &n})
			text = append(text, fmt.Sprintf("%s.%d.%s", name, n, protocol))
		}
	}
	return ports, strings.Join(text, "-")
}

// endpoint lists a pod in a slice of a family.
func endpoint(s *corev1.Service, pod *corev1.Pod, zone string, family corev1.IPFamily) discoveryv1.Endpoint {
	serving, terminating, node := world.Ready(pod), pod.DeletionTimestamp != nil, pod.Spec.NodeName
	ready := s.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{NodeName: &node, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod.Name},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
	for _, addr := range world.PodAddrs(pod) {
		if world.FamilyOf(addr) == family {
			e.Addresses = []string{addr.String()}
		}
	}
	// A pod's name in the DNS of a headless Service is its hostname, if its subdomain is the Service.
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == s.Name {
		e.Hostname = &pod.Spec.Hostname
	}
	if s.Spec.TrafficDistribution != nil && ready {
		e.Hints = hints(*s.Spec.TrafficDistribution, node, zone)
	}
	return e
}

// hints say for which clients an endpoint is meant: those of its zone, and with PreferSameNode those of its node too.
func hints(distribution, node, zone string) *discoveryv1.EndpointHints {
	h := &discoveryv1.EndpointHints{}
	if zone != "" {
		h.ForZones = []discoveryv1.ForZone{{Name: zone}}
	}
	if distribution == corev1.ServiceTrafficDistributionPreferSameNode {
		h.ForNodes = []discoveryv1.ForNode{{Name: node}}
	}
	return h
}

// mirror copies hand-written Endpoints into one IPv4 slice for each subset, as the mirroring controller does.
func (m *model) mirror(e *corev1.Endpoints) { //nolint:staticcheck // deprecated, and mirrored all the same
	if e.Labels[discoveryv1.LabelSkipMirror] == "true" {
		return
	}
	for i, subset := range e.Subsets {
		slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-mirrored-%d", e.Name, i), Namespace: m.namespace, Labels: map[string]string{discoveryv1.LabelServiceName: e.Name},
				OwnerReferences: []metav1.OwnerReference{{Kind: "Endpoints", Name: e.Name}}}}
		for _, p := range subset.Ports {
			protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &protocol, Port: &p.Port})
		}
		for ready, list := range map[bool][]corev1.EndpointAddress{true: subset.Addresses, false: subset.NotReadyAddresses} { //nolint:staticcheck // as above
			for _, a := range list {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
			}
		}
		m.set("endpointslice/"+slice.Name, slice)
	}
}
