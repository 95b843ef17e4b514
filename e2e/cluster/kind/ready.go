package kind

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/klient"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// nodesReadyIn bounds WaitForControlPlane: kubelets report, and the pod network is configured.
const nodesReadyIn = 4 * time.Minute

// VersionError says that a node runs another version of Kubernetes than WithVersion set: the node image is not the one for
// that version.
type VersionError struct{ Node, Has, Wanted string }

// Error names the node and both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("node %s runs Kubernetes %s, and %s was requested", e.Node, e.Has, e.Wanted)
}

// WaitForControlPlane waits until every node of the cluster, worker nodes included, is Ready. It returns a *VersionError as
// soon as one of them reports another version than WithVersion set.
func (p *Provider) WaitForControlPlane(ctx context.Context, client klient.Client) error {
	names, err := p.nodes(ctx)
	if err != nil {
		return err
	}
	return wait.For(ctx, "the nodes of cluster "+p.name+" to be Ready", func(ctx context.Context) (bool, string, error) {
		var nodes corev1.NodeList
		if err := client.Resources().List(ctx, &nodes); err != nil {
			return false, err.Error(), nil // the API server may be restarting: the next request may succeed
		}
		done, seen := Ready(nodes.Items, names)
		return done, seen, p.checkVersion(nodes.Items)
	}, wait.Timeout(nodesReadyIn))
}

// CheckVersion returns a *VersionError when a node runs another version than WithVersion set. Without a version set, every
// version is right.
func (p *Provider) CheckVersion(ctx context.Context, client klient.Client) error {
	var nodes corev1.NodeList
	if err := client.Resources().List(ctx, &nodes); err != nil {
		return fmt.Errorf("read the versions of the nodes of cluster %s: %w", p.name, err)
	}
	return p.checkVersion(nodes.Items)
}

func (p *Provider) checkVersion(nodes []corev1.Node) error {
	for _, node := range nodes {
		// a node that has just joined has not reported its version yet
		if has := node.Status.NodeInfo.KubeletVersion; has != "" && !hasVersion(has, p.version) {
			return &VersionError{Node: node.Name, Has: has, Wanted: p.version}
		}
	}
	return nil
}

// hasVersion reports whether version, such as "v1.37.2", is the requested one: the same, or of the same minor where only
// "1.37" was requested. An empty request matches every version.
func hasVersion(version, requested string) bool {
	requested = "v" + strings.TrimPrefix(requested, "v")
	return requested == "v" || version == requested || strings.HasPrefix(version, requested+".")
}

// Ready reports whether all named nodes have joined and are Ready; seen says which are not, and why.
func Ready(nodes []corev1.Node, names []string) (done bool, seen string) {
	var waiting []string
	for _, name := range names {
		i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == name })
		switch {
		case i < 0:
			waiting = append(waiting, name+" has not joined")
		case !world.NodeReady(&nodes[i]) || len(nodes[i].Status.Conditions) == 0:
			waiting = append(waiting, name+" is not Ready"+reason(&nodes[i]))
		}
	}
	return len(waiting) == 0, strings.Join(waiting, "; ")
}

func reason(node *corev1.Node) string {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Message != "" {
			return ": " + condition.Message
		}
	}
	return ""
}
