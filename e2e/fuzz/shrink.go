package fuzz

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Trial is a case by itself, over some of the pods.
type Trial struct {
	Case Case
	// Pods are the names of the backends that keep their labels, sorted. Selectors find no others.
	Pods []string
}

// Shows says whether a trial still shows the disagreement.
type Shows func(ctx context.Context, t Trial) (bool, error)

// Shrink returns the smallest trial found that still shows the disagreement, and how many were tried. It tries the steps
// of Smaller, takes the first that still shows it, and begins again with that, until none does or ctx ends. An error of
// shows ends it too, and is returned with the smallest so far.
func Shrink(ctx context.Context, t Trial, shows Shows) (smallest Trial, tried int, err error) {
	seen := map[string]bool{fingerprint(t): true}
	for {
		next, found := Trial{}, false
		for _, candidate := range Smaller(t) {
			if ctx.Err() != nil {
				return t, tried, nil
			}
			if key := fingerprint(candidate); seen[key] {
				continue
			} else {
				seen[key] = true
			}
			tried++
			still, err := shows(ctx, candidate)
			if err != nil && ctx.Err() == nil {
				return t, tried, err
			}
			if still && err == nil {
				next, found = candidate, true
				break
			}
		}
		if !found {
			return t, tried, nil
		}
		t = next
	}
}

func fingerprint(t Trial) string {
	return fmt.Sprintf("%s|%+v|%v", t.Case.Service.Spec.String(), describeManual(t.Case.Manual), t.Pods)
}

func describeManual(m *Manual) string {
	if m == nil {
		return ""
	}
	text := fmt.Sprint(len(m.Ports), m.Parts, m.Overlap, m.Many, m.Waiting, m.Size)
	for _, e := range m.Endpoints {
		text += fmt.Sprintf(" %s %t %t %s %v", e.Pod, e.Referred, e.Placed, e.Conditions.String(), e.ForNodes)
	}
	return text
}

// Smaller are the trials that are one step simpler, the largest steps first: pods that the Service has nothing to do with,
// ports, the type, policies, labels of the selector, single pods, endpoints and what they say.
func Smaller(t Trial) []Trial {
	var list []Trial
	add := func(change func(*Trial)) {
		smaller := Trial{Case: t.Case.clone(), Pods: slices.Clone(t.Pods)}
		change(&smaller)
		list = append(list, smaller)
	}
	spec := t.Case.Service.Spec
	onSpec := func(change func(*corev1.ServiceSpec)) { add(func(s *Trial) { change(&s.Case.Service.Spec) }) }
	if n := len(spec.Ports); n > 3 {
		add(func(s *Trial) {
			for range n / 2 {
				s.dropPort(len(s.Case.Service.Spec.Ports) - 1)
			}
		})
	}
	for i := range spec.Ports {
		if len(spec.Ports) > 1 {
			add(func(s *Trial) { s.dropPort(i) })
		}
	}
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		onSpec(func(s *corev1.ServiceSpec) {
			retype(s, corev1.ServiceTypeNodePort)
		})
	case corev1.ServiceTypeNodePort:
		onSpec(func(s *corev1.ServiceSpec) { retype(s, corev1.ServiceTypeClusterIP) })
	}
	for _, policy := range []struct {
		set   bool
		unset func(*corev1.ServiceSpec)
	}{
		{spec.SessionAffinity != "", func(s *corev1.ServiceSpec) { s.SessionAffinity = "" }},
		{spec.ExternalTrafficPolicy != "", func(s *corev1.ServiceSpec) { s.ExternalTrafficPolicy = "" }},
		{spec.InternalTrafficPolicy != nil, func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = nil }},
		{spec.PublishNotReadyAddresses, func(s *corev1.ServiceSpec) { s.PublishNotReadyAddresses = false }},
		{spec.TrafficDistribution != nil, func(s *corev1.ServiceSpec) { s.TrafficDistribution = nil }},
		{spec.LoadBalancerSourceRanges != nil, func(s *corev1.ServiceSpec) { s.LoadBalancerSourceRanges = nil }},
		{spec.AllocateLoadBalancerNodePorts != nil, func(s *corev1.ServiceSpec) { s.AllocateLoadBalancerNodePorts = nil }},
		{spec.ExternalIPs != nil, func(s *corev1.ServiceSpec) {
			if s.ExternalIPs = nil; s.Type == corev1.ServiceTypeClusterIP {
				s.ExternalTrafficPolicy = ""
			}
		}},
		{spec.IPFamilyPolicy != nil, func(s *corev1.ServiceSpec) { s.IPFamilyPolicy, s.IPFamilies = nil, nil }},
	} {
		if policy.set {
			onSpec(policy.unset)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Selector)) {
		if len(spec.Selector) > 1 {
			onSpec(func(s *corev1.ServiceSpec) { delete(s.Selector, key) })
		}
	}
	for i := range t.Pods {
		add(func(s *Trial) { s.Pods = slices.Delete(s.Pods, i, i+1) })
	}
	for i, p := range spec.Ports {
		if p.TargetPort.Type == intstr.String {
			onSpec(func(s *corev1.ServiceSpec) { s.Ports[i].TargetPort = intstr.FromInt32(mainPort(p.Protocol)) })
		}
		if p.Port != 80 && len(spec.Ports) == 1 {
			onSpec(func(s *corev1.ServiceSpec) { s.Ports[i].Port = 80 })
		}
	}
	return append(list, smallerManual(t)...)
}

