package oracle

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// The oracle over time says what a change of the cluster may do to traffic that is under way.
//
// A node's conntrack table has an entry for each connection, and the address translation of its first packet holds for all
// later ones. So the rules that kube-proxy writes decide about new connections only. A TCP connection lives as long as its
// backend does. Datagrams from one port to one address are one connection as long as they do not stop; for these kube-proxy
// deletes entries that lead to endpoints which no longer serve (pkg/proxy/conntrack/cleanup.go of k8s.io/kubernetes).

// How long an idle machine takes at most to follow a change.
const (
	// SyncPeriod is minSyncPeriod: how long kube-proxy waits at most until it writes what it knows
	// (KubeProxyConfiguration.iptables.minSyncPeriod and .nftables.minSyncPeriod, 1 s by default).
	SyncPeriod = time.Second
	// RetryPeriod is syncPeriod: when kube-proxy tries again to write what it could not write, if nothing changes before
	// (KubeProxyConfiguration.iptables.syncPeriod and .nftables.syncPeriod, 30 s by default; the error of syncProxyRules in
	// pkg/proxy/nftables/proxier.go of k8s.io/kubernetes v1.37.2).
	RetryPeriod = 30 * time.Second
	// CleanupPeriod is how long after it has written its rules kube-proxy has deleted the conntrack entries that are stale: it
	// does so at the end of each sync, for the complete table.
	CleanupPeriod = 2 * time.Second
	// BatchPeriod is how long a controller waits at most to put several changes into one EndpointSlice
	// (kube-controller-manager --endpointslice-updates-batch-period, none by default; svclab's clusters do not set it).
	BatchPeriod = 0 * time.Second
	// FailoverPeriod is how long MetalLB's speakers take at most to find that one of them is gone, and another to announce the
	// address (memberlist's defaults).
	FailoverPeriod = 10 * time.Second
	// Within is SyncPeriod, BatchPeriod and CleanupPeriod together.
	Within = SyncPeriod + BatchPeriod + CleanupPeriod
)

// rewritten is how many requests a node may lose when it rewrites a Service's rules in nftables mode: see observe.WaitForKubeProxy.
const rewritten = 2

// Transits is how many answers a client may lose in one change if InTransit, and one more for each SyncPeriod: a node syncs as often while
// other histories are played.
const Transits = 3

// Change is what was done to a cluster, as far as traffic can notice it.
type Change struct {
	Before, After *Oracle
	// Passing are states that the cluster passed through on the way. Proxies may or may not have seen them.
	Passing []*Oracle
	// Touched are the Services whose objects, or endpoints, changed, by "namespace/name".
	Touched map[string]bool
	// Resynced: kube-proxy was restarted on some node, or had a sync that failed, so that it wrote all its rules again.
	Resynced bool
	// Switched are the nodes, by name, whose kube-proxy was started again in another mode.
	Switched map[string]bool
	// Announcing: the load balancer's speakers were restarted, so that another node may announce an address.
	Announcing bool
	// Cut: conntrack entries were deleted, or what keeps them was.
	Cut bool
}

// Fate says what a change may do to a flow. backend is who answered it last before the change; empty: no backend.
func (c Change) Fate(f reach.Flow, backend string) reach.Fate {
	d := &destiny{Change: c, flow: f, backend: backend, before: c.Before.Decide(f.Vantage, f.Target), after: c.After.Predict(f.Vantage, f.Target)}
	d.seen = append(slices.Clip(c.Passing), c.halfway(f.Target)...)
	for _, o := range d.seen {
		d.passing = append(d.passing, o.Decide(f.Vantage, f.Target))
	}
	fate := d.fate()
	fate.Doc, fate.Within = c.After.docs[fate.Rule], Within
	if fate.Rule == ruleOverFailover {
		fate.Within = FailoverPeriod
	}
	return fate
}

// destiny is the fate of one flow, being worked out.
type destiny struct {
	Change
	flow          reach.Flow
	backend       string
	before, after reach.Prediction
	// seen are the worlds that proxies may have seen on the way: first those of Passing, then those halfway. passing is by them.
	seen    []*Oracle
	passing []reach.Prediction
}

func (d *destiny) fate() reach.Fate {
	announced := d.announced()
	switch switching := d.switching(); {
	case switching != "" && d.flow.Kind == reach.FlowNew:
		return d.moves(RuleOverSwitch, reach.Say("kube-proxy on %s removes the rules of its old mode before it has written those of the new one, which knows no affinity of before; then: %s", switching, d.after.Said), d.after, true)
	case d.backend != "" && announced.Format != "" && d.flow.Kind != reach.FlowNew:
		return d.moves(ruleOverFailover, announced, d.after, true)
	case d.backend == "" || d.flow.Kind == reach.FlowNew:
		return d.unbound(announced)
	case d.flow.Kind == reach.FlowKept:
		return d.connection()
	default:
		return d.datagrams()
	}
}

// switching is a node that decides about new connections of the flow, and whose kube-proxy changed its mode; empty: none.
func (d *destiny) switching() string {
	if len(d.Switched) == 0 {
		return ""
	}
	for _, o := range []*Oracle{d.Before, d.After} {
		for _, node := range o.Deciders(d.flow.Vantage, d.flow.Target) {
			if d.Switched[node] {
				return node
			}
		}
	}
	return ""
}

// Deciders are the names of the nodes whose kube-proxy may decide what becomes of a packet, sorted.
func (o *Oracle) Deciders(v reach.Vantage, t reach.Target) []string {
	var names []string
	for _, r := range o.predict(v, t).routes {
		if r.at != nil {
			names = append(names, r.at.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// World returns the world that the oracle predicts for, sorted.
func (o *Oracle) World() world.World {
	w := o.w
	w.Slices = o.index.strays
	for _, at := range o.index.list {
		w.Services = append(w.Services, *at.service.Service)
		w.Slices = append(slices.Clip(w.Slices), at.endpoints.listed...)
	}
	return w.Sorted()
}

// With returns an oracle for the same world in which a Service and its EndpointSlices take the place of those of its name, if there are any.
// It shares with o what does not depend on them. It takes about as long for many Services as for one, if s is the
// Service that o has: then only its EndpointSlices are others. None of them must change afterwards.
func (o *Oracle) With(s *corev1.Service, list []discoveryv1.EndpointSlice) *Oracle {
	return &Oracle{w: o.w, docs: o.docs, index: o.index.with(s, list)}
}

// Without returns an oracle for the same world in which some Services are gone and others have no endpoints, by
// "namespace/name", and some pods of any namespace are not ready, by name.
func (o *Oracle) Without(gone, empty, unready map[string]bool) *Oracle {
	w := o.World()
	every := w.Slices
	w.Services = slices.DeleteFunc(w.Services, func(s corev1.Service) bool { return gone[world.Name(&s)] })
	w.Slices = nil
	for _, slice := range every {
		name := world.ServiceOf(&slice)
		if gone[name] || empty[name] {
			continue
		}
		if len(unready) > 0 {
			slice = *slice.DeepCopy()
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if e.TargetRef != nil && unready[e.TargetRef.Name] {
					no := false
					e.Conditions.Ready, e.Conditions.Serving = &no, &no
				}
			}
		}
		w.Slices = append(w.Slices, slice)
	}
	return New(w)
}
