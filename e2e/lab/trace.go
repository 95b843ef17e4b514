package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/e2e/world"
)

var _ steps.Tracer = Cluster{}

const (
	// answeredIn bounds a traced connection that may be answered or refused, silentIn one that must be neither: the kernels have
	// seen all of it by then, and a lost packet need not be sent again to be found. Over IPv6 a client hears of a rejection by its
	// own node only when it has sent its SYN again, after one second.
	answeredIn, silentIn = 3 * time.Second, time.Second
)

// Trace implements steps.Tracer.
func (c Cluster) Trace(ctx context.Context, w world.World, cells []reach.Cell, tries int) (list []steps.Traced, err error) {
	t, err := startTracer(ctx, c.Cluster)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	o := oracle.New(w)
	for _, cell := range cells {
		var traced steps.Traced
		for try := 0; try < tries && traced.Result != reach.Fail; try++ {
			seen, err := t.Trace(ctx, traceRequest(w, o.Walk(cell.Vantage, cell.Target)))
			if err != nil {
				return nil, err
			}
			traced = steps.Traced{Result: seen.Result, Says: trace.Summary(seen), Ends: trace.Where(seen), Took: max(traced.Took, seen.Took)}
		}
		list = append(list, traced)
	}
	return list, nil
}

// Walk traces one connection from a vantage, or from a pod of the first of the namespaces, to the first target of a Service there that
// to selects.
func (c Cluster) Walk(ctx context.Context, namespaces []string, from string, to scenario.To) (t trace.Trace, err error) {
	facts, err := c.Facts(ctx)
	if err != nil {
		return t, err
	}
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return t, err
	}
	w, err := world.Take(ctx, c.Client(), c.Client().Discovery(), c.Dynamic(), facts, namespaces...)
	if err != nil {
		return t, err
	}
	site := table.Site{Namespace: namespaces[0], World: w, Vantages: vantages}
	v, found := site.Client(from)
	if !found {
		return t, fmt.Errorf("there is no vantage %s", from)
	}
	targets := slices.DeleteFunc(w.Targets(namespaces[0]+"/"+to.Service), func(t reach.Target) bool {
		return !world.Applicable(v, t) || !site.Selects(to, v, t)
	})
	if len(targets) == 0 {
		return t, fmt.Errorf("the Service %s has no target %s", to.Service, to)
	}
	return c.TraceWalk(ctx, w, oracle.New(w).Walk(v, targets[0]))
}

// TraceWalk sends one request along a walk, and compares its path with it.
func (c Cluster) TraceWalk(ctx context.Context, w world.World, walk oracle.Walk) (result trace.Trace, err error) {
	t, err := startTracer(ctx, c.Cluster)
	if err != nil {
		return trace.Trace{}, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	result, err = t.Trace(ctx, traceRequest(w, walk))
	return result.Undecided(), err
}

// startTracer begins to trace on all nodes of a cluster that can be used now. Its pods need no prober.
func startTracer(ctx context.Context, c *cluster.Cluster) (*trace.Tracer, error) {
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return nil, err
	}
	nodes := slices.DeleteFunc(vantages, func(v reach.Vantage) bool { return v.Kind != reach.Node || v.Unusable != "" })
	return trace.Start(ctx, &trace.InPods{Lab: c, Own: func(v reach.Vantage) bool { return v.Namespace == cluster.ClientsNamespace }}, nodes)
}

// traceRequest is a connection along a walk. A node has no cluster DNS in its own resolver, and the process that stands in for
// a pod has its node's; both send their lookups to the DNS Service.
func traceRequest(w world.World, walk oracle.Walk) trace.Request {
	r := trace.Request{Walk: walk, Timeout: answeredIn}
	if !walk.Prediction.Allows(reach.Reached) && !walk.Prediction.Allows(reach.Refused) {
		r.Timeout = silentIn
	}
	if _, err := netip.ParseAddr(walk.Target.Host); err == nil {
		return r
	}
	own := walk.Vantage.Namespace == cluster.ClientsNamespace
	if s, found := w.DNSService(); found && (walk.Vantage.Kind == reach.Node || walk.Vantage.Kind == reach.Pod && !own) {
		r.DNSServer = netip.AddrPortFrom(world.ClusterIPs(&s)[0], 53)
	}
	return r
}