func smallerManual(t Trial) []Trial {
	if t.Case.Manual == nil {
		return nil
	}
	var list []Trial
	add := func(change func(*Manual)) {
		smaller := Trial{Case: t.Case.clone(), Pods: slices.Clone(t.Pods)}
		change(smaller.Case.Manual)
		list = append(list, smaller)
	}
	for _, count := range []func(*Manual) *int{func(m *Manual) *int { return &m.Many }, func(m *Manual) *int { return &m.Waiting }} {
		if *count(t.Case.Manual) > 0 {
			add(func(m *Manual) { *count(m) = 0 })
		}
		if *count(t.Case.Manual) > 1 {
			add(func(m *Manual) { *count(m) /= 2 })
		}
	}
	if t.Case.Manual.Parts > 0 || t.Case.Manual.Overlap {
		add(func(m *Manual) { m.Parts, m.Overlap = 0, false })
	}
	for i, e := range t.Case.Manual.Endpoints {
		add(func(m *Manual) { m.Endpoints = slices.Delete(m.Endpoints, i, i+1) })
		if len(e.ForNodes) > 0 {
			add(func(m *Manual) { m.Endpoints[i].ForNodes = nil })
		}
		if e.Conditions != (discoveryv1.EndpointConditions{}) {
			add(func(m *Manual) { m.Endpoints[i].Conditions = discoveryv1.EndpointConditions{} })
		}
		if !e.Placed || !e.Referred { // what slices usually say
			add(func(m *Manual) { m.Endpoints[i].Placed, m.Endpoints[i].Referred = true, true })
		}
	}
	return list
}

func mainPort(p corev1.Protocol) int32 {
	if p == corev1.ProtocolUDP {
		return udpMain
	}
	return tcpMain
}

// dropPort removes a Service port, and its port in the slices.
func (t *Trial) dropPort(i int) {
	name := t.Case.Service.Spec.Ports[i].Name
	t.Case.Service.Spec.Ports = slices.Delete(t.Case.Service.Spec.Ports, i, i+1)
	if m := t.Case.Manual; m != nil {
		m.Ports = slices.DeleteFunc(m.Ports, func(p discoveryv1.EndpointPort) bool { return *p.Name == name })
	}
}

func (c Case) clone() Case {
	clone := Case{Service: *c.Service.DeepCopy()}
	if c.Manual != nil {
		m := *c.Manual
		m.Ports, m.Endpoints = slices.Clone(m.Ports), slices.Clone(m.Endpoints)
		clone.Manual = &m
	}
	return clone
}
