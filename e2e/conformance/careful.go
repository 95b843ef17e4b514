package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// The bounds of one connection in a cluster of others, name lookup included. Its DNS may be slower than the lab's.
const (
	answeredIn = 8 * time.Second
	silentIn   = 5 * time.Second
	// deniedIn marks cells that are to be refused; see careful. A SYN that got no answer is sent again after 1, 3 and 7
	// seconds.
	deniedIn = 9 * time.Second
)

// careful asks in a cluster of others as its nodes can bear it.
//
// A packet filter refuses a connection by an ICMP error, of which Linux sends one client one a second, once a few were sent
// (net.ipv4.icmp_ratelimit). Svclab's own nodes have no such bound; here what would come too fast would look dropped. So
// probes that are to be refused in this way are made no faster from any one client, whichever scenario asks.
//
// And nothing is asked whose packets a healthy cluster would send out of itself: outside nftables mode a port that a
// Service does not declare at its ClusterIP is nobody's, and the packet follows the node's default route (KEP-3866).
// Svclab's own clusters drop it; in those of others the cells are left out, with the reason.
type careful struct {
	runner.Prober
	checks.Resolver
	mode string
	pace *pacer
}

func newCareful(exec probe.Exec, guard probe.Guard, mode string) careful {
	asker := probe.New(exec, probe.WithGuard(guard))
	return careful{Prober: runner.ForClient(asker), Resolver: asker, mode: mode, pace: &pacer{every: 1100 * time.Millisecond, burst: 4}}
}

// paced reports whether a refusal would be an ICMP error from a node to another machine. A port on which nothing listens
// refuses TCP by a reset, and what a node tells itself has no bound: it refuses its own packets to a Service's address, and
// those to its own.
func paced(r probe.Request) bool {
	byReset := r.Target.Protocol == reach.TCP && (r.Target.Kind == reach.Endpoint || r.Target.Kind == reach.NodePort && r.Target.Undeclared)
	toItself := r.Vantage.Kind == reach.Node && (r.Target.Node == "" || r.Target.Node == r.Vantage.Node)
	return r.Timeout == deniedIn && r.Vantage.Unusable == "" && !byReset && !toItself
}

// client is whom a refusing node takes a vantage for: beyond its node a pod has the node's address, so both are one.
func client(v reach.Vantage) string {
	if v.Node != "" {
		return v.Node
	}
	return v.Name
}

// Observe is as runner.Prober says. Paced cells get one connection each time they are asked: the runner asks denials in
// two passes.
func (c careful) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	var (
		free   []int
		slow   = map[string][]int{} // by client
		asked  = make([]probe.Request, len(requests))
		cells  = make([]reach.Cell, len(requests))
		mu     sync.Mutex
		errs   []error
		asking sync.WaitGroup
	)
	ask := func(indexes []int) {
		batch := make([]probe.Request, len(indexes))
		for k, i := range indexes {
			batch[k] = asked[i]
		}
		found, err := c.Prober.Observe(ctx, batch)
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
		for k := range found {
			found[k].Vantage = requests[indexes[k]].Vantage // it is usable for all else
			cells[indexes[k]] = found[k]
		}
	}
	for i, r := range requests {
		asked[i] = c.checked(r)
		if !paced(asked[i]) {
			free = append(free, i)
			continue
		}
		asked[i].Min, asked[i].Max = 1, 1
		slow[client(r.Vantage)] = append(slow[client(r.Vantage)], i)
	}
	if len(free) > 0 {
		asking.Go(func() { ask(free) })
	}
	for who, indexes := range slow {
		asking.Go(func() {
			for batch := range slices.Chunk(indexes, c.pace.burst) {
				c.pace.wait(ctx, who, len(batch))
				ask(batch)
			}
		})
	}
	asking.Wait()
	return cells, errors.Join(errs...)
}

// pacer lets each client do burst things at once and one more each time every has passed.
type pacer struct {
	every time.Duration
	burst int

	mu   sync.Mutex
	full map[string]time.Time // when the client may do burst things again
}

// wait returns when the client may do n things, or ctx has ended.
func (p *pacer) wait(ctx context.Context, client string, n int) {
	timer := time.NewTimer(p.reserve(time.Now(), client, n))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reserve notes that the client does n things and says how long it has to wait before.
func (p *pacer) reserve(now time.Time, client string, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full == nil {
		p.full = map[string]time.Time{}
	}
	from := p.full[client]
	if from.Before(now) {
		from = now
	}
	p.full[client] = from.Add(time.Duration(n) * p.every)
	return max(0, p.full[client].Sub(now)-time.Duration(p.burst)*p.every)
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
