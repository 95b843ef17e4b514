package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// remove removes the cluster and all that belongs to it. The caller has checked that it is svclab's.
func (c *Cluster) remove(ctx context.Context, have actual) error {
	name := c.settings.Name
	ctx, cancel := context.WithTimeout(ctx, deleteIn)
	defer cancel()
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return c.run(both, envfuncs.DestroyCluster(name)) })
	group.Go(func() error { return c.engine.Remove(both, "label="+ownerLabel+"="+name) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("delete cluster %s: %w", name, err)
	}
	for _, network := range have.Networks {
		if network.Labels[ownerLabel] != name {
			continue
		}
		err := c.engine.Run(ctx, "network", "rm", network.ID)
		if err != nil && !docker.Missing(err) {
			if strings.Contains(err.Error(), "active endpoints") {
				c.logf("the Docker network %s stays: other containers are on it", name)
				continue
			}
			return fmt.Errorf("delete cluster %s: %w", name, err)
		}
	}
	return nil
}

// mayDelete returns an error if the cluster must stay: svclab was to delete it because of why, in a run that did not make it.
// What is left of a creation that was cut off never was a cluster, and may go.
func (c *Cluster) mayDelete(have actual, why string) error {
	run := c.settings.Use.Run
	network, _ := have.ours(c.settings.Name)
	if run == "" || have.Marker == nil || network.Labels[runLabel] == run {
		return nil
	}
	return problem(ErrNotOfRun, "look whether somebody needs it; to delete it: svclab down; or use another cluster (--name)",
		"cluster %s was there before this run, which leaves it as it is (%s)", c.settings.Name, why)
}

// Down deletes the cluster that Up made under that name, whole: nodes, the outside world, the network, the kubeconfig.
// It says whether there was anything. One that svclab did not make is refused. In a run it deletes what the run made, and
// leaves any other cluster.
func Down(ctx context.Context, s Settings) (existed bool, err error) {
	c := own(s)
	if err := c.ping(ctx); err != nil {
		return false, err
	}
	if c.lock, err = c.acquire(Alone); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.lock.Release()) }()
	return c.takeDown(ctx)
}

// Delete deletes the cluster and frees its lock.
func (c *Cluster) Delete(ctx context.Context) error {
	if c.engine == nil {
		return foreign(c.Name(), "cluster "+c.Name()+" was there before svclab")
	}
	_, err := c.takeDown(ctx)
	return errors.Join(err, c.lock.Release())
}

func (c *Cluster) takeDown(ctx context.Context) (existed bool, err error) {
	have, err := c.inspect(ctx)
	if err != nil {
		return false, err
	}
	d := decide(have, marker{Name: c.settings.Name}, nil)
	_, network := have.ours(c.settings.Name)
	if d.Action == refuse {
		return false, foreign(c.settings.Name, d.Why)
	}
	existed = network || len(have.Nodes)+len(have.Others) > 0
	if c.mayDelete(have, "") != nil {
		return false, nil // Up has said so
	}
	began := time.Now()
	if err := c.remove(ctx, have); err != nil { // also where nothing existed: a kubeconfig may be left
		return existed, err
	}
	intent, err := c.intent()
	if err != nil {
		return existed, err
	}
	if err := os.Remove(intent); err != nil && !os.IsNotExist(err) {
		return existed, fmt.Errorf("delete cluster %s: %w", c.settings.Name, err)
	}
	if !existed {
		return false, nil
	}
	c.logf("deleted cluster %s (%.1f s)", c.settings.Name, time.Since(began).Seconds())
	return true, nil
}
