package lesson

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/course"
)

// Print is a fingerprint of what a check depends on, by object: "service/my-service". Pods that a controller made have
// one between them, which does not change when one is replaced by its like.
type Print map[string]mark

// mark is one object's part of a Print.
type mark struct {
	// hand is what people write: labels, annotations, spec, data.
	hand string
	// state is what the cluster answers to that and a check depends on: readiness, addresses.
	state string
}

// Change is how two Prints differ.
type Change struct {
	// Objects differ, sorted.
	Objects []string
	// Hand: what people write differs, not only what the cluster made of it.
	Hand bool
}

// Stirred reports whether a check that came to v did a step of the goal that may change what the cluster makes of what
// people write, as replacing pods does.
func Stirred(goal course.Part, v reach.Verdict) bool {
	return slices.ContainsFunc(goal.Steps, func(step scenario.Step) bool {
		return !step.Action.ReadOnly() && slices.ContainsFunc(v.Steps, func(s reach.Step) bool { return s.Name == step.Name && s.Result != reach.Skipped })
	})
}

// None reports whether nothing differs.
func (c Change) None() bool { return len(c.Objects) == 0 }

// Since says what is otherwise than it was before.
func (p Print) Since(before Print) Change {
	var c Change
	both := maps.Clone(p)
	maps.Copy(both, before)
	for name := range both {
		now, was := p[name], before[name]
		if now == was {
			continue
		}
		c.Objects = append(c.Objects, name)
		c.Hand = c.Hand || now.hand != was.hand
	}
	slices.Sort(c.Objects)
	return c
}

// madePods is the name that all pods with a controller go by.
const madePods = "pods"

// add adds an object. home is the namespace that is not named.
func (p Print) add(o *unstructured.Unstructured, home string) error {
	if o.GetDeletionTimestamp() != nil || fromSelector(o) {
		return nil // as good as gone; or follows from the Service and the pods
	}
	if made(o) && o.GetKind() != "EndpointSlice" {
		if o.GetKind() == "Pod" {
			text, err := json.Marshal([]any{plainLabels(o), ready(o)})
			if err != nil {
				return fmt.Errorf("pod %s: %w", o.GetName(), err)
			}
			all := append(strings.Split(p[madePods].state, "\n"), string(text))
			slices.Sort(all)
			p[madePods] = mark{state: strings.Join(all, "\n")}
		}
		return nil
	}
	name := strings.ToLower(o.GetKind()) + "/" + o.GetName()
	if space := o.GetNamespace(); space != "" && space != home {
		name = space + "/" + name
	}
	hand, err := json.Marshal(written(o))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	state, err := json.Marshal(came(o))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p[name] = mark{hand: string(hand), state: string(state)}
	return nil
}

// made reports whether a controller keeps the object as it is.
func made(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return owner.Controller != nil && *owner.Controller })
}

// fromSelector reports whether the object is an EndpointSlice that follows a Service's selector. Slices written by hand,
// and those mirrored from Endpoints that were, do not.
func fromSelector(o *unstructured.Unstructured) bool {
	return o.GetKind() == "EndpointSlice" && o.GetLabels()["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
}

func plainLabels(o *unstructured.Unstructured) map[string]string {
	labels := maps.Clone(o.GetLabels())
	delete(labels, "pod-template-hash")
	return labels
}

// written is what people write in an object.
func written(o *unstructured.Unstructured) map[string]any {
	annotations := map[string]string{}
	maps.Copy(annotations, o.GetAnnotations())
	maps.DeleteFunc(annotations, func(key, _ string) bool {
		domain, _, _ := strings.Cut(key, "/")
		return domain == "deployment.kubernetes.io" || domain == "endpoints.kubernetes.io" ||
			strings.HasSuffix(key, "/ip-allocated-from-pool") // MetalLB's
	})
	text := map[string]any{"labels": o.GetLabels(), "annotations": annotations}
	for key, value := range o.Object {
		if !slices.Contains([]string{"metadata", "status", "apiVersion", "kind"}, key) {
			text[key] = value
		}
	}
	if spec, ok := text["spec"].(map[string]any); ok && o.GetKind() == "Pod" {
		spec = maps.Clone(spec)
		delete(spec, "nodeName") // the scheduler's
		text["spec"] = spec
	}
	return text
}

// came is what the cluster made of an object, as far as a check depends on it.
func came(o *unstructured.Unstructured) []any {
	field := func(path ...string) any {
		value, _, err := unstructured.NestedFieldNoCopy(o.Object, path...)
		if err != nil { // of another form than this kind has
			return nil
		}
		return value
	}
	switch o.GetKind() {
	case "Pod":
		return []any{ready(o), field("status", "podIP")}
	case "Service":
		return []any{field("status", "loadBalancer", "ingress")}
	case "Deployment", "StatefulSet":
		return []any{field("status", "readyReplicas")}
	case "DaemonSet":
		return []any{field("status", "numberReady")}
	}
	return nil
}

// ready is whether a pod counts as an endpoint.
func ready(pod *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(pod.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Ready" && condition["status"] == "True"
	})
}
