package oracle

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

func iptables(f *fixture) { f.Facts.ProxyMode = world.ModeIPTables }

func loopbackProxy(f *fixture) {
	f.Facts.LoopbackProxy, f.Facts.NodePortAddresses = true, []string{"primary", "localhost"}
}

func clusterIPCases() []tc {
	itp := func(f *fixture) { f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }
	return []tc{
		{name: "pod", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: pod1,
			says: "kube-proxy on one sends it to any of 2 ready endpoints (a, b)"},
		{name: "pod on a node without endpoint", from: "pod/cp", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: "10.244.0.9"},
		{name: "node", from: "node/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: gw1 + " " + one},
		{name: "node without endpoint", from: "node/cp", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: cp},
		{name: "pod, all is masqueraded", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: gw1 + " " + one,
			change: func(f *fixture) { f.Facts.MasqueradeAll = true }},
		{name: "pod, all is masqueraded in the mode of another node", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: pod1,
			change: func(f *fixture) {
				f.Facts.NodeModes, f.Facts.NodeMasqueradeAll = map[string]string{"two": world.ModeIPTables}, true
			}},
		{name: "pod, all is masqueraded in the mode of its node", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: gw1 + " " + one,
			change: func(f *fixture) {
				f.Facts.NodeModes, f.Facts.NodeMasqueradeAll = map[string]string{"one": world.ModeIPTables}, true
			}},
		{name: "pod, not known how pods are told from others", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: pod1,
			change: func(f *fixture) { f.Facts.PodCIDRs, f.Facts.Detection = nil, world.DetectUnknown }},
		{name: "left to another proxy", from: "pod/one", to: webIP + ":80", rule: ruleUnallocated, want: "TimedOut", says: "leaves it to another proxy",
			change: func(f *fixture) { f.web().Labels = map[string]string{world.ProxyNameLabel: "other"} }},
		{name: "slices marked headless are not read", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { f.Slices[0].Labels[corev1.IsHeadlessService] = "" }},
		{name: "slices with a port of another name", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			says: "its EndpointSlices list 2 addresses, but none for its port http/TCP: they have web/TCP", change: func(f *fixture) { f.Slices[0].Ports[0].Name = ptr("web") }},
		{name: "slices with a port of another protocol", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused", says: "they have http/UDP",
			change: func(f *fixture) { f.Slices[0].Ports[0].Protocol = ptr(corev1.ProtocolUDP) }},
		{name: "outside", from: "outside", to: webIP + ":80", rule: ruleNoRoute, want: "Unreachable", says: "a ClusterIP of demo/web"},
		{name: "outside, undeclared port", from: "outside", to: webIP + ":81", rule: ruleNoRoute, want: "Unreachable"},
		{name: "host", from: "host", to: webIP + ":80", rule: ruleHostNoRoute, want: "Unreachable TimedOut"},
		{name: "outside, routed to a node", from: "outside", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: gw2 + " " + two,
			change: func(f *fixture) { f.Facts.OutsideRoutes = routes("10.96.0.0/16", "two") }},
		{name: "outside, routed to two nodes", from: "outside", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: gw2 + " " + two,
			change: func(f *fixture) {
				f.Facts.OutsideRoutes = routes("10.96.0.0/16", "cp")
				for _, bits := range []int{8, 12, 24, 32, 28, 20} {
					f.Facts.OutsideRoutes[netip.PrefixFrom(netip.MustParseAddr(webIP), bits).Masked()] = map[bool]string{true: "two", false: "one"}[bits == 32]
				}
			}},
		{name: "outside, routed to a node, no local detection", from: "outside", to: webIP + ":80", rule: ruleAstray, want: "Reached TimedOut", backends: "b", sources: outsideIP,
			change: func(f *fixture) { f.Facts.OutsideRoutes = routes("10.96.0.0/16", "two"); f.Facts.PodCIDRs = nil }},
		{name: "outside, routed to a node, undeclared port", from: "outside", to: webIP + ":81", rule: ruleUndeclaredRefused, want: "Refused",
			change: func(f *fixture) { f.Facts.OutsideRoutes = routes("10.96.0.0/16", "two") }},
		{name: "no local detection keeps a node's address", from: "node/cp", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: cp,
			change: func(f *fixture) { f.Facts.PodCIDRs = nil }},
		{name: "being deleted is served until it is gone", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.web().DeletionTimestamp = deletedAt() }},
		{name: "all but one not ready", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "b",
			change: func(f *fixture) { f.unready("a") }, says: "the only one, b"},
		{name: "no endpoint is ready", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { f.unready("a", "b") }, says: "none of its 2 endpoints is ready"},
		{name: "no endpoint, node", from: "node/cp", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) { f.Slices = nil }, says: "list no address"},
		{name: "no endpoint, UDP", from: "pod/cp", to: webIP + ":80/UDP", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { f.web().Spec.Ports[0].Protocol = corev1.ProtocolUDP }},
		{name: "address without the named port", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) {
				for i := range f.Slices {
					f.Slices[i].Ports[0].Port = nil
				}
				second := *f.Slices[0].DeepCopy()
				f.Slices[0].Endpoints, second.Endpoints = f.Slices[0].Endpoints[:1], second.Endpoints[1:]
				f.Slices = append(f.Slices, second)
			}, says: "list 2 addresses, but no number for port http: targetPort 8080 is no port of the pods"},
		{name: "slice without ports", from: "pod/one", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) {
				for i := range f.Slices {
					f.Slices[i].Ports = nil
				}
			}},
		{name: "same number on UDP is another port", from: "pod/one", to: webIP + ":80/UDP", rule: ruleUndeclaredRefused, want: "Refused"},
		{name: "itp Local, endpoint here", from: "pod/one", to: webIP + ":80", rule: ruleITPLocal, want: "Reached", backends: "a", sources: pod1, change: itp},
		{name: "itp Local, node", from: "node/two", to: webIP + ":80", rule: ruleITPLocal, want: "Reached", backends: "b", sources: gw2 + " " + two, change: itp},
		{name: "itp Local, none here", from: "pod/cp", to: webIP + ":80", rule: ruleITPLocalNone, want: "TimedOut", change: itp, says: "cp has no ready endpoint of it"},
		{name: "itp Local, none here, node", from: "node/cp", to: webIP + ":80", rule: ruleITPLocalNone, want: "TimedOut", change: itp},
		{name: "itp Local, none anywhere", from: "pod/cp", to: webIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { itp(f); f.unready("a", "b") }},
		{name: "itp Local does not touch nodePorts", from: "outside", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: cp, change: itp},
		{name: "of another namespace", from: "pod/one", to: "10.96.0.99:80", rule: ruleElsewhere, want: "Reached Refused TimedOut Unreachable WrongAnswer",
			change: func(f *fixture) { f.elsewhere() }},
		{name: "undeclared port of another namespace", from: "pod/one", to: "10.96.0.99:81", rule: ruleUndeclaredRefused, want: "Refused",
			change: func(f *fixture) { f.elsewhere() }},
		{name: "load balancer of another namespace", from: "outside", to: "172.18.255.9:80", rule: ruleElsewhere, want: "Reached Refused TimedOut Unreachable WrongAnswer",
			change: func(f *fixture) { f.elsewhere() }},
		{name: "vantage on a node the world does not have", from: "pod/three", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b"},
	}
}

