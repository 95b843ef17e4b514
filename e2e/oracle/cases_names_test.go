package oracle

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

const webName = "web.demo.svc.cluster.local"

func dnsCases() []tc {
	headless := func(f *fixture) { f.headless() }
	v4only := func(f *fixture) { f.web().Spec.ClusterIPs = []string{webIP} }
	var list []tc
	for _, name := range []string{webName, webName + ".", "web.demo", "web.demo.svc"} {
		list = append(list, tc{name: name, from: "pod/one", to: name + ":80", rule: ruleDNS, want: "Reached", backends: "a b", sources: pod1,
			addresses: webIP, change: v4only, says: "resolves to 10.96.0.10; port 80 of the ClusterIP"})
	}
	return append(list, []tc{
		{name: "short name in another namespace", from: "pod/one", to: "web:80", rule: ruleDNSNone, want: "NoSuchHost", says: "in namespace clients"},
		{name: "short name at home", from: "a", to: "web:80", rule: ruleHairpin, want: "Reached", backends: "a b", addresses: webIP, change: v4only},
		{name: "both families", from: "pod/one", to: webName + ":80", rule: ruleDNS, want: "Reached", backends: "a b", sources: pod1 + " fd00:10:244:1::9", addresses: webIP + " " + webIP6},
		{name: "both families, resolved in IPv4", from: "pod/one", to: webName + ":80", family: 4, rule: ruleDNS, want: "Reached", backends: "a b", sources: pod1, addresses: webIP},
		{name: "both families, resolved in IPv6", from: "pod/one", to: webName + ":80", family: 6, rule: ruleDNS, want: "Reached", backends: "a b", sources: "fd00:10:244:1::9", addresses: webIP6},
		{name: "one family, resolved in the other", from: "pod/one", to: webName + ":80", family: 6, rule: ruleDNSNone, want: "NoSuchHost", change: v4only, says: "no address of IPv6"},
		{name: "headless, resolved in IPv6", from: "pod/one", to: webName + ":8080", family: 6, rule: ruleDNSHeadless, want: "Reached", backends: "a b", any: true,
			sources: "fd00:10:244:1::9", change: headless, addresses: "fd00:10:244:1::11 fd00:10:244:2::12"},
		{name: "of another namespace, whose endpoints are not known", from: "pod/one", to: "api.other:80", rule: ruleElsewhere, addresses: "10.96.0.99",
			want: "Reached Refused TimedOut Unreachable WrongAnswer", change: func(f *fixture) { f.elsewhere() }},
		{name: "headless, of another namespace", from: "pod/one", to: "api.other:80", rule: ruleElsewhere, want: "Reached Refused TimedOut Unreachable WrongAnswer NoSuchHost",
			change: func(f *fixture) {
				f.elsewhere()
				f.Elsewhere[0].Spec.ClusterIPs, f.Elsewhere[0].Spec.ClusterIP = nil, "None"
			}},
		{name: "no such Service", from: "pod/one", to: "wbe.demo.svc.cluster.local:80", rule: ruleDNSNone, want: "NoSuchHost"},
		{name: "no such namespace", from: "pod/one", to: "web.dmo:80", rule: ruleDNSNone, want: "NoSuchHost"},
		{name: "outside", from: "outside", to: webName + ":80", rule: ruleDNSOutside, want: "NoSuchHost"},
		{name: "host", from: "host", to: webName + ":80", rule: ruleDNSOutside, want: "NoSuchHost WrongAnswer TimedOut"},
		{name: "node", from: "node/one", to: webName + ":80", rule: ruleDNSNode, want: "NoSuchHost WrongAnswer TimedOut"},
		{name: "node that uses the cluster's DNS", from: "node/one", to: webName + ":80", rule: ruleDNS, want: "Reached", backends: "a b", addresses: webIP, sources: gw1 + " " + one,
			change: func(f *fixture) { f.Facts.NodesUseClusterDNS = true; v4only(f) }},
		{name: "the Service has no endpoint", from: "pod/one", to: webName + ":80", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) { v4only(f); f.unready("a", "b") },
			says: "resolves to 10.96.0.10; port 80"},
		{name: "undeclared port", from: "pod/one", to: webName + ":81", rule: ruleUndeclaredRefused, want: "Refused", change: v4only},
		{name: "another domain", from: "pod/one", to: "web.demo.svc.lab.example:80", rule: ruleDNS, want: "Reached", backends: "a b",
			change: func(f *fixture) { v4only(f); f.Facts.Domain = "lab.example." }},
		{name: "short name of a node that uses the cluster's DNS", from: "node/one", to: "web.demo:80", rule: ruleDNSNone, want: "NoSuchHost",
			change: func(f *fixture) { f.Facts.NodesUseClusterDNS = true }},
		{name: "name only looked up", from: "pod/one", to: webName + ":0", rule: ruleDNS, want: "Reached", addresses: webIP, change: v4only},

		{name: "targetPort", from: "pod/one", to: webName + ":8080", rule: ruleDNSHeadless, want: "Reached", backends: "a b", any: true, sources: pod1 + " fd00:10:244:1::9",
			change: headless, addresses: "10.244.1.11 10.244.2.12 fd00:10:244:1::11 fd00:10:244:2::12"},
		{name: "port is not mapped", from: "pod/one", to: webName + ":80", rule: ruleEndpointDeaf, want: "Refused", change: headless},
		{name: "unready left out", from: "pod/one", to: webName + ":8080", rule: ruleDNSHeadless, want: "Reached", backends: "b", any: false,
			change: func(f *fixture) { headless(f); f.Slices = f.Slices[:1]; f.unready("a") }, addresses: "10.244.2.12"},
		{name: "terminating left out", from: "pod/one", to: webName + ":0", rule: ruleDNSHeadless, want: "Reached", addresses: "10.244.2.12",
			change: func(f *fixture) { headless(f); f.Slices = f.Slices[:1]; f.terminating("a") }},
		{name: "address without a number for the port is in it", from: "pod/one", to: webName + ":0", rule: ruleDNSHeadless, want: "Reached", addresses: "10.244.1.11 10.244.2.12",
			change: func(f *fixture) { headless(f); f.Slices = f.Slices[:1]; f.Slices[0].Ports = nil }},
		{name: "affinity does not apply", from: "pod/one", to: webName + ":8080", rule: ruleDNSHeadless, want: "Reached", backends: "a b", any: true,
			change: func(f *fixture) { headless(f); f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }},
		{name: "a name without address does not end the search", from: "a", to: "web:80", rule: ruleEndpoint, want: "Reached", backends: "outside", host: "web", addresses: outsideIP,
			change: func(f *fixture) { headless(f); f.unready("a", "b"); f.Facts.Externals[0].Name = "web" }},
		{name: "none ready", from: "pod/one", to: webName + ":8080", family: 4, rule: ruleDNSEmpty, want: "NoSuchHost", change: func(f *fixture) { headless(f); f.unready("a", "b") }},
		{name: "by hostname", from: "pod/one", to: "web-1." + webName + ":8080", rule: ruleDNSPod, want: "Reached", backends: "web-1", addresses: "10.244.2.12",
			change: func(f *fixture) {
				headless(f)
				f.Slices = f.Slices[:1]
				f.byName("b").Spec.Hostname = "web-1"
				f.each("b", func(e *discoveryv1.Endpoint) { e.Hostname = ptr("web-1") })
			}},
		{name: "by address", from: "pod/one", to: "10-244-1-11." + webName + ":8080", rule: ruleDNSPod, want: "Reached", backends: "a", addresses: "10.244.1.11", change: headless},
		{name: "by address, looked up", from: "pod/one", to: "10-244-1-11." + webName + ":0", rule: ruleDNSPod, want: "Reached", addresses: "10.244.1.11", change: headless},
		{name: "by port", from: "pod/one", to: "_http._tcp." + webName + ":8080", family: 4, rule: ruleDNSHeadless, want: "Reached", backends: "a b", any: true,
			addresses: "10.244.1.11 10.244.2.12", change: headless},
		{name: "by a port that it has not", from: "pod/one", to: "_web._tcp." + webName + ":8080", rule: ruleDNSNone, want: "NoSuchHost", change: headless},
		{name: "of a ClusterIP, by port", from: "pod/one", to: "_http._tcp." + webName + ":80", rule: ruleDNS, want: "Reached", backends: "a b", addresses: webIP, change: v4only},
		{name: "of a ClusterIP, by another protocol", from: "pod/one", to: "_http._udp." + webName + ":80", rule: ruleDNSNone, want: "NoSuchHost", change: v4only},
		{name: "a pod's own name", from: "pod/one", to: "10-244-1-11.demo.pod.cluster.local:8080", rule: ruleDNSPod, want: "Reached", backends: "a", addresses: "10.244.1.11"},
		{name: "a pod's own name, in IPv6", from: "pod/one", to: "fd00-10-244-1--11.demo.pod.cluster.local:8080", rule: ruleDNSPod, want: "Reached", backends: "a", addresses: "fd00:10:244:1::11"},
		{name: "a pod's name that is no address", from: "pod/one", to: "a.demo.pod.cluster.local:8080", rule: ruleDNSNone, want: "NoSuchHost"},
		{name: "an endpoint with two addresses has both", from: "pod/one", to: webName + ":0", rule: ruleDNSHeadless, want: "Reached", addresses: "10.244.1.11 10.244.1.99",
			change: func(f *fixture) {
				headless(f)
				f.Slices = f.Slices[:1]
				f.Slices[0].Endpoints = f.Slices[0].Endpoints[:1]
				f.Slices[0].Endpoints[0].Addresses = append(f.Slices[0].Endpoints[0].Addresses, "10.244.1.99")
			}},
		{name: "by the name of an endpoint that is not ready", from: "pod/one", to: "10-244-1-11." + webName + ":8080", rule: ruleDNSNone, want: "NoSuchHost",
			change: func(f *fixture) { headless(f); f.unready("a") }},
	}...)
}

