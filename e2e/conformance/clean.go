package conformance

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/runner"
)

// Leftovers returns the namespaces of runs: those of scenarios, of clients and of the lock, if they carry svclab's label.
func Leftovers(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: runner.ManagedByLabel + "=" + runner.ManagedBy})
	if err != nil {
		return nil, fmt.Errorf("list the namespaces that earlier runs left behind: %w", err)
	}
	var names []string
	for _, n := range list.Items {
		if n.Labels[runner.ScenarioLabel] != "" || n.Name == cluster.ClientsNamespace || n.Name == LockNamespace {
			names = append(names, n.Name)
		}
	}
	return names, nil
}

// Clean removes what runs that were killed left behind, all but the lock, which the caller holds.
func Clean(ctx context.Context, c *cluster.Cluster) error {
	if err := runner.New(site{Hosted: Hosted{Cluster: c}}, nil).Sweep(ctx); err != nil {
		return fmt.Errorf("remove what an earlier run left behind: %w", err)
	}
	return c.RemoveClients(ctx)
}
