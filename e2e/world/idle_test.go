package world

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestBusy(t *testing.T) {
	pod := func(ready corev1.ConditionStatus, states ...corev1.ContainerStatus) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n"}, Status: corev1.PodStatus{Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}, ContainerStatuses: states}}
	}
	waiting := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	}
	running := func(since time.Duration, restarts int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{RestartCount: restarts, State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-since))}}}
	}
	unscheduled := pod(corev1.ConditionFalse)
	unscheduled.Status.Conditions = append(unscheduled.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse})
	terminating := pod(corev1.ConditionTrue)
	terminating.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	elsewhere := terminating
	elsewhere.Namespace = "other"
	ended := pod(corev1.ConditionFalse, waiting("ContainerCreating"))
	ended.Status.Phase = corev1.PodFailed
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want bool
	}{
		"ready":                     {pod(corev1.ConditionTrue, running(time.Second, 0)), false},
		"no container yet":          {pod(corev1.ConditionFalse), true},
		"cannot be scheduled":       {unscheduled, false},
		"being created":             {pod(corev1.ConditionFalse, waiting("ContainerCreating")), true},
		"being initialized":         {pod(corev1.ConditionFalse, waiting("PodInitializing")), true},
		"image cannot be pulled":    {pod(corev1.ConditionFalse, waiting("ErrImagePull")), false},
		"just started":              {pod(corev1.ConditionFalse, running(time.Second, 0)), true},
		"started long ago":          {pod(corev1.ConditionFalse, running(time.Minute, 0)), false},
		"just started another time": {pod(corev1.ConditionFalse, running(time.Second, 2)), false},
		"terminating":               {terminating, true},
		"in another namespace":      {elsewhere, false},
		"failed":                    {ended, false},
	} {
		if got := (World{Pods: []corev1.Pod{c.pod}}).Busy("n"); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	deployment := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Generation: 2}, Status: appsv1.DeploymentStatus{ObservedGeneration: 1}}
	if w := (World{Deployments: []appsv1.Deployment{deployment}}); !w.Busy("n") || w.Busy("other") {
		t.Error("a Deployment that its controller has not observed")
	}
	deployment.Status.ObservedGeneration = 2
	if (World{Deployments: []appsv1.Deployment{deployment}}).Busy("n") {
		t.Error("a Deployment that its controller has observed")
	}
}

func TestVersionsAndProgress(t *testing.T) {
	base := func() World {
		return World{Services: []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "s", ResourceVersion: "1"}}},
			Slices:      []discoveryv1.EndpointSlice{{ObjectMeta: metav1.ObjectMeta{Name: "e", ResourceVersion: "1"}}},
			Pods:        []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "1"}}},
			Deployments: []appsv1.Deployment{{ObjectMeta: metav1.ObjectMeta{Name: "d"}}}}
	}
	for name, c := range map[string]struct {
		change   func(*World)
		versions bool
	}{
		"a Service":        {func(w *World) { w.Services[0].ResourceVersion = "2" }, true},
		"an EndpointSlice": {func(w *World) { w.Slices[0].ResourceVersion = "2" }, true},
		"a pod's readiness": {func(w *World) {
			w.Pods[0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}, true},
		"a pod's phase":            {func(w *World) { w.Pods[0].Status.Phase = corev1.PodFailed }, false},
		"a pod of the same name":   {func(w *World) { w.Pods[0].UID = "2" }, false},
		"a pod's end":              {func(w *World) { w.Pods[0].DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, false},
		"a Deployment":             {func(w *World) { w.Deployments[0].Generation = 2 }, false},
		"an observed Deployment":   {func(w *World) { w.Deployments[0].Status.ObservedGeneration = 2 }, false},
		"a Deployment that is new": {func(w *World) { w.Deployments = append(w.Deployments, appsv1.Deployment{}) }, false},
	} {
		w := base()
		c.change(&w)
		if got := w.Versions() != base().Versions(); got != c.versions {
			t.Errorf("%s: the versions differ: %t", name, got)
		}
		if w.Progress() == base().Progress() {
			t.Errorf("%s: no progress", name)
		}
	}
}
