// Package lab is a cluster as the runner sees it: package cluster knows nothing of scenarios' runs and their reports.
package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is a cluster with what the runner needs of it.
type Cluster struct{ *cluster.Cluster }

var (
	_ runner.Cluster        = Cluster{}
	_ runner.NodeController = Cluster{}
)

// ControlNode implements runner.NodeController.
func (c Cluster) ControlNode(ctx context.Context, slot, action string) error {
	facts, err := c.Facts(ctx)
	if err != nil {
		return fmt.Errorf("%s node %s: %w", action, slot, err)
	}
	node, ok := facts.Slots[slot]
	if !ok {
		return fmt.Errorf("%s node %s: the cluster has no such node", action, slot)
	}
	switch action {
	case "start":
		return c.StartNode(ctx, node)
	case "stop":
		return c.StopNode(ctx, node)
	case "restart":
		return c.RestartNode(ctx, node)
	case "restart-api-server":
		return c.RestartAPIServer(ctx)
	case steps.OwnProxyMode:
		return c.SwitchProxy(ctx, node, facts.ProxyMode)
	case steps.OtherProxyMode:
		return c.SwitchProxy(ctx, node, world.OtherMode(facts.ProxyMode))
	}
	return fmt.Errorf("%s node %s: there is no such action", action, slot)
}

// Runner returns a runner of scenarios on the cluster. It saves the cluster's logs of each scenario that did not pass below
// output.
func (c Cluster) Runner(output string, opts ...runner.Option) *runner.Runner {
	saved := runner.WithFailed(func(ctx context.Context, scenario, _ string) error {
		return c.SaveLogs(ctx, filepath.Join(output, "logs", scenario))
	})
	return runner.New(c, runner.ForClient(c.Probes()), append([]runner.Option{saved}, opts...)...)
}

// Probes returns a client that sends probes from the cluster's vantages, and keeps the host's on this machine.
func (c Cluster) Probes() *probe.Client { return probe.New(c.Cluster, probe.WithGuard(c.Guard())) }

// Describe is what reports say of the cluster.
func (c Cluster) Describe(ctx context.Context) (report.Cluster, error) {
	facts, err := c.Facts(ctx)
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	version, err := c.Client().Discovery().ServerVersion()
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	described := report.Cluster{Name: c.Name(), Kubernetes: version.GitVersion, ProxyMode: facts.ProxyMode, Proxy: c.Proxy().Release, CoreDNS: c.CoreDNS(), Provider: "kind"}
	for _, r := range facts.ServiceCIDRs {
		family := "IPv4"
		if r.Addr().Is6() {
			family = "IPv6"
		}
		described.Families = append(described.Families, family)
	}
	slots := map[string]string{}
	for slot, node := range facts.Slots {
		slots[node] = slot
	}
	for _, node := range nodes.Items {
		var roles []string
		for label := range node.Labels {
			if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok {
				roles = append(roles, role)
			}
		}
		described.Nodes = append(described.Nodes, report.Node{Name: node.Name, Slot: slots[node.Name], Roles: roles})
	}
	return described, nil
}
