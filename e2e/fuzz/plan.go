// Package fuzz tries random Services on a cluster: a seed stands for Services, EndpointSlices and backends of any
// valid shape; they are applied in batches, probed from every vantage, and compared with the oracle. No table is
// written for them, so a disagreement says that the oracle or the cluster does not do what was thought. It is shrunk to the
// smallest Service that still shows it.
//
// Generate and Smaller are pure. Run is what acts: it makes one namespace and leaves nothing behind.
package fuzz

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

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
	// Room are the pod ranges that are large enough for Manual.Room.
	Room []netip.Prefix
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
	for _, r := range facts.PodCIDRs {
		if roomy(r) {
			s.Room = append(s.Room, r.Masked())
		}
	}
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

// Manual is what the EndpointSlices of a Service without selector say. There are slices of their own for each IP family.
type Manual struct {
	// Ports are those of the slices: a Service port that is missing here has no endpoint.
	Ports     []discoveryv1.EndpointPort
	Endpoints []ManualEndpoint
	// Parts is over how many more slices the endpoints are spread. Overlap: several slices list the same endpoints, see Slices.
	Parts   int
	Overlap bool
	// Many is how many more endpoints each TCP port has: all backends in turn, at port numbers that only these endpoints have.
	Many int
	// Waiting is how many more endpoints are not ready, at addresses of Room that no pod has; a slice has Size of them.
	Waiting, Size int
	Room          []netip.Prefix
}

const (
	// MaxEndpoints is how many endpoints a generated Service has at most.
	MaxEndpoints = 1200
	// firstMore is the first of the port numbers of Manual.Many, and morePorts how many there are: every backend listens on them.
	firstMore = int32(20_000)
	morePorts = MaxEndpoints / podCount
	// controllerSlice is how many endpoints the EndpointSlice controller puts into a slice (--max-endpoints-per-slice), apiSlice how
	// many the API server admits.
	controllerSlice, apiSlice = 100, 1000
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

func ptr[T any](v T) *T { return &v }