func externalNameCases() []tc {
	alias := func(target string) func(*fixture) { return func(f *fixture) { f.externalName(target) } }
	toWeb := func(f *fixture) {
		s := webService()
		s.Name, s.Status = "alias", corev1.ServiceStatus{}
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: webName}
		f.Services = append(f.Services, s)
	}
	return []tc{
		{name: "outside server", from: "pod/one", to: webName + ":80", rule: ruleCNAME, want: "Reached", backends: "outside", sources: one, cname: "example.com", host: webName,
			addresses: outsideIP, change: alias("example.com"), says: "is a CNAME for example.com, resolves to 172.18.0.9"},
		{name: "final dot", from: "pod/one", to: webName + ":80", rule: ruleCNAME, want: "Reached", backends: "outside", cname: "example.com", host: webName, change: alias("example.com.")},
		{name: "another port it listens on", from: "pod/one", to: webName + ":443", rule: ruleCNAME, want: "Reached", backends: "outside", cname: "example.com", host: webName, change: alias("example.com")},
		{name: "port in the Host header", from: "pod/one", to: webName + ":8443", rule: ruleCNAME, want: "Reached", backends: "outside", cname: "example.com", host: webName + ":8443",
			change: func(f *fixture) { f.externalName("example.com"); f.Facts.Externals[0].TCP = []uint16{8443} }},
		{name: "port declared, not mapped", from: "pod/one", to: webName + ":8080", rule: ruleCNAMEPort, want: "Refused", cname: "example.com",
			change: func(f *fixture) {
				f.externalName("example.com")
				f.web().Spec.Ports = []corev1.ServicePort{{Port: 8080}}
			}},
		{name: "node", from: "node/one", to: webName + ":80", rule: ruleDNSNode, want: "NoSuchHost WrongAnswer TimedOut", change: alias("example.com")},
		{name: "outside", from: "outside", to: webName + ":80", rule: ruleDNSOutside, want: "NoSuchHost", change: alias("example.com")},
		{name: "no such target", from: "pod/one", to: webName + ":80", rule: ruleCNAMENone, want: "NoSuchHost", change: alias("nowhere.example.com")},
		{name: "itself", from: "pod/one", to: webName + ":80", rule: ruleCNAMENone, want: "NoSuchHost", change: alias(webName)},
		{name: "an address", from: "pod/one", to: webName + ":80", rule: ruleCNAMEAddress, want: "NoSuchHost", change: alias("192.0.2.1")},
		{name: "the facts list no host outside", from: "pod/one", to: webName + ":80", rule: ruleCNAMEUnknown, want: "Reached Refused TimedOut Unreachable NoSuchHost WrongAnswer",
			change: func(f *fixture) { f.externalName("example.com"); f.Facts.Externals = nil }, says: "is a CNAME for example.com; what that resolves to"},
		{name: "name outside, not through a Service", from: "pod/one", to: "example.com:80", rule: ruleEndpoint, want: "Reached", backends: "outside", host: "example.com", addresses: outsideIP},
		{name: "name outside, from outside", from: "outside", to: "example.com:80", rule: ruleEndpoint, want: "Reached", backends: "outside", host: "example.com", sources: outsideIP,
			change: func(f *fixture) { f.Facts.Externals[0].Addrs = []netip.Addr{netip.MustParseAddr("172.18.0.8")} }},
		{name: "another Service", from: "pod/one", to: "alias.demo:80", rule: ruleCNAMECluster, want: "Reached", backends: "a b", cname: webName, sources: pod1, addresses: webIP,
			change: func(f *fixture) { f.web().Spec.ClusterIPs = []string{webIP}; toWeb(f) }},
		{name: "a headless Service", from: "pod/one", to: "alias.demo:8080", rule: ruleEndpoint, want: "Reached", backends: "a b", any: true, cname: webName,
			change: func(f *fixture) { f.headless(); toWeb(f) }},
	}
}

