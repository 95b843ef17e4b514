// Package world is a snapshot of the objects that decide how a Service behaves: typed values only, taken once
// and then handed to pure functions (oracle.Predict, World.Targets, Settled). Whatever the objects do not say
// is in Facts.
package world

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// World is all that was known of a cluster at one moment. Its lists are sorted by namespace and name (see
// Sorted). Nothing in it is shared with a cache, and it does not change after Take.
type World struct {
	Facts Facts
	// Namespaces are those whose objects are in the lists, sorted.
	Namespaces []string
	Nodes      []corev1.Node
	Pods       []corev1.Pod
	Services   []corev1.Service
	Slices     []discoveryv1.EndpointSlice
	// Deployments, StatefulSets and DaemonSets are what Settled waits for.
	Deployments  []appsv1.Deployment
	StatefulSets []appsv1.StatefulSet
	DaemonSets   []appsv1.DaemonSet
	// Elsewhere are the Services of all other namespaces: their endpoints are not known, but their addresses
	// and node ports are taken.
	Elsewhere []corev1.Service
	// Announcers maps load-balancer addresses to the name of the node that announces them. Nil: nothing says
	// who announces (no MetalLB in layer-2 mode); an address missing from a map is announced by no node.
	Announcers map[netip.Addr]string
	// Claims are the announcements as MetalLB reports them, sorted. Two nodes may claim one Service for a moment.
	Claims []Claim
}

// Sorted returns w with all lists in their canonical order, so that equal clusters make equal worlds.
func (w World) Sorted() World {
	w.Namespaces = slices.Compact(slices.Sorted(slices.Values(w.Namespaces)))
	w.Nodes = sorted(w.Nodes, func(o *corev1.Node) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Pods = sorted(w.Pods, func(o *corev1.Pod) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Services = sorted(w.Services, func(o *corev1.Service) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Elsewhere = sorted(w.Elsewhere, func(o *corev1.Service) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Slices = sorted(w.Slices, func(o *discoveryv1.EndpointSlice) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Deployments = sorted(w.Deployments, func(o *appsv1.Deployment) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.StatefulSets = sorted(w.StatefulSets, func(o *appsv1.StatefulSet) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.DaemonSets = sorted(w.DaemonSets, func(o *appsv1.DaemonSet) *metav1.ObjectMeta { return &o.ObjectMeta })
	w.Claims = slices.Clone(w.Claims)
	slices.SortFunc(w.Claims, Claim.compare)
	return w
}

// With returns w with the objects given in place of its Pods, Services, EndpointSlices, workloads and Claims, and of its Nodes if
// there is any: those that a watch knows, which may be older or newer than the rest of w.
func (w World) With(objects []*unstructured.Unstructured) (World, error) {
	w.Pods, w.Services, w.Slices, w.Deployments, w.StatefulSets, w.DaemonSets, w.Claims = nil, nil, nil, nil, nil, nil, nil
	var nodes []corev1.Node
	for _, object := range objects {
		var err error
		switch object.GetKind() {
		case "Node":
			err = read(&nodes, object)
		case "Pod":
			err = read(&w.Pods, object)
		case "Service":
			err = read(&w.Services, object)
		case "EndpointSlice":
			err = read(&w.Slices, object)
		case "Deployment":
			err = read(&w.Deployments, object)
		case "StatefulSet":
			err = read(&w.StatefulSets, object)
		case "DaemonSet":
			err = read(&w.DaemonSets, object)
		case "ServiceL2Status":
			if claim, ok := ParseClaim(object); ok {
				w.Claims = append(w.Claims, claim)
			}
		}
		if err != nil {
			return World{}, fmt.Errorf("read %s %s: %w", object.GetKind(), Name(object), err)
		}
	}
	if nodes != nil {
		w.Nodes = nodes
	}
	if w.Announcers != nil {
		w = w.WithClaims(w.Claims)
	}
	return w.Sorted(), nil
}

// read adds an object to a list.
func read[T any](list *[]T, object *unstructured.Unstructured) error {
	var typed T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed)
	*list = append(*list, typed)
	return err
}

func sorted[T any](list []T, meta func(*T) *metav1.ObjectMeta) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b T) int {
		ma, mb := meta(&a), meta(&b)
		return cmp.Or(cmp.Compare(ma.Namespace, mb.Namespace), cmp.Compare(ma.Name, mb.Name))
	})
	return list
}

// Service returns the Service of that "namespace/name". ok is false if it does not exist.
func (w World) Service(name string) (service corev1.Service, ok bool) {
	for i := range w.Services {
		if Name(&w.Services[i]) == name {
			return w.Services[i], true
		}
	}
	return corev1.Service{}, false
}

// SlicesOf returns the EndpointSlices of a Service, of one IP family.
func (w World) SlicesOf(service string, family corev1.IPFamily) []discoveryv1.EndpointSlice {
	var list []discoveryv1.EndpointSlice
	for i := range w.Slices {
		if ServiceOf(&w.Slices[i]) == service && string(w.Slices[i].AddressType) == string(family) {
			list = append(list, w.Slices[i])
		}
	}
	return list
}

// Name is an object's "namespace/name".
func Name(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// ServiceOf is the "namespace/name" of the Service an EndpointSlice belongs to; empty when it belongs to none.
func ServiceOf(s *discoveryv1.EndpointSlice) string {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" {
		return ""
	}
	return s.Namespace + "/" + name
}

// Slot is the short name of a node: its slot where it has one, else its name.
func (w World) Slot(node string) string {
	best := ""
	for slot, name := range w.Facts.Slots {
		if name == node && (best == "" || slot < best) {
			best = slot
		}
	}
	if best == "" {
		return node
	}
	return best
}

// compareSlots orders slots as people count: control-plane, worker, worker2, worker10.
func compareSlots(a, b string) int {
	stemA, stemB := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if stemA != stemB {
		return cmp.Compare(stemA, stemB)
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
