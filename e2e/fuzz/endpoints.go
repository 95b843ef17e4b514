package fuzz

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/world"
)

// Slices are the EndpointSlices of a case, over all backends that are there, in the order of the plan, for a Service as the API server
// has completed it. A pod without an address of a family is left out of that family's slices.
func (c Case) Slices(service *corev1.Service, pods []corev1.Pod) []discoveryv1.EndpointSlice {
	if c.Manual == nil {
		return nil
	}
	var list []discoveryv1.EndpointSlice
	for _, family := range world.Families(service) {
		w := sliceWriter{Manual: c.Manual, service: service, family: family, pods: pods}
		list = slices.Concat(list, w.base(), w.more(), w.waiting())
	}
	return list
}

// sliceWriter makes the slices of one IP family.
type sliceWriter struct {
	*Manual
	service *corev1.Service
	family  corev1.IPFamily
	pods    []corev1.Pod
}

func (w sliceWriter) slice(suffix string, ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) discoveryv1.EndpointSlice {
	version := map[corev1.IPFamily]string{corev1.IPv4Protocol: "v4", corev1.IPv6Protocol: "v6"}[w.family]
	return discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(w.family), Ports: slices.Clone(ports), Endpoints: endpoints,
		ObjectMeta: metav1.ObjectMeta{Namespace: w.service.Namespace, Name: w.service.Name + "-" + version + suffix,
			Labels: map[string]string{discoveryv1.LabelServiceName: w.service.Name, discoveryv1.LabelManagedBy: manualBy}}}
}

// endpoint is an endpoint at the pod's address of the family; none if it has no such address.
func (w sliceWriter) endpoint(e ManualEndpoint) []discoveryv1.Endpoint {
	i := slices.IndexFunc(w.pods, func(p corev1.Pod) bool { return p.Name == e.Pod })
	if i < 0 {
		return nil
	}
	for _, addr := range world.PodAddrs(&w.pods[i]) {
		if world.FamilyOf(addr) == w.family {
			return []discoveryv1.Endpoint{e.at(addr, &w.pods[i])}
		}
	}
	return nil
}

func (w sliceWriter) endpoints() (list []discoveryv1.Endpoint) {
	for _, e := range w.Endpoints {
		list = append(list, w.endpoint(e)...)
	}
	return list
}

// base lists Endpoints. With Overlap each of its slices has all of them.
func (w sliceWriter) base() (list []discoveryv1.EndpointSlice) {
	all := w.endpoints()
	for part := range w.Parts + 1 {
		var (
			own    []discoveryv1.Endpoint
			suffix string
		)
		for i := range all {
			if w.Overlap || i%(w.Parts+1) == part {
				own = append(own, *all[i].DeepCopy())
			}
		}
		if part > 0 {
			suffix = fmt.Sprintf("-%d", part)
		}
		list = append(list, w.slice(suffix, w.Ports, own))
	}
	return list
}

// more lists Many: a slice for each port number. With Overlap each tenth is there twice.
func (w sliceWriter) more() (list []discoveryv1.EndpointSlice) {
	for number := range (w.Many + podCount - 1) / podCount {
		var (
			ports     []discoveryv1.EndpointPort
			endpoints []discoveryv1.Endpoint
		)
		for _, p := range w.Ports {
			if *p.Protocol == corev1.ProtocolTCP {
				p.Port = ptr(firstMore + int32(number))
				ports = append(ports, p)
			}
		}
		if len(ports) == 0 {
			return nil
		}
		for _, pod := range w.pods[:min(w.Many-number*podCount, len(w.pods))] {
			endpoints = append(endpoints, w.endpoint(ManualEndpoint{Pod: pod.Name, Referred: true, Placed: true})...)
		}
		list = append(list, w.slice(fmt.Sprintf("-more%d", number), ports, endpoints))
		if w.Overlap && number%10 == 0 {
			list = append(list, w.slice(fmt.Sprintf("-more%d-again", number), ports, slices.Clone(endpoints)))
		}
	}
	return list
}

// waiting lists Waiting, Size of them in a slice. With Overlap each slice has Endpoints too.
func (w sliceWriter) waiting() (list []discoveryv1.EndpointSlice) {
	at := slices.IndexFunc(w.Room, func(r netip.Prefix) bool { return world.FamilyOf(r.Addr()) == w.family })
	if at < 0 {
		return nil
	}
	for n := 0; n < w.Waiting; {
		var endpoints []discoveryv1.Endpoint
		if w.Overlap {
			endpoints = w.endpoints()
		}
		for ; n < w.Waiting && len(endpoints) < w.Size; n++ {
			endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{vacant(w.Room[at], n).String()},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false)}})
		}
		list = append(list, w.slice(fmt.Sprintf("-waiting%d", len(list)), w.Ports, endpoints))
	}
	return list
}

// roomy reports whether a pod range has addresses that no node's part of it has, as long as there are fewer than 240 nodes. See vacant.
func roomy(r netip.Prefix) bool {
	return r.Addr().Is4() && r.Bits() <= 16 || r.Addr().Is6() && r.Bits() <= 56
}

// vacant is the n-th address at the end of a pod range, which no pod has. A node drops what is sent there: see Facts.DropsStrays.
func vacant(room netip.Prefix, n int) netip.Addr {
	if room.Addr().Is4() {
		b := room.Addr().As4()
		b[2], b[3] = byte(vacantNet+n/vacantOfNet), byte(1+n%vacantOfNet)
		return netip.AddrFrom4(b)
	}
	b := room.Addr().As16()
	b[7], b[14], b[15] = vacantNet, byte((n+1)>>8), byte(n+1)
	return netip.AddrFrom16(b)
}

const vacantNet, vacantOfNet = 240, 250

// vacancyOf is n of vacant; negative for an address that vacant does not return.
func vacancyOf(addr netip.Addr) int {
	if addr.Is4() {
		b := addr.As4()
		return (int(b[2])-vacantNet)*vacantOfNet + int(b[3]) - 1
	}
	b := addr.As16()
	return int(b[14])<<8 + int(b[15]) - 1
}

func (e ManualEndpoint) at(addr netip.Addr, pod *corev1.Pod) discoveryv1.Endpoint {
	endpoint := discoveryv1.Endpoint{Addresses: []string{addr.String()}, Conditions: e.Conditions}
	if e.Referred {
		endpoint.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
	}
	if e.Placed {
		endpoint.NodeName = ptr(pod.Spec.NodeName)
	}
	if len(e.ForNodes) > 0 {
		endpoint.Hints = &discoveryv1.EndpointHints{}
		for _, node := range e.ForNodes {
			endpoint.Hints.ForNodes = append(endpoint.Hints.ForNodes, discoveryv1.ForNode{Name: node})
		}
	}
	return endpoint
}
