package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// ReplacedAnnotation is on the template of pods that a rolling update has replaced. It says when, and nothing else.
const ReplacedAnnotation = "svclab.io/replaced-at"

// ReplacePods deletes the pods selected, whose owner makes new ones, and waits until as many are ready.
type ReplacePods struct {
	Selector string `json:"selector"`
	// Namespace is the scenario's own where it is empty. Another one needs nodeControl and serial.
	Namespace string `json:"namespace,omitempty"`
	// Slot limits it to the pods of one node.
	Slot string `json:"slot,omitempty"`
	// Rolling does not delete them: the Deployments of the namespace whose pods have these labels roll new ones out.
	Rolling bool `json:"rolling,omitempty"`
}

// Validate wants a selector, and pods that the scenario may touch.
func (r ReplacePods) Validate(in scenario.Scenario) error {
	if r.Namespace != "" && !in.MayDisturbAlone() {
		return errors.New("pods of another namespace may be replaced only with serial: true and needs.features: [nodeControl]")
	}
	if r.Selector == "" {
		return errors.New("selector is missing")
	}
	if r.Rolling && r.Slot != "" {
		return errors.New("a rolling update replaces the pods of every slot")
	}
	_, err := labels.Parse(r.Selector)
	return err
}

// Describe says which pods.
func (r ReplacePods) Describe() string {
	text := "replace the pods with " + r.Selector
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	if r.Slot != "" {
		text += " on " + r.Slot
	}
	if r.Rolling {
		text += " by a rolling update"
	}
	return text
}

// ReadOnly is false.
func (ReplacePods) ReadOnly() bool { return false }

// Do deletes the pods, or has them rolled out again, and waits until they are gone and as many others are ready in their place.
func (r ReplacePods) Do(ctx context.Context, env *Env) (Report, error) {
	namespace := r.Namespace
	if namespace == "" {
		namespace = env.Namespace
	}
	selected := metav1.ListOptions{LabelSelector: r.Selector}
	if r.Slot != "" {
		node, found := env.Facts.Slots[r.Slot]
		if !found {
			return Report{}, fmt.Errorf("replace pods on %s: this cluster has no such node", r.Slot)
		}
		selected.FieldSelector = "spec.nodeName=" + node
	}
	pods := env.Cluster.Client().CoreV1().Pods(namespace)
	before, err := pods.List(ctx, selected)
	if err != nil {
		return Report{}, fmt.Errorf("list the pods to replace: %w", err)
	}
	if len(before.Items) == 0 {
		return Report{}, fmt.Errorf("no pod has the labels %s", r.Selector)
	}
	var old []types.UID
	for _, pod := range before.Items {
		old = append(old, pod.UID)
		if r.Rolling {
			continue
		}
		// A StatefulSet gives a new pod the name of the old one. The UID keeps a late delete from removing the new pod.
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return Report{}, fmt.Errorf("delete pod %s: %w", pod.Name, err)
		}
	}
	if r.Rolling {
		if err := r.roll(ctx, env, namespace); err != nil {
			return Report{}, err
		}
	}
	var now []string
	err = env.Await(ctx, fmt.Sprintf("%d new pods with %s to be ready", len(old), r.Selector),
		[]wait.Objects{{Resource: corev1Resource("pods"), Namespace: namespace}}, 0, func(ctx context.Context) (bool, string, error) {
			list, err := pods.List(ctx, selected)
			if err != nil {
				return false, err.Error(), nil
			}
			left, ready := 0, 0
			now = nil
			for i := range list.Items {
				pod := &list.Items[i]
				switch {
				case slices.Contains(old, pod.UID):
					left++
				case pod.DeletionTimestamp == nil && world.Ready(pod):
					ready++
					now = append(now, pod.Name)
				}
			}
			return left == 0 && ready == len(old), fmt.Sprintf("%d old ones are there, %d new ones are ready", left, ready), nil
		})
	if err != nil {
		return Report{}, err
	}
	return Report{Lines: []string{fmt.Sprintf("replaced %v by %v", podNames(before.Items), now)}}, nil
}

// roll begins a rolling update of each Deployment whose pods are selected.
func (r ReplacePods) roll(ctx context.Context, env *Env, namespace string) error {
	selector, err := labels.Parse(r.Selector)
	if err != nil {
		return err
	}
	deployments := env.Cluster.Client().AppsV1().Deployments(namespace)
	list, err := deployments.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the deployments: %w", err)
	}
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`, ReplacedAnnotation, time.Now().UTC().Format(time.RFC3339Nano))
	found := false
	for _, d := range list.Items {
		if !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		found = true
		if _, err := deployments.Patch(ctx, d.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("roll out deployment %s: %w", d.Name, err)
		}
	}
	if !found {
		return reach.Failf("no deployment has pods with the labels %s", r.Selector)
	}
	return nil
}

func podNames(pods []corev1.Pod) []string {
	names := make([]string, len(pods))
	for i := range pods {
		names[i] = pods[i].Name
	}
	return names
}
