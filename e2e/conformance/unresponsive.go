package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/svclab/svclab/e2e/cluster"
)

// A node can be Ready and report running pods although it is simulated (kwok) or its kubelet is not reachable. Clients on it
// cannot make probes, so such a node is left out and another one is tried. So is a node that is full, or broken, and starts no
// clients.

// trials is how often unresponsive nodes are replaced by others, before the run uses only the responsive ones.
const trials = 3

const (
	noStart  = "do not start the clients"
	noExec   = "report running pods but execute no command in them"
	notTried = "were not tried, because many others executed no command"
)

// clientDeployer is the part of a cluster that deploy needs.
type clientDeployer interface {
	// DeployClients deploys clients on the nodes, by slot. Unresponsive returns the unresponsive ones of these nodes, with the reason.
	DeployClients(ctx context.Context, slots map[string]string, image string, others ...string) error
	Unresponsive(ctx context.Context) (map[string]error, error)
}

var _ clientDeployer = (*cluster.Cluster)(nil)

// deploy deploys clients on responsive nodes. It replaces unresponsive ones: choose changes the sample then.
func (c *Clients) deploy(ctx context.Context, to clientDeployer, choose func(context.Context) error, others ...string) error {
	for trial := 1; ; trial++ {
		if err := to.DeployClients(ctx, c.Sample.Slots, c.Image.Name, others...); err != nil {
			return err
		}
		unresponsive, err := to.Unresponsive(ctx)
		if err != nil || len(unresponsive) == 0 {
			return err
		}
		if trial > trials {
			return fmt.Errorf("nodes on which clients worked before fail now: %v", unresponsive)
		}
		for node, why := range unresponsive {
			c.unresponsive[node] = noExec
			if errors.Is(why, cluster.ErrNotStarted) {
				c.unresponsive[node] = noStart
			}
		}
		if trial == trials {
			c.keepResponsive()
		}
		if err := choose(ctx); err != nil {
			return err
		}
	}
}

// keepResponsive excludes all nodes except the responsive ones of the sample.
func (c *Clients) keepResponsive() {
	chosen := map[string]bool{}
	for _, node := range c.Sample.Slots {
		chosen[node] = true
	}
	for i := range c.nodes {
		if name := c.nodes[i].Name; !chosen[name] && c.unresponsive[name] == "" {
			c.unresponsive[name] = notTried
		}
	}
}
