package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/wait"
)

// The labels of every namespace a runner makes.
const (
	ManagedByLabel = steps.ManagedByLabel
	ManagedBy      = steps.ManagedBy
	ScenarioLabel  = "svclab.io/scenario"
)

// setUp finds out what the scenario runs on and makes its namespace. Namespaces that earlier runs of the same
// scenario left behind are removed first, as far as they could be in the way.
func (s *session) setUp(ctx context.Context) error {
	cluster := s.runner.cluster
	if err := s.Survey(ctx); err != nil {
		return err
	}
	namespaces := cluster.Client().CoreV1().Namespaces()
	old, err := namespaces.List(ctx, metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy + "," + ScenarioLabel + "=" + s.Scenario.Name})
	if err != nil {
		return fmt.Errorf("look for what earlier runs left behind: %w", err)
	}
	for _, left := range old.Items {
		if err := s.removeNamespace(ctx, left.Name); err != nil {
			return fmt.Errorf("remove what an earlier run left behind: %w", err)
		}
	}
	awaited, done := grace.Context(ctx)
	defer done()
	name := fmt.Sprintf("svclab-%s-%s", s.Scenario.Name, suffix())
	ours := labels.Set{ManagedByLabel: ManagedBy, ScenarioLabel: s.Scenario.Name}
	_, err = namespaces.Create(awaited, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: labels.Merge(s.runner.settings.Labels, ours), Annotations: s.runner.settings.Annotations,
	}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		s.Namespace = name // without an answer it may be there, and is removed as one that is
	}
	if err != nil {
		return fmt.Errorf("create the scenario's namespace: %w", err)
	}
	return nil
}

const suffixLetters = "bcdfghjkmnpqrstvwxz23456789" // no vowels, no look-alikes

func suffix() string {
	text := make([]byte, 5)
	for i := range text {
		text[i] = suffixLetters[rand.IntN(len(suffixLetters))]
	}
	return string(text)
}

// tearDown undoes all the scenario did: it stops its flows, starts the nodes it stopped, restores cluster-wide objects,
// and removes its namespace. One thing that fails does not keep it from the others.
func (s *session) tearDown(ctx context.Context, result reach.Result) error {
	errs := []error{s.StopFlows(), s.StartNodes(ctx), s.Undo(ctx)}
	if s.Namespace != "" && !s.kept(result) {
		errs = append(errs, s.removeNamespace(ctx, s.Namespace))
	}
	return errors.Join(errs...)
}

// kept reports whether the namespace stays after a scenario with that result.
func (s *session) kept(result reach.Result) bool {
	return s.runner.settings.Keep && result != reach.Pass
}

// cleanupFinalizer is what the controller of a cloud adds to a Service of type LoadBalancer (KEP-980). svclab's own clusters have no
// such controller, so there a scenario added it that ended before it took it away.
const cleanupFinalizer = "service.kubernetes.io/load-balancer-cleanup"

// removeNamespace deletes a namespace's Services, waits until they are gone, because they hold node ports and
// load-balancer addresses that the next scenario may want, and then deletes the namespace without waiting. Pods that
// have a long grace period do not get it: nothing depends on them any more.
func (s *session) removeNamespace(ctx context.Context, namespace string) error {
	client := s.runner.cluster.Client()
	services, err := client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list services of namespace %s: %w", namespace, err)
	}
	for _, service := range services.Items {
		if err := client.CoreV1().Services(namespace).Delete(ctx, service.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete service %s/%s: %w", namespace, service.Name, err)
		}
		if !slices.Contains(service.Finalizers, cleanupFinalizer) || s.runner.cluster.Lacks(scenario.NodeControl) != "" {
			continue
		}
		if _, err := client.CoreV1().Services(namespace).Patch(ctx, service.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
			metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("release service %s/%s: %w", namespace, service.Name, err)
		}
	}
	if len(services.Items) > 0 {
		if err := s.Await(ctx, fmt.Sprintf("the services of namespace %s to be gone", namespace),
			[]wait.Objects{{Resource: corev1.SchemeGroupVersion.WithResource("services"), Namespace: namespace}}, 0, func(ctx context.Context) (bool, string, error) {
				left, err := client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
				if err != nil {
					return false, err.Error(), nil
				}
				names := make([]string, len(left.Items))
				for i := range left.Items {
					names[i] = left.Items[i].Name
				}
				return len(names) == 0, fmt.Sprintf("still there: %v", names), nil
			}); err != nil {
			return err
		}
	}
	err = client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // a conflict: it is going already
		return fmt.Errorf("delete namespace %s: %w", namespace, err)
	}
	return s.endPods(ctx, namespace)
}

// brief is a grace period that is short enough, in seconds.
const brief = 5

// endPods ends the pods of a namespace that is being deleted, in which no controller can make others. Kubernetes would begin to only 5 s
// later, and wait as long as a scenario gave them, which may be minutes. One that is ending already the kubelet lets end in its time (seen
// with v1.37): if that is long, it is taken out of the API, as kubectl delete --force does.
func (s *session) endPods(ctx context.Context, namespace string) error {
	pods := s.runner.cluster.Client().CoreV1().Pods(namespace)
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods of namespace %s: %w", namespace, err)
	}
	for _, pod := range list.Items {
		grace := int64(1)
		if given := pod.DeletionGracePeriodSeconds; given != nil {
			if *given <= brief {
				continue
			}
			grace = 0
		}
		if err := pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(grace)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("end pod %s/%s: %w", namespace, pod.Name, err)
		}
	}
	return nil
}

// Sweep removes every namespace that a runner made, of whatever scenario, and then the cluster-scoped objects, and waits
// until they are gone.
func (r *Runner) Sweep(ctx context.Context) error {
	s := r.session(scenario.Scenario{}, Place{}, observe.Suite())
	namespaces := r.cluster.Client().CoreV1().Namespaces()
	ours := metav1.ListOptions{LabelSelector: ManagedByLabel + "=" + ManagedBy + "," + ScenarioLabel}
	list, err := namespaces.List(ctx, ours)
	if err != nil {
		return fmt.Errorf("list the namespaces of scenarios: %w", err)
	}
	for _, namespace := range list.Items {
		if err := s.removeNamespace(ctx, namespace.Name); err != nil {
			return err
		}
	}
	if err := s.gone(ctx, ours); err != nil {
		return err
	}
	return s.sweepClusterScoped(ctx)
}

// gone waits until no namespace that the options select is left but those that are to be kept.
func (s *session) gone(ctx context.Context, selected metav1.ListOptions, names ...string) error {
	return s.Await(ctx, "the scenarios' namespaces to be gone", []wait.Objects{{Resource: corev1.SchemeGroupVersion.WithResource("namespaces")}}, 0,
		func(ctx context.Context) (bool, string, error) {
			list, err := s.runner.cluster.Client().CoreV1().Namespaces().List(ctx, selected)
			if err != nil {
				return false, err.Error(), nil
			}
			var left []string
			for _, namespace := range list.Items {
				if len(names) == 0 || slices.Contains(names, namespace.Name) {
					left = append(left, namespace.Name)
				}
			}
			return len(left) == 0, fmt.Sprintf("still there: %v", left), nil
		})
}
