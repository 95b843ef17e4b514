package lesson

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// Print is a fingerprint of everything that a check depends on, by object: "service/my-service". All pods that a controller
// created share one entry, which does not change when a pod is replaced by an equal one.
type Print map[string]mark

// mark is one object's part of a Print.
type mark struct {
	// hand is what people change: labels, annotations, spec, data.
	hand string
	// state is what controllers report and a check depends on: readiness, addresses.
	state string
}

// Change is the difference between two Prints.
type Change struct {
	// Objects are the objects that differ, sorted.
	Objects []string
	// Hand: a part that people change differs, and not only what controllers report.
	Hand bool
}

// Stirred reports whether a check with the verdict v ran a step of the goal that may change what controllers report. Replacing
// pods does.
func Stirred(goal course.Part, v reach.Verdict) bool {
	return slices.ContainsFunc(goal.Steps, func(step scenario.Step) bool {
		return !step.Action.ReadOnly() && slices.ContainsFunc(v.Steps, func(s reach.Step) bool { return s.Name == step.Name && s.Result != reach.Skipped })
	})
}

// None reports whether nothing differs.
func (c Change) None() bool { return len(c.Objects) == 0 }

// Since returns the changes since an earlier Print.
func (p Print) Since(before Print) Change {
	var c Change
	both := maps.Clone(p)
	maps.Copy(both, before) // so deleted objects are in it too
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

// Hand returns a short text that is equal for two Prints if nothing that people change differs.
func (p Print) Hand() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name].hand != "" {
			fmt.Fprintf(sum, "%q %q\n", name, p[name].hand)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// madePods is the name of the entry that all pods with a controller share.
const madePods = "pods"

// add adds an object. Names of objects in the namespace home have no prefix.
func (p Print) add(o *unstructured.Unstructured, home string) error {
	if o.GetDeletionTimestamp() != nil || fromSelector(o) {
		return nil // such an EndpointSlice follows from the Service and the pods, which are in the Print themselves
	}
	if o.GetKind() == "ConfigMap" && o.GetName() == "kube-root-ca.crt" {
		return nil // a controller adds it soon after the namespace
	}
	if made(o) && o.GetKind() != "EndpointSlice" {
		if o.GetKind() == "Pod" {
			text, err := json.Marshal([]any{plainLabels(o), coach.Ready(o)})
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
	state, err := json.Marshal(reported(o))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p[name] = mark{hand: string(hand), state: string(state)}
	return nil
}

// made reports whether a controller owns the object.
func made(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return owner.Controller != nil && *owner.Controller })
}

// fromSelector reports whether the object is an EndpointSlice that the controller makes from a Service's selector. A slice that a
// person wrote, or one that is mirrored from such Endpoints, is not.
func fromSelector(o *unstructured.Unstructured) bool {
	return o.GetKind() == "EndpointSlice" && o.GetLabels()["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
}

func plainLabels(o *unstructured.Unstructured) map[string]string {
	labels := maps.Clone(o.GetLabels())
	delete(labels, "pod-template-hash")
	return labels
}

// written returns the part of an object that people change.
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
	spec, ok := text["spec"].(map[string]any)
	switch {
	case ok && o.GetKind() == "Pod":
		spec = maps.Clone(spec)
		delete(spec, "nodeName") // the scheduler's
		text["spec"] = spec
	case ok && o.GetKind() == "Deployment":
		spec = runtime.DeepCopyJSON(spec)
		unmarked(spec)
		text["spec"] = spec
	}
	return text
}

// unmarked removes from a Deployment's spec what a check has left there: see steps.ReplacedAnnotation.
func unmarked(spec map[string]any) {
	path := []string{"template", "metadata", "annotations"}
	unstructured.RemoveNestedField(spec, append(path, steps.ReplacedAnnotation)...)
	if left, _, err := unstructured.NestedMap(spec, path...); err == nil && len(left) == 0 {
		unstructured.RemoveNestedField(spec, path...)
	}
}

// reported returns the part of an object that controllers report and a check depends on.
func reported(o *unstructured.Unstructured) []any {
	field := func(path ...string) any {
		value, _, err := unstructured.NestedFieldNoCopy(o.Object, path...)
		if err != nil { // the field has another type than in this kind
			return nil
		}
		return value
	}
	switch o.GetKind() {
	case "Pod":
		return []any{coach.Ready(o), field("status", "podIP")}
	case "Service":
		return []any{field("status", "loadBalancer", "ingress")}
	case "Deployment", "StatefulSet":
		return []any{field("status", "readyReplicas")}
	case "DaemonSet":
		return []any{field("status", "numberReady")}
	}
	return nil
}
