package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// answersIn is how long a pod on a node may take to run a program that ends at once.
const answersIn = 15 * time.Second

// Unresponsive runs a program in both pods of every node that DeployClients used, and returns the nodes on which that fails,
// with the reason. A Ready pod proves nothing: a node can be simulated, or its kubelet out of reach.
func (c *Cluster) Unresponsive(ctx context.Context) (map[string]error, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var (
		mu           sync.Mutex
		unresponsive = map[string]error{}
		group        errgroup.Group
	)
	for _, pod := range existingPods(c, nodes.Items) {
		group.Go(func() error {
			bounded, cancel := context.WithTimeoutCause(ctx, answersIn, fmt.Errorf("no answer in %s", answersIn))
			defer cancel()
			err := c.execPod(bounded, ClientsNamespace, pod.Name, []string{"true"}, nil, nil, nil)
			if err == nil {
				return nil
			}
			if bounded.Err() != nil {
				err = context.Cause(bounded)
			}
			mu.Lock()
			defer mu.Unlock()
			unresponsive[pod.Node] = err
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, node := range slices.Sorted(maps.Keys(unresponsive)) {
		c.logf("leaving out node %s, on which exec gets no answer: %s", node, shortened(unresponsive[node].Error()))
	}
	return unresponsive, nil
}
