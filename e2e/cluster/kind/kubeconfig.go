package kind

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

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

// Early returns a client configuration as soon as the control plane has one, while Create is still running. It waits some
// seconds for it on the node, where that takes less processor time than to try again.
func (p *Provider) Early(ctx context.Context) (*rest.Config, error) {
	node := p.name + "-control-plane"
	var text bytes.Buffer
	if err := p.engine.Exec(ctx, node, []string{"sh", "-c", early}, nil, &text, nil); err != nil {
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

// early prints the kubeconfig when kubeadm has written it.
const early = `for try in $(seq 100); do [ ! -s /etc/kubernetes/admin.conf ] || break; sleep 0.1; done; exec cat /etc/kubernetes/admin.conf`

// GetKubeconfig is the kubeconfig's file name.
func (p *Provider) GetKubeconfig() string { return p.kubeconfig }

// GetKubectlContext is the name of the cluster's context in it.
func (p *Provider) GetKubectlContext() string { return "kind-" + p.name }

// GenerateKubeconfig writes the kubeconfig of the running cluster again and returns its file name: the engine publishes the
// API server on another port after a restart. It accepts no arguments.
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

// KubernetesRestConfig is the client configuration; nil before Create, GenerateKubeconfig or Load.
func (p *Provider) KubernetesRestConfig() *rest.Config { return p.rest }
