package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/wait"
)

// create makes the cluster from nothing, after removing what is in its place.
func (c *Cluster) create(ctx context.Context, want desired, have actual) error {
	began := time.Now()
	name := c.settings.Name
	if err := c.remove(ctx, have); err != nil {
		return err
	}
	if err := checkPort(ctx, c.engine, c.info.Local(), c.settings.HostPort); err != nil {
		return err
	}
	if err := os.MkdirAll(c.settings.Output, 0o755); err != nil {
		return fmt.Errorf("create cluster %s: %w", name, err)
	}
	if err := os.WriteFile(c.settings.kindFile(), want.config, 0o644); err != nil {
		return fmt.Errorf("create cluster %s: %w", name, err)
	}
	intent, err := c.intent()
	if err != nil {
		return err
	}
	if err := os.WriteFile(intent, []byte(want.marker.Summary+"\n"), 0o600); err != nil {
		return fmt.Errorf("create cluster %s: %w", name, err)
	}
	c.logf("creating cluster %s: %s", name, want.marker.Summary)
	if err := c.createNetwork(ctx, want.marker); err != nil {
		return errors.Join(err, c.abandon(ctx))
	}
	if err := c.createAll(ctx, want.marker); err != nil {
		return errors.Join(err, c.abandon(ctx))
	}
	c.logf("cluster %s is ready (%.1f s)", name, time.Since(began).Seconds())
	return nil
}

// createAll makes all that stands on the network, and marks it as whole. What kind does not make is made as soon as there
// is an API server, while kind still joins the workers: most of it is waiting.
func (c *Cluster) createAll(ctx context.Context, m marker) error {
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		return c.wrongVersion(c.run(both, envfuncs.CreateClusterWithConfig(c.provider, m.Name, c.settings.kindFile())))
	})
	group.Go(func() error {
		if err := c.guardEarly(both); err != nil {
			return err
		}
		if err := c.connectEarly(both); err != nil {
			return err
		}
		return c.deploy(both)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark cluster %s: %w", m.Name, err)
	}
	if err := c.engine.CopyTo(ctx, m.Name+"-control-plane", docker.File{Path: markerPath, Mode: 0o644, Data: text}); err != nil {
		return fmt.Errorf("mark cluster %s: %w", m.Name, err)
	}
	return nil
}

// connectEarly connects as soon as the API server answers, while kind still joins the workers.
func (c *Cluster) connectEarly(ctx context.Context) error {
	if err := c.await(ctx, "the control plane to have a kubeconfig", apiServerIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		config, err := c.provider.Early(ctx)
		if err != nil {
			return false, "", err
		}
		return true, "", c.connect(config)
	})); err != nil {
		return err
	}
	return c.await(ctx, "the API server to answer", apiServerIn, wait.Retry(c.readyz))
}

// abandon removes what a failed or cancelled creation left, logs first unless it was cancelled.
func (c *Cluster) abandon(ctx context.Context) error {
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteIn)
	defer cancel()
	if ctx.Err() == nil {
		if err := c.SaveLogs(cleaning, filepath.Join(c.settings.Output, "logs", "create")); err != nil {
			c.logf("not all logs could be saved: %s", shortened(err.Error()))
		}
	}
	for range 3 { // the engine may end what a cancelled command began only after the first inspection
		have, err := c.inspect(cleaning)
		if err == nil {
			err = c.remove(cleaning, have)
		}
		if err != nil || have.empty() {
			return err
		}
	}
	return nil
}

// deploy deploys everything that kind does not, and waits until all of it works. It changes nothing that is right already, so
// new and existing clusters take the same path.
func (c *Cluster) deploy(ctx context.Context) error {
	began := time.Now()
	say := func(what string) { c.logf("  %s (%.1f s)", what, time.Since(began).Seconds()) }
	if err := c.loadImages(ctx); err != nil {
		return err
	}
	whole := ctx
	group, ctx := errgroup.WithContext(ctx)
	outside := make(chan struct{})
	step := func(what string, do func(context.Context) error) {
		group.Go(func() error {
			if err := do(ctx); err != nil {
				return err
			}
			say(what)
			return nil
		})
	}
	step("the nodes are routed, and kube-proxy has synced on each", c.ensureNodes)
	step("the outside world answers", func(ctx context.Context) error {
		addrs, err := c.ensureOutside(ctx)
		c.outside = addrs
		close(outside)
		return err
	})
	step("the load balancer has its addresses", c.ensureMetalLB)
	step("client pods run on every node", c.ensureClients)
	step("the cluster's DNS forwards to the outside world", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-outside:
			return c.ensureDNS(ctx)
		}
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.answers(whole); err != nil {
		return err
	}
	say("DNS answers every node and pod")
	return nil
}
