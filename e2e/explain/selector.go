package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// unmatched reports whether the Service has a selector that matches no pod in any state.
func (v *view) unmatched() bool {
	return v.routed() && len(v.service.Spec.Selector) > 0 && len(v.pods) == 0
}

func selectorNearMiss(v *view) []Cause {
	if len(v.matching()) > 0 {
		return nil
	}
	living := slices.DeleteFunc(slices.Clone(v.neighbours), world.Ended)
	found := nearestPods(v.service.Spec.Selector, living)
	if len(found) == 0 {
		return nil
	}
	var (
		slips []string
		merge = map[string]any{}
		names []string
	)
	for _, c := range found {
		names = append(names, c.pod.Name)
	}
	have := verb(len(found), "has", "have")
	for _, g := range found[0].gaps {
		switch {
		case g.hasKey == "":
			slips = append(slips, fmt.Sprintf("%s no label %s", have, g.key))
			merge[g.key] = nil
		case g.hasKey != g.key && g.hasValue == g.value:
			slips = append(slips, fmt.Sprintf("%s %s under the key %s, not %s", have, g.value, g.hasKey, g.key))
			merge[g.key], merge[g.hasKey] = nil, g.hasValue
		case strings.EqualFold(g.hasValue, g.value) && g.hasKey == g.key:
			slips = append(slips, fmt.Sprintf("%s %s=%s, which differs in case from %s=%s", have, g.hasKey, g.hasValue, g.key, g.value))
			merge[g.hasKey] = g.hasValue
		default:
			slips = append(slips, fmt.Sprintf("%s %s=%s, not %s=%s", have, g.hasKey, g.hasValue, g.key, g.value))
			if g.hasKey != g.key {
				merge[g.key] = nil
			}
			merge[g.hasKey] = g.hasValue
		}
	}
	return []Cause{{
		Sentence: fmt.Sprintf("the selector %s matches no pod, but %s %s near matches: %s %s", labelText(v.service.Spec.Selector), counted("pod", names),
			verb(len(names), "is a", "are"), verb(len(names), "it", "they"), strings.Join(slips, ", and ")),
		Field:   "spec.selector",
		Command: v.patch(map[string]any{"selector": merge}),
	}}
}

// workload is a Deployment, StatefulSet or DaemonSet.
type workload struct {
	kind, name string
	wanted     int32
}

// matching returns the workloads of the namespace whose pods the selector would match.
func (v *view) matching() []workload {
	var list []workload
	add := func(namespace, kind, name string, labels map[string]string, wanted int32) {
		if namespace == v.service.Namespace && selects(v.service.Spec.Selector, labels) {
			list = append(list, workload{kind, name, wanted})
		}
	}
	for _, d := range v.World.Deployments {
		add(d.Namespace, "deployment", d.Name, d.Spec.Template.Labels, orOne(d.Spec.Replicas))
	}
	for _, s := range v.World.StatefulSets {
		add(s.Namespace, "statefulset", s.Name, s.Spec.Template.Labels, orOne(s.Spec.Replicas))
	}
	for _, d := range v.World.DaemonSets {
		add(d.Namespace, "daemonset", d.Name, d.Spec.Template.Labels, d.Status.DesiredNumberScheduled)
	}
	return list
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func scaledToZero(v *view) []Cause {
	list := v.matching()
	if len(list) == 0 || slices.ContainsFunc(list, func(w workload) bool { return w.wanted > 0 || w.kind == "daemonset" }) {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("the selector %s is that of %s %s, which is scaled to 0: there is no pod to answer", labelText(v.service.Spec.Selector), list[0].kind, list[0].name),
		Field:    fmt.Sprintf("spec.replicas of %s %s", list[0].kind, list[0].name),
		Command:  v.kubectl("scale %s %s --replicas=1", list[0].kind, list[0].name),
	}}
}

func podsMissing(v *view) []Cause {
	for _, w := range v.matching() {
		if w.wanted == 0 && w.kind != "daemonset" {
			continue
		}
		why := "its controller has not created one"
		if w.kind == "daemonset" && w.wanted == 0 {
			why = "no node matches it"
		}
		for _, e := range v.Events {
			if e.Type == corev1.EventTypeWarning && e.Reason == "FailedCreate" && strings.HasPrefix(e.InvolvedObject.Name, w.name) {
				why = e.Message
			}
		}
		return []Cause{{
			Sentence: fmt.Sprintf("%s %s has the labels that the selector requires, but no pod: %s", w.kind, w.name, why),
			Field:    fmt.Sprintf("%s %s", w.kind, w.name),
			Command:  v.describe(w.kind, w.name),
		}}
	}
	return nil
}