func healthCases() []tc {
	local := func(f *fixture) { f.local() }
	return []tc{
		{name: "node with an endpoint", from: "outside", to: one + ":30200", rule: ruleHealthServing, want: "Reached", backends: "localEndpoints=1", health: true, change: local,
			says: "one has 1 ready endpoint of demo/web, so it tells load balancers to use it (200)"},
		{name: "node without", from: "outside", to: cp + ":30200", rule: ruleHealthNotServing, want: "Reached", backends: "localEndpoints=0", health: true, change: local},
		{name: "from a pod", from: "pod/two", to: cp + ":30200", rule: ruleHealthNotServing, want: "Reached", backends: "localEndpoints=0", health: true, change: local},
		{name: "only terminating", from: "outside", to: one + ":30200", rule: ruleHealthNotServing, want: "Reached", backends: "localEndpoints=0", health: true,
			change: func(f *fixture) { f.local(); f.terminating("a") }},
		{name: "two on one node", from: "host", to: one + ":30200", rule: ruleHealthServing, want: "Reached", backends: "localEndpoints=2", health: true,
			change: func(f *fixture) { f.local(); f.pod("c", "one", 13); f.slice("web", "a", "b", "c") }},
		{name: "policy Cluster", from: "outside", to: one + ":30200", rule: ruleHealthClosed, want: "Refused", health: true},
		{name: "NodePort Service", from: "outside", to: one + ":30200", rule: ruleHealthClosed, want: "Refused", health: true,
			change: func(f *fixture) { f.local(); f.web().Spec.Type = corev1.ServiceTypeNodePort }},
		{name: "other family", from: "outside", to: "[fc00::3]:30200", rule: ruleHealthClosed, want: "Refused", health: true,
			change: func(f *fixture) { f.local(); f.web().Spec.ClusterIPs = []string{webIP} }},
		{name: "node not Ready", from: "outside", to: one + ":30200", rule: ruleNodeNotReady, want: "Reached", backends: "localEndpoints=1", health: true,
			change: func(f *fixture) { f.local(); f.notReady("one") }},
		{name: "the slices have a port that the Service has not", from: "outside", to: one + ":30200", rule: ruleHealthServing, want: "Reached", backends: "localEndpoints=1", health: true,
			change: func(f *fixture) { f.local(); f.Slices[0].Ports[0].Name = ptr("web") }},
		{name: "second address", from: "outside", to: "172.18.1.3:30200", rule: ruleHealthSecondary, want: "Refused", health: true, change: func(f *fixture) { f.local(); f.secondAddress() }},
		{name: "second address", from: "outside", to: "172.18.1.3:30200", rule: ruleHealthServing, want: "Reached", backends: "localEndpoints=1", health: true,
			change: func(f *fixture) { iptables(f); f.local(); f.secondAddress() }},
		{name: "no node's address", from: "outside", to: "172.18.0.77:30200", rule: ruleAddressFree, want: "Unreachable TimedOut", health: true, change: local},
	}
}

