package fuzz

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// kind is a kind of operation.
type kind struct {
	// weight is how often it is chosen; 0: never.
	weight int
	// exclusive: it is a disturbance of the cluster, and needs an own turn. pool: it is one of the load balancer's pool of addresses
	// only. inner: it is one of a node, during which another operation is done.
	exclusive, pool, inner bool
	// choose returns an operation that has something to do in a state; nil: any.
	choose func(g generator, s State) (Operation, bool)
	// do returns the states that it leads through.
	do func(o Operation, s State) []State
}

// kinds are all kinds of operation, by name.
func kinds() map[string]kind {
	onPod := func(weight int, may func(PodState) bool, change func(*PodState)) kind {
		return kind{weight: weight,
			choose: func(g generator, s State) (Operation, bool) {
				return g.somePod(s, func(name string) bool { return may(s.Pods[name]) })
			},
			do: func(o Operation, s State) []State {
				if !may(s.Pods[o.Pod]) {
					return nil
				}
				s.set(o.Pod, change)
				return []State{s}
			}}
	}
	onSpec := func(weight int, values func(g generator, c Case) []string, change func(spec *corev1.ServiceSpec, value string) bool) kind {
		return kind{weight: weight,
			choose: func(g generator, s State) (Operation, bool) {
				return g.someService(s, func(c Case) []string {
					return slices.DeleteFunc(values(g, c), func(value string) bool { next := c.clone(); return !change(&next.Service.Spec, value) })
				})
			},
			do: func(o Operation, s State) []State {
				i := s.find(o.Service)
				if i < 0 || !change(&s.Cases[i].Service.Spec, o.Value) {
					return nil
				}
				return []State{s}
			}}
	}
	onSlices := func(weight int, change func(m *Manual, pod string) bool) kind {
		return kind{weight: weight,
			choose: func(g generator, s State) (Operation, bool) {
				return g.someService(s, func(c Case) []string {
					if c.Manual == nil {
						return nil
					}
					var names []string
					for i := range g.pods {
						if next := c.clone(); change(next.Manual, g.pods[i].Name) {
							names = append(names, g.pods[i].Name)
						}
					}
					return names
				})
			},
			do: func(o Operation, s State) []State {
				i := s.find(o.Service)
				if i < 0 || s.Cases[i].Manual == nil || !change(s.Cases[i].Manual, o.Value) {
					return nil
				}
				return []State{s}
			}}
	}
	there := PodState.there
	flip := func(a, b string) func(generator, Case) []string {
		return func(generator, Case) []string { return []string{a, b} }
	}
	proxied := func(spec *corev1.ServiceSpec) bool {
		return spec.Type != corev1.ServiceTypeExternalName && spec.ClusterIP != corev1.ClusterIPNone
	}
	external := func(spec *corev1.ServiceSpec) bool {
		return spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer || proxied(spec) && len(spec.ExternalIPs) > 0
	}
	all := map[string]kind{
		"pod-unready":   onPod(10, func(p PodState) bool { return there(p) && !p.Unready }, func(p *PodState) { p.Unready = true }),
		"pod-ready":     onPod(6, func(p PodState) bool { return there(p) && p.Unready }, func(p *PodState) { p.Unready = false }),
		"pod-leaves":    onPod(8, func(p PodState) bool { return there(p) && !p.Apart }, func(p *PodState) { p.Apart = true }),
		"pod-joins":     onPod(6, func(p PodState) bool { return there(p) && p.Apart }, func(p *PodState) { p.Apart = false }),
		"pod-deleted":   onPod(4, there, func(p *PodState) { p.Leaving = true }),
		"pod-gone":      onPod(4, func(p PodState) bool { return !p.Gone }, func(p *PodState) { *p = PodState{Gone: true} }),
		"pod-recreated": onPod(6, func(p PodState) bool { return p.Gone || p.Leaving }, func(p *PodState) { *p = PodState{} }),
		"pod-flaps": {weight: 6, choose: func(g generator, s State) (Operation, bool) {
			return g.somePod(s, func(name string) bool { return there(s.Pods[name]) && !s.Pods[name].Unready })
		}, do: func(o Operation, s State) []State {
			if p := s.Pods[o.Pod]; !there(p) || p.Unready {
				return nil
			}
			passing := s.clone()
			passing.set(o.Pod, func(p *PodState) { p.Unready = true })
			return []State{passing, s}
		}},
		"to-zero":       {weight: 6, choose: anyService(selects), do: scaled(true, false)},
		"from-zero":     {weight: 8, choose: anyService(func(g generator, s State, c Case) bool { return !selects(g, s, c) && c.Manual == nil }), do: scaled(false, true)},
		"zero-and-back": {weight: 5, choose: anyService(selects), do: scaled(true, true)},
		"selector-removed": onSpec(3, flip("", ""), func(spec *corev1.ServiceSpec, _ string) bool {
			changed := len(spec.Selector) > 0 && spec.Type != corev1.ServiceTypeExternalName
			spec.Selector = nil
			return changed
		}),
		"selector": onSpec(6, func(g generator, c Case) []string {
			if c.Manual != nil { // the controller would add slices to those written by hand
				return nil
			}
			return []string{"color=" + pick(g.Rand, colors()...), "size=" + pick(g.Rand, sizes()...), appLabel + "=" + appName}
		},
			func(spec *corev1.ServiceSpec, value string) bool {
				key, is, _ := strings.Cut(value, "=")
				changed := spec.Type != corev1.ServiceTypeExternalName && (len(spec.Selector) != 1 || spec.Selector[key] != is)
				spec.Selector = map[string]string{key: is}
				return changed
			}),
		"recreated": {weight: 6, choose: anyService(func(generator, State, Case) bool { return true }), do: func(o Operation, s State) []State {
			i := s.find(o.Service)
			if i < 0 {
				return nil
			}
			passing := s.clone()
			passing.Cases = slices.Delete(passing.Cases, i, i+1)
			return []State{passing, s}
		}},
		"type": onSpec(7, func(generator, Case) []string { return []string{"ClusterIP", "NodePort"} }, func(spec *corev1.ServiceSpec, value string) bool {
			changed := proxied(spec) && string(spec.Type) != value && spec.Type != corev1.ServiceTypeLoadBalancer
			retype(spec, corev1.ServiceType(value))
			return changed
		}),
		"type-and-back": {weight: 5, choose: anyService(func(_ generator, _ State, c Case) bool {
			return c.Service.Spec.Type == corev1.ServiceTypeNodePort || c.Service.Spec.Type == corev1.ServiceTypeLoadBalancer
		}), do: func(o Operation, s State) []State {
			i := s.find(o.Service)
			if i < 0 || s.Cases[i].Service.Spec.Type != corev1.ServiceTypeNodePort && s.Cases[i].Service.Spec.Type != corev1.ServiceTypeLoadBalancer {
				return nil
			}
			passing := s.clone()
			retype(&passing.Cases[i].Service.Spec, corev1.ServiceTypeClusterIP)
			return []State{passing, s}
		}},
		"port-added": onSpec(4, func(g generator, _ Case) []string { return []string{fmt.Sprint(5000 + g.IntN(900))} }, func(spec *corev1.ServiceSpec, value string) bool {
			var number int32
			_, _ = fmt.Sscan(value, &number) // it was printed by choose
			if !proxied(spec) || len(spec.Ports) >= MaxPorts || slices.ContainsFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Port == number || p.Name == "n"+value }) {
				return false
			}
			if len(spec.Ports) == 1 && spec.Ports[0].Name == "" {
				spec.Ports[0].Name = "p0"
			}
			spec.Ports = append(spec.Ports, corev1.ServicePort{Name: "n" + value, Protocol: corev1.ProtocolTCP, Port: number, TargetPort: intstr.FromInt32(tcpMain)})
			return true
		}),
		"port-removed": onSpec(4, func(_ generator, c Case) []string { return portNames(c) }, func(spec *corev1.ServiceSpec, value string) bool {
			i := slices.IndexFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Name == value })
			if i < 0 || len(spec.Ports) < 2 {
				return false
			}
			spec.Ports = slices.Delete(spec.Ports, i, i+1)
			return true
		}),
		"port-renumbered": onSpec(4, func(_ generator, c Case) []string { return portNames(c) }, func(spec *corev1.ServiceSpec, value string) bool {
			i := slices.IndexFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Name == value })
			if i < 0 {
				return false
			}
			number := spec.Ports[i].Port%1000 + 6000
			if slices.ContainsFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Port == number }) {
				number++
			}
			if slices.ContainsFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Port == number }) {
				return false
			}
			spec.Ports[i].Port = number
			return true
		}),
		"target-port": onSpec(4, func(_ generator, c Case) []string { return portNames(c) }, func(spec *corev1.ServiceSpec, value string) bool {
			i := slices.IndexFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Name == value })
			if i < 0 || spec.Type == corev1.ServiceTypeExternalName {
				return false
			}
			p := &spec.Ports[i]
			main, other := tcpMain, tcpOther
			if p.Protocol == corev1.ProtocolUDP {
				main, other = udpMain, udpOther
			}
			if p.TargetPort.IntVal == main {
				main = other
			}
			p.TargetPort = intstr.FromInt32(main)
			return true
		}),
		"external-policy": onSpec(6, flip("Local", "Cluster"), func(spec *corev1.ServiceSpec, value string) bool {
			changed := external(spec) && string(cmp.Or(spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)) != value
			spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(value)
			return changed
		}),
		"internal-policy": onSpec(5, flip("Local", "Cluster"), func(spec *corev1.ServiceSpec, value string) bool {
			now := corev1.ServiceInternalTrafficPolicyCluster
			if spec.InternalTrafficPolicy != nil {
				now = *spec.InternalTrafficPolicy
			}
			spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicy(value))
			return proxied(spec) && string(now) != value
		}),
		"affinity": onSpec(5, flip("ClientIP", "None"), func(spec *corev1.ServiceSpec, value string) bool {
			changed := proxied(spec) && string(cmp.Or(spec.SessionAffinity, corev1.ServiceAffinityNone)) != value
			spec.SessionAffinity = corev1.ServiceAffinity(value)
			return changed
		}),
		"publish-not-ready": onSpec(3, flip("true", "false"), func(spec *corev1.ServiceSpec, value string) bool {
			changed := spec.Type != corev1.ServiceTypeExternalName && fmt.Sprint(spec.PublishNotReadyAddresses) != value
			spec.PublishNotReadyAddresses = value == "true"
			return changed
		}),
		"source-ranges": onSpec(4, func(g generator, _ Case) []string {
			list := []string{"none"}
			for _, r := range g.scene.Ranges {
				list = append(list, r.String())
			}
			return list
		}, func(spec *corev1.ServiceSpec, value string) bool {
			var ranges []string
			if value != "none" {
				ranges = []string{value}
			}
			changed := spec.Type == corev1.ServiceTypeLoadBalancer && !slices.Equal(ranges, spec.LoadBalancerSourceRanges)
			spec.LoadBalancerSourceRanges = ranges
			return changed
		}),
		"external-ips": onSpec(4, func(g generator, _ Case) []string {
			return []string{"none", fmt.Sprintf("192.0.2.%d", 1+g.IntN(250)), fmt.Sprintf("192.0.2.%d,198.51.100.%d", 1+g.IntN(250), 1+g.IntN(250))}
		}, func(spec *corev1.ServiceSpec, value string) bool {
			var addrs []string
			if value != "none" {
				addrs = strings.Split(value, ",")
			}
			changed := proxied(spec) && !slices.Equal(addrs, spec.ExternalIPs)
			if spec.ExternalIPs = addrs; addrs == nil && spec.Type == corev1.ServiceTypeClusterIP {
				spec.ExternalTrafficPolicy = ""
			}
			return changed
		}),
		"endpoint-conditions": onSlices(6, func(m *Manual, pod string) bool {
			i := slices.IndexFunc(m.Endpoints, func(e ManualEndpoint) bool { return e.Pod == pod })
			if i < 0 {
				return false
			}
			e := &m.Endpoints[i]
			switch ready := e.Conditions.Ready == nil || *e.Conditions.Ready; {
			case ready:
				e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
			case *e.Conditions.Serving:
				e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(true)}
			default:
				e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(true)}
			}
			return true
		}),
		"endpoint-added": onSlices(4, func(m *Manual, pod string) bool {
			if slices.ContainsFunc(m.Endpoints, func(e ManualEndpoint) bool { return e.Pod == pod }) {
				return false
			}
			m.Endpoints = append(m.Endpoints, ManualEndpoint{Pod: pod, Referred: true, Placed: true})
			return true
		}),
		"endpoint-removed": onSlices(4, func(m *Manual, pod string) bool {
			i := slices.IndexFunc(m.Endpoints, func(e ManualEndpoint) bool { return e.Pod == pod })
			if i >= 0 {
				m.Endpoints = slices.Delete(m.Endpoints, i, i+1)
			}
			return i >= 0
		}),
		"endpoints-scaled": {weight: 5, choose: func(g generator, s State) (Operation, bool) {
			return g.someService(s, func(c Case) []string {
				return slices.DeleteFunc(scales(g), func(value string) bool { next := c.clone(); return next.Manual == nil || !next.Manual.scale(value) })
			})
		}, do: func(o Operation, s State) []State {
			i := s.find(o.Service)
			if i < 0 || s.Cases[i].Manual == nil || !s.Cases[i].Manual.scale(o.Value) {
				return nil
			}
			return []State{s}
		}},
		"slices-split": onSlices(3, func(m *Manual, pod string) bool {
			if len(m.Endpoints) == 0 || m.Endpoints[0].Pod != pod {
				return false
			}
			m.Parts = (m.Parts + 1) % 4
			return true
		}),
		"slices-overlap": onSlices(3, func(m *Manual, pod string) bool {
			if len(m.Endpoints) == 0 || m.Endpoints[0].Pod != pod {
				return false
			}
			m.Overlap = !m.Overlap
			return true
		}),
		modeSwitched:           {exclusive: true, choose: someNode}, // of a proof only: see Prove
		"proxy-restarted":      {weight: 2, exclusive: true, choose: someNode},
		"proxy-paused":         {weight: 3, exclusive: true, inner: true, choose: someNode},
		"proxy-killed":         {weight: 1, exclusive: true, inner: true, choose: someNode},
		syncFails:              {weight: 2, exclusive: true, inner: true, choose: someNode},
		"api-server-restarted": {weight: 1, exclusive: true, choose: cluster},
		"dns-restarted":        {weight: 1, exclusive: true, choose: cluster},
		"controller-restarted": {weight: 1, exclusive: true, choose: balancer},
		"speakers-restarted":   {weight: 1, exclusive: true, choose: balancer},
		"speakers-partitioned": {weight: 1, exclusive: true, inner: true, choose: func(g generator, s State) (Operation, bool) {
			o, _ := someNode(g, s)
			return o, g.scene.LoadBalancer
		}},
	}
	maps.Copy(all, balanceKinds())
	return all
}

