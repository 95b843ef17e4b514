package runner

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/world"
)

// scale sets a workload's replicas and waits until it has them, ready, and no others.
func (s *session) scale(ctx context.Context, to steps.Scale) error {
	at, err := s.resolve(to.Object)
	if err != nil {
		return err
	}
	if s.foreign(at) {
		return fmt.Errorf("scale %s: it is not in the scenario's namespace", to.Object)
	}
	body := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, to.Replicas)
	if _, err := s.in(at).Patch(ctx, at.name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager}); err != nil {
		return fmt.Errorf("scale %s: %w", to.Object, err)
	}
	return s.awaitObject(ctx, at, fmt.Sprintf("to have %d ready replicas", to.Replicas), 0, func(o *unstructured.Unstructured) (bool, string) {
		return scaled(o, int64(to.Replicas))
	})
}

// scaled reports whether a workload, as its controller tells, has want replicas, all ready and no others.
func scaled(o *unstructured.Unstructured, want int64) (done bool, seen string) {
	if o == nil {
		return false, "it is gone"
	}
	count := func(field string) int64 {
		n, _, err := unstructured.NestedInt64(o.Object, "status", field)
		if err != nil {
			return -1
		}
		return n
	}
	seen = fmt.Sprintf("%d replicas, %d ready, generation %d of %d seen", count("replicas"), count("readyReplicas"),
		count("observedGeneration"), o.GetGeneration())
	return count("observedGeneration") >= o.GetGeneration() && count("replicas") == want && count("readyReplicas") == want, seen
}

// replacePods deletes pods and waits until they are gone and as many others are ready in their place.
func (s *session) replacePods(ctx context.Context, r steps.ReplacePods) (stepReport, error) {
	namespace := r.Namespace
	if namespace == "" {
		namespace = s.namespace
	}
	selected := metav1.ListOptions{LabelSelector: r.Selector}
	if r.Slot != "" {
		node, found := s.facts.Slots[r.Slot]
		if !found {
			return stepReport{}, fmt.Errorf("replace pods on %s: this cluster has no such node", r.Slot)
		}
		selected.FieldSelector = "spec.nodeName=" + node
	}
	pods := s.runner.cluster.Client().CoreV1().Pods(namespace)
	before, err := pods.List(ctx, selected)
	if err != nil {
		return stepReport{}, fmt.Errorf("list the pods to replace: %w", err)
	}
	if len(before.Items) == 0 {
		return stepReport{}, fmt.Errorf("no pod has the labels %s", r.Selector)
	}
	var old []types.UID
	for _, pod := range before.Items {
		old = append(old, pod.UID)
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return stepReport{}, fmt.Errorf("delete pod %s: %w", pod.Name, err)
		}
	}
	var now []string
	err = s.await(ctx, fmt.Sprintf("%d new pods with %s to be ready", len(old), r.Selector),
		[]watched{{resource: corev1Resource("pods"), namespace: namespace}}, 0, func(ctx context.Context) (bool, string, error) {
			list, err := pods.List(ctx, selected)
			if err != nil {
				return false, err.Error(), nil
			}
			left, ready := 0, 0
			now = nil
			for i := range list.Items {
				pod := &list.Items[i]
				switch {
				case slices.Contains(old, pod.UID):
					left++
				case pod.DeletionTimestamp == nil && world.Ready(pod):
					ready++
					now = append(now, pod.Name)
				}
			}
			return left == 0 && ready == len(old), fmt.Sprintf("%d old ones are there, %d new ones are ready", left, ready), nil
		})
	if err != nil {
		return stepReport{}, err
	}
	return stepReport{lines: []string{fmt.Sprintf("replaced %v by %v", podNames(before.Items), now)}}, nil
}

func podNames(pods []corev1.Pod) []string {
	names := make([]string, len(pods))
	for i := range pods {
		names[i] = pods[i].Name
	}
	return names
}
