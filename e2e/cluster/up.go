package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
)

// Up returns a cluster as the settings say, working by svclab's own definition: the one that is there when it is the
// wanted one, a new one otherwise. It is locked against other processes until Close or the process's end. When
// creation fails or ctx ends, what was created is removed; logs are kept below the output folder.
func Up(ctx context.Context, s Settings) (*Cluster, error) {
	c, wanted, err := prepare(s)
	if err != nil {
		return nil, err
	}
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	if c.lock, err = Acquire(s.RuntimeDir, s.Engine.Host(), s.Name); err != nil {
		return nil, err
	}
	if err := c.bringUp(ctx, wanted); err != nil {
		return nil, errors.Join(err, c.lock.Release())
	}
	return c, nil
}

// wanted is the cluster that the settings describe.
type wanted struct {
	kind   kind.Config
	config []byte // rendered
	marker marker
}

func prepare(s Settings) (*Cluster, wanted, error) {
	if err := s.Validate(); err != nil {
		return nil, wanted{}, err
	}
	if s.Log == nil {
		s.Log = io.Discard
	}
	config := s.kindConfig()
	text, err := config.Render(s.Manifests)
	if err != nil {
		return nil, wanted{}, err
	}
	w := wanted{kind: config, config: text, marker: marker{Name: s.Name, Config: fingerprint(text), Summary: s.Summary()}}
	provider := kind.New(s.Engine, s.Name, s.Name, s.Kubeconfig(), text, s.Log)
	c := &Cluster{waiter: &waiter{log: s.Log}, settings: s, engine: s.Engine, provider: provider, kubeconfig: s.Kubeconfig(), context: provider.GetKubectlContext()}
	return c, w, nil
}

func (c *Cluster) ping(ctx context.Context) error {
	if _, err := c.engine.Ping(ctx); err != nil {
		where := c.engine.Host()
		if where == "" {
			where = "the docker command's default"
		}
		p := problem(ErrNoEngine, "start Docker, or run: make doctor", "no Docker engine answers at %s", where)
		p.Cause = err
		return p
	}
	return nil
}

// bringUp makes the cluster what it should be, whatever it is now.
func (c *Cluster) bringUp(ctx context.Context, want wanted) error {
	began := time.Now()
	f, err := look(ctx, c.engine, c.settings.Name)
	if err != nil {
		return err
	}
	d := decide(f, want.marker, want.kind.Nodes())
	switch d.Action {
	case refuse:
		return foreign(c.settings.Name, d.Why)
	case create:
		// leftovers of svclab's own, from a creation that was cut off before its first node
		return c.create(ctx, want, f)
	case recreate:
		c.say("cluster %s: %s; making it anew", c.settings.Name, d.Why)
		return c.create(ctx, want, f)
	case start:
		c.say("cluster %s does not run (%s); starting it", c.settings.Name, d.Why)
		err = c.startContainers(ctx, f)
	case reuse:
		c.say("cluster %s is there", c.settings.Name)
	}
	if err == nil {
		err = c.takeOver(ctx)
	}
	if err == nil {
		c.say("cluster %s is ready (%.1f s)", c.settings.Name, time.Since(began).Seconds())
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("use cluster %s: %w", c.settings.Name, context.Cause(ctx))
	}
	c.say("cluster %s does not work again (%v); making it anew", c.settings.Name, err)
	return c.create(ctx, want, f)
}

// startContainers starts what an engine or a machine that ended left stopped.
func (c *Cluster) startContainers(ctx context.Context, f found) error {
	for _, container := range append(f.Nodes, f.Others...) {
		if err := c.startContainer(ctx, container); err != nil && container.Labels[ownerLabel] == "" {
			return err // a node; the outside world is made anew when it does not start
		}
	}
	return nil
}

func (c *Cluster) startContainer(ctx context.Context, container docker.Container) error {
	switch container.State {
	case "running", "restarting":
		return nil
	case "paused":
		return c.engine.Run(ctx, "unpause", container.Name)
	}
	return c.engine.Run(ctx, "start", container.Name)
}

// takeOver connects to the cluster that runs and sees to it that all of it works.
func (c *Cluster) takeOver(ctx context.Context) error {
	if err := c.freshKubeconfig(ctx); err != nil {
		return err
	}
	if err := c.connect(c.provider.KubernetesRestConfig()); err != nil {
		return err
	}
	if err := c.apiReady(ctx); err != nil {
		return err
	}
	return c.furnish(ctx)
}

// apiReady waits until the API server of a cluster that was made before answers.
func (c *Cluster) apiReady(ctx context.Context) error {
	return c.until(ctx, "the API server answers", nodeBackIn, func(ctx context.Context) (string, bool, error) {
		text, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return string(text), err == nil, err
	})
}

// freshKubeconfig writes the kubeconfig; the engine may have moved the API server's port.
func (c *Cluster) freshKubeconfig(context.Context) error {
	if err := os.Remove(c.kubeconfig); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	_, err := c.provider.GenerateKubeconfig()
	return err
}

