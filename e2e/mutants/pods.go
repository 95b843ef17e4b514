package mutants

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// revertIn bounds the revert of one fault: new pods of CoreDNS and MetalLB take the longest.
const revertIn = 90 * time.Second

// podsGone waits until no pod with the labels is left.
func podsGone(ctx context.Context, lab Lab, namespace, labels string) error {
	return noPod(ctx, lab, namespace, labels, "to be gone", func(*corev1.Pod) bool { return true })
}

// noPodTerminating waits until no pod with the labels is terminating.
func noPodTerminating(ctx context.Context, lab Lab, namespace, labels string) error {
	return noPod(ctx, lab, namespace, labels, "that terminate to be gone", func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// noPod waits until no pod with the labels is left that match selects.
func noPod(ctx context.Context, lab Lab, namespace, labels, what string, match func(*corev1.Pod) bool) error {
	return wait.For(ctx, fmt.Sprintf("the pods with %s %s", labels, what), wait.List(lab.Resources(), namespace, &corev1.PodList{}, func(there *corev1.PodList) (bool, string) {
		left, first := 0, ""
		for i := range there.Items {
			if match(&there.Items[i]) {
				if left++; left == 1 {
					first = there.Items[i].Name
				}
			}
		}
		return left == 0, fmt.Sprintf("%d are left, first %s", left, first)
	}, resources.WithLabelSelector(labels)))
}

// podReady waits until a pod with the labels is ready, and returns it.
func podReady(ctx context.Context, lab Lab, namespace, labels string) (ready *corev1.Pod, err error) {
	err = wait.For(ctx, "a pod with "+labels+" to be ready", wait.List(lab.Resources(), namespace, &corev1.PodList{}, func(there *corev1.PodList) (bool, string) {
		for i := range there.Items {
			if pod := &there.Items[i]; world.Ready(pod) && pod.DeletionTimestamp == nil {
				ready = pod
				return true, ""
			}
		}
		return false, fmt.Sprintf("none of %d pods is", len(there.Items))
	}, resources.WithLabelSelector(labels)))
	return ready, err
}

// waitForDeployment waits until a Deployment runs as it is declared now.
func waitForDeployment(ctx context.Context, lab Lab, namespace, name string) error {
	return wait.For(ctx, "Deployment "+name+" to run", wait.Deployment(lab.Resources(), namespace, name))
}

// waitForSpeakers waits until MetalLB's speakers run on the given number of nodes.
func waitForSpeakers(ctx context.Context, lab Lab, nodes int) error {
	return wait.For(ctx, fmt.Sprintf("DaemonSet speaker to run on %d nodes", nodes), wait.DaemonSet(lab.Resources(), metalLB, "speaker", nodes))
}
