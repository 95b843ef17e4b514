package main

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

type discoverySlice = discoveryv1.EndpointSlice

// shrink makes a world smaller for as long as it still fails, one piece at a time.
func shrink(w world.World, fails func(world.World) bool) world.World {
	for again := true; again; {
		again = false
		for i := 0; ; i++ {
			smaller, more := without(w, i)
			if !more {
				break
			}
			if smaller != nil && fails(*smaller) {
				w, again = *smaller, true
				i--
			}
		}
	}
	return w
}

// without returns a copy of a world that lacks its i-th piece; nil where there is nothing to remove. more is false at the end.
func without(w world.World, i int) (smaller *world.World, more bool) {
	c := clone(w)
	at := func(n int) bool { // whether the i-th piece is one of the next n; if so, i is which of them
		if i < n {
			return true
		}
		i -= n
		return false
	}
	changed := func(changes ...bool) (*world.World, bool) {
		if slices.Contains(changes, true) {
			return &c, true
		}
		return nil, true
	}
	if at(len(c.Services)) {
		name := world.Name(&c.Services[i])
		c.Services = slices.Delete(c.Services, i, i+1)
		c.Slices = slices.DeleteFunc(c.Slices, func(s discoverySlice) bool { return world.ServiceOf(&s) == name })
		return &c, true
	}
	if at(len(c.Slices)) {
		c.Slices = slices.Delete(c.Slices, i, i+1)
		return &c, true
	}
	if at(len(c.Pods)) {
		if listed(c, &c.Pods[i]) {
			return nil, true
		}
		c.Pods = slices.Delete(c.Pods, i, i+1)
		return &c, true
	}
	for j := range c.Slices {
		s := &c.Slices[j]
		if at(len(s.Endpoints)) {
			s.Endpoints = slices.Delete(s.Endpoints, i, i+1)
			return &c, true
		}
		for k := range s.Endpoints {
			e := &s.Endpoints[k]
			if at(1) {
				had := e.Hints != nil
				e.Hints = nil
				return changed(had)
			}
			if at(1) {
				had := e.Conditions
				e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating = nil, nil, nil
				return changed(had != e.Conditions)
			}
		}
	}
	for j := range c.Services {
		s := &c.Services[j]
		if at(len(s.Spec.Ports)) {
			if len(s.Spec.Ports) == 1 {
				return nil, true
			}
			s.Spec.Ports = slices.Delete(s.Spec.Ports, i, i+1)
			return &c, true
		}
		if at(len(s.Spec.ExternalIPs)) {
			s.Spec.ExternalIPs = slices.Delete(s.Spec.ExternalIPs, i, i+1)
			return &c, true
		}
		if at(len(s.Spec.LoadBalancerSourceRanges)) {
			s.Spec.LoadBalancerSourceRanges = slices.Delete(s.Spec.LoadBalancerSourceRanges, i, i+1)
			return &c, true
		}
		if at(len(s.Status.LoadBalancer.Ingress)) {
			s.Status.LoadBalancer.Ingress = slices.Delete(s.Status.LoadBalancer.Ingress, i, i+1)
			return &c, true
		}
		if at(len(s.Spec.ClusterIPs) - 1) { // the last family
			last := len(s.Spec.ClusterIPs) - 1
			s.Spec.ClusterIPs, s.Spec.IPFamilies = s.Spec.ClusterIPs[:last], s.Spec.IPFamilies[:last]
			return &c, true
		}
		for _, field := range []func() bool{
			func() bool {
				had := s.Spec.InternalTrafficPolicy != nil
				s.Spec.InternalTrafficPolicy = nil
				return had
			},
			func() bool {
				had := s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
				s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyCluster, 0
				return had
			},
			func() bool {
				had := s.Spec.SessionAffinity != ""
				s.Spec.SessionAffinity, s.Spec.SessionAffinityConfig = "", nil
				return had
			},
			func() bool {
				had := s.Spec.PublishNotReadyAddresses
				s.Spec.PublishNotReadyAddresses = false
				return had
			},
		} {
			if at(1) {
				return changed(field())
			}
		}
	}
	for j := range c.Nodes {
		if at(1) {
			second := func(a corev1.NodeAddress) bool {
				return len(a.Address) > 8 && (a.Address[:9] == "172.18.1." || a.Address[:6] == "fc00:1")
			}
			had := len(c.Nodes[j].Status.Addresses)
			c.Nodes[j].Status.Addresses = slices.DeleteFunc(c.Nodes[j].Status.Addresses, second)
			return changed(len(c.Nodes[j].Status.Addresses) < had)
		}
	}
	f, plain := &c.Facts, defaults(w)
	for _, field := range []func() bool{
		func() bool { had := f.DropsStrays; f.DropsStrays = true; return !had },
		func() bool { had := f.PodToNode; f.PodToNode = plain.PodToNode; return had != f.PodToNode },
		func() bool { had := f.PodToOutside; f.PodToOutside = plain.PodToOutside; return had != f.PodToOutside },
		func() bool { had := f.MasqueradeAll; f.MasqueradeAll = false; return had },
		func() bool { had := f.NoLocalhostNodePorts; f.NoLocalhostNodePorts = false; return had },
		func() bool { had := f.NodePortAddresses != nil; f.NodePortAddresses = nil; return had },
		func() bool { had := f.Detection; f.Detection = ""; return had != "" },
		func() bool { had := len(f.PodCIDRs); f.PodCIDRs = plain.PodCIDRs; return had < len(f.PodCIDRs) },
		func() bool { had := f.OutsideRoutes != nil; f.OutsideRoutes = nil; return had },
		func() bool { had := f.NodeSources != nil; f.NodeSources = nil; return had },
		func() bool { had := f.PortsDeclared; f.PortsDeclared = true; return !had },
		func() bool { had := len(c.Announcers); c.Announcers = nil; return had > 0 },
	} {
		if at(1) {
			return changed(field())
		}
	}
	return nil, false
}

// listed says whether a slice has an address of a pod.
func listed(w world.World, pod *corev1.Pod) bool {
	return slices.ContainsFunc(w.Slices, func(s discoverySlice) bool {
		return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
			return slices.ContainsFunc(world.PodAddrs(pod), func(addr netip.Addr) bool { return slices.Contains(e.Addresses, addr.String()) })
		})
	})
}

// defaults are the facts of a plain cluster with the families of a world.
func defaults(w world.World) world.Facts {
	f := world.Facts{PodToNode: world.EgressNode, PodToOutside: world.EgressNode}
	for _, r := range podRanges() {
		if w.Facts.HasFamily(string(world.FamilyOf(r.Addr()))) {
			f.PodCIDRs = append(f.PodCIDRs, r)
		}
	}
	return f
}

func clone(w world.World) world.World {
	w.Services, w.Slices = copies(w.Services, (*corev1.Service).DeepCopy), copies(w.Slices, (*discoverySlice).DeepCopy)
	w.Pods, w.Nodes = copies(w.Pods, (*corev1.Pod).DeepCopy), copies(w.Nodes, (*corev1.Node).DeepCopy)
	w.Announcers = maps.Clone(w.Announcers)
	return w
}

func copies[T any](list []T, deep func(*T) *T) []T {
	made := make([]T, len(list))
	for i := range list {
		made[i] = *deep(&list[i])
	}
	return made
}
