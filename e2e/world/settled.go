package world

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Allow names what a scenario means to leave unfinished, so that Settled does not wait for it.
type Allow struct {
	// Unready: pods need not be ready, nor their owners' replicas available.
	Unready bool
	// Terminating: pods and Services that are being deleted may stay.
	Terminating bool
	// Pending: load balancers need not give addresses, nor announce them.
	Pending bool
}

// Settled reports whether the objects of the namespaces (without names: of all namespaces of the world) agree:
// workloads have rolled out, pods are ready and none is terminating, EndpointSlices match the pods, load-balancer
// addresses are assigned and announced by one node. waitingFor is the first condition that does not hold, and its
// last state. Whether kube-proxy and DNS have processed the objects, no object shows.
func Settled(w World, namespaces ...string) (ok bool, waitingFor string) {
	return SettledBut(w, Allow{}, namespaces...)
}

// SettledBut is Settled where some things are meant to stay unfinished.
func SettledBut(w World, allow Allow, namespaces ...string) (ok bool, waitingFor string) {
	if len(namespaces) == 0 {
		namespaces = w.Namespaces
	}
	s := settling{w: w, allow: allow, in: map[string]bool{}}
	for _, namespace := range namespaces {
		s.in[namespace] = true
	}
	for _, check := range []func() string{s.workloads, s.pods, s.services, s.loadBalancers} {
		if waitingFor := check(); waitingFor != "" {
			return false, waitingFor
		}
	}
	return true, ""
}

type settling struct {
	w     World
	allow Allow
	in    map[string]bool
}

// rollout is the status that the three kinds of workload have in common.
type rollout struct {
	observed                               int64
	wanted, current, updated, ready, avail int32
}

// workloads says which workload has not rolled out.
func (s settling) workloads() string {
	for i := range s.w.Deployments {
		d, status := &s.w.Deployments[i], &s.w.Deployments[i].Status
		if waitingFor := s.rollout("Deployment", d, rollout{observed: status.ObservedGeneration, wanted: replicas(d.Spec.Replicas),
			current: status.Replicas, updated: status.UpdatedReplicas, ready: status.ReadyReplicas, avail: status.AvailableReplicas}); waitingFor != "" {
			return waitingFor
		}
	}
	for i := range s.w.StatefulSets {
		d, status := &s.w.StatefulSets[i], &s.w.StatefulSets[i].Status
		if waitingFor := s.rollout("StatefulSet", d, rollout{observed: status.ObservedGeneration, wanted: replicas(d.Spec.Replicas),
			current: status.Replicas, updated: status.UpdatedReplicas, ready: status.ReadyReplicas, avail: status.AvailableReplicas}); waitingFor != "" {
			return waitingFor
		}
	}
	for i := range s.w.DaemonSets {
		d, status := &s.w.DaemonSets[i], &s.w.DaemonSets[i].Status
		if waitingFor := s.rollout("DaemonSet", d, rollout{observed: status.ObservedGeneration, wanted: status.DesiredNumberScheduled,
			current: status.CurrentNumberScheduled, updated: status.UpdatedNumberScheduled, ready: status.NumberReady, avail: status.NumberAvailable}); waitingFor != "" {
			return waitingFor
		}
	}
	return ""
}

func (s settling) rollout(kind string, o metav1.Object, r rollout) string {
	workload := kind + " " + Name(o)
	switch {
	case !s.in[o.GetNamespace()]:
		return ""
	case o.GetDeletionTimestamp() != nil:
		return workload + " to be gone"
	case r.observed < o.GetGeneration():
		return fmt.Sprintf("%s: its controller has seen generation %d of %d", workload, r.observed, o.GetGeneration())
	case r.updated != r.wanted || r.current != r.wanted:
		return fmt.Sprintf("%s: %d of %d pods are of the current template, %d exist", workload, r.updated, r.wanted, r.current)
	case s.allow.Unready:
		return ""
	case r.ready != r.wanted || r.avail != r.wanted:
		return fmt.Sprintf("%s: %d of %d pods are ready, %d available", workload, r.ready, r.wanted, r.avail)
	}
	return ""
}

func (s settling) pods() string {
	for i := range s.w.Pods {
		pod := &s.w.Pods[i]
		switch {
		case !s.in[pod.Namespace]:
			continue
		case pod.DeletionTimestamp != nil:
			if s.allow.Terminating {
				continue
			}
			return fmt.Sprintf("pod %s to be gone", Name(pod))
		case Ended(pod):
			continue
		case pod.Spec.NodeName == "":
			return fmt.Sprintf("pod %s to be scheduled%s", Name(pod), why(pod, corev1.PodScheduled))
		case len(PodAddrs(pod)) == 0:
			return fmt.Sprintf("pod %s to get an address%s", Name(pod), containerState(pod))
		case !Ready(pod) && !s.allow.Unready:
			return fmt.Sprintf("pod %s to be ready%s%s", Name(pod), why(pod, corev1.PodReady), containerState(pod))
		}
	}
	return ""
}

// services says which Service's EndpointSlices do not say what the Service and the pods say.
func (s settling) services() string {
	podsIn := map[string][]*corev1.Pod{}
	for i := range s.w.Pods {
		pod := &s.w.Pods[i]
		podsIn[pod.Namespace] = append(podsIn[pod.Namespace], pod)
	}
	for i := range s.w.Services {
		service := &s.w.Services[i]
		switch {
		case !s.in[service.Namespace]:
			continue
		case service.DeletionTimestamp != nil && !s.allow.Terminating:
			return fmt.Sprintf("service %s to be gone", Name(service))
		case service.Spec.Type == corev1.ServiceTypeExternalName || len(service.Spec.Selector) == 0:
			continue
		}
		if waitingFor := sliceDifference(s.w, service, podsIn[service.Namespace]); waitingFor != "" {
			return fmt.Sprintf("EndpointSlices of service %s: %s", Name(service), waitingFor)
		}
	}
	return ""
}

// why is a condition's reason and message, with a leading separator; empty where it says none.
func why(pod *corev1.Pod, kind corev1.PodConditionType) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind && c.Status != corev1.ConditionTrue && c.Reason+c.Message != "" {
			return fmt.Sprintf(" (%s)", cmp.Or(c.Message, c.Reason))
		}
	}
	return ""
}

// containerState is why the first container that waits does so.
func containerState(pod *corev1.Pod) string {
	statuses := append(slices.Clone(pod.Status.InitContainerStatuses), pod.Status.ContainerStatuses...)
	for _, status := range statuses {
		if waiting := status.State.Waiting; waiting != nil {
			return fmt.Sprintf("; container %s waits: %s", status.Name, cmp.Or(waiting.Message, waiting.Reason))
		}
	}
	return ""
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