func refinementCases() []tc {
	sticky := func(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }
	zones := func(f *fixture) { f.hint("a", "a", ""); f.hint("b", "b", "") }
	return []tc{
		{name: "ClusterIP", from: "pod/one", to: webIP + ":80", rule: ruleAffinity, want: "Reached", backends: "a b", sticky: true, change: sticky},
		{name: "nodePort", from: "outside", to: cp + ":30080", rule: ruleAffinity, want: "Reached", backends: "a b", sticky: true, sources: cp, change: sticky},
		{name: "load balancer", from: "outside", to: lbIP + ":80", rule: ruleAffinity, want: "Reached", backends: "a b", sticky: true, change: sticky},
		{name: "nobody listens", from: "pod/one", to: webIP + ":80", rule: ruleEndpointDeaf, want: "Refused", change: func(f *fixture) { sticky(f); f.targetPort(9999) }},

		{name: "all are terminating", from: "pod/one", to: webIP + ":80", rule: ruleTerminating, want: "Reached", backends: "a b", change: func(f *fixture) { f.terminating("a", "b") }},
		{name: "one is ready", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "b", change: func(f *fixture) { f.terminating("a") }},
		{name: "terminating and not serving", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) {
			f.terminating("a", "b")
			f.unready("a", "b")
		}},
		{name: "policy Local, the one there is terminating", from: "outside", to: one + ":30080", rule: ruleTerminating, want: "Reached", backends: "a", sources: outsideIP,
			change: func(f *fixture) { f.local(); f.terminating("a") }},
		{name: "policy Local, ready here, terminating there", from: "outside", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b",
			change: func(f *fixture) { f.local(); f.terminating("a") }},
		{name: "itp Local, the one there is terminating", from: "pod/one", to: webIP + ":80", rule: ruleTerminating, want: "Reached", backends: "a",
			change: func(f *fixture) {
				f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
				f.terminating("a", "b")
			}},

		{name: "zone a", from: "pod/one", to: webIP + ":80", rule: ruleSameZone, want: "Reached", backends: "a", change: zones, says: "for the zone of one"},
		{name: "zone a, node without endpoint", from: "node/cp", to: webIP + ":80", rule: ruleSameZone, want: "Reached", backends: "a", change: zones},
		{name: "zone b", from: "pod/two", to: webIP + ":80", rule: ruleSameZone, want: "Reached", backends: "b", change: zones},
		{name: "zone, nodePort", from: "outside", to: two + ":30080", rule: ruleSameZone, want: "Reached", backends: "b", change: zones},
		{name: "policy Local does not heed it", from: "outside", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b",
			change: func(f *fixture) { f.local(); f.hint("a", "a", ""); f.hint("b", "a", "") }},
		{name: "no hint for the zone", from: "pod/two", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.hint("a", "a", ""); f.hint("b", "a", "") }},
		{name: "a hint is missing", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", change: func(f *fixture) { f.hint("a", "a", "") }},
		{name: "the missing hint is of one not ready", from: "pod/two", to: webIP + ":80", rule: ruleSameZone, want: "Reached", backends: "b",
			change: func(f *fixture) { f.hint("b", "b", ""); f.unready("a") }},
		{name: "a node hint is missing", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", change: func(f *fixture) { f.hint("a", "", "one") }},
		{name: "node one", from: "pod/one", to: webIP + ":80", rule: ruleSameNode, want: "Reached", backends: "a", change: func(f *fixture) { f.hint("a", "a", "one"); f.hint("b", "b", "two") }},
		{name: "no hint for the node falls back to the zone", from: "pod/cp", to: webIP + ":80", rule: ruleSameZone, want: "Reached", backends: "a",
			change: func(f *fixture) { f.hint("a", "a", "one"); f.hint("b", "b", "two") }},
		{name: "no hint for node or zone", from: "pod/cp", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.hint("a", "", "one"); f.hint("b", "", "two") }},

		{name: "one of two", from: "a", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a b", sources: gw1 + " 10.244.1.11 " + one},
		{name: "the only one", from: "a", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a", sources: gw1 + " " + one, change: func(f *fixture) { f.unready("b") },
			says: "the endpoint sees an address of one"},
		{name: "the slice has it on another node", from: "a", to: webIP + ":80", rule: ruleHairpinAcross, want: "Reached TimedOut", backends: "b", sources: "10.244.1.11",
			change: func(f *fixture) { f.each("a", func(e *discoveryv1.Endpoint) { e.NodeName = ptr("two") }) }},
		{name: "the slice has it on another node", from: "a", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a b", sources: gw1 + " 10.244.1.11 " + one,
			change: func(f *fixture) {
				iptables(f)
				f.each("a", func(e *discoveryv1.Endpoint) { e.NodeName = ptr("two") })
			}},
		{name: "the slice has it on another node, another Service's on its own", from: "a", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a b", sources: gw1 + " 10.244.1.11 " + one,
			change: func(f *fixture) {
				f.second()
				f.each("a", func(e *discoveryv1.Endpoint) { e.NodeName = ptr("two") })
				f.Slices = append(f.Slices, f.slicesNamed("other", "a")...)
			}},
		{name: "the slice has it on another node, another Service's on its own, for no client of the family", from: "a", to: webIP + ":80", rule: ruleHairpinAcross,
			want: "Reached TimedOut", backends: "b", sources: "10.244.1.11", change: func(f *fixture) {
				other := f.second()
				other.Spec.ExternalIPs, other.Spec.ExternalTrafficPolicy = []string{"2001:db8::7"}, corev1.ServiceExternalTrafficPolicyLocal
				other.Spec.ClusterIPs = append(other.Spec.ClusterIPs, "fd00:10:96::11")
				f.Slices = append(f.Slices, f.slicesNamed("other", "a", "b")...)
				f.each("a", func(e *discoveryv1.Endpoint) { e.Conditions.Ready, e.Conditions.Terminating = ptr(false), ptr(true) })
				for i := range f.Slices {
					if e := &f.Slices[i].Endpoints[0]; f.Slices[i].Labels[discoveryv1.LabelServiceName] == "web" {
						e.NodeName, e.Conditions = ptr("two"), discoveryv1.EndpointConditions{}
					}
				}
			}},
		{name: "with a neighbour on the node", from: "a", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a c", sources: gw1 + " 10.244.1.11 " + one,
			change: func(f *fixture) { f.pod("c", "one", 13); f.slice("web", "a", "c") }},
		{name: "through policy Local", from: "a", to: one + ":30080", rule: ruleHairpin, want: "Reached", backends: "a", sources: gw1 + " " + one,
			change: func(f *fixture) { f.local(); f.unready("b") }},
		{name: "not ready yet published", from: "pod/one", to: webIP + ":80", rule: rulePublish, want: "Reached", backends: "a b",
			change: func(f *fixture) {
				f.unready("a")
				f.each("a", func(e *discoveryv1.Endpoint) { e.Conditions.Ready = ptr(true) })
			}},
	}
}

