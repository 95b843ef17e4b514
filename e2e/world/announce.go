package world

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// L2StatusResource is where MetalLB's speakers report which node announces a Service in layer-2 mode.
// (metallb api/v1beta1, ServiceL2Status.)
func L2StatusResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: MetalLBGroup, Version: "v1beta1", Resource: "servicel2statuses"}
}

// L2AdvertisementResource are the objects without which MetalLB's speakers announce nothing in layer-2 mode.
func L2AdvertisementResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: MetalLBGroup, Version: "v1beta1", Resource: "l2advertisements"}
}

// Claim is one node's report that it announces a Service's load-balancer addresses.
type Claim struct {
	// Service is "namespace/name", Node the node's name.
	Service, Node string
}

func (c Claim) compare(d Claim) int {
	return cmp.Or(cmp.Compare(c.Service, d.Service), cmp.Compare(c.Node, d.Node))
}

// takeClaims lists the announcements. known is false where the cluster has no MetalLB at all; a MetalLB that
// cannot be read is an error.
func takeClaims(ctx context.Context, groups discovery.ServerGroupsInterface, dyn dynamic.Interface) (claims []Claim, known bool, err error) {
	list, err := groups.ServerGroups()
	if err != nil {
		return nil, false, fmt.Errorf("list the server's API groups: %w", err)
	}
	if !slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == MetalLBGroup }) {
		return nil, false, nil
	}
	statuses, err := dyn.Resource(L2StatusResource()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, false, err
	}
	for i := range statuses.Items {
		if claim, ok := ParseClaim(&statuses.Items[i]); ok {
			claims = append(claims, claim)
		}
	}
	slices.SortFunc(claims, Claim.compare)
	return slices.Compact(claims), true, nil
}

// ParseClaim reads a ServiceL2Status. ok is false while it names no node or no Service. The labels go before the
// status: a speaker that takes a Service over while the other's report is still there labels that one with its own node,
// but cannot change its status.node, which is immutable, and retries without end. The other speaker does not touch the
// report, because the label is not its own. (metallb v0.15.2 internal/k8s/controllers/layer2_status_controller.go.)
func ParseClaim(status *unstructured.Unstructured) (claim Claim, ok bool) {
	labels := status.GetLabels()
	said := func(label, field string) string {
		text, _, _ := unstructured.NestedString(status.Object, "status", field)
		return cmp.Or(labels[MetalLBGroup+"/"+label], text)
	}
	node, name := said("node", "node"), said("service-name", "serviceName")
	if node == "" || name == "" {
		return Claim{}, false
	}
	return Claim{Service: said("service-namespace", "serviceNamespace") + "/" + name, Node: node}, true
}

// WithClaims returns w with Claims and, from them, Announcers set. Where two nodes claim a Service, one that
// is Ready goes before one that is not, then the name decides; Settled says that it is contested.
func (w World) WithClaims(claims []Claim) World {
	w.Claims = slices.Clone(claims)
	slices.SortFunc(w.Claims, Claim.compare)
	ready := map[string]bool{}
	for i := range w.Nodes {
		ready[w.Nodes[i].Name] = NodeReady(&w.Nodes[i])
	}
	byService := map[string]string{}
	for _, c := range w.Claims {
		if held, taken := byService[c.Service]; !taken || ready[c.Node] && !ready[held] {
			byService[c.Service] = c.Node
		}
	}
	w.Announcers = map[netip.Addr]string{}
	for _, s := range slices.Concat(w.Services, w.Elsewhere) {
		if node, claimed := byService[Name(&s)]; claimed {
			for _, ingress := range Ingresses(&s) {
				w.Announcers[ingress.Addr] = node
			}
		}
	}
	return w
}

// announcedBy are the names of the nodes that claim a Service, sorted.
func (w World) announcedBy(service string) []string {
	nodes := map[string]bool{}
	for _, c := range w.Claims {
		if c.Service == service {
			nodes[c.Node] = true
		}
	}
	return slices.Sorted(maps.Keys(nodes))
}
