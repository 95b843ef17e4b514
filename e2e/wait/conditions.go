package wait

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apimachinerywait "k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
	"sigs.k8s.io/e2e-framework/klient/wait/conditions"
)

// Retry lets a wait go on after an error of the condition: the next evaluation may do better. If the last one failed too, the
// wait's [Error] has that error in Unseen.
func Retry(condition Condition) Condition {
	return func(ctx context.Context) (bool, string, error) {
		done, seen, err := condition(ctx)
		if err != nil && ctx.Err() == nil {
			err = unseen{err}
		}
		return done, seen, err
	}
}

// unseen is an error of one evaluation, after which the wait goes on.
type unseen struct{ error }

func (e unseen) Unwrap() error { return e.error }

// Upstream makes a condition of one of klient/wait/conditions. seen says what it saw.
func Upstream(condition apimachinerywait.ConditionWithContextFunc, seen func() string) Condition {
	return func(ctx context.Context) (bool, string, error) {
		done, err := condition(ctx)
		return done, seen(), err
	}
}

// Object is a condition on one object. object has its name and namespace, and after each evaluation what the API server
// returned.
func Object[T k8s.Object](r *resources.Resources, object T, judge func(T) (done bool, seen string)) Condition {
	const none = "the API server does not return it"
	var seen string
	match := conditions.New(r).ResourceMatch(object, func(k8s.Object) (done bool) {
		done, seen = judge(object)
		return done
	})
	return func(ctx context.Context) (bool, string, error) {
		seen = none
		return Upstream(match, func() string { return seen })(ctx)
	}
}

// List is a condition on the objects of a namespace, or of all namespaces if it is empty, that the options select.
func List[L k8s.ObjectList](r *resources.Resources, namespace string, list L, judge func(L) (done bool, seen string), with ...resources.ListOption) Condition {
	// WithNamespace changes its receiver, which other goroutines use.
	own := *r
	in := own.WithNamespace(namespace)
	return Retry(func(ctx context.Context) (bool, string, error) {
		if err := in.List(ctx, list, with...); err != nil {
			return false, "", fmt.Errorf("list %T: %w", list, err)
		}
		done, seen := judge(list)
		return done, seen, nil
	})
}

// Gone is the condition that a namespace does not exist any more.
func Gone(client kubernetes.Interface, namespace string) Condition {
	return Retry(func(ctx context.Context) (bool, string, error) {
		found, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return true, "", nil
		case err != nil:
			return false, "", err
		}
		return false, "it is " + strings.ToLower(string(found.Status.Phase)), nil
	})
}

// Deployment is the condition that a Deployment runs as it is declared now, and no pod of an earlier declaration is left.
func Deployment(r *resources.Resources, namespace, name string) Condition {
	return Object(r, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, func(d *appsv1.Deployment) (bool, string) {
		wanted, s := int32(1), d.Status
		if d.Spec.Replicas != nil {
			wanted = *d.Spec.Replicas
		}
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == wanted && s.AvailableReplicas == wanted && s.Replicas == wanted,
			fmt.Sprintf("%d of %d pods updated, %d available, %d in all", s.UpdatedReplicas, wanted, s.AvailableReplicas, s.Replicas) +
				unobserved(d.Generation, s.ObservedGeneration)
	})
}

// DaemonSet is the condition that a DaemonSet runs on exactly the given number of nodes, as it is declared now. 0 is on none.
func DaemonSet(r *resources.Resources, namespace, name string, nodes int) Condition {
	return Object(r, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, func(d *appsv1.DaemonSet) (bool, string) {
		wanted, s := int32(nodes), d.Status //nolint:gosec // a number of nodes
		return s.ObservedGeneration >= d.Generation && s.NumberReady == wanted && s.CurrentNumberScheduled == wanted &&
				(wanted == 0 || s.UpdatedNumberScheduled == wanted),
			fmt.Sprintf("%d of %d pods ready, %d updated, %d in all", s.NumberReady, wanted, s.UpdatedNumberScheduled, s.CurrentNumberScheduled) +
				unobserved(d.Generation, s.ObservedGeneration)
	})
}

// unobserved says that the status is about an earlier declaration than the present one.
func unobserved(generation, observed int64) string {
	if observed < generation {
		return "; the controller has not observed the last change"
	}
	return ""
}
