package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/wait"
)

// Up returns a cluster as the settings describe it, working by svclab's own definition: the one that
// exists when it is as configured, else a new one. It is locked against other processes until Close or the process's end. When
// creation fails or ctx ends, what was created is removed; logs are kept below the output folder.
func Up(ctx context.Context, s Settings) (*Cluster, error) {
	c, want, err := prepare(s)
	if err != nil {
		return nil, err
	}
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	if c.lock, err = c.acquire(Alone); err != nil {
		return nil, err
	}
	if err := c.bringUp(ctx, want); err != nil {
		return nil, errors.Join(err, c.lock.Release())
	}
	return c, nil
}

// desired is the cluster that the settings describe.
type desired struct {
	kind   kind.Config
	config []byte // rendered
	marker marker
}

func prepare(s Settings) (*Cluster, desired, error) {
	if err := s.Validate(); err != nil {
		return nil, desired{}, err
	}
	config := s.kindConfig()
	text, err := config.Render(s.Manifests)
	if err != nil {
		return nil, desired{}, err
	}
	w := desired{kind: config, config: text, marker: marker{Name: s.Name, Config: fingerprint(text), Summary: s.Summary()}}
	return own(s), w, nil
}

// own is the cluster of svclab's own that the settings name, whether it exists or not.
func own(s Settings) *Cluster {
	if s.Log == nil {
		s.Log = io.Discard
	}
	provider := kind.New(s.Engine, s.Name, s.Name, s.Kubeconfig(), s.Log)
	provider.WithVersion(s.Version)
	return &Cluster{progress: &progress{out: s.Log}, settings: s, madeMode: s.ProxyMode, engine: s.Engine, provider: provider, kubeconfig: s.Kubeconfig(), context: provider.GetKubectlContext()}
}

// ping reads what the engine says of itself.
func (c *Cluster) ping(ctx context.Context) (err error) {
	switch c.info, err = c.engine.Info(ctx); {
	case errors.Is(err, docker.ErrUnsupported):
		return problem(docker.ErrUnsupported, "use a Docker engine: install Docker, or name the socket of one with DOCKER_HOST",
			"svclab supports neither Podman nor nerdctl").because(err)
	case err != nil:
		return problem(ErrNoEngine, "start Docker, or run: make doctor", "no Docker engine answers at %s",
			cmp.Or(c.engine.Host(), "the docker command's default")).because(err)
	}
	return nil
}

// bringUp makes the cluster what the settings describe, from any state.
func (c *Cluster) bringUp(ctx context.Context, want desired) error {
	began := time.Now()
	have, err := c.inspect(ctx)
	if err != nil {
		return err
	}
	d := decide(have, want.marker, want.kind.Nodes())
	if err := c.mayDelete(have, d.Why); err != nil && d.Action == recreate {
		return err
	}
	switch d.Action {
	case refuse:
		return foreign(c.settings.Name, d.Why)
	case create:
		// leftovers of svclab's own, from a creation that was cut off before its first node
		return c.create(ctx, want, have)
	case recreate:
		c.logf("cluster %s: %s; creating it again", c.settings.Name, d.Why)
		return c.create(ctx, want, have)
	case start:
		c.logf("cluster %s does not run (%s); starting it", c.settings.Name, d.Why)
		err = c.startContainers(ctx, have)
	case reuse:
		c.logf("cluster %s is there", c.settings.Name)
	}
	if c.settings.Use.Run != "" {
		c.logf("cluster %s was there before this run, so it stays; to delete it: svclab down", c.settings.Name)
	}
	if err == nil {
		err = c.takeOver(ctx)
	}
	if err == nil {
		c.logf("cluster %s is ready (%.1f s)", c.settings.Name, time.Since(began).Seconds())
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("use cluster %s: %w", c.settings.Name, context.Cause(ctx))
	}
	if errors.Is(err, ErrVersion) || errors.Is(err, ErrProgram) { // a new cluster would have the same
		return err
	}
	if kept := c.mayDelete(have, err.Error()); kept != nil {
		return kept
	}
	c.logf("cluster %s does not work again (%v); creating it again", c.settings.Name, err)
	return c.create(ctx, want, have)
}

