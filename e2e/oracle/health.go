package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// healthCheck predicts what a node's healthCheckNodePort answers. It answers either way, 200 or 503; the
// backend of the observation is the count that it reports: "localEndpoints=N". Each node counts the ready endpoints
// that it runs, without the terminating ones. That the node is about to be deleted changes nothing (KEP-3836; hcHandler in
// pkg/proxy/healthcheck of k8s.io/kubernetes).
func (o *Oracle) healthCheck(c client, addr netip.Addr, port uint16) prediction {
	if c.foreign {
		return o.packet(c, dest{addr, port, reach.TCP})
	}
	at := o.index.byAddr[addr]
	if at == nil {
		return outcome(ruleAddressFree, reach.Say("%s is no node's address", addr), reach.Unreachable, reach.TimedOut)
	}
	var s *service
	if place, known := o.index.health[port]; known {
		s = o.index.list[place].service
	}
	there := func(arrived client) prediction {
		return o.ifReady(arrived, at, o.healthAt(at, s, addr, port).via(arrived, at, dest{addr, port, reach.TCP}))
	}
	if c.node == nil || c.node == at {
		return there(c)
	}
	return o.across(c, at, addr, there)
}

func (o *Oracle) healthAt(at *node, s *service, addr netip.Addr, port uint16) prediction {
	family := world.FamilyOf(addr)
	if s == nil || !served(s, addr) {
		return outcome(ruleHealthClosed, reach.Say("%d is not the healthCheckNodePort of a LoadBalancer Service with externalTrafficPolicy Local served in %s", port, family), reach.Refused)
	}
	serves, known := o.w.Facts.ServesNodePortsAt(at.mode, addr, at.primary)
	unserved := outcome(ruleHealthSecondary, reach.Say("%s serves node ports and health checks at some of its addresses only, and not at %s", at.name, addr), reach.Refused)
	if known && !serves {
		return unserved
	}
	local := map[netip.Addr]bool{}
	list := o.endpoints(s).slices[family]
	for _, p := range world.SlicePorts(list) {
		for _, e := range world.Endpoints(list, p.Name, p.Protocol) {
			if e.Ready && e.Node == at.name {
				local[e.Addr] = true
			}
		}
	}
	p := outcome(ruleHealthServing, reach.Say("%s has %s of %s, so it tells load balancers to use it (200)", at.name, count(len(local), reach.Say("ready endpoint"), reach.Say("ready endpoints")), s.name), reach.Reached)
	if len(local) == 0 {
		p = outcome(ruleHealthNotServing, reach.Say("%s has no ready endpoint of %s, so it tells load balancers to leave it out (503)", at.name, s.name), reach.Reached)
	}
	p.Backends = []string{fmt.Sprintf("localEndpoints=%d", len(local))}
	if !known {
		return union(ruleModeUnknown, reach.Say("whether %s serves health checks at %s depends on the proxy mode, which is %s", at.name, addr, at.mode), p, unserved)
	}
	return p
}

// served says whether a Service has a ClusterIP of addr's family, and so a proxy that handles it.
func served(s *service, addr netip.Addr) bool {
	return slices.ContainsFunc(s.clusterIPs, func(clusterIP netip.Addr) bool { return clusterIP.Is4() == addr.Is4() })
}
