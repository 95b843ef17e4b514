package fuzz

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/world"
)

// metalLB is the load balancer of the lab's cluster.
type metalLB struct {
	session *session
}

// mostOfPool is how many addresses a pool may have to be used up.
const mostOfPool = 128

func (l metalLB) pool(ctx context.Context) ([]netip.Addr, error) {
	pools, err := world.Pools(ctx, l.session.cluster.Dynamic())
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, pool := range pools {
		for _, block := range pool.Blocks {
			more, err := addressesOf(block)
			if err != nil {
				return nil, fmt.Errorf("pool %s: %w", pool.Name, err)
			}
			addrs = append(addrs, more...)
		}
	}
	return addrs, nil
}

// addressesOf are the addresses of a pool's block.
func addressesOf(text string) (list []netip.Addr, err error) {
	block, err := world.ParseBlock(text)
	if err != nil {
		return nil, err
	}
	for addr := block.First; block.Contains(addr); addr = addr.Next() {
		if len(list) == mostOfPool {
			return nil, fmt.Errorf("block %q has more than %d addresses, too many to use up", text, mostOfPool)
		}
		list = append(list, addr)
	}
	return list, nil
}

// services are as the API server has them now. What a snapshot reads may be a watch's, which is behind and knows no annotations.
func (l metalLB) services(ctx context.Context) ([]corev1.Service, error) {
	list, err := l.session.cluster.Dynamic().Resource(corev1.SchemeGroupVersion.WithResource("services")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the Services: %w", err)
	}
	var all corev1.ServiceList
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &all); err != nil {
		return nil, fmt.Errorf("list the Services: %w", err)
	}
	return all.Items, nil
}

func (l metalLB) fill(ctx context.Context, name string, family corev1.IPFamily) error {
	_, err := l.session.cluster.Client().CoreV1().Services(l.session.sandboxName).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: ptr(false), IPFamilyPolicy: ptr(corev1.IPFamilyPolicySingleStack),
			IPFamilies: []corev1.IPFamily{family}, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(tcpMain)}}}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create Service %s: %w", name, err)
	}
	return nil
}

func (l metalLB) drain(ctx context.Context, name string) error {
	if err := l.session.cluster.Client().CoreV1().Services(l.session.sandboxName).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Service %s: %w", name, err)
	}
	return nil
}

func (l metalLB) ask(ctx context.Context, service, addr string) error {
	value := "null"
	if addr != "" {
		value = `"` + addr + `"`
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, world.AskAnnotation, value)
	if _, err := l.session.cluster.Client().CoreV1().Services(l.session.sandboxName).Patch(ctx, service, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("annotate Service %s: %w", service, err)
	}
	return nil
}

func (l metalLB) restart(ctx context.Context) error {
	return l.session.restartPods(ctx, "metallb-system", "component=controller")
}
