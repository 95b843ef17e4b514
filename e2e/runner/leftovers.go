package runner

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/wait"
)

// sweepClusterScoped removes the cluster-scoped objects that carry a runner's label: what a scenario that was killed has
// added to the ranges of ClusterIPs (KEP-1880). A range goes only once no Service has an address of it, so the namespaces
// are removed before. Clusters that do not have such objects have nothing to remove.
func (s *session) sweepClusterScoped(ctx context.Context) error {
	ours := metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy}
	for _, resource := range []string{"ipaddresses", "servicecidrs"} {
		objects := s.runner.cluster.Dynamic().Resource(networkingv1.SchemeGroupVersion.WithResource(resource))
		list, err := objects.List(ctx, ours)
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // who may not see them cannot have made any
			continue
		}
		if err != nil {
			return fmt.Errorf("list the %s of scenarios: %w", resource, err)
		}
		for _, object := range list.Items {
			if err := objects.Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s/%s: %w", resource, object.GetName(), err)
			}
		}
		if len(list.Items) == 0 {
			continue
		}
		if err := s.Await(ctx, fmt.Sprintf("the %s of scenarios to be gone", resource),
			[]wait.Objects{{Resource: networkingv1.SchemeGroupVersion.WithResource(resource)}}, 0, func(ctx context.Context) (bool, string, error) {
				left, err := objects.List(ctx, ours)
				if err != nil {
					return false, err.Error(), nil
				}
				return len(left.Items) == 0, fmt.Sprintf("still there: %v", objectNames(left.Items)), nil
			}); err != nil {
			return err
		}
	}
	return nil
}

func objectNames(objects []unstructured.Unstructured) []string {
	list := make([]string, len(objects))
	for i := range objects {
		list[i] = objects[i].GetName()
	}
	return list
}
