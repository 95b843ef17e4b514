package oracle

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

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

// InTransit reports whether answers to a client may be lost whenever kube-proxy on its node syncs: datagrams of a pod to a node port of another node.
// Cleanup knows node ports by their number alone, so it takes the entry, which leads to that node, for one of a Service's that is stale
// (pkg/proxy/conntrack/cleanup.go of k8s.io/kubernetes v1.37.2). The next datagram makes another entry.
func InTransit(v reach.Vantage, t reach.Target) bool {
	return t.Kind == reach.NodePort && t.Protocol == reach.UDP && v.Kind == reach.Pod && v.Node != t.Node
}

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
	d := &destiny{Change: c, flow: f, backend: backend, before: c.Before.Predict(f.Vantage, f.Target), after: c.After.Predict(f.Vantage, f.Target)}
	d.seen = append(slices.Clone(c.Passing), c.halfway(f.Target)...)
	for _, o := range d.seen {
		d.passing = append(d.passing, o.Predict(f.Vantage, f.Target))
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

// unbound is the fate of requests that no conntrack entry binds to a backend.
func (d *destiny) unbound(announced reach.Phrase) reach.Fate {
	service := d.flow.Target.Service
	bound := d.flow.Kind != reach.FlowNew
	passing := d.passing[:len(d.Passing)]
	switch {
	case announced.Format != "":
		return d.moves(ruleOverFailover, announced, d.after, true)
	case d.held(d.passing):
		return d.keeps(ruleOverAffinity, reach.Say("sessionAffinity ClientIP keeps this client with %s, which is still an endpoint of %s", d.backend, service))
	case d.same(d.passing):
		then := anyOf(d.after)
		fate := reach.Fate{Kind: reach.Unnoticed, Meanwhile: then, Then: then, Rule: ruleOverBystander,
			Said: reach.Say("nothing changed for %s: %s", service, d.after.Said)}
		if d.Touched[service] || d.Resynced {
			fate.Rule, fate.Tolerated = ruleOverRewritten, d.tolerated()
			fate.Said = reach.Say("the change gives %s the same answers, though its rules may be written again: %s", service, d.after.Said)
		}
		if bound { // one that no backend answers may have an entry that leads nowhere, until it is deleted
			fate.Meanwhile = d.meanwhile(true)
		}
		return reasoned(fate)
	case d.held(passing) || d.same(passing):
		return d.moves(ruleOverSlices, reach.Say("%s; then: %s", d.halfWritten(), d.after.Said), d.after, bound || d.dies())
	}
	return d.moves(ruleOverNew, d.after.Said, d.after, bound || d.dies())
}

// halfWritten is why proxies may have seen a world halfway.
func (d *destiny) halfWritten() reach.Phrase {
	return reach.Say("the EndpointSlices of %s were written one after the other, so for a moment proxies may not have known an endpoint that stays", d.flow.Target.Service)
}

// switching is a node that decides about new connections of the flow, and whose kube-proxy changed its mode; empty: none.
func (d *destiny) switching() string {
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

// reasoned sets a fate's reason from what it says.
func reasoned(f reach.Fate) reach.Fate { f.Reason = f.Said.String(); return f }

// held reports whether sessionAffinity keeps the client with the backend that answered last.
func (d *destiny) held(passing []reach.Prediction) bool {
	return d.before.Sticky && d.after.Sticky && d.backend != "" && slices.Contains(d.after.Backends, d.backend) &&
		!slices.ContainsFunc(passing, func(p reach.Prediction) bool { return !p.Sticky || !slices.Contains(p.Backends, d.backend) })
}

// same reports whether nothing that a new connection can notice has changed.
func (d *destiny) same(passing []reach.Prediction) bool {
	return !slices.ContainsFunc(append(slices.Clone(passing), d.after), func(p reach.Prediction) bool {
		return !slices.Equal(p.Outcomes, d.before.Outcomes) || !slices.Equal(p.Backends, d.before.Backends) || p.Sticky != d.before.Sticky
	})
}

// connection is the fate of a TCP connection that a backend answers.
func (d *destiny) connection() reach.Fate {
	switch {
	case d.Cut:
		return d.moves(ruleOverCut, reach.Say("the node forgot the connection"), d.after, true)
	case d.alive():
		return d.keeps(ruleOverTCP, reach.Say("an established connection stays with its backend, and %s is still there", d.backend))
	}
	return d.moves(ruleOverGone, reach.Say("%s, which the connection goes to, is gone; of a new one: %s", d.backend, d.after.Said), d.after, true)
}

// datagrams is the fate of datagrams from one port that a backend answers, or reports.
func (d *destiny) datagrams() reach.Fate {
	var (
		port    = d.After.portAt(d.flow.Target)
		serving = d.After.serving(port)
		entry   = d.Before.entry(d.flow.Target, d.namespace(), d.backend)
		service = d.flow.Target.Service
		node    = d.flow.Target.Kind == reach.NodePort
	)
	switch {
	case d.Cut:
		return d.moves(ruleOverCut, reach.Say("the node forgot the datagrams before"), d.after, true)
	case d.flow.Kind == reach.FlowOneWay && d.after.Rule == ruleLBRanges:
		return d.moves(ruleOverOneWayRanges, reach.Say("datagrams without an answer are new to conntrack each time, so loadBalancerSourceRanges holds for them: %s", d.after.Said), d.after, true)
	case port != nil && len(serving) == 0 && !node:
		return d.moves(ruleOverUDPEnds, reach.Say("no endpoint of %s serves, so kube-proxy deletes the conntrack entries that lead to %s; of the next datagram: %s", service, d.backend, d.after.Said), d.after, true)
	case len(serving) > 0 && !entry.in(serving):
		return d.moves(ruleOverUDPStale, reach.Say("%s serves no longer as an endpoint of %s, and others do, so kube-proxy deletes the conntrack entries that lead to it; of the next datagram: %s",
			d.backend, service, d.after.Said), d.after, true)
	case len(serving) == 0 && !d.alive():
		gone := reach.Prediction{Outcomes: []reach.Outcome{reach.TimedOut, reach.Refused, reach.Unreachable}, Rule: ruleOverUDPNone}
		return d.moves(ruleOverUDPNone, reach.Say("kube-proxy serves no such port of %s any more, so it keeps the conntrack entries, and %s is gone", service, d.backend), gone, true)
	}
	for i, o := range d.seen {
		at := o.portAt(d.flow.Target)
		list := o.serving(at)
		switch missing := at != nil && (len(list) > 0 || !node) && !entry.in(list); {
		case missing && i < len(d.Passing):
			return d.moves(ruleOverUDPPassing, reach.Say("for a moment %s did not serve as an endpoint of %s, so kube-proxy may have deleted the conntrack entries that lead to it", d.backend, service),
				d.either(d.after, d.backend), true)
		case missing:
			return d.moves(ruleOverSlices, reach.Say("%s, and kube-proxy may have deleted the conntrack entries that lead to %s", d.halfWritten(), d.backend), d.either(d.after, d.backend), true)
		}
	}
	transit := InTransit(d.flow.Vantage, d.flow.Target)
	if len(serving) == 0 {
		fate := d.keeps(ruleOverUDPKept, reach.Say("kube-proxy keeps the conntrack entries of a port that it does not serve, and of a node port without endpoints; so the datagrams go on to %s, which is still there", d.backend))
		if transit && len(d.Before.serving(d.Before.portAt(d.flow.Target))) > 0 { // a sync that knows them still deletes the entry, as below
			fate.Tolerated, fate.Anytime, fate.Every = Transits, true, SyncPeriod
		}
		return fate
	}
	if transit {
		fate := d.keeps(ruleOverUDPTransit, reach.Say("%s still serves as an endpoint of %s; but kube-proxy on %s deletes the conntrack entry of datagrams to that port of another node whenever endpoints of any UDP port change, and an answer on its way is lost",
			d.backend, service, d.flow.Vantage.Node))
		fate.Tolerated, fate.Anytime, fate.Every = Transits, true, SyncPeriod
		return fate
	}
	return d.keeps(ruleOverUDP, reach.Say("datagrams from one port are one connection to conntrack, and %s still serves as an endpoint of %s", d.backend, service))
}

// entry is where a conntrack entry leads to. The zero port: the entry is older than the endpoints of before.
type entry netip.AddrPort

// entry returns where the entry of a flow leads to that a backend answers.
func (o *Oracle) entry(t reach.Target, namespace, backend string) entry {
	addr, _ := o.addressOf(namespace, backend, t.IPFamily())
	for at := range o.serving(o.portAt(t)) {
		if at.Addr() == addr {
			return entry(at)
		}
	}
	return entry(netip.AddrPortFrom(addr, 0))
}

// in reports whether the entry leads to one of the endpoints.
func (e entry) in(list map[netip.AddrPort]bool) bool {
	at := netip.AddrPort(e)
	if at.Port() != 0 {
		return list[at]
	}
	for other := range list {
		if other.Addr() == at.Addr() {
			return true
		}
	}
	return false
}

// keeps is the fate of a flow that stays with its backend.
func (d *destiny) keeps(rule string, why reach.Phrase) reach.Fate {
	p := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{d.backend}, Sticky: true, Rule: rule}
	fate := reach.Fate{Kind: reach.Keeps, Meanwhile: p, Then: p, Rule: rule, Said: why, Reason: why.String()}
	if d.flow.Kind == reach.FlowNew && (d.Touched[d.flow.Target.Service] || d.Resynced) {
		fate.Tolerated = d.tolerated()
	}
	return fate
}

// moves is the fate of a flow that gets what then says. lossy: until then requests may be lost.
func (d *destiny) moves(rule string, why reach.Phrase, then reach.Prediction, lossy bool) reach.Fate {
	fate := reach.Fate{Kind: reach.MayMove, Meanwhile: d.meanwhile(lossy), Then: anyOf(then), Rule: rule, Said: why, Reason: why.String()}
	fate.Meanwhile.Backends = either(fate.Meanwhile.Backends, fate.Then.Backends)
	switch {
	case !then.Allows(reach.Reached):
		fate.Kind = reach.MustEnd
	case d.backend != "" && d.flow.Kind != reach.FlowNew && len(then.Backends) > 0 && !slices.Contains(then.Backends, d.backend),
		d.flow.Kind == reach.FlowNew && d.before.Allows(reach.Reached) && !overlap(d.before.Backends, then.Backends), !d.before.Allows(reach.Reached) && then.Wants():
		fate.Kind = reach.MustMove
	}
	if fate.Tolerated = d.tolerated(); d.flow.Kind == reach.FlowUnconnected && d.backend != "" {
		// Answers on their way when kube-proxy deletes the entry are not translated back, and this socket takes them from any address.
		fate.Untranslated = true
	}
	return fate
}

// meanwhile is what a request may get until the change is in force.
func (d *destiny) meanwhile(lossy bool) reach.Prediction {
	u := reach.Prediction{}
	backends := map[string]bool{}
	open := false
	for _, p := range append([]reach.Prediction{d.before, d.after}, d.passing...) {
		for _, o := range p.Outcomes {
			if !slices.Contains(u.Outcomes, o) {
				u.Outcomes = append(u.Outcomes, o)
			}
		}
		for _, b := range p.Backends {
			backends[b] = true
		}
		open = open || p.Allows(reach.Reached) && len(p.Backends) == 0
	}
	if d.backend != "" {
		backends[d.backend] = true
		u.Outcomes = append(u.Outcomes, reach.Reached)
	}
	if lossy {
		u.Outcomes = append(u.Outcomes, reach.TimedOut, reach.Refused, reach.Unreachable)
		if d.flow.Target.Protocol == reach.TCP && (d.dies() || d.backend != "" && !d.alive()) {
			u.Outcomes = append(u.Outcomes, reach.WrongAnswer) // the kernel ends the connections of a process that is killed, answered or not
		}
	}
	slices.Sort(u.Outcomes)
	u.Outcomes = slices.Compact(u.Outcomes)
	u = anyOf(u)
	if !open {
		u.Backends = slices.Sorted(maps.Keys(backends))
	}
	return u
}

// either is a prediction that a backend may answer too.
func (d *destiny) either(p reach.Prediction, backend string) reach.Prediction {
	if !p.Allows(reach.Reached) {
		p.Outcomes, p.Backends = append(slices.Clone(p.Outcomes), reach.Reached), []string{backend}
	} else if len(p.Backends) > 0 && !slices.Contains(p.Backends, backend) {
		p.Backends = append(slices.Clone(p.Backends), backend)
	}
	return p
}

// tolerated is how many requests may be lost when rules are written again.
func (d *destiny) tolerated() int {
	if d.After.modes() == world.ModeIPTables {
		return 0
	}
	return rewritten
}

// dies reports whether a backend of before is gone, so that requests to it may be lost until no proxy sends any there.
func (d *destiny) dies() bool {
	return slices.ContainsFunc(d.before.Backends, func(b string) bool { return !d.aliveAs(b) })
}

func (d *destiny) alive() bool { return d.aliveAs(d.backend) }

// aliveAs reports whether a pod that was there before is still there.
func (d *destiny) aliveAs(backend string) bool {
	family := d.flow.Target.IPFamily()
	was, known := d.Before.addressOf(d.namespace(), backend, family)
	is, there := d.After.addressOf(d.namespace(), backend, family)
	return !known || there && was == is
}

func (d *destiny) namespace() string {
	namespace, _, _ := strings.Cut(d.flow.Target.Service, "/")
	return namespace
}

// announced says that another node may announce the target's address; the zero value: none may.
func (d *destiny) announced() reach.Phrase {
	addr, err := netip.ParseAddr(d.flow.Target.Host)
	if err != nil || d.flow.Target.Kind != reach.LoadBalancer || d.flow.Vantage.Kind != reach.Outside && d.flow.Vantage.Kind != reach.Host {
		return reach.Phrase{}
	}
	before, after := d.Before.w.Announcers[addr], d.After.w.Announcers[addr]
	if d.Announcing || before != after {
		return reach.Say("another node may announce %s, which knows no connection of the one before", addr)
	}
	return reach.Phrase{}
}

// anyOf is p for one flow: not every backend answers it.
func anyOf(p reach.Prediction) reach.Prediction {
	p.AnyBackend, p.Even, p.Certain = !p.Sticky, false, nil
	if p.Allows(reach.Refused) && !p.Allows(reach.TimedOut) {
		// A kernel sends a client one ICMP error a second (net.ipv4.icmp_ratelimit), so most requests of a flow get none.
		p.Outcomes = append(slices.Clone(p.Outcomes), reach.TimedOut)
	}
	return p
}

func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// portAt is the UDP Service port that kube-proxy takes a conntrack entry of a target for: by the address and port, and by the
// number alone if it is a node port. nil: it takes it for none.
func (o *Oracle) portAt(t reach.Target) *servicePort {
	addr, err := netip.ParseAddr(t.Host)
	if err != nil {
		return nil
	}
	addr = addr.Unmap()
	if sp := o.index.nodePorts[nodePortKey{world.FamilyOf(addr), t.Port, t.Protocol}]; sp != nil {
		return sp
	}
	if f, served := o.index.fronts[dest{addr, t.Port, t.Protocol}]; served && f.kind != frontLBProxy {
		return f.port
	}
	return nil
}

// serving are the Service port's endpoints that serve, whatever the policies.
func (o *Oracle) serving(sp *servicePort) map[netip.AddrPort]bool {
	if sp == nil {
		return nil
	}
	list := map[netip.AddrPort]bool{}
	for _, b := range o.backends(sp) {
		if b.Serving {
			list[netip.AddrPortFrom(b.Addr, b.Port)] = true
		}
	}
	return list
}

// addressOf is the address of a pod by the name in its answers.
func (o *Oracle) addressOf(namespace, backend string, family int) (netip.Addr, bool) {
	pod := o.index.pods[namespace+"/"+backend]
	if pod == nil || world.Ended(pod) {
		return netip.Addr{}, false
	}
	want := corev1.IPv4Protocol
	if family == 6 {
		want = corev1.IPv6Protocol
	}
	for _, addr := range world.PodAddrs(pod) {
		if world.FamilyOf(addr) == want {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// RulesOverTime are the rules of what a change may do to traffic under way.
func RulesOverTime() []Rule {
	return []Rule{
		{ruleOverBystander, "A change that gives a new connection the same answers as before is not noticed by any client.", docVirtualIPs},
		{ruleOverRewritten, "A change of a Service's objects that gives a new connection the same answers as before is not noticed, but for the instant in which a node in nftables mode writes its rules again.", docNFTDiff},
		{ruleOverNew, "A new connection gets, once the change is in force, what the objects say then.", docVirtualIPs},
		{ruleOverAffinity, "sessionAffinity ClientIP keeps a client with its endpoint as long as that is one, whatever else changes.", docAffinity},
		{ruleOverTCP, "An established TCP connection stays with its backend whatever becomes of the Service and of its endpoints, as long as the backend is there.", docTermination},
		{ruleOverGone, "A TCP connection ends with its backend, in silence or by its kernel, which closes or resets it; a new one gets what the objects say.", docTermination},
		{ruleOverUDP, "Datagrams from one port stay with their backend as long as it serves as an endpoint, whatever the policies say.", sourceCleanup},
		{ruleOverUDPTransit, "A pod's datagrams to a node port of another node may lose an answer whenever endpoints of a UDP port change: its own node deletes conntrack entries by the number of the node port, whosever address it is.", sourceCleanup},
		{ruleOverUDPStale, "Datagrams from one port leave a backend that serves no longer, as soon as another endpoint serves. An answer on its way then is not translated back.", sourceCleanup},
		{ruleOverUDPPassing, "Datagrams from one port may leave a backend that for a moment served no longer.", sourceCleanup},
		{ruleOverSlices, "While several EndpointSlices of a Service are written, traffic may for a moment not get an endpoint that moves from one of them to another, and datagrams from one port may leave it.", sourceSlices},
		{ruleOverUDPEnds, "When no endpoint serves any more, datagrams from one port get what a new connection gets, but at a node port.", sourceCleanup},
		{ruleOverUDPKept, "When a port is not served any more, or a node port has no endpoint that serves, datagrams from one port go on to the backend that they went to.", sourceCleanup},
		{ruleOverUDPNone, "When a port is not served any more, or a node port has no endpoint that serves, datagrams from one port go on to where a backend was that is gone, and are lost.", sourceCleanup},
		{ruleOverOneWayRanges, "Datagrams that are not answered are checked against loadBalancerSourceRanges each time.", kepNFTables},
		{RuleOverSwitch, "While a node's kube-proxy changes its mode, new connections through it may be lost or get another endpoint; those that are established are not affected.", kepNFTables},
		{ruleOverFailover, "When another node announces a load balancer's address, connections through the one before end.", docLayer2},
		{ruleOverCut, "When a node loses its conntrack entries, each flow is a new connection.", sourceCleanup},
	}
}

// sourceCleanup is what kube-proxy of v1.37 does with conntrack entries.
const sourceCleanup = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/proxy/conntrack/cleanup.go"

// sourceSlices is how the EndpointSlice controller of v1.37 writes slices.
const sourceSlices = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/endpointslice/reconciler.go"

// RuleOverSwitch is the rule of new connections through a node whose kube-proxy changes its mode.
const RuleOverSwitch = "over-time-switch"

// The identifiers of the other rules over time.
const (
	ruleOverBystander    = "over-time-bystander"
	ruleOverRewritten    = "over-time-rewritten"
	ruleOverNew          = "over-time-new"
	ruleOverAffinity     = "over-time-affinity"
	ruleOverTCP          = "over-time-tcp"
	ruleOverGone         = "over-time-backend-gone"
	ruleOverUDP          = "over-time-udp"
	ruleOverUDPTransit   = "over-time-udp-transit"
	ruleOverUDPStale     = "over-time-udp-stale"
	ruleOverUDPPassing   = "over-time-udp-passing"
	ruleOverSlices       = "over-time-slices"
	ruleOverUDPEnds      = "over-time-udp-ends"
	ruleOverUDPKept      = "over-time-udp-no-endpoints"
	ruleOverUDPNone      = "over-time-udp-nothing"
	ruleOverOneWayRanges = "over-time-one-way-ranges"
	ruleOverFailover     = "over-time-failover"
	ruleOverCut          = "over-time-forgotten"
)

// Focus returns an oracle for one target in a world: it knows only the Service of the target and those that may have its address or
// its node port too, so that it is made in no time where there are many Services.
func Focus(w world.World, t reach.Target) *Oracle {
	addr, _ := netip.ParseAddr(t.Host)
	kept := map[string]bool{}
	all := w.Services
	w.Services = nil
	for i := range all {
		s := &all[i]
		if world.Name(s) == t.Service || len(s.Spec.ExternalIPs)+len(s.Status.LoadBalancer.Ingress) > 0 || s.Spec.ClusterIP == t.Host || len(s.Spec.ClusterIPs) > 1 && slices.Contains(world.ClusterIPs(s), addr) ||
			slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.NodePort) == t.Port }) || uint16(s.Spec.HealthCheckNodePort) == t.Port {
			w.Services = append(w.Services, *s)
			kept[world.Name(s)] = true
		}
	}
	every := w.Slices
	w.Slices = nil
	for i := range every {
		if kept[world.ServiceOf(&every[i])] {
			w.Slices = append(w.Slices, every[i])
		}
	}
	return New(w)
}

// World returns the world that the oracle predicts for.
func (o *Oracle) World() world.World { return o.w }

// Without returns an oracle for the same world in which some Services are gone and others have no endpoints, by
// "namespace/name", and some pods of any namespace are not ready, by name.
func (o *Oracle) Without(gone, empty, unready map[string]bool) *Oracle {
	w := o.w
	w.Services = slices.DeleteFunc(slices.Clone(w.Services), func(s corev1.Service) bool { return gone[world.Name(&s)] })
	w.Slices = nil
	for _, slice := range o.w.Slices {
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
