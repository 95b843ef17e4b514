package conformance

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// careful asks nothing whose packets a healthy cluster would send out of itself: outside nftables mode a port that a
// Service does not declare at its ClusterIP is nobody's, and the packet follows the node's default route (KEP-3866).
// Svclab's own clusters drop it; in those of others the cells are left out, with the reason.
type careful struct {
	runner.Prober
	mode string
}

// Observe leaves the cells in question unprobed and asks the others.
func (c careful) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	if c.mode == world.ModeNFTables {
		return c.Prober.Observe(ctx, requests)
	}
	asked := make([]probe.Request, len(requests))
	for i, r := range requests {
		if r.Target.Undeclared && (r.Target.Kind == reach.ClusterIP || r.Target.Kind == reach.DNSName) && r.Vantage.Unusable == "" {
			r.Vantage.Unusable = fmt.Sprintf("in proxy mode %s a packet to a port that the Service does not declare could leave the cluster", c.mode)
		}
		asked[i] = r
	}
	cells, err := c.Prober.Observe(ctx, asked)
	for i := range cells { // the vantage is usable for all else
		cells[i].Vantage = requests[i].Vantage
	}
	return cells, err
}

// nodesGuard lets this machine ask the nodes' own addresses whatever way leads there, and all else as the guard within
// says: the user has said that the nodes may be asked from here.
type nodesGuard struct {
	probe.Guard
	nodes map[netip.Addr]bool
}

// Check is as probe.Guard says.
func (g nodesGuard) Check(ctx context.Context, v reach.Vantage, addr netip.Addr) string {
	if g.nodes[addr.Unmap()] {
		return ""
	}
	return g.Guard.Check(ctx, v, addr)
}
