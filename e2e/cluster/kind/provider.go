package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/support"
	"sigs.k8s.io/kind/pkg/cluster"
	kinderrors "sigs.k8s.io/kind/pkg/errors"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// Label is the label that kind puts on its node containers; its value is the cluster's name.
const Label = "io.x-k8s.kind.cluster"

// cleanUp bounds the removal of the nodes after a cancelled creation.
const cleanUp = 60 * time.Second

// Provider creates, exports and destroys one kind cluster. Build it with New.
type Provider struct {
	engine     *docker.Engine
	name       string
	version    string
	network    string
	kubeconfig string
	log        io.Writer
	rest       *rest.Config
}

var _ support.E2EClusterProviderWithImageLoader = (*Provider)(nil)

// New returns the provider of the cluster called name in engine. Its nodes are attached to the Docker network called
// network, which must exist before Create. Create writes the kubeconfig to the file of that name, which holds nothing else.
// The messages of kind and of the provider go to log.
func New(engine *docker.Engine, name, network, kubeconfig string, log io.Writer) *Provider {
	return &Provider{engine: engine, name: name, network: network, kubeconfig: kubeconfig, log: log}
}

// WithName changes the cluster's name. envfuncs calls it with the same name while other goroutines use the provider, so it
// writes only what differs.
func (p *Provider) WithName(name string) support.E2EClusterProvider {
	if p.name != name {
		p.name = name
	}
	return p
}

// WithVersion sets the Kubernetes version that the nodes must run, "1.37" or "v1.37.2"; see CheckVersion.
func (p *Provider) WithVersion(version string) support.E2EClusterProvider {
	p.version = version
	return p
}

// WithPath does nothing: kind is linked as a library, so there is no program to locate.
func (p *Provider) WithPath(string) support.E2EClusterProvider { return p }

// WithOpts applies opts.
func (p *Provider) WithOpts(opts ...support.ClusterOpts) support.E2EClusterProvider {
	for _, opt := range opts {
		opt(p)
	}
	return p
}

// SetDefaults does nothing: New sets every field.
func (p *Provider) SetDefaults() support.E2EClusterProvider { return p }

// Create is CreateWithConfig with kind's default configuration. It accepts no arguments.
func (p *Provider) Create(ctx context.Context, args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("create cluster %s: unknown arguments %q", p.name, args)
	}
	return p.CreateWithConfig(ctx, "")
}

// CreateWithConfig creates the cluster from the kind configuration in the named file and returns the kubeconfig's file name.
// When ctx ends, it removes what was created before it returns. After any other failure it keeps the nodes, so that their
// logs can be exported: the caller must call Destroy.
func (p *Provider) CreateWithConfig(ctx context.Context, configFile string) (string, error) {
	done := make(chan error, 1)
	go func() { done <- p.create(configFile) }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil {
			return "", errors.Join(context.Cause(ctx), p.removeNodes())
		}
		if err != nil {
			return "", fmt.Errorf("create cluster %s: %w", p.name, explain(err))
		}
		return p.kubeconfig, p.Load()
	case <-ctx.Done():
	}
	// kind's library takes no context: it fails as soon as its nodes are gone. It may start one more node after the first
	// removal, so the removal is repeated until kind has returned.
	_, _ = fmt.Fprintf(p.log, "removing the partly created cluster %s\n", p.name)
	for {
		err := p.removeNodes()
		select {
		case failure := <-done:
			_, _ = fmt.Fprintln(p.log, "kind ended:", failure)
			return "", errors.Join(context.Cause(ctx), p.removeNodes())
		case <-time.After(200 * time.Millisecond):
			if err != nil {
				return "", errors.Join(context.Cause(ctx), err)
			}
		}
	}
}

func (p *Provider) create(configFile string) error {
	defer p.environment()()
	return p.library().Create(p.name,
		cluster.CreateWithConfigFile(configFile),
		cluster.CreateWithRetain(true),
		cluster.CreateWithKubeconfigPath(p.kubeconfig),
		cluster.CreateWithWaitForReady(0), // kind's own wait returns nil when its time is up; WaitForControlPlane does not
	)
}

// environment sets what kind's library reads only from the process's environment: the engine for the docker commands that
// it runs, and the nodes' network. The returned function restores the previous values.
func (p *Provider) environment() (restore func()) {
	var undo []func()
	set := func(key, value string) {
		before, was := os.LookupEnv(key)
		if was && before == value {
			return
		}
		if err := os.Setenv(key, value); err != nil {
			_, _ = fmt.Fprintf(p.log, "set %s: %v\n", key, err)
			return
		}
		undo = append(undo, func() {
			if was {
				_ = os.Setenv(key, before)
			} else {
				_ = os.Unsetenv(key)
			}
		})
	}
	if p.engine.Host() != "" {
		set("DOCKER_HOST", p.engine.Host())
	}
	set("KIND_EXPERIMENTAL_DOCKER_NETWORK", p.network)
	return func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
}

func (p *Provider) library() *cluster.Provider {
	return cluster.NewProvider(cluster.ProviderWithLogger(logger{p.log}), cluster.ProviderWithDocker())
}

// removeNodes removes the node containers without kind's library, so that it can run while a creation is going on.
func (p *Provider) removeNodes() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUp)
	defer cancel()
	return p.Destroy(ctx)
}

// Destroy removes the cluster's nodes and the kubeconfig. It is no error when they do not exist.
func (p *Provider) Destroy(ctx context.Context) error {
	if err := p.engine.Remove(ctx, "label="+Label+"="+p.name); err != nil {
		return fmt.Errorf("delete the nodes of cluster %s: %w", p.name, err)
	}
	if err := os.Remove(p.kubeconfig); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("delete the kubeconfig of cluster %s: %w", p.name, err)
	}
	return nil
}

// explain adds the last lines that a failed command printed; kind's own error text omits them.
func explain(err error) error {
	failed := exec.RunErrorForError(err)
	if failed == nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(failed.Output)), "\n")
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return fmt.Errorf("%w; it printed at last:\n  %s", err, strings.Join(lines, "\n  "))
}

// ExportLogs writes the logs of every node below dest.
func (p *Provider) ExportLogs(_ context.Context, dest string) error {
	defer p.environment()()
	err := p.library().CollectLogs(p.name, dest)
	if err == nil {
		return nil
	}
	all := kinderrors.Errors(err)
	if all == nil {
		all = []error{err}
	}
	// kind lists the images with crictl, which the offline node image does not contain
	all = slices.DeleteFunc(all, func(err error) bool {
		failed := exec.RunErrorForError(err)
		return failed != nil && slices.Contains(failed.Command, "crictl")
	})
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("save the logs of cluster %s: %w", p.name, errors.Join(all...))
}
