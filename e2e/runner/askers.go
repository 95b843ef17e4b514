package runner

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// askers are the vantages a table may ask from: the cluster's own, or the scenario's pods that the table names as
// clients. A selector that cannot be read selects nobody; loading has refused it before.
func (s site) askers(t scenario.Table) []reach.Vantage {
	if t.Clients == "" {
		return s.vantages
	}
	selector, err := labels.Parse(t.Clients)
	if err != nil {
		return nil
	}
	var vantages []reach.Vantage
	for i := range s.world.Pods {
		pod := &s.world.Pods[i]
		if pod.Namespace == s.namespace && selector.Matches(labels.Set(pod.Labels)) && inState(pod, nil) {
			vantages = append(vantages, podVantage(pod))
		}
	}
	return vantages
}

// asker finds one vantage by name, "pod/NAME" of the scenario's own pods among them.
func (s site) asker(name string) (reach.Vantage, bool) {
	for _, v := range s.vantages {
		if v.Name == name {
			return v, true
		}
	}
	for i := range s.world.Pods {
		if pod := &s.world.Pods[i]; pod.Namespace == s.namespace && "pod/"+pod.Name == name {
			return podVantage(pod), true
		}
	}
	return reach.Vantage{}, false
}

// podVantage is a pod as a place to ask from.
func podVantage(pod *corev1.Pod) reach.Vantage {
	return reach.Vantage{Name: "pod/" + pod.Name, Kind: reach.Pod, Node: pod.Spec.NodeName, Namespace: pod.Namespace,
		PodName: pod.Name, Labels: pod.Labels, Addrs: world.PodAddrs(pod)}
}
