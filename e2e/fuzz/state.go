package fuzz

import (
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// State is what a sandbox is to hold: Services with their slices, and pods. The zero values of a pod's state are those it
// was planned with.
type State struct {
	Cases []Case
	// Pods are the states of backends by name, of those that differ from the plan.
	Pods map[string]PodState
}

// PodState is in what a backend differs from the plan.
type PodState struct {
	// Apart: it has none of the labels that selectors find.
	Apart bool `json:"apart,omitempty"`
	// Unready: its readiness gate is closed. It answers all the same.
	Unready bool `json:"unready,omitempty"`
	// Leaving: it is being deleted, and answers until its grace is over.
	Leaving bool `json:"leaving,omitempty"`
	// Gone: it is not there.
	Gone bool `json:"gone,omitempty"`
}

// there reports whether the pod is there and not on its way out. One that is created again has another address.
func (p PodState) there() bool { return !p.Gone && !p.Leaving }

func (s State) clone() State {
	c := State{Pods: maps.Clone(s.Pods)}
	if c.Pods == nil {
		c.Pods = map[string]PodState{}
	}
	for _, k := range s.Cases {
		c.Cases = append(c.Cases, k.clone())
	}
	return c
}

// find returns the place of a Service's case; -1 if it is not there.
func (s State) find(service string) int {
	return slices.IndexFunc(s.Cases, func(c Case) bool { return c.Name() == service })
}

// set changes a pod's state.
func (s State) set(pod string, change func(*PodState)) {
	p := s.Pods[pod]
	if change(&p); p == (PodState{}) {
		delete(s.Pods, pod)
	} else {
		s.Pods[pod] = p
	}
}

// touched are the Services, by name, whose objects or endpoints differ between two states.
func touched(a, b State, pods []corev1.Pod) map[string]bool {
	list := map[string]bool{}
	for _, pair := range [][2]State{{a, b}, {b, a}} {
		for _, c := range pair[0].Cases {
			other := pair[1].find(c.Name())
			if other < 0 || !sameCase(c, pair[1].Cases[other]) {
				list[c.Name()] = true
			}
			for i := range pods {
				if pod := &pods[i]; a.Pods[pod.Name] != b.Pods[pod.Name] && uses(c, pod) {
					list[c.Name()] = true
				}
			}
		}
	}
	return list
}

// uses reports whether a pod, with the labels that it is planned with, is an endpoint of a case.
func uses(c Case, pod *corev1.Pod) bool {
	if c.Manual != nil {
		return c.Manual.Many > 0 || slices.ContainsFunc(c.Manual.Endpoints, func(e ManualEndpoint) bool { return e.Pod == pod.Name })
	}
	selector := c.Service.Spec.Selector
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels))
}

func sameCase(a, b Case) bool {
	return reflect.DeepEqual(a.Service.Spec, b.Service.Spec) && reflect.DeepEqual(a.Manual, b.Manual)
}