func podsEnded(v *view) []Cause {
	if len(v.pods) == 0 || len(v.living()) > 0 {
		return nil
	}
	names := podNames(v.pods)
	return []Cause{{
		Sentence: fmt.Sprintf("%s, which the selector matches, %s run to %s end (%s): ended pods are no endpoints", counted("pod", names),
			verb(len(names), "has", "have"), verb(len(names), "its", "their"), v.pods[0].Status.Phase),
		Field:   "the pods' owner: a Deployment starts pods again, a Job does not",
		Command: v.kubectl("logs %s", names[0]),
	}}
}

func selectorNothing(v *view) []Cause {
	if len(v.matching()) > 0 {
		return nil
	}
	living := slices.DeleteFunc(slices.Clone(v.neighbours), world.Ended)
	if len(nearestPods(v.service.Spec.Selector, living)) > 0 {
		return nil
	}
	what := "there is no pod in the namespace"
	switch len(living) {
	case 0:
	case 1:
		what = "and the only pod in the namespace has no similar labels"
	default:
		what = fmt.Sprintf("and none of the %d pods in the namespace has similar labels", len(living))
	}
	return []Cause{{
		Sentence: fmt.Sprintf("the selector %s matches no pod in the namespace %s, %s", labelText(v.service.Spec.Selector), v.service.Namespace, what),
		Field:    "spec.selector",
		Command:  v.kubectl("get pods --show-labels"),
	}}
}

// owner returns a pod's owner, by the name that users know: a Deployment, not its ReplicaSet.
func owner(pod *corev1.Pod) string {
	for _, ref := range pod.OwnerReferences {
		if ref.Controller == nil || !*ref.Controller {
			continue
		}
		if hash := pod.Labels["pod-template-hash"]; ref.Kind == "ReplicaSet" && hash != "" {
			return "deployment/" + strings.TrimSuffix(ref.Name, "-"+hash)
		}
		return strings.ToLower(ref.Kind) + "/" + ref.Name
	}
	for _, key := range []string{"app.kubernetes.io/name", "app", "k8s-app"} {
		if value := pod.Labels[key]; value != "" {
			return "pods with " + key + "=" + value
		}
	}
	return "pods without a controller"
}

func selectorTooWide(v *view) []Cause {
	if len(v.ready) == 0 {
		return nil
	}
	groups := map[string][]*corev1.Pod{}
	for _, pod := range v.living() {
		if world.Ready(pod) || v.service.Spec.PublishNotReadyAddresses {
			groups[owner(pod)] = append(groups[owner(pod)], pod)
		}
	}
	if len(groups) < 2 {
		return nil
	}
	owners := slices.Sorted(maps.Keys(groups))
	meant := owners[0]
	for _, o := range owners {
		if _, name, _ := strings.Cut(o, "/"); name == v.service.Name {
			meant = o
		}
	}
	cause := Cause{
		Sentence: fmt.Sprintf("the selector %s matches pods of different owners, %s, and every connection goes to any of them", labelText(v.service.Spec.Selector), listed(owners)),
		Field:    "spec.selector",
		Command:  v.kubectl("get pods -l %s --show-labels", labelText(v.service.Spec.Selector)),
	}
	if key, value := distinguishing(groups, meant); key != "" {
		cause.Sentence += fmt.Sprintf("; %s=%s would select only %s", key, value, meant)
		cause.Command = v.patch(map[string]any{"selector": map[string]any{key: value}})
	}
	return []Cause{cause}
}

// distinguishing returns a label that all pods of one group have and no other pod. It ignores the template's hash.
func distinguishing(groups map[string][]*corev1.Pod, meant string) (key, value string) {
	first := groups[meant][0].Labels
	for _, key := range slices.Sorted(maps.Keys(first)) {
		if strings.HasSuffix(key, "-hash") {
			continue
		}
		one := map[string]string{key: first[key]}
		apart := true
		for o, pods := range groups {
			for _, pod := range pods {
				apart = apart && selects(one, pod.Labels) == (o == meant)
			}
		}
		if apart {
			return key, first[key]
		}
	}
	return "", ""
}
