// Package kind creates and deletes kind clusters through kind's Go library, as a provider that
// sigs.k8s.io/e2e-framework understands.
package kind

import (
	"bytes"
	"fmt"
	"io/fs"
	"text/template"
)

// Config is what svclab decides about a kind cluster; manifests/cluster/kind.yaml.tmpl holds the rest.
type Config struct {
	Name string
	// Family is "ipv4" or "dual", ProxyMode "nftables" or "iptables".
	Family, ProxyMode string
	// PodSubnet and ServiceSubnet are CIDRs, two joined by a comma for dual.
	PodSubnet, ServiceSubnet string
	// Image is the node image's reference; Offline says that it is the one without kindnetd.
	Image   string
	Offline bool
	// Workers is how many workers join the one control plane.
	Workers int
	// HostPort is the nodePort published on 127.0.0.1 of the engine's machine; 0 for none.
	HostPort uint16
}

// Render returns the configuration as kind reads it, from the template kind.yaml.tmpl in manifests.
func (c Config) Render(manifests fs.FS) ([]byte, error) {
	workers := make([]string, c.Workers)
	for i := range workers {
		workers[i] = c.Image
	}
	return Render(manifests, "cluster/kind.yaml.tmpl", struct {
		Config
		Workers []string
	}{c, workers})
}

// Render fills the template at path in manifests with data. A field that data lacks is an error.
func Render(manifests fs.FS, path string, data any) ([]byte, error) {
	text, err := fs.ReadFile(manifests, path)
	if err != nil {
		return nil, fmt.Errorf("read manifests/%s: %w", path, err)
	}
	parsed, err := template.New(path).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read manifests/%s: %w", path, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("fill manifests/%s: %w", path, err)
	}
	return out.Bytes(), nil
}

// Nodes are the names that kind gives the nodes: NAME-control-plane, NAME-worker, NAME-worker2, …
func (c Config) Nodes() []string {
	names := []string{c.Name + "-control-plane"}
	for i := range c.Workers {
		name := c.Name + "-worker"
		if i > 0 {
			name = fmt.Sprintf("%s%d", name, i+1)
		}
		names = append(names, name)
	}
	return names
}