func familyCases() []tc {
	return []tc{
		{name: "pod with IPv4 only", from: "v4pod", to: "[" + webIP6 + "]:80", rule: ruleLacksFamily, want: "Unreachable", says: "has no IPv6 address"},
		{name: "name with both, pod with one", from: "v4pod", to: webName + ":80", rule: ruleDNS, want: "Reached", backends: "a b", sources: pod1, addresses: webIP + " " + webIP6},
		{name: "IPv6 only Service, pod with IPv4 only", from: "v4pod", to: webName + ":80", rule: ruleLacksFamily, want: "Unreachable",
			change: func(f *fixture) { f.web().Spec.ClusterIPs = []string{webIP6} }},
		{name: "health check", from: "v4pod", to: "[fc00::3]:30200", rule: ruleLacksFamily, want: "Unreachable", health: true, change: func(f *fixture) { f.local() }},
		{name: "IPv6", from: "pod/one", to: "[" + webIP6 + "]:80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: "fd00:10:244:1::9"},
		{name: "IPv6, node", from: "node/one", to: "[" + webIP6 + "]:80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: "fc00::3 fd00:10:244:1::1"},
		{name: "IPv6, only one has it", from: "pod/one", to: "[" + webIP6 + "]:80", rule: ruleClusterIP, want: "Reached", backends: "b",
			change: func(f *fixture) { f.Slices[1].Endpoints = f.Slices[1].Endpoints[1:] }},
		{name: "IPv6, none has it", from: "pod/one", to: webName + ":80", rule: ruleDNS, want: "Reached Refused", backends: "a b", any: true,
			change: func(f *fixture) { f.Slices = f.Slices[:1] }, says: "it depends on which of the addresses is taken"},
		{name: "policy Local by IPv6", from: "outside", to: "[fc00::4]:30080", rule: ruleETPLocal, want: "Reached", backends: "b", sources: "fc00::9", change: func(f *fixture) { f.local() }},
		{name: "mapped address", from: "pod/one", to: "[::ffff:10.96.0.10]:80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: pod1},
		{name: "host-network pod as vantage", from: "hostpod", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: cp,
			change: func(f *fixture) { f.hostPod("h", "cp") }},
		{name: "vantage without addresses", from: "bare", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: "?",
			change: func(f *fixture) { f.Facts.ProxyMode = world.ModeNFTables }},
		{name: "vantage without addresses that the world knows", from: "known", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "b", sources: "10.244.1.11",
			change: func(f *fixture) { f.unready("a") }},
		{name: "vantage without a node that the world knows", from: "known", to: webIP + ":80", rule: ruleHairpin, want: "Reached", backends: "a", sources: gw1 + " " + one,
			change: func(f *fixture) { f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }},
	}
}
