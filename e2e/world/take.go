package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// Take lists all Nodes and Services, and everything else a World holds in the given namespaces. The Services of other namespaces may be
// as a watch knows them: only the port numbers that they use are needed. The lists are
// taken one after the other, so a cluster in motion may not agree with itself: see Settled.
func Take(ctx context.Context, client kubernetes.Interface, dyn dynamic.Interface, facts Facts, namespaces ...string) (World, error) {
	if len(namespaces) == 0 {
		return World{}, errors.New("take a snapshot: no namespace was named")
	}
	w := World{Facts: facts, Namespaces: slices.Compact(slices.Sorted(slices.Values(namespaces)))}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return World{}, fmt.Errorf("list nodes: %w", err)
	}
	w.Nodes = nodes.Items
	services, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return World{}, fmt.Errorf("list services of all namespaces: %w", err)
	}
	for _, s := range services.Items {
		if !slices.Contains(w.Namespaces, s.Namespace) {
			w.Elsewhere = append(w.Elsewhere, s)
		}
	}
	for _, namespace := range w.Namespaces {
		if err := w.takeNamespace(ctx, client, namespace); err != nil {
			return World{}, err
		}
	}
	ranges, err := client.NetworkingV1().ServiceCIDRs().List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsNotFound(err) { // before Kubernetes 1.33 there are none
		return World{}, fmt.Errorf("list servicecidrs: %w", err)
	}
	if err == nil {
		w.Facts.ServiceCIDRs = withRanges(w.Facts.ServiceCIDRs, ranges.Items)
	}
	claims, known, err := takeClaims(ctx, client.Discovery(), dyn)
	if err != nil {
		return World{}, err
	}
	if known {
		w = w.WithClaims(claims)
	}
	return w.Sorted(), nil
}

func (w *World) takeNamespace(ctx context.Context, client kubernetes.Interface, namespace string) error {
	all := metav1.ListOptions{}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list pods of namespace %s: %w", namespace, err)
	}
	w.Pods = append(w.Pods, pods.Items...)
	services, err := client.CoreV1().Services(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list services of namespace %s: %w", namespace, err)
	}
	w.Services = append(w.Services, services.Items...)
	endpointSlices, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list endpointslices of namespace %s: %w", namespace, err)
	}
	w.Slices = append(w.Slices, endpointSlices.Items...)
	deployments, err := client.AppsV1().Deployments(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list deployments of namespace %s: %w", namespace, err)
	}
	w.Deployments = append(w.Deployments, deployments.Items...)
	sets, err := client.AppsV1().StatefulSets(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list statefulsets of namespace %s: %w", namespace, err)
	}
	w.StatefulSets = append(w.StatefulSets, sets.Items...)
	daemons, err := client.AppsV1().DaemonSets(namespace).List(ctx, all)
	if err != nil {
		return fmt.Errorf("list daemonsets of namespace %s: %w", namespace, err)
	}
	w.DaemonSets = append(w.DaemonSets, daemons.Items...)
	return nil
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
