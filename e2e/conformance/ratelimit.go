package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// The timeouts of one connection in a cluster that svclab did not create, name lookup included. Its DNS may be slower than
// that of a lab.
const (
	answeredIn = 8 * time.Second
	silentIn   = 5 * time.Second
	// deniedIn marks cells that must be refused; see rateLimited. It covers the retransmissions of a SYN after 1, 3 and 7
	// seconds.
	deniedIn = 9 * time.Second
)

// Timeouts are those of a connection in a cluster that svclab did not create.
func Timeouts() observe.Timeouts {
	return observe.Timeouts{Answered: answeredIn, Denied: deniedIn, Silent: silentIn}
}

// rateLimited makes probes in a cluster that svclab did not create, at a rate that its nodes can answer.
//
// A packet filter rejects a connection with an ICMP error. After a burst, Linux sends one client only one such error a second
// (net.ipv4.icmp_ratelimit), so faster probes would look dropped. Svclab's own nodes have no such limit. Here the probes that
// must be rejected with an ICMP error are limited for each client, over all scenarios together.
//
// It makes no probe whose packets a healthy cluster would send out of itself: outside nftables mode no rule matches a port
// that a Service does not declare at its ClusterIP, and the packet follows the node's default route (KEP-3866). The nodes of
// svclab's own clusters drop such packets. In other clusters these cells are left out with the reason.
type rateLimited struct {
	runner.Prober
	checks.Resolver
	mode     string
	limiters *limiters
}

// icmpErrors is slightly slower than one a second, and icmpBurst smaller than the burst of 6 that Linux allows.
const (
	icmpErrors = 1100 * time.Millisecond
	icmpBurst  = 4
)

func newRateLimited(exec probe.Exec, guard probe.Guard, mode string) rateLimited {
	client := probe.New(exec, probe.WithGuard(guard))
	return rateLimited{Prober: runner.ForClient(client), Resolver: client, mode: mode, limiters: &limiters{every: icmpErrors, burst: icmpBurst}}
}

// limited reports whether a rejection would be an ICMP error from a node to another machine. A TCP port without a listener
// rejects with a reset instead, and errors that a node sends to itself are not limited: it rejects its own packets to a
// Service's address, and those to its own addresses.
func limited(r probe.Request) bool {
	byReset := r.Target.Protocol == reach.TCP && (r.Target.Kind == reach.Endpoint || r.Target.Kind == reach.NodePort && r.Target.Undeclared)
	toItself := r.Vantage.Kind == reach.Node && (r.Target.Node == "" || r.Target.Node == r.Vantage.Node)
	return r.Timeout == deniedIn && r.Reply == 0 && r.Vantage.Unusable == "" && !byReset && !toItself
}

// clientOf returns the client that a rejecting node sees. Packets of a pod leave its node with the node's address, so a node
// and its pods are one client.
func clientOf(v reach.Vantage) string { return cmp.Or(v.Node, v.Name) }

// Observe implements runner.Prober. Limited cells get one connection for each request: the caller observes denials twice.
func (l rateLimited) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	var (
		unlimited []int
		byClient  = map[string][]int{}
		allowed   = make([]probe.Request, len(requests))
		cells     = make([]reach.Cell, len(requests))
		mu        sync.Mutex
		errs      []error
		batches   sync.WaitGroup
	)
	observe := func(indexes []int) {
		batch := make([]probe.Request, len(indexes))
		for k, i := range indexes {
			batch[k] = allowed[i]
		}
		found, err := l.Prober.Observe(ctx, batch)
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
		for k := range found {
			found[k].Vantage = requests[indexes[k]].Vantage // withhold marks it unusable for this request only
			cells[indexes[k]] = found[k]
		}
	}
	for i, r := range requests {
		allowed[i] = l.withhold(r)
		if !limited(allowed[i]) {
			unlimited = append(unlimited, i)
			continue
		}
		allowed[i].Min, allowed[i].Max = 1, 1
		byClient[clientOf(r.Vantage)] = append(byClient[clientOf(r.Vantage)], i)
	}
	if len(unlimited) > 0 {
		batches.Go(func() { observe(unlimited) })
	}
	for client, indexes := range byClient {
		batches.Go(func() {
			limiter := l.limiters.of(client)
			for batch := range slices.Chunk(indexes, limiter.Burst()) {
				// WaitN returns an error at once if the deadline would pass before the turn of this batch. It must then
				// not be sent earlier: the observation after the deadline reports the cells as not probed.
				if limiter.WaitN(ctx, len(batch)) != nil {
					<-ctx.Done()
				}
				observe(batch)
			}
		})
	}
	batches.Wait()
	return cells, errors.Join(errs...)
}

// limiters has a rate limiter for each client: burst probes at once, and one more after each interval.
type limiters struct {
	every time.Duration
	burst int

	mu       sync.Mutex
	byClient map[string]*rate.Limiter
}

func (l *limiters) of(client string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byClient == nil {
		l.byClient = map[string]*rate.Limiter{}
	}
	if l.byClient[client] == nil {
		l.byClient[client] = rate.NewLimiter(rate.Every(l.every), l.burst)
	}
	return l.byClient[client]
}

// withhold returns a request, with an unusable vantage and the reason if it must not be probed.
func (l rateLimited) withhold(r probe.Request) probe.Request {
	r.Vantage.Unusable = cmp.Or(r.Vantage.Unusable, Withheld(r.Target, l.mode))
	return r
}

// Withheld returns why no probe is sent to a target in a cluster that svclab did not create; empty: it may be sent.
func Withheld(t reach.Target, mode string) string {
	if mode != world.ModeNFTables && t.Undeclared && (t.Kind == reach.ClusterIP || t.Kind == reach.DNSName) {
		return fmt.Sprintf("in proxy mode %s a packet to a port that the Service does not declare could leave the cluster", mode)
	}
	return ""
}

// nodesGuard allows this machine to probe the nodes' addresses by any route, which the user has permitted. The embedded guard
// decides about all other addresses.
type nodesGuard struct {
	probe.Guard
	nodes map[netip.Addr]bool
}

// Check implements probe.Guard.
func (g nodesGuard) Check(ctx context.Context, v reach.Vantage, addr netip.Addr) string {
	if g.nodes[addr.Unmap()] {
		return ""
	}
	return g.Guard.Check(ctx, v, addr)
}