func modeCases() []tc {
	unknown := func(f *fixture) { f.Facts.ProxyMode = world.ModeIPVS }
	// node one is in iptables mode, the others are in nftables mode: the node whose rules the packet meets first decides
	mixed := func(f *fixture) { f.Facts.NodeModes = map[string]string{"one": world.ModeIPTables} }
	return []tc{
		{name: "mixed, pod of the one", from: "pod/one", to: webIP + ":81", rule: ruleUndeclaredDropped, want: "TimedOut", change: mixed},
		{name: "mixed, pod of another", from: "pod/two", to: webIP + ":81", rule: ruleUndeclaredRefused, want: "Refused", change: mixed},
		{name: "mixed, loopback of the one", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostServed, want: "Reached", backends: "a b", change: mixed},
		{name: "mixed, loopback of another", from: "node/two", to: "127.0.0.1:30080", rule: ruleLocalhostNFTables, want: "Refused", change: mixed},
		{name: "mixed, second address of the one, from another", from: "pod/two", to: "172.18.1.3:30080", rule: ruleNodePort, want: "Reached", backends: "a b",
			change: func(f *fixture) { mixed(f); f.secondAddress() }},
		{name: "mixed, ranges and no endpoint, announced by the one", from: "outside", to: lbIP + ":80", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) {
				mixed(f)
				f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"}
				f.unready("a", "b")
			}},
		{name: "mixed, ranges and no endpoint, announced by another", from: "outside", to: lbIP + ":80", rule: ruleLBRanges, want: "TimedOut",
			change: func(f *fixture) {
				mixed(f)
				f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"}
				f.unready("a", "b")
				f.announce("two")
			}},
		{name: "pod", from: "pod/one", to: webIP + ":81", rule: ruleUndeclaredRefused, want: "Refused"},
		{name: "node", from: "node/one", to: webIP + ":81", rule: ruleUndeclaredRefused, want: "Refused", says: "one rejects what it does not serve"},
		{name: "pod", from: "pod/one", to: webIP + ":81", rule: ruleUndeclaredDropped, want: "TimedOut", change: iptables},
		{name: "node", from: "node/one", to: webIP + ":81", rule: ruleUndeclaredDropped, want: "TimedOut", change: iptables},
		{name: "cluster that lets it go", from: "pod/one", to: webIP + ":81", rule: ruleUndeclaredRouted, want: "TimedOut Unreachable Refused",
			change: func(f *fixture) { iptables(f); f.Facts.DropsStrays = false }},
		{name: "ipvs", from: "pod/one", to: webIP + ":81", rule: ruleModeUnknown, want: "Refused TimedOut Unreachable", change: unknown, says: "which is ipvs"},
		{name: "mode not given", from: "pod/one", to: webIP + ":81", rule: ruleModeUnknown, want: "Refused TimedOut Unreachable", says: "which is unknown",
			change: func(f *fixture) { f.Facts.ProxyMode = "" }},
		{name: "an unused address", from: "pod/one", to: "10.96.0.77:80", rule: ruleUnallocated, want: "TimedOut", says: "nftables mode one drops it"},
		{name: "an unused address", from: "pod/one", to: "10.96.0.77:80", rule: ruleUnallocated, want: "TimedOut", change: iptables},
		{name: "an unused address, let go", from: "node/one", to: "10.96.0.77:80", rule: ruleUndeclaredRouted, want: "TimedOut Unreachable Refused",
			change: func(f *fixture) { iptables(f); f.Facts.DropsStrays = false }},
		{name: "an unused address, mode unknown", from: "node/one", to: "10.96.0.77:80", rule: ruleModeUnknown, want: "Refused TimedOut Unreachable", change: unknown},
		{name: "of a Service that became headless", from: "pod/one", to: webIP + ":80", rule: ruleUnallocated, want: "TimedOut",
			change: func(f *fixture) { f.web().Spec.ClusterIP, f.web().Spec.ClusterIPs = "None", []string{"None"} }},
		{name: "of a Service that became an ExternalName", from: "pod/one", to: webIP + ":80", rule: ruleUnallocated, want: "TimedOut",
			change: func(f *fixture) { f.externalName("example.com") }},
		{name: "from outside", from: "outside", to: "10.96.0.77:80", rule: ruleNoRoute, want: "Unreachable", says: "an address of the Service range"},
		{name: "declared ports need no mode", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", change: unknown},
		{name: "ipvs, second address of a node", from: "outside", to: "172.18.1.3:30080", rule: ruleModeUnknown, want: "Reached Refused", backends: "a b", any: true,
			change: func(f *fixture) { unknown(f); f.secondAddress() }},
		{name: "ipvs, loopback", from: "node/one", to: "127.0.0.1:30080", rule: ruleModeUnknown, want: "Reached Refused TimedOut", backends: "a b", any: true, change: unknown},
		{name: "ipvs, ranges and no endpoint", from: "outside", to: lbIP + ":80", rule: ruleModeUnknown, want: "TimedOut Refused", any: true,
			change: func(f *fixture) {
				unknown(f)
				f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"}
				f.unready("a", "b")
			}},
		{name: "ipvs, node to load balancer without endpoint", from: "node/two", to: lbIP + ":80", rule: ruleModeUnknown, want: "Unreachable TimedOut Refused",
			change: func(f *fixture) { unknown(f); f.unready("a", "b"); clear(f.Announcers) }},
	}
}

