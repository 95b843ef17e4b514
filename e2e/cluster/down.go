package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// remove removes the cluster and all that belongs to it, without asking whose it is.
func (c *Cluster) remove(ctx context.Context, f found) error {
	name := c.settings.Name
	ctx, cancel := context.WithTimeout(ctx, deleteIn)
	defer cancel()
	args := []string{"rm", "--force", "--volumes"}
	for _, container := range append(f.Others, f.Nodes...) {
		args = append(args, container.Name)
	}
	if len(args) > 3 {
		if err := c.removeContainers(ctx, args); err != nil {
			return fmt.Errorf("delete cluster %s: %w", name, err)
		}
	}
	for _, network := range f.Networks {
		if network.Labels[ownerLabel] != name {
			continue
		}
		err := c.engine.Run(ctx, "network", "rm", network.ID)
		if err != nil && !docker.Missing(err) {
			if strings.Contains(err.Error(), "active endpoints") {
				c.say("the Docker network %s stays: other containers are on it", name)
				continue
			}
			return fmt.Errorf("delete cluster %s: %w", name, err)
		}
	}
	if err := os.Remove(c.kubeconfig); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("delete cluster %s: %w", name, err)
	}
	return nil
}

// removeContainers runs `docker args…`, which removes containers, and sees to it that they are gone: the engine may be about
// to remove some for somebody else.
func (c *Cluster) removeContainers(ctx context.Context, args []string) error {
	err := c.engine.Run(ctx, args...)
	if err == nil || !strings.Contains(err.Error(), "already in progress") && !docker.Missing(err) {
		return err
	}
	return c.until(ctx, "the engine has removed the containers", deleteIn, func(ctx context.Context) (string, bool, error) {
		f, err := c.look(ctx)
		if err != nil || len(f.Nodes)+len(f.Others) == 0 {
			return "", err == nil, err
		}
		return fmt.Sprintf("%d are left", len(f.Nodes)+len(f.Others)), false, nil
	})
}

// Down deletes the cluster that Up made under that name, whole: nodes, the outside world, the network, the kubeconfig.
// It says whether there was anything. One that svclab did not make is refused.
func Down(ctx context.Context, s Settings) (existed bool, err error) {
	if s.Log == nil {
		s.Log = io.Discard
	}
	c := &Cluster{waiter: &waiter{log: s.Log}, settings: s, engine: s.Engine, kubeconfig: s.Kubeconfig()}
	if err := c.ping(ctx); err != nil {
		return false, err
	}
	if c.lock, err = Acquire(s.RuntimeDir, s.Engine.Host(), s.Name); err != nil {
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
	f, err := c.look(ctx)
	if err != nil {
		return false, err
	}
	d := decide(f, marker{Name: c.settings.Name}, nil)
	_, network := f.ours(c.settings.Name)
	if d.Action == refuse {
		return false, foreign(c.settings.Name, d.Why)
	}
	existed = network || len(f.Nodes)+len(f.Others) > 0
	began := time.Now()
	if err := c.remove(ctx, f); err != nil { // also where nothing existed: a kubeconfig may be left
		return existed, err
	}
	if err := os.Remove(c.settings.intent()); err != nil && !os.IsNotExist(err) {
		return existed, fmt.Errorf("delete cluster %s: %w", c.settings.Name, err)
	}
	if !existed {
		return false, nil
	}
	c.say("deleted cluster %s (%.1f s)", c.settings.Name, time.Since(began).Seconds())
	return true, nil
}
