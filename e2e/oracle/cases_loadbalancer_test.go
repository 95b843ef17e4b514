package oracle

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

func loadBalancerCases() []tc {
	const denied = "loadBalancerSourceRanges of demo/web are 192.0.2.0/24"
	ranges := func(list ...string) func(*fixture) {
		return func(f *fixture) { f.web().Spec.LoadBalancerSourceRanges = list }
	}
	proxyMode := func(f *fixture) {
		f.web().Status.LoadBalancer.Ingress[0].IPMode = ptr(corev1.LoadBalancerIPModeProxy)
	}
	gone := func(f *fixture) { f.unready("a", "b") }
	shared := func(f *fixture) {
		s := webService()
		s.Name, s.Spec.ClusterIP, s.Spec.ClusterIPs = "admin", "10.96.0.11", []string{"10.96.0.11"}
		s.Spec.Ports[0].Port, s.Spec.Ports[0].NodePort = 81, 30081
		f.Services = append(f.Services, s)
	}
	return []tc{
		{name: "outside", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", sources: gw1 + " " + one},
		{name: "host", from: "host", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", sources: gw1 + " " + one},
		{name: "announced by a node without endpoint", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", sources: cp,
			change: func(f *fixture) { f.announce("cp") }},
		{name: "without node ports", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b",
			change: func(f *fixture) {
				f.web().Spec.AllocateLoadBalancerNodePorts = ptr(false)
				f.web().Spec.Ports[0].NodePort = 0
			}},
		{name: "pod", from: "pod/two", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b", sources: gw2 + " " + two},
		{name: "node", from: "node/cp", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b", sources: cp},
		{name: "inside, announced by no node", from: "pod/two", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b",
			change: func(f *fixture) { clear(f.Announcers) }},
		{name: "outside, announced by no node", from: "outside", to: lbIP + ":80", rule: ruleLBUnclaimed, want: "Unreachable TimedOut",
			change: func(f *fixture) { clear(f.Announcers) }, says: "no node announces it."},
		{name: "outside, announced by no node, terminating endpoints", from: "outside", to: lbIP + ":80", rule: ruleLBUnclaimed, want: "Unreachable TimedOut",
			change: func(f *fixture) { clear(f.Announcers); f.terminating("a", "b") }, says: "no node announces it."},
		{name: "outside, announced by no node, conditions not set", from: "outside", to: lbIP + ":80", rule: ruleLBUnclaimed, want: "Unreachable TimedOut",
			change: func(f *fixture) {
				clear(f.Announcers)
				f.each("a", func(e *discoveryv1.Endpoint) { e.Conditions = discoveryv1.EndpointConditions{} })
				f.unready("b")
			}, says: "no node announces it."},
		{name: "outside, no endpoint", from: "outside", to: lbIP + ":80", rule: ruleLBUnclaimed, want: "Unreachable TimedOut Refused",
			change: func(f *fixture) { clear(f.Announcers); gone(f) }, says: "as none of its endpoints is ready"},
		{name: "outside, no endpoint, still announced", from: "outside", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: gone},
		{name: "outside, the announcer is not reported", from: "outside", to: lbIP + ":80", rule: ruleLBUnknown, want: "Reached TimedOut Unreachable", backends: "a b", any: true,
			sources: gw1 + " " + gw2 + " " + cp + " " + one + " " + two, change: func(f *fixture) { f.Announcers = nil }},
		{name: "announcer not Ready", from: "outside", to: lbIP + ":80", rule: ruleNodeNotReady, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.notReady("one") }},
		{name: "pod, no endpoint", from: "pod/two", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: gone},
		{name: "node, no endpoint", from: "node/two", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: gone},
		{name: "node, no endpoint, announced elsewhere", from: "node/two", to: lbIP + ":80", rule: ruleNoEndpointsOutput, want: "Refused",
			change: func(f *fixture) { iptables(f); gone(f) }, says: "one, which announces it, rejects"},
		{name: "node, no endpoint, announced by no node", from: "node/two", to: lbIP + ":80", rule: ruleNoEndpointsOutput, want: "Unreachable TimedOut",
			change: func(f *fixture) { iptables(f); gone(f); clear(f.Announcers) }},
		{name: "node, no endpoint, the announcer is not reported", from: "node/two", to: lbIP + ":80", rule: ruleNoEndpointsOutput, want: "Unreachable TimedOut Refused",
			change: func(f *fixture) { iptables(f); gone(f); f.Announcers = nil }},
		{name: "pod, no endpoint", from: "pod/two", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) { iptables(f); gone(f) }},
		{name: "undeclared port, outside", from: "outside", to: lbIP + ":81", rule: ruleLBUndeclared, want: "Unreachable TimedOut"},
		{name: "undeclared port, pod", from: "pod/one", to: lbIP + ":81", rule: ruleLBUndeclared, want: "Unreachable TimedOut"},
		{name: "shared address, the other Service's port", from: "outside", to: lbIP + ":81", rule: ruleNoEndpoints, want: "Refused",
			change: shared, says: "load-balancer address of demo/admin"},
		{name: "shared address, undeclared port", from: "outside", to: lbIP + ":82", rule: ruleLBUndeclared, want: "Unreachable TimedOut", change: shared, says: "announces it for demo/admin"},
		{name: "second address", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b",
			change: func(f *fixture) {
				in := &f.web().Status.LoadBalancer.Ingress
				*in = append([]corev1.LoadBalancerIngress{{IP: "fc00::ff01"}}, *in...)
			}},
		{name: "given up", from: "outside", to: lbIP + ":80", rule: ruleAddressFree, want: "Unreachable TimedOut",
			change: func(f *fixture) { f.web().Status.LoadBalancer.Ingress = nil }},
		{name: "given up, pod", from: "pod/one", to: lbIP + ":80", rule: ruleAddressFree, want: "Unreachable TimedOut",
			change: func(f *fixture) { f.web().Status.LoadBalancer.Ingress = nil }},
		{name: "outside", from: "outside", to: lbIP + ":80", rule: ruleLBProxyMode, want: "Unreachable TimedOut", change: proxyMode},
		{name: "pod", from: "pod/one", to: lbIP + ":80", rule: ruleLBProxyMode, want: "Unreachable TimedOut", change: proxyMode},
		{name: "a load balancer that is not known", from: "pod/one", to: lbIP + ":80", rule: ruleLBProxyMode, want: "Reached Refused TimedOut Unreachable",
			change: func(f *fixture) { proxyMode(f); f.Announcers = nil }},

		{name: "outside, denied", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut", change: ranges("192.0.2.0/24"), says: denied},
		{name: "outside, denied by the second range", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut", change: ranges("2001:db8::/32", "192.0.2.0/24"), says: denied},
		{name: "outside, denied", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut",
			change: func(f *fixture) { iptables(f); ranges("192.0.2.0/24")(f) }},
		{name: "outside, admitted", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", change: ranges("192.0.2.0/24", " 172.18.0.9/32 ")},
		{name: "pod, denied though inside", from: "pod/one", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut", change: ranges("192.0.2.0/24")},
		{name: "pod, admitted by its own address", from: "pod/one", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b", change: ranges("10.244.1.0/24")},
		{name: "node, denied", from: "node/two", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut", change: ranges("192.0.2.0/24")},
		{name: "node, admitted", from: "node/two", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b", change: ranges(two + "/32")},
		{name: "every client", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", change: ranges("192.0.2.0/24", "0.0.0.0/0")},
		{name: "every client, its address not known", from: "bare", to: lbIP + ":80", rule: ruleLBInside, want: "Reached", backends: "a b", change: ranges("0.0.0.0/0")},
		{name: "the client's address is not known", from: "bare", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut Reached", backends: "a b", any: true, change: ranges("192.0.2.0/24")},
		{name: "ranges of the other family", from: "outside", to: lbIP + ":80", rule: ruleLB, want: "Reached", backends: "a b", change: ranges("2001:db8::/32")},
		{name: "do not touch node ports", from: "outside", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", change: ranges("192.0.2.0/24")},
		{name: "do not touch the ClusterIP", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", change: ranges("192.0.2.0/24")},
		{name: "denied before the endpoints are checked", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut",
			change: func(f *fixture) { gone(f); ranges("192.0.2.0/24")(f) }},
		{name: "no endpoint before the client is checked", from: "outside", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { iptables(f); gone(f); ranges("192.0.2.0/24")(f) }},
		{name: "an external IP too", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut",
			change: func(f *fixture) { f.web().Spec.ExternalIPs = []string{lbIP}; ranges("192.0.2.0/24")(f) }},
		{name: "do not hold for an external IP of the same address", from: "outside", to: lbIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b",
			change: func(f *fixture) { iptables(f); f.web().Spec.ExternalIPs = []string{lbIP}; ranges("192.0.2.0/24")(f) }},
		{name: "policy Local", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut", change: func(f *fixture) { f.local(); ranges("192.0.2.0/24")(f) }},
	}
}

func externalIPCases() []tc {
	with := func(changes ...func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			f.web().Spec.ExternalIPs = []string{extIP}
			for _, change := range changes {
				change(f)
			}
		}
	}
	route := func(f *fixture) { f.Facts.OutsideRoutes = routes(extIP+"/32", "two") }
	return []tc{
		{name: "pod", from: "pod/one", to: extIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b", sources: gw1 + " " + one, change: with()},
		{name: "node", from: "node/cp", to: extIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b", sources: cp, change: with()},
		{name: "outside", from: "outside", to: extIP + ":80", rule: ruleExtIPNoRoute, want: "Unreachable TimedOut", change: with(), says: "an external IP of demo/web"},
		{name: "outside, at an address a load balancer has", from: "outside", to: lbIP + ":81", rule: ruleExternalIP, want: "Reached", backends: "a b", sources: gw1 + " " + one,
			change: func(f *fixture) {
				s := webService()
				s.Name, s.Spec.ClusterIP, s.Spec.ClusterIPs = "admin", "10.96.0.11", []string{"10.96.0.11"}
				s.Spec.Type, s.Status, s.Spec.ExternalIPs = corev1.ServiceTypeClusterIP, corev1.ServiceStatus{}, []string{lbIP}
				s.Spec.Ports[0].Port, s.Spec.Ports[0].NodePort = 81, 0
				f.Services = append([]corev1.Service{s}, f.Services...)
				f.slice("admin", "a", "b")
			}},
		{name: "outside with a route", from: "outside", to: extIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b", sources: gw2 + " " + two, change: with(route)},
		{name: "outside with a route, policy Local", from: "outside", to: extIP + ":80", rule: ruleETPLocal, want: "Reached", backends: "b", sources: outsideIP,
			change: with(route, func(f *fixture) { f.local() })},
		{name: "ClusterIP Service with external IPs heeds policy Local", from: "outside", to: extIP + ":80", rule: ruleETPLocalNone, want: "TimedOut",
			change: with(func(f *fixture) {
				f.web().Spec.Type = corev1.ServiceTypeClusterIP
				f.local()
				f.Facts.OutsideRoutes = routes(extIP+"/32", "cp")
			})},
		{name: "of two Services", from: "pod/one", to: extIP + ":80", rule: ruleShared, want: "Refused Reached", backends: "a b", any: true, sources: gw1 + " " + one,
			change: with(func(f *fixture) { f.second().Spec.ExternalIPs = []string{extIP} }), says: "demo/other, demo/web have the same address"},
		{name: "a node's own address", from: "outside", to: one + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b", sources: gw1 + " " + one,
			change: func(f *fixture) { f.web().Spec.ExternalIPs = []string{one} }},
		{name: "no endpoint", from: "pod/one", to: extIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: with(func(f *fixture) { f.unready("a", "b") })},
		{name: "no endpoint, node", from: "node/one", to: extIP + ":80", rule: ruleNoEndpointsOutput, want: "Unreachable TimedOut",
			change: with(iptables, func(f *fixture) { f.unready("a", "b") })},
		{name: "no endpoint, node's own address", from: "node/one", to: one + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { iptables(f); f.web().Spec.ExternalIPs = []string{one}; f.unready("a", "b") }},
		{name: "no endpoint, another node's address", from: "node/one", to: two + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { iptables(f); f.web().Spec.ExternalIPs = []string{two}; f.unready("a", "b") }},
		{name: "no endpoint, the address of a node that is not Ready", from: "node/one", to: two + ":80", rule: ruleNodeNotReady, want: "Refused",
			change: func(f *fixture) {
				iptables(f)
				f.web().Spec.ExternalIPs = []string{two}
				f.unready("a", "b")
				f.notReady("two")
			}},
		{name: "the load balancer's address with ipMode Proxy", from: "pod/one", to: lbIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b",
			change: func(f *fixture) {
				f.web().Status.LoadBalancer.Ingress[0].IPMode = ptr(corev1.LoadBalancerIPModeProxy)
				f.web().Spec.ExternalIPs = []string{lbIP}
			}},
		{name: "undeclared port", from: "pod/one", to: extIP + ":81", rule: ruleExtIPUndecl, want: "Unreachable TimedOut", change: with()},
		{name: "ranges are for load balancers", from: "pod/one", to: extIP + ":80", rule: ruleExternalIP, want: "Reached", backends: "a b",
			change: with(func(f *fixture) { f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"} })},
		{name: "of the other family than the Service's", from: "pod/one", to: "[2001:db8::7]:80", rule: ruleAddressFree, want: "Unreachable TimedOut",
			change: func(f *fixture) {
				f.web().Spec.ClusterIPs = []string{webIP}
				f.web().Spec.ExternalIPs = []string{"2001:db8::7"}
			}},
		{name: "nobody's", from: "outside", to: "172.18.0.200:80", rule: ruleAddressFree, want: "Unreachable TimedOut"},
		{name: "a host outside, pod", from: "pod/one", to: outsideIP + ":80", rule: ruleEndpoint, want: "Reached", backends: "outside", sources: one},
		{name: "a host outside, client's address not known", from: "bare", to: outsideIP + ":80", rule: ruleEndpoint, want: "Reached", backends: "outside", sources: "?",
			change: func(f *fixture) { f.Facts.PodToOutside = world.EgressUnknown }},
		{name: "a host outside, from outside", from: "outside", to: "172.18.0.8:80", rule: ruleEndpoint, want: "Reached", backends: "outside", sources: outsideIP,
			change: func(f *fixture) { f.Facts.Externals[0].Addrs = []netip.Addr{netip.MustParseAddr("172.18.0.8")} }},
	}
}
