package collect

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/world"
)

// balancer reads MetalLB's pools and advertisements; nil where they may not be read.
func balancer(ctx context.Context, dyn dynamic.Interface) (*explain.Balancer, error) {
	unreadable := func(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) }
	pools, err := world.Pools(ctx, dyn)
	switch {
	case unreadable(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	found := &explain.Balancer{Pools: pools}
	for _, resource := range []string{"l2advertisements", "bgpadvertisements"} {
		list, err := dyn.Resource(schema.GroupVersionResource{Group: world.MetalLBGroup, Version: "v1beta1", Resource: resource}).List(ctx, metav1.ListOptions{})
		switch {
		case unreadable(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("list MetalLB's %s: %w", resource, err)
		}
		for i := range list.Items {
			a, err := advertisement(&list.Items[i])
			if err != nil {
				return nil, err
			}
			found.Advertisements = append(found.Advertisements, a)
		}
	}
	return found, nil
}

func advertisement(item *unstructured.Unstructured) (explain.Advertisement, error) {
	var typed struct {
		Spec struct {
			IPAddressPools         []string               `json:"ipAddressPools"`
			IPAddressPoolSelectors []metav1.LabelSelector `json:"ipAddressPoolSelectors"`
			NodeSelectors          []metav1.LabelSelector `json:"nodeSelectors"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &typed); err != nil {
		return explain.Advertisement{}, fmt.Errorf("read %s %s: %w", item.GetKind(), item.GetName(), err)
	}
	return explain.Advertisement{Kind: item.GetKind(), Name: item.GetName(), Pools: typed.Spec.IPAddressPools,
		ByLabel: len(typed.Spec.IPAddressPoolSelectors) > 0, Nodes: typed.Spec.NodeSelectors}, nil
}
