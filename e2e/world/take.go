package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
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
	list := func(what string, do func(options metav1.ListOptions) error) {
		group.Go(func() error {
			if err := do(metav1.ListOptions{}); err != nil {
				return fmt.Errorf("list %s: %w", what, err)
			}
			return nil
		})
	}
	list("nodes", func(all metav1.ListOptions) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, all)
		if err == nil {
			w.Nodes = nodes.Items
		}
		return err
	})
	list("services of all namespaces", func(all metav1.ListOptions) error {
		services, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, all)
		if err == nil {
			everywhere = services.Items
		}
		return err
	})
	list("servicecidrs", func(all metav1.ListOptions) error {
		cidrs, err := client.NetworkingV1().ServiceCIDRs().List(ctx, all)
		if apierrors.IsNotFound(err) { // before Kubernetes 1.33 there are none
			return nil
		}
		if err == nil {
			ranges = cidrs.Items
		}
		return err
	})
	list(L2StatusResource().GroupResource().String(), func(metav1.ListOptions) (err error) {
		claims, known, err = takeClaims(ctx, groups, dyn)
		return err
	})
	for i, namespace := range w.Namespaces {
		in, part := " of namespace "+namespace, &parts[i]
		list("pods"+in, func(all metav1.ListOptions) error {
			pods, err := client.CoreV1().Pods(namespace).List(ctx, all)
			if err == nil {
				part.Pods = pods.Items
			}
			return err
		})
		list("services"+in, func(all metav1.ListOptions) error {
			services, err := client.CoreV1().Services(namespace).List(ctx, all)
			if err == nil {
				part.Services = services.Items
			}
			return err
		})
		list("endpointslices"+in, func(all metav1.ListOptions) error {
			endpointSlices, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, all)
			if err == nil {
				part.Slices = endpointSlices.Items
			}
			return err
		})
		list("deployments"+in, func(all metav1.ListOptions) error {
			deployments, err := client.AppsV1().Deployments(namespace).List(ctx, all)
			if err == nil {
				part.Deployments = deployments.Items
			}
			return err
		})
		list("statefulsets"+in, func(all metav1.ListOptions) error {
			sets, err := client.AppsV1().StatefulSets(namespace).List(ctx, all)
			if err == nil {
				part.StatefulSets = sets.Items
			}
			return err
		})
		list("daemonsets"+in, func(all metav1.ListOptions) error {
			daemons, err := client.AppsV1().DaemonSets(namespace).List(ctx, all)
			if err == nil {
				part.DaemonSets = daemons.Items
			}
			return err
		})
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
	w.Facts.ServiceCIDRs = withRanges(w.Facts.ServiceCIDRs, ranges)
	if known && (len(claims) > 0 || !facts.NoLayer2) {
		w = w.WithClaims(claims)
	}
	return w.Sorted(), nil
}

// withRanges adds the ranges of ServiceCIDR objects (KEP-1880) that are not there yet.
func withRanges(ranges []netip.Prefix, objects []networkingv1.ServiceCIDR) []netip.Prefix {
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