func endpointCases() []tc {
	return []tc{
		{name: "pod to pod", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpoint, want: "Reached", backends: "b", sources: pod1, says: "pod b is probed at its own address"},
		{name: "pod to itself", from: "a", to: "10.244.1.11:8080", rule: ruleEndpoint, want: "Reached", backends: "a", sources: "10.244.1.11"},
		{name: "node to a pod of its own", from: "node/one", to: "10.244.1.11:8080", rule: ruleEndpoint, want: "Reached", backends: "a", sources: gw1 + " " + one},
		{name: "node to another's pod", from: "node/one", to: "10.244.2.12:8080", rule: ruleEndpoint, want: "Reached", backends: "b", sources: one},
		{name: "not ready, but there", from: "pod/two", to: "10.244.1.11:8080", rule: ruleEndpoint, want: "Reached", backends: "a", change: func(f *fixture) { f.unready("a") }},
		{name: "host-network pod of another node", from: "pod/one", to: two + ":8080", rule: ruleEndpoint, want: "Reached", backends: "two", sources: one,
			change: func(f *fixture) { f.hostPod("h", "two") }},
		{name: "host-network pod of its own node", from: "pod/two", to: two + ":8080", rule: ruleEndpoint, want: "Reached", backends: "two", sources: pod2,
			change: func(f *fixture) { f.hostPod("h", "two") }},
		{name: "host-network pod from outside", from: "outside", to: two + ":8080", rule: ruleEndpoint, want: "Reached", backends: "two", sources: outsideIP,
			change: func(f *fixture) { f.hostPod("h", "two") }},
		{name: "hostname differs from the pod's name", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpoint, want: "Reached", backends: "web-1",
			change: func(f *fixture) { f.byName("b").Spec.Hostname = "web-1" }},
		{name: "outside", from: "outside", to: "10.244.1.11:8080", rule: ruleNoRoute, want: "Unreachable", says: "the address of pod demo/a"},
		{name: "host", from: "host", to: "10.244.1.11:8080", rule: ruleHostNoRoute, want: "Unreachable TimedOut"},
		{name: "outside with a route", from: "outside", to: "10.244.1.11:8080", rule: ruleEndpoint, want: "Reached", backends: "a", sources: outsideIP,
			change: func(f *fixture) { f.Facts.OutsideRoutes = routes("10.244.0.0/16", "cp") }},
		{name: "another port of the pod", from: "pod/one", to: "10.244.2.12:80", rule: ruleEndpointDeaf, want: "Refused", says: "pod b declares 8080/TCP"},
		{name: "another port of the pod, UDP", from: "pod/one", to: "10.244.2.12:8080/UDP", rule: ruleEndpointDeaf, want: "Refused TimedOut", says: "so many ICMP errors a second"},
		{name: "declared is not all", from: "pod/one", to: "10.244.2.12:80", rule: ruleEndpointPartly, want: "Reached Refused", backends: "b",
			change: func(f *fixture) { f.Facts.PortsDeclared = false }},
		{name: "nothing declared says nothing", from: "pod/one", to: "10.244.2.12:9999", rule: ruleEndpoint, want: "Reached", backends: "b",
			change: func(f *fixture) { f.byName("b").Spec.Containers[0].Ports = nil }},
		{name: "annotated", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpointDeaf, want: "Refused", says: "pod b listens on nothing",
			change: func(f *fixture) { f.byName("b").Annotations = map[string]string{world.ListensAnnotation: "none"} }},
		{name: "container not running", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpointDeaf, want: "Refused", says: "container app of pod b is not running",
			change: func(f *fixture) {
				f.byName("b").Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
			}},
		{name: "address handed on by a pod that is going", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpoint, want: "Reached", backends: "b",
			change: func(f *fixture) {
				old := f.pod("0", "two", 12)
				old.DeletionTimestamp = deletedAt()
			}},
		{name: "an unused address", from: "pod/one", to: "10.244.2.99:8080", rule: ruleEndpointGone, want: "TimedOut Unreachable"},
		{name: "of a pod that has ended", from: "pod/one", to: "10.244.2.12:8080", rule: ruleEndpointGone, want: "TimedOut Unreachable",
			change: func(f *fixture) { f.byName("b").Status.Phase = corev1.PodFailed }},
		{name: "through the Service, wrong targetPort", from: "pod/one", to: webIP + ":80", rule: ruleEndpointDeaf, want: "Refused",
			change: func(f *fixture) { f.targetPort(9999) }, says: "pod a declares 8080/TCP, so the connection is refused there"},
		{name: "through the Service, no listener on UDP", from: "pod/one", to: webIP + ":80/UDP", rule: ruleEndpointDeaf, want: "Refused TimedOut", change: overUDP,
			says: "so many ICMP errors a second"},
		{name: "one of two listens on UDP", from: "pod/one", to: webIP + ":80/UDP", rule: ruleEndpointPartly, want: "Reached Refused TimedOut", backends: "b",
			change: func(f *fixture) {
				overUDP(f)
				f.byName("b").Spec.Containers[0].Ports[0].Protocol = corev1.ProtocolUDP
			}},
		{name: "one of two listens", from: "pod/one", to: webIP + ":80", rule: ruleEndpointPartly, want: "Reached Refused", backends: "b",
			change: func(f *fixture) { f.byName("a").Annotations = map[string]string{world.ListensAnnotation: "9999/TCP"} }},
		{name: "one of two listens, node", from: "node/one", to: webIP + ":80", rule: ruleEndpointPartly, want: "Reached Refused", backends: "b", sources: one,
			change: func(f *fixture) { f.byName("a").Annotations = map[string]string{world.ListensAnnotation: "9999/TCP"} }},
		{name: "perhaps none listens", from: "pod/one", to: webIP + ":80", rule: ruleEndpointPartly, want: "Reached Refused", backends: "a b", any: true,
			change: func(f *fixture) { f.targetPort(9999); f.Facts.PortsDeclared = false }},
		{name: "written by hand, a host outside", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "outside", sources: one,
			change: func(f *fixture) { f.byHand(outsideIP, 80) }, says: "sends it to the only one, outside"},
		{name: "written by hand, a port the host outside refuses", from: "pod/one", to: webIP + ":80", rule: ruleEndpointDeaf, want: "Refused",
			change: func(f *fixture) { f.byHand(outsideIP, 81) }, says: "outside does not listen on 81/TCP"},
		{name: "written by hand, a pod", from: "node/two", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "b", sources: gw2 + " " + two,
			change: func(f *fixture) { f.byHand("10.244.2.12", 8080) }},
		{name: "written by hand, a host-network pod", from: "outside", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "two", sources: cp,
			change: func(f *fixture) { f.hostPod("h", "two"); f.byHand(two, 8080) }},
		{name: "written by hand, a node's address, no pod", from: "outside", to: two + ":30080", rule: ruleEndpointUnknown, want: "Reached Refused TimedOut Unreachable", any: true,
			sources: outsideIP, change: func(f *fixture) { f.byHand(two, 9090) }},
		{name: "written by hand, unknown", from: "pod/one", to: webIP + ":80", rule: ruleEndpointUnknown, want: "Reached Refused TimedOut Unreachable", any: true,
			change: func(f *fixture) { f.byHand("192.0.2.5", 80) }},
		{name: "pod not in the snapshot", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "gone",
			change: func(f *fixture) {
				f.byHand("10.244.2.50", 8080)
				f.Slices[0].Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: "gone"}
			}},
		{name: "an address in two slices is one endpoint", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b",
			change: func(f *fixture) {
				again := *f.Slices[0].DeepCopy()
				again.Name = "again"
				for i := range again.Endpoints {
					again.Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(true)}
				}
				f.Slices = append(f.Slices, again)
			}, says: "2 ready endpoints"},
	}
}
