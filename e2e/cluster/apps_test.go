package cluster

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWaitingContainers(t *testing.T) {
	running, started, not := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, true, false
	pod := corev1.Pod{
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "new", Command: []string{"sh", "-c", "…", AppProber}},
			{Name: "serves", Command: []string{"sh", "-c", "…", AppProber}}, {Name: "pulls", Command: []string{"sh", "-c", "…", AppProber}}, {Name: "injected"}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "injected", State: running},
			{Name: "new", State: running, Started: &not}, {Name: "serves", State: running, Started: &started}, {Name: "pulls"}}},
	}
	if got := waitingContainers(&pod); !slices.Equal(got, []string{"new"}) {
		t.Errorf("got %v", got)
	}
	pod.DeletionTimestamp = &metav1.Time{}
	if got := waitingContainers(&pod); len(got) > 0 {
		t.Errorf("of a pod that is being deleted: %v", got)
	}
}
