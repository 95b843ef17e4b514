package main

import (
	"net/netip"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// exception is a difference that is not the oracle's defect: what kube-proxy itself leaves open, or a defect of some releases.
type exception struct {
	id      string
	before  string // the first release without it; empty: all have it
	applies func(c *cluster, d disagreement) bool
	reason  string
	source  string
}

func exceptions() []exception {
	return []exception{
		{
			id: "address-shared",
			applies: func(c *cluster, d disagreement) bool {
				holders := c.holders(d.target.Host, d.target.Port, string(d.target.Protocol))
				ranges := slices.ContainsFunc(c.w.Services, func(s corev1.Service) bool {
					return slices.Contains(holders, world.Name(&s)) && len(s.Spec.LoadBalancerSourceRanges) > 0
				})
				return len(holders) > 1 && (c.observe(d.vantage, d.target).within(d.prediction) || ranges && c.w.Facts.ProxyMode == world.ModeNFTables)
			},
			reason: "two Services with the same address and port: the proxiers write their Services in the order of a Go map, and the first rule (iptables) or the last element (nftables) counts. " +
				"The oracle allows for both. In nftables mode the map of loadBalancerSourceRanges may have one of them, and the map of addresses the other.",
			source: "syncProxyRules, \"for svcName, svc := range proxier.svcPortMap\", in pkg/proxy/iptables/proxier.go and pkg/proxy/nftables/proxier.go",
		},
		{
			id: "endpoint-in-two-slices",
			applies: func(c *cluster, d disagreement) bool {
				met := c.of(d.target)
				if c.w.Facts.ProxyMode == world.ModeNFTables && c.endpointOf(d.vantage, d.target.Service) { // masqueraded by the slices of all Services
					for i := range c.w.Services {
						met = append(met, world.Name(&c.w.Services[i]))
					}
				}
				return slices.ContainsFunc(met, func(s string) bool { return c.twice(s, false) })
			},
			reason: "an address and port in two slices that disagree about it, and neither or both entries are terminating: the slices are read in the order of a Go map.",
			source: "\"the result is undefined\" in addEndpoints of pkg/proxy/endpointslicecache.go",
		},
		{
			id:     "endpoint-listed-twice",
			before: "v1.36.0",
			applies: func(c *cluster, d disagreement) bool {
				return slices.ContainsFunc(c.of(d.target), func(s string) bool { return c.twice(s, true) })
			},
			reason: "of an address and port that the slices list twice, releases before v1.36 keep the entry of their own node, not the one that is not terminating.",
			source: "\"!exists || isLocal\" in addEndpoints of pkg/proxy/endpointslicecache.go, v1.35.4",
		},
		{
			id:     "healthcheck-of-both-families",
			before: "v1.36.0",
			applies: func(c *cluster, d disagreement) bool {
				return d.target.Kind == reach.HealthCheck && len(c.w.Facts.ServiceCIDRs) > 1
			},
			reason: "where node ports are served at all addresses, releases before v1.36 open a health check at 0.0.0.0 for both IP families at once; the proxier that comes first answers for both.",
			source: "\"tcp\" in the Listen of pkg/proxy/healthcheck/common.go, v1.35.4",
		},
		{
			id:      "service-behind-service",
			applies: func(c *cluster, d disagreement) bool { return slices.ContainsFunc(c.of(d.target), c.chained) },
			reason:  "an endpoint that is the address and port of a Service: its node's proxy sends the packet on once more.",
			source:  "https://kubernetes.io/docs/concepts/services-networking/service/#services-without-selectors: \"kube-proxy doesn't support virtual IPs as a destination\"",
		},
	}
}

// of are the Services that may be met at a target: its own, and those that have its address and port.
func (c *cluster) of(t reach.Target) []string {
	return append(c.holders(t.Host, t.Port, string(t.Protocol)), t.Service)
}

// chained says whether an endpoint of a Service has the address and port of a Service.
func (c *cluster) chained(service string) bool {
	for i := range c.w.Slices {
		s := &c.w.Slices[i]
		for _, port := range s.Ports {
			for _, e := range s.Endpoints {
				if world.ServiceOf(s) == service && port.Port != nil && len(c.holders(e.Addresses[0], uint16(*port.Port), string(*port.Protocol))) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// holders are the Services that kube-proxy serves at an address and port.
func (c *cluster) holders(addr string, port uint16, protocol string) []string {
	var names []string
	for i := range c.w.Services {
		s := &c.w.Services[i]
		if !world.Proxied(s) || !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.Port) == port && string(p.Protocol) == protocol }) {
			continue
		}
		addrs := slices.Concat(world.ClusterIPs(s), world.ExternalIPs(s), world.BalancerAddrs(s))
		if slices.Contains(addrs, netip.MustParseAddr(addr)) {
			names = append(names, world.Name(s))
		}
	}
	return names
}

// endpointOf says whether a client has the address of an endpoint of a Service.
func (c *cluster) endpointOf(v reach.Vantage, service string) bool {
	return slices.ContainsFunc(c.w.Slices, func(s discoveryv1.EndpointSlice) bool {
		return world.ServiceOf(&s) == service && slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool {
			return slices.Contains(v.Addrs, netip.MustParseAddr(e.Addresses[0]))
		})
	})
}

// twice says whether two slices of a Service have an address and port with different data and the same Terminating; anyway: or
// one slice, or with another Terminating.
func (c *cluster) twice(service string, anyway bool) bool {
	type place struct {
		name     string
		protocol corev1.Protocol
		number   int32
		addr     string
	}
	type entry struct {
		slice int
		e     discoveryv1.Endpoint
	}
	first := map[place][]entry{}
	for i := range c.w.Slices {
		s := &c.w.Slices[i]
		if world.ServiceOf(s) != service {
			continue
		}
		for _, port := range s.Ports {
			if port.Port == nil {
				continue
			}
			for _, e := range s.Endpoints {
				e.TargetRef = nil
				at := place{*port.Name, *port.Protocol, *port.Port, e.Addresses[0]}
				for _, f := range first[at] {
					if (anyway || f.slice != i && terminating(f.e) == terminating(e)) && !reflect.DeepEqual(f.e, e) {
						return true
					}
				}
				first[at] = append(first[at], entry{i, e})
			}
		}
	}
	return false
}

func terminating(e discoveryv1.Endpoint) bool {
	return e.Conditions.Terminating != nil && *e.Conditions.Terminating
}

// within says whether a prediction allows for all that the rules do.
func (o observed) within(p reach.Prediction) bool {
	in := func(list, of int) bool { return list <= of }
	return in(len(add(slices.Clone(p.Outcomes), o.outcomes...)), len(p.Outcomes)) &&
		(p.Backends == nil || in(len(add(slices.Clone(p.Backends), o.backends...)), len(p.Backends))) &&
		(p.Sources == nil || in(len(add(slices.Clone(p.Sources), o.sources...)), len(p.Sources)))
}

// of says whether a release can have an exception.
func (e exception) of(release string) bool {
	return e.before == "" || world.ReleaseBefore(release, e.before)
}

// excuse finds the exception of a disagreement; nil if it has none.
func excuse(c *cluster, d disagreement) *exception {
	for _, e := range exceptions() {
		if e.of(c.release) && e.applies(c, d) {
			return &e
		}
	}
	return nil
}
