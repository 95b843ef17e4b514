package oracle

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// exposure is an address meant for clients outside: a node port, an external IP, a load-balancer address.
type exposure struct {
	// rule is the one that applies with externalTrafficPolicy Cluster.
	rule string
	// what begins the reason: "30080 is the nodePort of default/my-service on svclab-worker".
	what reach.Phrase
	// address is set for those that are no node's own, which a node may have to look for elsewhere.
	address netip.Addr
}

// external predicts for a packet that a node's proxy takes for traffic from outside, whatever its sender. Policy Local
// applies to clients elsewhere only: kube-proxy treats packets of pods of the cluster and of the node itself as if they
// had left the cluster and returned through a load balancer that knows all endpoints.
func (o *Oracle) external(c client, at *node, sp *servicePort, e exposure) prediction {
	r := o.routing(sp, at)
	if !r.any {
		return o.noExternalEndpoints(c, at, r, sp, e)
	}
	d := delivery{client: c, at: at, port: sp, rule: e.rule, masquerade: true,
		reason: reach.Say("%s: kube-proxy on %s", e.what, at.name)}
	if !world.ExternalLocal(sp.service.Service) {
		return o.to(r.cluster, d)
	}
	return o.bySender(c, at, sp, func(s sender) prediction { return o.externalLocal(s, r, d, e) })
}

// externalLocal predicts for a port with policy Local that has usable endpoints somewhere.
func (o *Oracle) externalLocal(s sender, r *routing, d delivery, e exposure) prediction {
	c, at, sp := d.client, d.at, d.port
	switch {
	case s.pod:
		d.rule, d.masquerade = ruleETPPod, false
		d.reason = reach.Say("%s: externalTrafficPolicy Local is not for pods of the cluster, so kube-proxy on %s", e.what, at.name)
		return o.to(r.cluster, d)
	case c.kind == reach.Node && c.at(at):
		d.rule = ruleETPNode
		d.reason = reach.Say("%s: externalTrafficPolicy Local is not for the node itself, so kube-proxy on %s", e.what, at.name)
		return o.to(r.cluster, d)
	case len(r.local.backends) == 0:
		return outcome(ruleETPLocalNone, reach.Say("externalTrafficPolicy is Local and %s has no ready endpoint of %s, so the packet is dropped",
			at.name, sp.service.name), reach.TimedOut)
	default:
		d.rule, d.masquerade = ruleETPLocal, false
		d.reason = reach.Say("%s: externalTrafficPolicy is Local, so kube-proxy on %s", e.what, at.name)
		return o.to(r.local, d)
	}
}

// noExternalEndpoints predicts for a port without usable endpoints. Packets are rejected. In iptables mode the rule that
// rejects them does not see the packets that a node sends itself: one to an address that no node owns is forwarded to the
// node that announces it.
func (o *Oracle) noExternalEndpoints(c client, at *node, r *routing, sp *servicePort, e exposure) prediction {
	refused := o.noEndpoints(r, sp, e.what)
	if !e.address.IsValid() || c.kind != reach.Node || !c.at(at) || at.mode == world.ModeNFTables || at.owns(e.address) {
		return refused
	}
	if owner := o.index.byAddr[e.address]; owner != nil { // it has arrived there, and is not the node's own any more
		return o.ifReady(c, owner, refused)
	}
	reason := reach.Say("%s and has no usable endpoint; in iptables mode a node's own packets are not rejected for it, and no node announces it", e.what)
	outcomes := []reach.Outcome{reach.Unreachable, reach.TimedOut}
	announcer, announced := o.w.Announcers[e.address]
	switch {
	case announced && announcer != at.name:
		outcomes = []reach.Outcome{reach.Refused}
		reason = reach.Say("%s and has no usable endpoint: %s, which announces it, rejects the packet", e.what, announcer)
	case o.w.Announcers == nil:
		outcomes = append(outcomes, reach.Refused)
		reason = reach.Say("%s and has no usable endpoint; in iptables mode a node's own packets are not rejected for it, and the node that has the address is not known", e.what)
	}
	if at.mode != world.ModeIPTables {
		if !slices.Contains(outcomes, reach.Refused) {
			outcomes = append(outcomes, reach.Refused)
		}
		return outcome(ruleModeUnknown, reach.Say("%s and has no usable endpoint; the outcome of a node's own packets then depends on the proxy mode, which is %s", e.what, at.mode), outcomes...)
	}
	return outcome(ruleNoEndpointsOutput, reason, outcomes...)
}

// clusterAddr returns the Service's ClusterIP in the family of a port.
func (o *Oracle) clusterAddr(sp *servicePort) netip.Addr {
	for _, addr := range world.ClusterIPs(sp.service.Service) {
		if world.FamilyOf(addr) == sp.family {
			return addr
		}
	}
	return netip.Addr{}
}
