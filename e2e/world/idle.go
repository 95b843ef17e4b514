package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// startsIn is how long a container that was started may take to become ready.
const startsIn = 6 * time.Second

// Progress identifies the state of a namespace's objects: two snapshots with the same Progress have the same objects in
// the same phases. Unlike Versions it covers what predictions do not depend on.
func (w World) Progress() string {
	var b strings.Builder
	b.WriteString(w.Versions())
	for i := range w.Pods {
		pod := &w.Pods[i]
		fmt.Fprintf(&b, "pod %s %s %v ", pod.UID, pod.Status.Phase, pod.DeletionTimestamp)
	}
	for i := range w.Deployments {
		fmt.Fprintf(&b, "deployment %s %d %d ", w.Deployments[i].Name, w.Deployments[i].Generation, w.Deployments[i].Status.ObservedGeneration)
	}
	return b.String()
}

// Busy reports whether a change is under way in the namespace that its objects show only once it is complete: a container that
// is being created or was just started, a pod that is terminating, a Deployment that its controller has not observed.
func (w World) Busy(namespace string) bool {
	for i := range w.Deployments {
		if d := &w.Deployments[i]; d.Namespace == namespace && d.Status.ObservedGeneration < d.Generation {
			return true
		}
	}
	return slices.ContainsFunc(w.Pods, func(pod corev1.Pod) bool {
		return pod.Namespace == namespace && (pod.DeletionTimestamp != nil || starting(&pod))
	})
}

func starting(pod *corev1.Pod) bool {
	if Ready(pod) || Ended(pod) {
		return false
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
		})
	}
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		switch {
		case c.State.Waiting != nil:
			return c.State.Waiting.Reason == "ContainerCreating" || c.State.Waiting.Reason == "PodInitializing"
		case c.State.Running != nil:
			return c.RestartCount == 0 && time.Since(c.State.Running.StartedAt.Time) < startsIn
		}
		return false
	})
}