// startContainers starts what an engine or a machine that ended left stopped.
func (c *Cluster) startContainers(ctx context.Context, have actual) error {
	for _, container := range append(have.Nodes, have.Others...) {
		if err := c.startContainer(ctx, container); err != nil && container.Labels[ownerLabel] == "" {
			return err // a node; the outside world is created again when it does not start
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

// takeOver connects to the cluster that runs and makes sure that all of it works.
func (c *Cluster) takeOver(ctx context.Context) error {
	if err := c.freshKubeconfig(); err != nil {
		return err
	}
	if err := c.connect(c.provider.KubernetesRestConfig()); err != nil {
		return err
	}
	if err := c.apiReady(ctx); err != nil {
		return err
	}
	if err := c.checkVersion(ctx); err != nil {
		return err
	}
	client, err := klient.New(c.config)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return c.wrongVersion(c.provider.WaitForControlPlane(both, client)) })
	group.Go(func() error { return c.deploy(both) }) // a node is Ready only after it has its part of the pod network
	return group.Wait()
}

// apiReady waits until the API server of a cluster that was made before answers.
func (c *Cluster) apiReady(ctx context.Context) error {
	return c.await(ctx, "the API server to answer", nodeBackIn, wait.Retry(c.readyz))
}

// readyz sends the API server one request.
func (c *Cluster) readyz(ctx context.Context) (done bool, seen string, err error) {
	text, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if failing := notOK(string(text)); failing != "" {
		return false, failing, nil
	}
	return err == nil, string(text), err
}

// notOK are the checks that a /readyz answer says have failed.
func notOK(readyz string) string {
	var failing []string
	for line := range strings.Lines(readyz) {
		if check, failed := strings.CutPrefix(line, "[-]"); failed {
			failing = append(failing, strings.TrimSpace(check))
		}
	}
	return strings.Join(failing, ", ")
}

// freshKubeconfig writes the kubeconfig; the engine may have moved the API server's port.
func (c *Cluster) freshKubeconfig() error {
	if err := os.Remove(c.kubeconfig); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	_, err := c.provider.GenerateKubeconfig()
	return err
}

// Attach returns the cluster that Up made and that runs, changing nothing. It has the lock until Close, the lock's Release or the
// end of the process. The error is ErrNoCluster when no cluster is as the settings describe.
func Attach(ctx context.Context, s Settings, access Access) (c *Cluster, err error) {
	c, want, err := prepare(s)
	if err != nil {
		return nil, err
	}
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	if c.lock, err = c.acquire(access); err != nil {
		return nil, err
	}
	if err := c.attach(ctx, want); err != nil && !errors.Is(err, ErrNoDNS) {
		return nil, errors.Join(err, c.lock.Release())
	} else {
		return c, err
	}
}

func (c *Cluster) attach(ctx context.Context, want desired) error {
	name := c.settings.Name
	have, err := c.inspect(ctx)
	if err != nil {
		return err
	}
	switch d := decide(have, want.marker, want.kind.Nodes()); d.Action {
	case reuse:
	case refuse:
		return foreign(name, d.Why)
	case create:
		return problem(ErrNoCluster, "svclab up", "there is no cluster %s", name)
	default:
		return problem(ErrNoCluster, "svclab up", "cluster %s cannot be used as it is: %s", name, d.Why)
	}
	if _, err := os.Stat(c.kubeconfig); err != nil {
		if err := c.freshKubeconfig(); err != nil {
			return err
		}
	} else if err := c.provider.Load(); err != nil {
		return err
	}
	if err := c.connect(c.provider.KubernetesRestConfig()); err != nil {
		return err
	}
	c.WatchServices(ctx)
	for _, container := range have.Others {
		if container.Name == c.outsideName() {
			c.outside = container.Networks[name].Addrs
		}
	}
	if err := c.checkVersion(ctx); err != nil {
		return err
	}
	if err := errors.Join(c.checkProxy(ctx), c.checkDNS(ctx)); err != nil {
		return err
	}
	if _, err := c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return problem(ErrNoDNS, "svclab learn reset, or to create the cluster again: svclab down && svclab up",
			"cluster %s has lost its Service kube-system/kube-dns", name)
	}
	return c.findDNS(ctx)
}
