// Package fuzz tries random Services on a cluster: a seed stands for Services, EndpointSlices and backends of any
// valid shape; they are applied in batches, probed from every vantage, and compared with the oracle. No table is
// written for them, so a disagreement says that the oracle or the cluster does not do what was thought. It is shrunk to the
// smallest Service that still shows it.
//
// Generate and Smaller are pure. Run is what acts: it makes one namespace and leaves nothing behind.
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

// Scene is what of a cluster the generator must know to make Services that are valid there. The same seed and scene give
// the same plan.
type Scene struct {
	// Namespace is where everything goes.
	Namespace string
	// Nodes are the names of the nodes that pods may run on, sorted.
	Nodes []string
	// Families are the cluster's IP families, its first one first.
	Families []corev1.IPFamily
	// LoadBalancer: a controller gives addresses to LoadBalancer Services without a class.
	LoadBalancer bool
	// Ranges are prefixes that hold some of the clients and not others, for loadBalancerSourceRanges.
	Ranges []netip.Prefix
	// Names are names outside the cluster that its DNS knows, for ExternalName Services.
	Names []string
	// Domain is the cluster's DNS domain.
	Domain string
}

// SceneOf reads a Scene from what is known of a cluster. Nodes that take no pods are left out.
func SceneOf(namespace string, facts world.Facts, nodes []corev1.Node) Scene {
	s := Scene{Namespace: namespace, Domain: facts.ClusterDomain(), LoadBalancer: facts.Serves(nil)}
	for i := range nodes {
		if !nodes[i].Spec.Unschedulable && !slices.ContainsFunc(nodes[i].Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }) {
			s.Nodes = append(s.Nodes, nodes[i].Name)
		}
	}
	slices.Sort(s.Nodes)
	for _, r := range facts.ServiceCIDRs {
		if family := world.FamilyOf(r.Addr()); !slices.Contains(s.Families, family) {
			s.Families = append(s.Families, family)
		}
	}
	s.Ranges = slices.Clone(facts.PodCIDRs)
	for _, family := range s.Families {
		for i := range nodes {
			if addr, ok := world.PrimaryAddr(&nodes[i], family); ok {
				s.Ranges = append(s.Ranges, netip.PrefixFrom(addr, addr.BitLen()))
				break
			}
		}
	}
	for _, external := range facts.Externals {
		s.Names = append(s.Names, external.Name)
	}
	return s
}

// Plan is all that a seed stands for on a scene.
type Plan struct {
	Seed uint64
	// Pods are the backends, shared by all Services.
	Pods []corev1.Pod
	// Cases are the Services, in order.
	Cases []Case
}

// Case is one random Service and what is written by hand for it.
type Case struct {
	Service corev1.Service
	// Manual are the Service's endpoints where it has no selector; nil for one that has.
	Manual *Manual
}

// Name is the Service's name.
func (c Case) Name() string { return c.Service.Name }

// Manual is what the EndpointSlices of a Service without selector say. There is one slice for each IP family.
type Manual struct {
	// Ports are those of the slices: a Service port that is missing here has no endpoint.
	Ports     []discoveryv1.EndpointPort
	Endpoints []ManualEndpoint
	// Parts is over how many more slices the endpoints are spread. Overlap: each of these slices has all endpoints.
	Parts   int
	Overlap bool
	// Many: each pod is listed at so many more port numbers of TCP ports, in slices of their own: with a dozen pods up to 1,200
	// endpoints.
	Many int
}

// mostMany is the most of Manual.Many, and firstMany the first of the port numbers: every backend listens on them.
const (
	mostMany  = 100
	firstMany = int32(20_000)
)

// ManualEndpoint is one pod in a slice written by hand. What is not set leaves the field out.
type ManualEndpoint struct {
	// Pod is whose address it is.
	Pod string
	// Referred: the endpoint names the pod it belongs to. Placed: it names the pod's node.
	Referred, Placed bool
	Conditions       discoveryv1.EndpointConditions
	// ForNodes are hints (KEP-3015).
	ForNodes []string
}

// manualBy is the managed-by label of svclab's EndpointSlices: no other controller touches them.
const manualBy = "fuzz.svclab.io"

// Slices are the EndpointSlices of a case, over pods that have their addresses, for a Service as the API server has
// completed it. A pod without an address of a family is left out of its slice.
func (c Case) Slices(service *corev1.Service, pods []corev1.Pod) []discoveryv1.EndpointSlice {
	if c.Manual == nil {
		return nil
	}
	var list []discoveryv1.EndpointSlice
	for _, family := range world.Families(service) {
		var endpoints []discoveryv1.Endpoint
		for _, e := range c.Manual.Endpoints {
			i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == e.Pod })
			if i < 0 {
				continue
			}
			for _, addr := range world.PodAddrs(&pods[i]) {
				if world.FamilyOf(addr) == family {
					endpoints = append(endpoints, e.at(addr, &pods[i]))
				}
			}
		}
		suffix := map[corev1.IPFamily]string{corev1.IPv4Protocol: "v4", corev1.IPv6Protocol: "v6"}[family]
		for part := range c.Manual.Parts + 1 {
			s := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressType(family), Ports: slices.Clone(c.Manual.Ports),
				ObjectMeta: metav1.ObjectMeta{Namespace: service.Namespace, Name: fmt.Sprintf("%s-%s", service.Name, suffix),
					Labels: map[string]string{discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: manualBy}}}
			if part > 0 {
				s.Name += fmt.Sprintf("-%d", part)
			}
			for i, e := range endpoints {
				if c.Manual.Overlap || i%(c.Manual.Parts+1) == part {
					s.Endpoints = append(s.Endpoints, *e.DeepCopy())
				}
			}
			list = append(list, s)
		}
		for i := range c.Manual.Many {
			s := list[len(list)-1].DeepCopy()
			s.Name, s.Endpoints, s.Ports = fmt.Sprintf("%s-%s-more%d", service.Name, suffix, i), nil, nil
			for _, e := range endpoints {
				s.Endpoints = append(s.Endpoints, *e.DeepCopy())
			}
			for _, p := range c.Manual.Ports {
				if *p.Protocol == corev1.ProtocolTCP {
					p.Port = ptr(firstMany + int32(i))
					s.Ports = append(s.Ports, p)
				}
			}
			if len(s.Ports) > 0 {
				list = append(list, *s)
			}
		}
	}
	return list
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

func ptr[T any](v T) *T { return &v }
