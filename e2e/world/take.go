package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// Take lists all Nodes and Services, and everything else a World holds in the given namespaces. The Services of other namespaces may be
// as a watch knows them: only the port numbers that they use are needed. The lists are
// taken side by side, so a cluster in motion may not agree with itself: see Settled. groups may be cached.
func Take(ctx context.Context, client kubernetes.Interface, groups discovery.ServerGroupsInterface, dyn dynamic.Interface, facts Facts, namespaces ...string) (World, error) {
	if len(namespaces) == 0 {
		return World{}, errors.New("take a snapshot: no namespace was named")
	}
	w := World{Facts: facts, Namespaces: slices.Compact(slices.Sorted(slices.Values(namespaces)))}
	var (
		everywhere []corev1.Service
		ranges     []networkingv1.ServiceCIDR
		claims     []Claim
		known      bool
		parts      = make([]World, len(w.Namespaces))
	)
	group, ctx := errgroup.WithContext(ctx)
	list(ctx, group, "nodes", client.CoreV1().Nodes().List, func(l *corev1.NodeList) { w.Nodes = l.Items })
	list(ctx, group, "services of all namespaces", client.CoreV1().Services(metav1.NamespaceAll).List, func(l *corev1.ServiceList) { everywhere = l.Items })
	cluster(ctx, group, client, groups, dyn, &ranges, &claims, &known)
	for i, namespace := range w.Namespaces {
		in, part := " of namespace "+namespace, &parts[i]
		list(ctx, group, "pods"+in, client.CoreV1().Pods(namespace).List, func(l *corev1.PodList) { part.Pods = l.Items })
		list(ctx, group, "services"+in, client.CoreV1().Services(namespace).List, func(l *corev1.ServiceList) { part.Services = l.Items })
		list(ctx, group, "endpointslices"+in, client.DiscoveryV1().EndpointSlices(namespace).List, func(l *discoveryv1.EndpointSliceList) { part.Slices = l.Items })
		list(ctx, group, "deployments"+in, client.AppsV1().Deployments(namespace).List, func(l *appsv1.DeploymentList) { part.Deployments = l.Items })
		list(ctx, group, "statefulsets"+in, client.AppsV1().StatefulSets(namespace).List, func(l *appsv1.StatefulSetList) { part.StatefulSets = l.Items })
		list(ctx, group, "daemonsets"+in, client.AppsV1().DaemonSets(namespace).List, func(l *appsv1.DaemonSetList) { part.DaemonSets = l.Items })
	}
	if err := group.Wait(); err != nil {
		return World{}, err
	}
	for i := range everywhere {
		if !slices.Contains(w.Namespaces, everywhere[i].Namespace) {
			w.Elsewhere = append(w.Elsewhere, everywhere[i])
		}
	}
	for _, part := range parts {
		w.Pods, w.Services, w.Slices = append(w.Pods, part.Pods...), append(w.Services, part.Services...), append(w.Slices, part.Slices...)
		w.Deployments, w.StatefulSets = append(w.Deployments, part.Deployments...), append(w.StatefulSets, part.StatefulSets...)
		w.DaemonSets = append(w.DaemonSets, part.DaemonSets...)
	}
	return w.finish(ranges, claims, known), nil
}

