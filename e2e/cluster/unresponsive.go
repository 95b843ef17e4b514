package cluster

import (
	"context"
	"errors"
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

// ErrNotStarted is of a node on which a client did not start.
var ErrNotStarted = errors.New("no client starts")

// Unresponsive runs a program in both pods of every node that DeployClients used, and returns the nodes on which that fails, or
// on which a pod did not start, with the reason. A Ready pod proves nothing: a node can be simulated, or its kubelet out of reach.
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
	for node, why := range c.broken {
		unresponsive[node] = fmt.Errorf("%w: %w", ErrNotStarted, why)
	}
	for _, pod := range existingPods(c, nodes.Items) {
		if c.broken[pod.Node] != nil {
			continue
		}
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
		what := "exec gets no answer"
		if c.broken[node] != nil {
			what = "a client does not start"
		}
		c.logf("leaving out node %s, on which %s: %s", node, what, shortened(unresponsive[node].Error()))
	}
	return unresponsive, nil
}
