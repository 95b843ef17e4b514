// Package upstream runs the end-to-end specs of Services of a Kubernetes release, and compares their coverage and their
// duration with svclab's own scenarios.
package upstream

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Count is how many specs of Services are [Conformance], in each minor that Specs knows.
const Count = 24

// Spec is one spec of upstream's e2e.test.
type Spec struct {
	// Name is its full text, as in test/conformance/testdata/conformance.yaml of k8s.io/kubernetes.
	Name string `json:"name"`
	// Behaviours are svclab's IDs of the behaviours that it tests, at least in part.
	Behaviours []string `json:"behaviours,omitempty"`
	// Else says what it tests if svclab has no such behaviour.
	Else string `json:"else,omitempty"`
}

// Specs are the [sig-network] specs of Services that are [Conformance] in one Kubernetes minor, as "1.37": the entries of
// its conformance.yaml whose name has "[sig-network]", then "Service", then "[Conformance]".
func Specs(minor string) ([]Spec, error) {
	var own []Spec
	switch minor {
	case "1.34":
		own = only134()
	case "1.35", "1.36", "1.37":
		own = since135()
	default:
		return nil, fmt.Errorf("the specs of Services in Kubernetes %s are unknown; e2e/upstream/specs.go lists those of 1.34 to 1.37", minor)
	}
	specs := append(common(), own...)
	slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) })
	if len(specs) != Count {
		return nil, fmt.Errorf("there are %d specs for Kubernetes %s, want %d", len(specs), minor, Count)
	}
	return specs, nil
}

// Focus is a regular expression for Ginkgo's --focus that matches these specs and no other.
func Focus(specs []Spec) string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = regexp.QuoteMeta(s.Name)
	}
	return "(" + strings.Join(names, "|") + ")$"
}

func network(text string, behaviours ...string) Spec {
	return Spec{Name: "[sig-network] " + text + " [Conformance]", Behaviours: behaviours}
}

func other(text, about string) Spec {
	return Spec{Name: "[sig-network] " + text + " [Conformance]", Else: about}
}

const endpointsObjects = "Endpoints objects, which EndpointSlices replace"

func common() []Spec {
	return []Spec{
		network("EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service", "slices"),
		network("EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices", "selectorless"),
		network("EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices", "selectorless"),
		other("Service endpoints latency should not be very high", "how soon endpoints follow a new Service"),
		network("ServiceCIDR and IPAddress API should support IPAddress API operations", "servicecidr"),
		network("ServiceCIDR and IPAddress API should support ServiceCIDR API operations", "servicecidr"),
		network("Services should be able to change the type from ClusterIP to ExternalName", "type.change"),
		network("Services should be able to change the type from ExternalName to ClusterIP", "type.change"),
		network("Services should be able to change the type from ExternalName to NodePort", "type.change"),
		network("Services should be able to change the type from NodePort to ExternalName", "type.change"),
		other("Services should be able to create a functioning NodePort service", "node ports probed from a pod, not from outside"),
		network("Services should be able to switch session affinity for NodePort service [LinuxOnly]", "affinity.clientip"),
		network("Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]", "affinity.clientip"),
		network("Services should complete a service status lifecycle", "status"),
		network("Services should delete a collection of services", "status"),
		network("Services should find a service from listing all namespaces", "status"),
		network("Services should have session affinity work for NodePort service [LinuxOnly]", "affinity.clientip"),
		network("Services should have session affinity work for service with type clusterIP [LinuxOnly]", "affinity.clientip"),
		network("Services should serve a basic endpoint from pods", "clusterip.basic"),
		network("Services should serve endpoints on same port and different protocols", "port.multi"),
		network("Services should serve multiport endpoints from pods", "port.multi"),
	}
}

func since135() []Spec {
	return []Spec{
		network("EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no pods", "slices"),
		other("EndpointsController should create Endpoints for Pods matching a Service", endpointsObjects),
		other("EndpointsController should create and delete Endpoints for a Service with a selector that matches no pods", endpointsObjects),
	}
}

func only134() []Spec {
	return []Spec{
		network("EndpointSlice should create and delete Endpoints and EndpointSlices for a Service with a selector specified", "slices"),
		network("Services should provide secure master service", "apiserver.service"),
		other("Services should test the lifecycle of an Endpoint", endpointsObjects),
	}
}
