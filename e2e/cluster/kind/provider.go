package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/pkg/types"
	"sigs.k8s.io/kind/pkg/cluster"
	kinderrors "sigs.k8s.io/kind/pkg/errors"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// Label is the label that kind puts on its node containers; its value is the cluster's name.
const Label = "io.x-k8s.kind.cluster"

// cleanUp bounds the removal of what a cancelled creation left.
const cleanUp = 60 * time.Second

// Provider is one kind cluster, there or not. Build it with New.
type Provider struct {
	engine     *docker.Engine
	name       string
	version    string
	network    string
	kubeconfig string
	config     []byte
	log        io.Writer
	rest       *rest.Config
}

var _ types.E2EClusterProvider = (*Provider)(nil)

// New returns the provider of the cluster called name in engine. Its nodes stand on the Docker network called network,
// which must be there before Create. The kubeconfig is written to the file of that name; what kind and svclab say goes to log.
func New(engine *docker.Engine, name, network, kubeconfig string, config []byte, log io.Writer) *Provider {
	return &Provider{engine: engine, name: name, network: network, kubeconfig: kubeconfig, config: config, log: log}
}

// WithName changes the cluster's name.
func (p *Provider) WithName(name string) types.E2EClusterProvider {
	p.name = name
	return p
}

// WithVersion names the Kubernetes version that the nodes must have; WaitForControlPlane refuses another.
func (p *Provider) WithVersion(version string) types.E2EClusterProvider {
	p.version = version
	return p
}

// WithPath does nothing: kind is a library here, there is no program to name.
func (p *Provider) WithPath(string) types.E2EClusterProvider { return p }

// WithOpts applies opts.
func (p *Provider) WithOpts(opts ...types.ClusterOpts) types.E2EClusterProvider {
	for _, opt := range opts {
		opt(p)
	}
	return p
}

// SetDefaults fills in what New was not given.
func (p *Provider) SetDefaults() types.E2EClusterProvider {
	if p.name == "" {
		p.name = cluster.DefaultName
	}
	if p.log == nil {
		p.log = io.Discard
	}
	return p
}

// Create creates the cluster from the configuration given to New and returns the kubeconfig's file name. It takes no
// arguments. When ctx ends, what was created is removed before Create returns; after any other failure the
// nodes are kept, so that their logs can be read: the caller must call Destroy.
func (p *Provider) Create(ctx context.Context, args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("create cluster %s: unknown arguments %q", p.name, args)
	}
	done := make(chan error, 1)
	go func() { done <- p.create() }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil {
			return "", errors.Join(context.Cause(ctx), p.removeAll())
		}
		if err != nil {
			return "", fmt.Errorf("create cluster %s: %w", p.name, explain(err))
		}
		return p.kubeconfig, p.Load()
	case <-ctx.Done():
	}
	// kind's library cannot be told to stop: it fails as soon as its nodes are gone. A node that it was about to
	// start appears after the first removal, so it goes on until kind has ended.
	_, _ = fmt.Fprintf(p.log, "removing the partly made cluster %s\n", p.name)
	for {
		err := p.removeAll()
		select {
		case failure := <-done:
			_, _ = fmt.Fprintln(p.log, "kind ended:", failure)
			return "", errors.Join(context.Cause(ctx), p.removeAll())
		case <-time.After(200 * time.Millisecond):
			if err != nil {
				return "", errors.Join(context.Cause(ctx), err)
			}
		}
	}
}

// CreateWithConfig is Create with the kind configuration in the named file.
func (p *Provider) CreateWithConfig(ctx context.Context, configFile string) (string, error) {
	config, err := os.ReadFile(configFile)
	if err != nil {
		return "", fmt.Errorf("create cluster %s: %w", p.name, err)
	}
	p.config = config
	return p.Create(ctx)
}

func (p *Provider) create() error {
	defer p.environment()()
	return p.library().Create(p.name,
		cluster.CreateWithRawConfig(p.config),
		cluster.CreateWithRetain(true),
		cluster.CreateWithKubeconfigPath(p.kubeconfig),
		cluster.CreateWithWaitForReady(0), // it would return nil when time is up; svclab waits itself
	)
}

// environment sets what kind's library reads from the process's environment and nowhere else: the engine for the docker
// commands it runs, and the nodes' network. The function returned puts things back.
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

// removeAll removes the node containers without kind's library, so that it can run beside a creation.
func (p *Provider) removeAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUp)
	defer cancel()
	nodes, err := p.engine.Containers(ctx, "label="+Label+"="+p.name)
	if err != nil || len(nodes) == 0 {
		return err
	}
	args := []string{"rm", "--force", "--volumes"}
	for _, node := range nodes {
		args = append(args, node.Name)
	}
	if err := p.engine.Run(ctx, args...); err != nil && !docker.Missing(err) && !strings.Contains(err.Error(), "already in progress") {
		return fmt.Errorf("remove the nodes of cluster %s: %w", p.name, err)
	}
	return nil
}

