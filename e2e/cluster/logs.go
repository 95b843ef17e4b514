package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"
	"sigs.k8s.io/yaml"
)

// dumped are the objects that ExportLogs saves: those that decide what a Service does, and what was said about them.
func dumped() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Version: "v1", Resource: "nodes"},
		{Version: "v1", Resource: "namespaces"},
		{Version: "v1", Resource: "pods"},
		{Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "configmaps"},
		{Version: "v1", Resource: "events"},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "servicecidrs"},
		{Group: "metallb.io", Version: "v1beta1", Resource: "ipaddresspools"},
		{Group: "metallb.io", Version: "v1beta1", Resource: "l2advertisements"},
		{Group: "metallb.io", Version: "v1beta1", Resource: "servicel2statuses"},
	}
}

// ExportLogs saves below dir what is needed to find out why something failed: objects/ holds the objects of all namespaces
// as YAML; of a cluster of svclab's own also every node's logs, packet filter and routes, and the outside world's logs. It
// saves what it can, and its error names the rest.
func (c *Cluster) ExportLogs(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o755); err != nil {
		return fmt.Errorf("save logs: %w", err)
	}
	var objects, nodes, logs error
	var group sync.WaitGroup
	if c.dynamic != nil {
		group.Go(func() { objects = c.dumpObjects(ctx, filepath.Join(dir, "objects")) })
	}
	if c.provider != nil {
		group.Go(func() { nodes = c.dumpContainers(ctx, dir) })
		group.Go(func() { logs = c.run(ctx, envfuncs.ExportClusterLogs(c.settings.Name, filepath.Join(dir, "kind"))) })
	}
	group.Wait()
	return errors.Join(objects, nodes, logs)
}

// SaveLogs is ExportLogs, and logs where the files are.
func (c *Cluster) SaveLogs(ctx context.Context, dir string) error {
	err := c.ExportLogs(ctx, dir)
	c.logf("the logs are in %s", dir)
	return err
}

func (c *Cluster) dumpObjects(ctx context.Context, dir string) error {
	var failed error
	for _, resource := range dumped() {
		list, err := c.dynamic.Resource(resource).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) { // a cluster, or one half made, without MetalLB
			continue
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("save the %s: %w", resource.Resource, err))
			continue
		}
		for i := range list.Items {
			unstructured.RemoveNestedField(list.Items[i].Object, "metadata", "managedFields")
		}
		text, err := yaml.Marshal(list)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, resource.Resource+".yaml"), text, 0o644)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("save the %s: %w", resource.Resource, err))
		}
	}
	return failed
}

// nodeDump prints what decides where a node's packets go.
const nodeDump = `
for command in "ip -4 route" "ip -6 route" "ip address" "nft list ruleset" "iptables-save" "conntrack -L" \
  "systemctl status --no-pager svclab-network kubelet containerd"; do
  echo "--- $command"; $command 2>&1
done`

func (c *Cluster) dumpContainers(ctx context.Context, dir string) error {
	var failed error
	save := func(name string, run func(*os.File) error) {
		file, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = errors.Join(run(file), file.Close())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("save %s: %w", name, err))
		}
	}
	have, err := c.inspect(ctx)
	if err != nil {
		return err
	}
	for _, node := range have.Nodes {
		if node.State == "running" {
			save(node.Name+"-network.txt", func(out *os.File) error {
				return c.engine.Exec(ctx, node.Name, []string{"sh", "-c", nodeDump + "\ntrue"}, nil, out, out)
			})
		}
	}
	for _, other := range have.Others {
		save(other.Name+".log", func(out *os.File) error { return c.engine.Stream(ctx, nil, out, out, "logs", other.Name) })
	}
	return failed
}
