package world

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// entry is what an EndpointSlice says, or should say, of one pod's address.
type entry struct {
	pod, node                   string
	ready, serving, terminating bool
	ports                       string // "http=8080/TCP", sorted
}

func (e entry) String() string {
	var conditions []string
	for _, c := range []struct {
		text string
		is   bool
	}{{"ready", e.ready}, {"serving", e.serving}, {"terminating", e.terminating}} {
		if !c.is {
			c.text = "not " + c.text
		}
		conditions = append(conditions, c.text)
	}
	ports := "no port"
	if e.ports != "" {
		ports = e.ports
	}
	return fmt.Sprintf("pod %s on %s, %s, %s", e.pod, e.node, strings.Join(conditions, ", "), ports)
}

// sliceDifference is the first difference between a Service's EndpointSlices and its selector and pods; empty if
// there is none. The rules are those of the EndpointSlice controller.
func sliceDifference(w World, service *corev1.Service, pods []*corev1.Pod) string {
	for _, family := range Families(service) {
		list := w.SlicesOf(Name(service), family)
		want, got := wantedEntries(service, pods, family), listedEntries(list)
		for _, addr := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
			listed, there := got[addr]
			switch {
			case !there:
				return fmt.Sprintf("%s is not listed (%s)", addr, want[addr])
			case listed != want[addr]:
				return fmt.Sprintf("%s is listed as %s, and is %s", addr, listed, want[addr])
			}
		}
		for _, addr := range slices.SortedFunc(maps.Keys(got), netip.Addr.Compare) {
			if _, wanted := want[addr]; !wanted {
				return fmt.Sprintf("%s is still listed (%s)", addr, got[addr])
			}
		}
		if waitingFor := hintDifference(service, list); waitingFor != "" {
			return waitingFor
		}
	}
	return ""
}

func wantedEntries(service *corev1.Service, pods []*corev1.Pod, family corev1.IPFamily) map[netip.Addr]entry {
	var (
		want     = map[netip.Addr]entry{}
		selector = labels.SelectorFromSet(service.Spec.Selector)
	)
	for _, pod := range pods {
		if Ended(pod) || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, addr := range PodAddrs(pod) {
			if FamilyOf(addr) != family {
				continue
			}
			serving, terminating := Ready(pod), pod.DeletionTimestamp != nil
			e := entry{pod: pod.Name, node: pod.Spec.NodeName, serving: serving, terminating: terminating,
				ready: service.Spec.PublishNotReadyAddresses || serving && !terminating}
			var ports []string
			for _, port := range service.Spec.Ports {
				if number, ok := ResolveTargetPort(pod, port); ok {
					ports = append(ports, portText(port.Name, number, protocolOf(port.Protocol)))
				}
			}
			slices.Sort(ports)
			e.ports = strings.Join(ports, ",")
			if other, twice := want[addr]; !twice || other.terminating {
				want[addr] = e // the address of a terminating pod, given to a new one
			}
		}
	}
	return want
}

func listedEntries(list []discoveryv1.EndpointSlice) map[netip.Addr]entry {
	got := map[netip.Addr]entry{}
	for i := range list {
		var ports []string
		for _, p := range list[i].Ports {
			if p.Name != nil && p.Port != nil && p.Protocol != nil {
				ports = append(ports, portText(*p.Name, uint16(*p.Port), *p.Protocol))
			}
		}
		slices.Sort(ports)
		for _, e := range list[i].Endpoints {
			endpoint, ok := readEndpoint(e, 0)
			if !ok {
				continue
			}
			other, twice := got[endpoint.Addr]
			if twice && !other.terminating && endpoint.Terminating {
				continue
			}
			got[endpoint.Addr] = entry{pod: endpoint.Pod, node: endpoint.Node, ports: strings.Join(ports, ","),
				ready: endpoint.Ready, serving: endpoint.Serving, terminating: endpoint.Terminating}
		}
	}
	return got
}

// hintDifference says whether ready endpoints have the hints, of their own zone and node, that the Service's trafficDistribution requires
// (KEP-4444, KEP-3015). A zone can only be hinted where the endpoint has one.
func hintDifference(service *corev1.Service, list []discoveryv1.EndpointSlice) string {
	var zones, nodes bool
	if d := service.Spec.TrafficDistribution; d != nil {
		nodes = *d == corev1.ServiceTrafficDistributionPreferSameNode
		zones = nodes || *d == corev1.ServiceTrafficDistributionPreferSameZone || *d == corev1.ServiceTrafficDistributionPreferClose
	}
	for i := range list {
		for _, e := range list[i].Endpoints {
			endpoint, ok := readEndpoint(e, 0)
			if !ok || !endpoint.Ready {
				continue
			}
			if wanted := zones && e.Zone != nil; wanted != (len(endpoint.Zones) > 0) && !hintedByAnnotation(service) {
				return fmt.Sprintf("zone hints of %s to be %s", endpoint.Addr, presence(wanted))
			}
			if zones && e.Zone != nil && !hintedByAnnotation(service) && !slices.Equal(endpoint.Zones, []string{*e.Zone}) {
				return fmt.Sprintf("zone hints of %s to be %s, they are %s", endpoint.Addr, *e.Zone, strings.Join(endpoint.Zones, ", "))
			}
			if wanted := nodes && e.NodeName != nil; wanted != (len(endpoint.Nodes) > 0) {
				return fmt.Sprintf("node hints of %s to be %s", endpoint.Addr, presence(wanted))
			}
			if nodes && e.NodeName != nil && !slices.Equal(endpoint.Nodes, []string{*e.NodeName}) {
				return fmt.Sprintf("node hints of %s to be %s, they are %s", endpoint.Addr, *e.NodeName, strings.Join(endpoint.Nodes, ", "))
			}
		}
	}
	return ""
}

// hintedByAnnotation: topology-aware routing sets zone hints by a heuristic of its own, or not at all.
func hintedByAnnotation(service *corev1.Service) bool {
	_, set := service.Annotations[corev1.AnnotationTopologyMode]
	_, old := service.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	return set || old
}

func presence(wanted bool) string {
	if wanted {
		return "set"
	}
	return "removed"
}

func portText(name string, number uint16, protocol corev1.Protocol) string {
	return fmt.Sprintf("%s=%d/%s", name, number, protocol)
}
