package oracle

import (
	"cmp"
	"fmt"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// clusterIP predicts for a packet to a declared port of a ClusterIP that a node's proxy handles.
func (o *Oracle) clusterIP(c client, at *node, sp *servicePort) prediction {
	r := o.routing(sp, at)
	what := reach.Say("port %d of the ClusterIP of %s", sp.port.Port, sp.service.name)
	if !r.any {
		return o.noEndpoints(r, sp, what)
	}
	return o.bySender(c, at, sp, func(s sender) prediction {
		d := delivery{client: c, at: at, masquerade: o.w.Facts.MasqueradesAll(at.name) || s.detects && !s.pod, port: sp, rule: ruleClusterIP,
			reason: reach.Say("%s: kube-proxy on %s", what, at.name)}
		if !world.InternalLocal(sp.service.Service) {
			return o.to(r.cluster, d)
		}
		if len(r.local.backends) == 0 {
			return outcome(ruleITPLocalNone, reach.Say("internalTrafficPolicy of %s is Local and %s has no ready endpoint of it, so the packet is dropped",
				sp.service.name, at.name), reach.TimedOut)
		}
		d.rule = ruleITPLocal
		d.reason = reach.Say("internalTrafficPolicy of %s is Local: kube-proxy on %s", sp.service.name, at.name)
		return o.to(r.local, d)
	})
}

// noEndpoints predicts for a port that has no usable endpoint anywhere.
func (o *Oracle) noEndpoints(r *routing, sp *servicePort, what reach.Phrase) prediction {
	why := reach.Say("its EndpointSlices list no address")
	switch {
	case r.others != "":
		why = reach.Say("its EndpointSlices list %s, but none for its port %s: they have %s",
			count(r.listed, reach.Say("address"), reach.Say("addresses")), portName(sp)+"/"+string(sp.protocol()), r.others)
	case r.listed > 0 && r.numbered == 0:
		why = reach.Say("its EndpointSlices list %s, but no number for port %s: targetPort %s is no port of the pods",
			count(r.listed, reach.Say("address"), reach.Say("addresses")), portName(sp), sp.port.TargetPort.String())
	case r.numbered > 0:
		why = reach.Say("none of its %s is ready", count(r.numbered, reach.Say("endpoint"), reach.Say("endpoints")))
	}
	return outcome(ruleNoEndpoints, reach.Say("%s: %s, so the packet is rejected", what, why), reach.Refused)
}

// undeclared predicts for a port of a ClusterIP that no Service declares. The modes differ: nftables mode
// knows the address and rejects what it does not serve; iptables mode knows only address and port together.
func (o *Oracle) undeclared(c client, at *node, s *service, to dest) prediction {
	what := reach.Say("%s declares no port %d/%s", s.name, to.port, to.protocol)
	if at.mode == world.ModeNFTables {
		return outcome(ruleUndeclaredRefused, reach.Say("%s, and in nftables mode %s rejects what it does not serve at an active ClusterIP", what, at.name), reach.Refused)
	}
	return o.unserved(c, at, what)
}

// unallocated predicts for an address of the Service range that no Service has.
func (o *Oracle) unallocated(c client, at *node, to dest) prediction {
	what := reach.Say("%s is in the Service range, and no Service has it", to.addr)
	if place, left := o.index.left[to.addr]; left {
		what = reach.Say("%s is the ClusterIP of %s, whose label %s leaves it to another proxy", to.addr, o.index.list[place].service.name, world.ProxyNameLabel)
	}
	switch {
	case at.mode == world.ModeNFTables:
		return outcome(ruleUnallocated, reach.Say("%s: in nftables mode %s drops it", what, at.name), reach.TimedOut)
	case at.mode == world.ModeIPTables && o.w.Facts.DropsStrays:
		return outcome(ruleUnallocated, reach.Say("%s: in iptables mode it follows the default route of %s, which drops what is not to leave by it", what, at.name), reach.TimedOut)
	default:
		return o.unserved(c, at, what)
	}
}

// unserved predicts for a Service-range packet that iptables mode leaves to the node's default route.
func (o *Oracle) unserved(c client, at *node, what reach.Phrase) prediction {
	switch {
	case at.mode != world.ModeIPTables:
		return outcome(ruleModeUnknown, reach.Say("%s, and what %s does then depends on the proxy mode, which is %s", what, at.name, at.mode),
			reach.Refused, reach.TimedOut, reach.Unreachable)
	case o.w.Facts.DropsStrays:
		return outcome(ruleUndeclaredDropped, reach.Say("%s: in iptables mode the packet follows the default route of %s, which drops what is not to leave by it", what, at.name), reach.TimedOut)
	default:
		return outcome(ruleUndeclaredRouted, reach.Say("%s: in iptables mode the packet of %s leaves %s by its default route, unhandled", what, c.label, at.name),
			reach.TimedOut, reach.Unreachable, reach.Refused)
	}
}

// mode is that of a node's kube-proxy, as reasons name it.
func mode(f world.Facts, node string) string { return cmp.Or(f.ModeOf(node), world.ModeUnknown) }

func portName(sp *servicePort) string {
	if sp.port.Name != "" {
		return sp.port.Name
	}
	return fmt.Sprintf("%d/%s", sp.port.Port, sp.protocol())
}
