package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
)

// Lab is a cluster as scenarios are run on it.
type Lab struct{ *cluster.Cluster }

// Lacks says why the cluster does not have what a scenario needs; "" when it has.
func (l Lab) Lacks(f scenario.Feature) string {
	if f == scenario.SingleStack {
		if l.Cluster.Lacks(cluster.DualStack) == "" {
			return "this cluster has addresses of both IP families"
		}
		return ""
	}
	features := map[scenario.Feature]cluster.Feature{scenario.Outside: cluster.Outside, scenario.LoadBalancer: cluster.LoadBalancer,
		scenario.NodeControl: cluster.NodeControl, scenario.DualStack: cluster.DualStack}
	known, ok := features[f]
	if !ok {
		return fmt.Sprintf("svclab does not know the feature %q", f)
	}
	return l.Cluster.Lacks(known)
}

// ControlNode does "start", "stop", "restart" or "restart-api-server" to the node of a slot; see runner.NodeController.
func (l Lab) ControlNode(ctx context.Context, slot, action string) error {
	facts, err := l.Facts(ctx)
	if err != nil {
		return fmt.Errorf("%s node %s: %w", action, slot, err)
	}
	node, ok := facts.Slots[slot]
	if !ok {
		return fmt.Errorf("%s node %s: the cluster has no such node", action, slot)
	}
	switch action {
	case "start":
		return l.StartNode(ctx, node)
	case "stop":
		return l.StopNode(ctx, node)
	case "restart":
		return l.RestartNode(ctx, node)
	case "restart-api-server":
		return l.RestartAPIServer(ctx)
	}
	return fmt.Errorf("%s node %s: there is no such action", action, slot)
}

var _ runner.NodeController = Lab{}

// Runner returns a runner of scenarios on the cluster.
func (l Lab) Runner(output string, opts ...runner.Option) *runner.Runner {
	saved := runner.WithFailed(func(ctx context.Context, scenario, _ string) {
		// What cannot be saved is told on the log by ExportLogs' caller below; the verdict stands by itself.
		if err := l.ExportLogs(ctx, filepath.Join(output, "logs", scenario)); err != nil {
			_ = os.WriteFile(filepath.Join(output, "logs", scenario+".error"), []byte(err.Error()+"\n"), 0o644)
		}
	})
	return runner.New(l, runner.ForClient(probe.New(l.Cluster)), append([]runner.Option{saved}, opts...)...)
}

// Describe is what reports say of the cluster.
func (l Lab) Describe(ctx context.Context) (report.Cluster, error) {
	facts, err := l.Facts(ctx)
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	version, err := l.Client().Discovery().ServerVersion()
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	nodes, err := l.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return report.Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	described := report.Cluster{Name: l.Name(), Kubernetes: version.GitVersion, ProxyMode: facts.ProxyMode, Provider: "kind"}
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