// explain adds what a failed command printed, which kind's own error text leaves out.
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

// Load reads the kubeconfig that Create or GenerateKubeconfig wrote, for KubernetesRestConfig.
func (p *Provider) Load() error {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: p.kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: p.GetKubectlContext()}).ClientConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig of cluster %s: %w", p.name, err)
	}
	p.rest = config
	return nil
}

// Early returns a client configuration as soon as the control plane has one, while Create is still at work.
func (p *Provider) Early(ctx context.Context) (*rest.Config, error) {
	node := p.name + "-control-plane"
	var text bytes.Buffer
	if err := p.engine.Exec(ctx, node, []string{"cat", "/etc/kubernetes/admin.conf"}, nil, &text, nil); err != nil {
		return nil, fmt.Errorf("read the kubeconfig on %s: %w", node, err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig on %s: %w", node, err)
	}
	published, err := p.engine.Output(ctx, "port", node, "6443/tcp")
	if err != nil {
		return nil, fmt.Errorf("find the port of the API server on %s: %w", node, err)
	}
	address, _, _ := strings.Cut(published, "\n")
	config.Host = "https://" + address
	return config, nil
}

// GetKubeconfig is the kubeconfig's file name.
func (p *Provider) GetKubeconfig() string { return p.kubeconfig }

// GetKubectlContext is the name of the cluster's context in it.
func (p *Provider) GetKubectlContext() string { return "kind-" + p.name }

// GenerateKubeconfig writes the kubeconfig of the running cluster afresh and returns its file name.
func (p *Provider) GenerateKubeconfig(args ...string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("kubeconfig of cluster %s: unknown arguments %q", p.name, args)
	}
	defer p.environment()()
	if err := os.MkdirAll(filepath.Dir(p.kubeconfig), 0o755); err != nil {
		return "", fmt.Errorf("kubeconfig of cluster %s: %w", p.name, err)
	}
	if err := p.library().ExportKubeConfig(p.name, p.kubeconfig, false); err != nil {
		return "", fmt.Errorf("kubeconfig of cluster %s: %w", p.name, explain(err))
	}
	return p.kubeconfig, p.Load()
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
	// the offline node image has no crictl, which kind lists the images with
	all = slices.DeleteFunc(all, func(err error) bool {
		failed := exec.RunErrorForError(err)
		return failed != nil && slices.Contains(failed.Command, "crictl")
	})
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("save the logs of cluster %s: %w", p.name, errors.Join(all...))
}

// Destroy removes the cluster's nodes and its entry in the kubeconfig. A cluster that is not there is no error.
func (p *Provider) Destroy(context.Context) error {
	defer p.environment()()
	if err := p.library().Delete(p.name, p.kubeconfig); err != nil {
		return fmt.Errorf("delete cluster %s: %w", p.name, explain(err))
	}
	return nil
}

// WaitForControlPlane waits until every node that the configuration names is Ready, and has the version asked for.
func (p *Provider) WaitForControlPlane(ctx context.Context, client klient.Client) error {
	var seen string
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var nodes corev1.NodeList
		if err := client.Resources().List(ctx, &nodes); err != nil {
			seen = err.Error()
		} else if waiting := notReady(nodes.Items); len(nodes.Items) > 0 && waiting == "" {
			return p.checkVersion(nodes.Items)
		} else {
			seen = waiting
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the nodes of cluster %s are Ready: %w; last seen: %s", p.name, context.Cause(ctx), seen)
		case <-tick.C:
		}
	}
}

func notReady(nodes []corev1.Node) string {
	var waiting []string
	for _, node := range nodes {
		ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready {
			waiting = append(waiting, node.Name+" is not Ready")
		}
	}
	return strings.Join(waiting, ", ")
}

func (p *Provider) checkVersion(nodes []corev1.Node) error {
	for _, node := range nodes {
		if !hasVersion(node.Status.NodeInfo.KubeletVersion, p.version) {
			return fmt.Errorf("node %s has Kubernetes %s, and %s was asked for: the node image is not the one for that version",
				node.Name, node.Status.NodeInfo.KubeletVersion, p.version)
		}
	}
	return nil
}

// hasVersion reports whether version, "v1.37.2", is the one wanted: the same or a minor "1.37"; any when none is.
func hasVersion(version, wanted string) bool {
	wanted = "v" + strings.TrimPrefix(wanted, "v")
	return wanted == "v" || version == wanted || strings.HasPrefix(version, wanted+".")
}

// KubernetesRestConfig is the client configuration; nil before Create or GenerateKubeconfig.
func (p *Provider) KubernetesRestConfig() *rest.Config { return p.rest }