func someNode(g generator, _ State) (Operation, bool) {
	return Operation{Node: pick(g.Rand, g.scene.Nodes...)}, true
}

func cluster(generator, State) (Operation, bool) { return Operation{}, true }

func balancer(g generator, _ State) (Operation, bool) { return Operation{}, g.scene.LoadBalancer }

// selects reports whether a case's selector is one that finds pods.
func selects(_ generator, _ State, c Case) bool {
	return len(c.Service.Spec.Selector) > 0 && c.Service.Spec.Selector[zeroLabel] == ""
}

// zeroLabel in a selector is a label that no pod has, as a Deployment with no replicas leaves a Service.
const zeroLabel = "svclab.io/none"

// scaled lets a Service's selector find no pod, and find them again.
func scaled(down, up bool) func(Operation, State) []State {
	return func(o Operation, s State) []State {
		i := s.find(o.Service)
		if i < 0 || s.Cases[i].Service.Spec.Type == corev1.ServiceTypeExternalName || selects(generator{}, s, s.Cases[i]) != down {
			return nil
		}
		next := s.clone()
		spec := &next.Cases[i].Service.Spec
		switch {
		case down:
			spec.Selector[zeroLabel] = "yes"
		case len(spec.Selector) > 0:
			delete(spec.Selector, zeroLabel)
		case s.Cases[i].Manual == nil: // it was removed
			spec.Selector = map[string]string{appLabel: appName}
		default:
			return nil
		}
		if down && up {
			return []State{next, s}
		}
		return []State{next}
	}
}

