package upstream

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// runLabel is on each namespace that upstream's framework makes (test/e2e/framework/util.go of k8s.io/kubernetes).
const runLabel = "e2e-run"

// sweep deletes the namespaces that the run has left, except those that existed before it, and waits until they are gone: the
// specs delete theirs, but do not wait.
func sweep(ctx context.Context, client kubernetes.Interface, before map[string]bool, log io.Writer) error {
	said := false
	for {
		left, version, err := remaining(ctx, client, before)
		if err != nil || len(left) == 0 {
			return err
		}
		if !said {
			_, _ = fmt.Fprintf(log, "upstream: waiting until the last namespaces of the specs are gone (%d)\n", len(left))
			said = true
		}
		// The server may end a watch early; then the namespaces are listed again.
		if err := removed(ctx, client, left, version); err != nil {
			return err
		}
	}
}

// remaining returns the namespaces of upstream's specs that did not exist before: whether each is being deleted, by name.
// version is that of the list.
func remaining(ctx context.Context, client kubernetes.Interface, before map[string]bool) (left map[string]bool, version string, err error) {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return nil, "", fmt.Errorf("list the namespaces of upstream's specs: %w", err)
	}
	left = map[string]bool{}
	for _, n := range list.Items {
		if _, existed := before[n.Name]; !existed {
			left[n.Name] = n.DeletionTimestamp != nil
		}
	}
	return left, list.ResourceVersion, nil
}

// removed deletes the namespaces in left. It returns when they are gone or the watch has ended.
func removed(ctx context.Context, client kubernetes.Interface, left map[string]bool, version string) error {
	watcher, err := client.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{LabelSelector: runLabel, ResourceVersion: version})
	if err != nil {
		return fmt.Errorf("watch the namespaces of upstream's specs: %w", err)
	}
	defer watcher.Stop()
	for name, going := range left {
		if going {
			continue
		}
		if err := client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the namespace %s that upstream's specs have left: %w", name, err)
		}
	}
	for len(left) > 0 {
		select {
		case event, open := <-watcher.ResultChan():
			if !open {
				return nil
			}
			if n, ok := event.Object.(*corev1.Namespace); ok && event.Type == watch.Deleted {
				delete(left, n.Name)
			}
		case <-ctx.Done():
			return fmt.Errorf("wait until the namespaces of upstream's specs are gone: %d are still there: %w", len(left), context.Cause(ctx))
		}
	}
	return nil
}