// create makes the cluster from nothing, after removing what is in its place.
func (c *Cluster) create(ctx context.Context, want wanted, f found) error {
	began := time.Now()
	name := c.settings.Name
	if err := c.remove(ctx, f); err != nil {
		return err
	}
	if err := checkPort(ctx, c.engine, c.settings.HostPort); err != nil {
		return err
	}
	if err := os.MkdirAll(c.settings.Output, 0o755); err != nil {
		return fmt.Errorf("create cluster %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(c.settings.Output, "kind.yaml"), want.config, 0o644); err != nil {
		return fmt.Errorf("create cluster %s: %w", name, err)
	}
	c.say("creating cluster %s: %s", name, want.marker.Summary)
	if err := c.createNetwork(ctx, want.marker); err != nil {
		return errors.Join(err, c.abandon(ctx))
	}
	if err := c.createAll(ctx, want.marker); err != nil {
		return errors.Join(err, c.abandon(ctx))
	}
	c.say("cluster %s is ready (%.1f s)", name, time.Since(began).Seconds())
	return nil
}

// createAll makes all that stands on the network, and marks it as whole. What kind does not make is made as soon as there
// is an API server, while kind still joins the workers: most of it is waiting.
func (c *Cluster) createAll(ctx context.Context, m marker) error {
	group, both := errgroup.WithContext(ctx)
	made := make(chan struct{})
	group.Go(func() error {
		_, err := c.provider.Create(both)
		close(made)
		return err
	})
	group.Go(func() error {
		if err := c.guardEarly(both); err != nil {
			return err
		}
		if err := c.connectEarly(both, made); err != nil {
			return err
		}
		return c.furnish(both)
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

// connectEarly connects as soon as the API server answers. Where images must be put into the nodes first, that is when
// kind has made them all.
func (c *Cluster) connectEarly(ctx context.Context, made <-chan struct{}) error {
	if len(c.settings.Images.Load) > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-made:
		}
	}
	return c.until(ctx, "the API server answers", apiServerIn, func(ctx context.Context) (string, bool, error) {
		config, err := c.provider.Early(ctx)
		if err != nil {
			return "", false, err
		}
		if err := c.connect(config); err != nil {
			return "", false, err
		}
		_, err = c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return "", err == nil, err
	})
}

// abandon removes what a failed or cancelled creation left, logs first unless it was cancelled.
func (c *Cluster) abandon(ctx context.Context) error {
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteIn)
	defer cancel()
	var saved error
	if ctx.Err() == nil {
		dir := filepath.Join(c.settings.Output, "logs", "create")
		if saved = c.ExportLogs(cleaning, dir); saved == nil {
			c.say("the logs of the cluster that failed are in %s", dir)
		}
	}
	for range 3 { // the engine may end what a cancelled command began only after the first look
		f, err := look(cleaning, c.engine, c.settings.Name)
		if err == nil {
			err = c.remove(cleaning, f)
		}
		if err != nil || f.empty() {
			return errors.Join(saved, err)
		}
	}
	return saved
}

// furnish puts everything besides Kubernetes in place and waits until all of it works. It changes nothing that is
// right already, so it serves new and old clusters alike.
func (c *Cluster) furnish(ctx context.Context) error {
	began := time.Now()
	say := func(what string) { c.say("  %s (%.1f s)", what, time.Since(began).Seconds()) }
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
	step("the nodes are Ready and routed", c.ensureNodes)
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
		if err := c.engine.Run(ctx, args...); err != nil && !docker.Missing(err) {
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
	f, err := look(ctx, c.engine, c.settings.Name)
	if err != nil {
		return false, err
	}
	d := decide(f, marker{Name: c.settings.Name}, nil)
	_, network := f.ours(c.settings.Name)
	switch {
	case d.Action == refuse:
		return false, foreign(c.settings.Name, d.Why)
	case len(f.Nodes)+len(f.Others) == 0 && !network:
		return false, c.remove(ctx, f) // a kubeconfig may be left
	}
	began := time.Now()
	if err := c.remove(ctx, f); err != nil {
		return true, err
	}
	c.say("deleted cluster %s (%.1f s)", c.settings.Name, time.Since(began).Seconds())
	return true, nil
}

// Attach returns the cluster that Up made and that runs, changing nothing and taking no lock: for the other processes
// of a run, and for whoever only looks. It is an error that is ErrNoCluster when there is none as the settings say.
func Attach(ctx context.Context, s Settings) (*Cluster, error) {
	c, want, err := prepare(s)
	if err != nil {
		return nil, err
	}
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	f, err := look(ctx, c.engine, s.Name)
	if err != nil {
		return nil, err
	}
	switch d := decide(f, want.marker, want.kind.Nodes()); d.Action {
	case reuse:
	case refuse:
		return nil, foreign(s.Name, d.Why)
	case create:
		return nil, problem(ErrNoCluster, "svclab up", "there is no cluster %s", s.Name)
	default:
		return nil, problem(ErrNoCluster, "svclab up", "cluster %s cannot be used as it is: %s", s.Name, d.Why)
	}
	if _, err := os.Stat(c.kubeconfig); err != nil {
		if err := c.freshKubeconfig(ctx); err != nil {
			return nil, err
		}
	} else if err := c.provider.Load(); err != nil {
		return nil, err
	}
	if err := c.connect(c.provider.KubernetesRestConfig()); err != nil {
		return nil, err
	}
	for _, container := range f.Others {
		if container.Name == c.outsideName() {
			c.outside = container.Networks[s.Name].Addrs
		}
	}
	return c, c.findDNS(ctx)
}