func anyService(may func(g generator, s State, c Case) bool) func(generator, State) (Operation, bool) {
	return func(g generator, s State) (Operation, bool) {
		return g.someService(s, func(c Case) []string {
			if c.Service.Spec.Type == corev1.ServiceTypeExternalName || !may(g, s, c) {
				return nil
			}
			return []string{""}
		})
	}
}

// retype makes a Service of another type, without what that type cannot have.
func retype(spec *corev1.ServiceSpec, t corev1.ServiceType) {
	if spec.Type = t; t == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) == 0 {
		spec.ExternalTrafficPolicy = ""
	}
	if t != corev1.ServiceTypeLoadBalancer {
		spec.LoadBalancerSourceRanges, spec.AllocateLoadBalancerNodePorts = nil, nil
	}
}

func portNames(c Case) []string {
	var names []string
	for _, p := range c.Service.Spec.Ports {
		names = append(names, p.Name)
	}
	return names
}

// scales are values of scale: no endpoints, a few, and as many as there may be, ready or not, in slices of either size.
func scales(g generator) []string {
	const room = MaxEndpoints - podCount
	some := 1 + g.IntN(room)
	return []string{noEndpoints, scaleTo(0, 0, 0), scaleTo(room, 0, 0), scaleTo(some, 0, 0), scaleTo(0, room, apiSlice), scaleTo(0, room, controllerSlice),
		scaleTo(some, room-some, pick(g.Rand, controllerSlice, apiSlice))}
}

const (
	noEndpoints = "to-none"
	scaleFormat = "many=%d,waiting=%d,size=%d"
)

func scaleTo(many, waiting, size int) string { return fmt.Sprintf(scaleFormat, many, waiting, size) }

// scale sets how many endpoints there are, and reports whether that changed anything.
func (m *Manual) scale(value string) (changed bool) {
	if value == noEndpoints {
		changed = len(m.Endpoints)+m.Many+m.Waiting > 0
		m.Endpoints, m.Many, m.Waiting = nil, 0, 0
		return changed
	}
	var many, waiting, size int
	if _, err := fmt.Sscanf(value, scaleFormat, &many, &waiting, &size); err != nil {
		return false
	}
	tcp := slices.ContainsFunc(m.Ports, func(p discoveryv1.EndpointPort) bool { return *p.Protocol == corev1.ProtocolTCP })
	if changed = many != m.Many || waiting != m.Waiting || size != m.Size; many > 0 && !tcp || waiting > 0 && len(m.Room) == 0 {
		return false
	}
	m.Many, m.Waiting, m.Size = many, waiting, size
	return changed
}
