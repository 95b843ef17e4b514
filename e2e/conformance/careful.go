package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// deniedIn is how long a denial may take. The kernel tells a client of refused connections by ICMP errors, of which it
// sends one client about one a second once six were sent (net.ipv4.icmp_ratelimit). Svclab's own nodes have no such bound,
// but those of others do: a SYN that got no answer is sent again after 1, 3 and 7 seconds.
const deniedIn = 9 * time.Second

// careful asks in a cluster of others. Cells that are to be refused are asked by a prober of their own, two at a time
// from each vantage, so that the nodes' bound on ICMP errors does not make refusals look like silence.
//
// And it asks nothing whose packets a healthy cluster would send out of itself: outside nftables mode a port that a
// Service does not declare at its ClusterIP is nobody's, and the packet follows the node's default route (KEP-3866).
// Svclab's own clusters drop it; in those of others the cells are left out, with the reason.
type careful struct {
	// slow asks what is to be denied, which is told by the timeout deniedIn; the embedded prober all else.
	runner.Prober
	runner.Resolver
	slow runner.Prober
	mode string
}

func newCareful(exec probe.Exec, guard probe.Guard, mode string) careful {
	quick := probe.New(exec, probe.WithGuard(guard))
	return careful{Prober: runner.ForClient(quick), Resolver: quick, mode: mode,
		slow: runner.ForClient(probe.New(exec, probe.WithGuard(guard), probe.WithConcurrency(2)))}
}

// Observe is as runner.Prober says.
func (c careful) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	var (
		sets  [2][]probe.Request // to be asked at once, and slowly
		where [2][]int
		cells = make([]reach.Cell, len(requests))
		errs  [2]error
		both  sync.WaitGroup
	)
	for i, r := range requests {
		set := 0
		if r.Timeout == deniedIn {
			set = 1
		}
		sets[set], where[set] = append(sets[set], c.checked(r)), append(where[set], i)
	}
	for set, prober := range []runner.Prober{c.Prober, c.slow} {
		if len(sets[set]) == 0 {
			continue
		}
		both.Go(func() {
			var asked []reach.Cell
			asked, errs[set] = prober.Observe(ctx, sets[set])
			for k := range asked {
				asked[k].Vantage = requests[where[set][k]].Vantage // it is usable for all else
				cells[where[set][k]] = asked[k]
			}
		})
	}
	both.Wait()
	return cells, errors.Join(errs[:]...)
}

// checked is a request, or one that is not to be asked, with the reason.
func (c careful) checked(r probe.Request) probe.Request {
	atService := r.Target.Kind == reach.ClusterIP || r.Target.Kind == reach.DNSName
	if c.mode != world.ModeNFTables && r.Target.Undeclared && atService && r.Vantage.Unusable == "" {
		r.Vantage.Unusable = fmt.Sprintf("in proxy mode %s a packet to a port that the Service does not declare could leave the cluster", c.mode)
	}
	return r
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
