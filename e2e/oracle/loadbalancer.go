package oracle

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// loadBalancer predicts for a packet to a declared port of a load-balancer address that has come to a node:
// a pod's or node's own, or the one that announces the address.
func (o *Oracle) loadBalancer(c client, at *node, sp *servicePort, to dest) prediction {
	e := exposure{rule: ruleLB, what: reach.Say("%s is a load-balancer address of %s", to.addr, sp.service.name), address: to.addr}
	if c.at(at) {
		e.rule = ruleLBInside
	}
	if at.mode == world.ModeIPTables && o.routing(sp, at).any && slices.Contains(world.ExternalIPs(sp.service.Service), to.addr) {
		// its rule comes before that of the load-balancer address, and knows no ranges
		return o.external(c, at, sp, exposure{rule: ruleExternalIP, what: reach.Say("%s is an external IP of %s, as well as its load-balancer address", to.addr, sp.service.name), address: to.addr})
	}
	ranges, admitted := o.admits(c, sp)
	if admitted {
		return o.external(c, at, sp, e)
	}
	denied := outcome(ruleLBRanges, reach.Say("loadBalancerSourceRanges of %s are %s and %s is in none of them, so %s drops the packet",
		sp.service.name, joined(ranges), source(c), at.name), reach.TimedOut)
	switch {
	case !c.addr.IsValid():
		return union(ruleLBRanges, reach.Say("loadBalancerSourceRanges of %s are %s, and the address of %s is not known", sp.service.name, joined(ranges), c.label),
			denied, o.external(c, at, sp, e))
	case at.mode == world.ModeNFTables || o.routing(sp, at).any:
		return denied
	case at.mode == world.ModeIPTables:
		// iptables mode looks at the ranges only once there is an endpoint to protect.
		return o.external(c, at, sp, e)
	default:
		return union(ruleModeUnknown, reach.Say("%s has no usable endpoint and %s is not in its loadBalancerSourceRanges; which of the two decides depends on the proxy mode, which is %s",
			sp.service.name, source(c), at.mode), denied, o.external(c, at, sp, e))
	}
}

// admits says whether loadBalancerSourceRanges let a client in. Ranges of the other IP family do not count,
// and none, or one that contains all addresses, admit every client.
func (o *Oracle) admits(c client, sp *servicePort) (ranges []netip.Prefix, admitted bool) {
	for _, text := range sp.service.Spec.LoadBalancerSourceRanges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil || world.FamilyOf(prefix.Addr()) != sp.family {
			continue
		}
		if prefix.Bits() == 0 || prefix.Contains(c.addr) {
			admitted = true
		}
		ranges = append(ranges, prefix)
	}
	return ranges, admitted || len(ranges) == 0
}

// loadBalancerOutside predicts for a client outside the cluster, whose packet goes to the node that announces
// the address.
func (o *Oracle) loadBalancerOutside(c client, owner front, to dest) prediction {
	if owner.kind == frontLBProxy {
		return o.proxyMode(c, owner, to)
	}
	if o.w.Announcers == nil {
		var predictions []prediction
		for _, n := range o.index.nodeList {
			if n.ready {
				predictions = append(predictions, o.announced(c, n, owner, to))
			}
		}
		predictions = append(predictions, outcome("", reach.Phrase{}, reach.TimedOut, reach.Unreachable))
		return union(ruleLBUnknown, reach.Say("%s is a load-balancer address of %s, and nothing reports which node it is delivered to", to.addr, owner.service.name), predictions...)
	}
	n := o.index.nodes[o.w.Announcers[to.addr]]
	if n == nil {
		return o.unclaimed(c, owner, to)
	}
	return o.ifReady(c, n, o.announced(c, n, owner, to))
}

// unclaimed predicts for an address that no node announces. A client that has just exchanged packets with the node that
// announced it, for this Service or for an earlier one with the same address, sends to that node until its neighbour cache
// expires. This takes up to a minute and no object shows it. So if every node would refuse the packet, Refused is allowed
// too. (Random Services that got the address of a deleted one found this.)
func (o *Oracle) unclaimed(c client, owner front, to dest) prediction {
	said := reach.Say("%s is a load-balancer address of %s, but no node announces it", to.addr, owner.service.name)
	if o.unready(owner.service) {
		said = reach.Say("%s, as none of its endpoints is ready", said)
	}
	p := outcome(ruleLBUnclaimed, said, reach.Unreachable, reach.TimedOut)
	for _, n := range o.index.nodeList {
		if there := o.announced(c, n, owner, to); len(there.Outcomes) != 1 || there.Outcomes[0] != reach.Refused {
			return p
		}
	}
	p.Outcomes = append(p.Outcomes, reach.Refused)
	return because(p, andThen(said, reach.Say("a client whose neighbour cache still has the node that announced it is refused by that node")))
}

// announced predicts for a packet that has come to the node that announces its address.
func (o *Oracle) announced(c client, at *node, owner front, to dest) prediction {
	if p, proxied := o.proxied(c, at, to); proxied {
		return p
	}
	return outcome(ruleLBUndeclared, reach.Say("no Service declares port %d/%s at %s, and %s, which announces it for %s, has no such address itself",
		to.port, to.protocol, to.addr, at.name, owner.service.name), reach.Unreachable, reach.TimedOut)
}

// unready reports whether no endpoint of a Service is ready, so that no node announces its address.
func (o *Oracle) unready(s *service) bool {
	for _, list := range o.endpoints(s).slices {
		for i := range list {
			for _, e := range list[i].Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready || e.Conditions.Serving != nil && *e.Conditions.Serving {
					return false
				}
			}
		}
	}
	return true
}

// proxyMode predicts for an address that the load balancer answers itself.
func (o *Oracle) proxyMode(c client, owner front, to dest) prediction {
	what := reach.Say("%s is a load-balancer address of %s with ipMode Proxy, which kube-proxy leaves alone", to.addr, owner.service.name)
	if o.w.Announcers != nil {
		return outcome(ruleLBProxyMode, reach.Say("%s: %s reaches the host that has it, which is no proxy of this cluster", what, c.label), reach.Unreachable, reach.TimedOut)
	}
	return outcome(ruleLBProxyMode, reach.Say("%s: %s reaches the load balancer itself, which is not part of the snapshot", what, c.label),
		reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable)
}

// source is a client's address for a reason, or its name.
func source(c client) reach.Phrase {
	if c.addr.IsValid() {
		return reach.Say("%s", c.addr)
	}
	return c.label
}

func joined(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}
