package conformance

import (
	"context"
	"fmt"

	"github.com/svclab/svclab/e2e/cluster"
)

// A node can be Ready and report running pods although it is simulated (kwok) or its kubelet is not reachable. Clients on it
// cannot make probes, so such a node is left out and another one is tried.

// trials is how often unresponsive nodes are replaced by others, before the run uses only the responsive ones.
const trials = 3

const (
	noExec   = "report running pods but execute no command in them"
	notTried = "were not tried, because many others executed no command"
)

// clientDeployer is the part of a cluster that deployClients needs.
type clientDeployer interface {
	// DeployClients deploys clients on the nodes, by slot. Unresponsive returns the unresponsive ones of these nodes, with the reason.
	DeployClients(ctx context.Context, slots map[string]string, image string) error
	Unresponsive(ctx context.Context) (map[string]error, error)
	Context() string
}

var _ clientDeployer = (*cluster.Cluster)(nil)

// deployClients deploys clients on responsive nodes. It replaces unresponsive ones, which changes the plan's sample.
func (p *Plan) deployClients(ctx context.Context, c clientDeployer) error {
	for trial := 1; ; trial++ {
		if err := c.DeployClients(ctx, p.Sample.Slots, p.Image.Name); err != nil {
			return err
		}
		unresponsive, err := c.Unresponsive(ctx)
		if err != nil || len(unresponsive) == 0 {
			return err
		}
		if trial > trials {
			return fmt.Errorf("nodes that executed commands before execute none now: %v", unresponsive)
		}
		for node := range unresponsive {
			p.unresponsive[node] = noExec
		}
		if trial == trials {
			p.keepResponsive()
		}
		if err := p.chooseNodes(ctx, c.Context()); err != nil {
			return err
		}
	}
}

// keepResponsive excludes all nodes except the responsive ones of the sample.
func (p *Plan) keepResponsive() {
	chosen := map[string]bool{}
	for _, node := range p.Sample.Slots {
		chosen[node] = true
	}
	for i := range p.nodes {
		if name := p.nodes[i].Name; !chosen[name] && p.unresponsive[name] == "" {
			p.unresponsive[name] = notTried
		}
	}
}
