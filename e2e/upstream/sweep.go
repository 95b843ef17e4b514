package upstream

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/wait"
)

// runLabel is on each namespace that upstream's framework makes (test/e2e/framework/util.go of k8s.io/kubernetes).
const runLabel = "e2e-run"

// sweep deletes the namespaces that the run has left, except those that existed before it, and waits until they are gone: the
// specs delete theirs, but do not wait.
func sweep(ctx context.Context, client kubernetes.Interface, before map[string]bool, log io.Writer) error {
	said := false
	return wait.For(ctx, "the namespaces of upstream's specs to be gone", func(ctx context.Context) (bool, string, error) {
		left, err := namespaces(ctx, client)
		if err != nil {
			return false, "", err
		}
		count := 0
		for _, n := range left {
			if before[n.Name] {
				continue
			}
			count++
			if n.DeletionTimestamp != nil {
				continue
			}
			if err := client.CoreV1().Namespaces().Delete(ctx, n.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return false, "", fmt.Errorf("delete the namespace %s that upstream's specs have left: %w", n.Name, err)
			}
		}
		if count > 0 && !said {
			_, _ = fmt.Fprintf(log, "upstream: waiting until the last namespaces of the specs are gone (%d)\n", count)
			said = true
		}
		return count == 0, fmt.Sprintf("%d are still there", count), nil
	}, wait.Every(time.Second))
}

// namespaces are those of upstream's specs.
func namespaces(ctx context.Context, client kubernetes.Interface) ([]corev1.Namespace, error) {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return nil, fmt.Errorf("list the namespaces of upstream's specs: %w", err)
	}
	return list.Items, nil
}