// TakeAll lists what decides about the Services of all namespaces: Nodes, Services, EndpointSlices and Pods, and DaemonSets. It needs
// no permission beyond these, and get of none. No other workload is in the snapshot.
func TakeAll(ctx context.Context, client kubernetes.Interface, groups discovery.ServerGroupsInterface, dyn dynamic.Interface, facts Facts) (World, error) {
	const all = metav1.NamespaceAll
	w := World{Facts: facts}
	var (
		ranges []networkingv1.ServiceCIDR
		claims []Claim
		known  bool
	)
	group, ctx := errgroup.WithContext(ctx)
	list(ctx, group, "nodes", client.CoreV1().Nodes().List, func(l *corev1.NodeList) { w.Nodes = l.Items })
	list(ctx, group, "services of all namespaces", client.CoreV1().Services(all).List, func(l *corev1.ServiceList) { w.Services = l.Items })
	list(ctx, group, "pods of all namespaces", client.CoreV1().Pods(all).List, func(l *corev1.PodList) { w.Pods = l.Items })
	list(ctx, group, "endpointslices of all namespaces", client.DiscoveryV1().EndpointSlices(all).List, func(l *discoveryv1.EndpointSliceList) { w.Slices = l.Items })
	list(ctx, group, "daemonsets of all namespaces", client.AppsV1().DaemonSets(all).List, func(l *appsv1.DaemonSetList) { w.DaemonSets = l.Items })
	cluster(ctx, group, client, groups, dyn, &ranges, &claims, &known)
	if err := group.Wait(); err != nil {
		return World{}, err
	}
	for i := range w.Services {
		w.Namespaces = append(w.Namespaces, w.Services[i].Namespace)
	}
	return w.finish(ranges, claims, known), nil
}

// finish adds what cluster read.
func (w World) finish(ranges []networkingv1.ServiceCIDR, claims []Claim, known bool) World {
	w.Facts.ServiceCIDRs = WithRanges(w.Facts.ServiceCIDRs, ranges...)
	if known && (len(claims) > 0 || !w.Facts.NoLayer2) {
		w = w.WithClaims(claims)
	}
	return w.Sorted()
}

// cluster reads what belongs to no namespace: the ranges of ClusterIPs, and who announces load-balancer addresses.
func cluster(ctx context.Context, group *errgroup.Group, client kubernetes.Interface, groups discovery.ServerGroupsInterface, dyn dynamic.Interface,
	ranges *[]networkingv1.ServiceCIDR, claims *[]Claim, known *bool) {
	list(ctx, group, "servicecidrs", func(ctx context.Context, all metav1.ListOptions) (*networkingv1.ServiceCIDRList, error) {
		cidrs, err := client.NetworkingV1().ServiceCIDRs().List(ctx, all)
		if apierrors.IsNotFound(err) { // Kubernetes before 1.33 does not have the resource
			return &networkingv1.ServiceCIDRList{}, nil
		}
		return cidrs, err
	}, func(l *networkingv1.ServiceCIDRList) { *ranges = l.Items })
	list(ctx, group, L2StatusResource().GroupResource().String(), func(ctx context.Context, _ metav1.ListOptions) (found []Claim, err error) {
		found, *known, err = takeClaims(ctx, groups, dyn)
		return found, err
	}, func(found []Claim) { *claims = found })
}

// list has the group make one request and keep its result.
func list[L any](ctx context.Context, group *errgroup.Group, what string, request func(context.Context, metav1.ListOptions) (L, error), keep func(L)) {
	group.Go(func() error {
		found, err := request(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list %s: %w", what, err)
		}
		keep(found)
		return nil
	})
}

// WithRanges returns ranges with those of ServiceCIDR objects (KEP-1880) that are not there yet.
func WithRanges(ranges []netip.Prefix, objects ...networkingv1.ServiceCIDR) []netip.Prefix {
	ranges = slices.Clone(ranges)
	for _, object := range objects {
		for _, text := range object.Spec.CIDRs {
			if prefix, err := netip.ParsePrefix(text); err == nil && !slices.Contains(ranges, prefix.Masked()) {
				ranges = append(ranges, prefix.Masked())
			}
		}
	}
	return ranges
}

// usedPorts are all numbers that Services of the whole cluster use as ports, and as node ports of any kind.
func (w World) usedPorts() (ports, nodePorts map[uint16]bool) {
	ports, nodePorts = map[uint16]bool{}, map[uint16]bool{}
	for _, list := range [][]corev1.Service{w.Services, w.Elsewhere} {
		for i := range list {
			for _, p := range list[i].Spec.Ports {
				ports[uint16(p.Port)] = true
				nodePorts[uint16(p.NodePort)] = true
			}
			nodePorts[uint16(list[i].Spec.HealthCheckNodePort)] = true
		}
	}
	return ports, nodePorts
}
