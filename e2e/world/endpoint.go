package world

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Endpoint is one address and port of a Service port, as kube-proxy reads it from the EndpointSlices.
type Endpoint struct {
	Addr netip.Addr
	Port uint16
	// Node is the node's name; empty where the slice names none, and then it is local to no node.
	Node string
	// Pod is the name of the pod the slice refers to; empty for addresses written by hand. Hostname is the
	// one the endpoint has in DNS.
	Pod, Hostname string
	// Ready, Serving and Terminating are the slice's conditions with their defaults. Ready is true for a pod
	// that is not ready where the Service publishes such addresses.
	Ready, Serving, Terminating bool
	// Zones and Nodes are the hints: the zones and nodes whose clients the endpoint is meant for.
	Zones, Nodes []string
}

// Endpoints reads the endpoints of one Service port from the slices of one IP family. A slice counts only if
// it has a port of that name and protocol with a number: a named targetPort that no pod has leaves addresses
// behind without a port, and nothing can be sent to those. An address and port listed twice counts once, and the entry
// that is not terminating wins.
func Endpoints(list []discoveryv1.EndpointSlice, portName string, protocol corev1.Protocol) []Endpoint {
	byAddr := map[netip.AddrPort]Endpoint{}
	for i := range list {
		for _, port := range list[i].Ports {
			if port.Name == nil || *port.Name != portName || port.Port == nil || *port.Port == 0 {
				continue
			}
			if port.Protocol == nil || *port.Protocol != protocolOf(protocol) {
				continue
			}
			for _, e := range list[i].Endpoints {
				endpoint, ok := readEndpoint(e, uint16(*port.Port))
				if !ok {
					continue
				}
				key := netip.AddrPortFrom(endpoint.Addr, endpoint.Port)
				if _, twice := byAddr[key]; !twice || !endpoint.Terminating {
					byAddr[key] = endpoint
				}
			}
		}
	}
	endpoints := make([]Endpoint, 0, len(byAddr))
	for _, e := range byAddr {
		endpoints = append(endpoints, e)
	}
	slices.SortFunc(endpoints, compareEndpoints)
	return endpoints
}

// SlicePort is a port that an EndpointSlice lists.
type SlicePort struct {
	Name     string
	Protocol corev1.Protocol
}

// SlicePorts are the ports with a number that a Service's slices list, each once, sorted. kube-proxy counts the local endpoints
// of a health check over all of them, whether or not the Service has such a port.
func SlicePorts(list []discoveryv1.EndpointSlice) []SlicePort {
	var ports []SlicePort
	for i := range list {
		for _, port := range list[i].Ports {
			if port.Name != nil && port.Port != nil && *port.Port != 0 && port.Protocol != nil {
				ports = append(ports, SlicePort{*port.Name, *port.Protocol})
			}
		}
	}
	slices.SortFunc(ports, func(a, b SlicePort) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol))
	})
	return slices.Compact(ports)
}

// Addresses reads the endpoints of a headless Service's name: all of the slices' addresses that are ready,
// whatever their ports, as the cluster's DNS serves them. Port is 0. Of an endpoint with several addresses kube-proxy takes the
// first one and DNS all.
func Addresses(list []discoveryv1.EndpointSlice) []Endpoint {
	var endpoints []Endpoint
	for i := range list {
		for _, e := range list[i].Endpoints {
			for j := range e.Addresses {
				one := e
				one.Addresses = e.Addresses[j : j+1]
				if endpoint, ok := readEndpoint(one, 0); ok && endpoint.Ready {
					endpoints = append(endpoints, endpoint)
				}
			}
		}
	}
	slices.SortFunc(endpoints, compareEndpoints)
	return slices.CompactFunc(endpoints, func(a, b Endpoint) bool { return a.Addr == b.Addr })
}

func readEndpoint(e discoveryv1.Endpoint, port uint16) (Endpoint, bool) {
	if len(e.Addresses) == 0 {
		return Endpoint{}, false
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return Endpoint{}, false
	}
	endpoint := Endpoint{
		Addr: addr.Unmap(), Port: port,
		Ready:       e.Conditions.Ready == nil || *e.Conditions.Ready,
		Serving:     e.Conditions.Serving == nil || *e.Conditions.Serving,
		Terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
	}
	if e.NodeName != nil {
		endpoint.Node = *e.NodeName
	}
	if e.Hostname != nil {
		endpoint.Hostname = *e.Hostname
	}
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		endpoint.Pod = e.TargetRef.Name
	}
	if e.Hints != nil {
		for _, zone := range e.Hints.ForZones {
			endpoint.Zones = append(endpoint.Zones, zone.Name)
		}
		for _, node := range e.Hints.ForNodes {
			endpoint.Nodes = append(endpoint.Nodes, node.Name)
		}
	}
	return endpoint, true
}

func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
}
