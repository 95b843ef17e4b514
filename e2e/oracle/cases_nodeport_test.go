package oracle

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

func nodePortCases() []tc {
	return []tc{
		{name: "outside, node with an endpoint", from: "outside", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: gw1 + " " + one,
			says: "30080 is the nodePort of demo/web: kube-proxy on one"},
		{name: "outside, node without", from: "outside", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: cp},
		{name: "host", from: "host", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: cp},
		{name: "pod, its own node", from: "pod/one", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: gw1 + " " + one},
		{name: "pod, another node", from: "pod/one", to: two + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: gw2 + " " + two},
		{name: "node, itself", from: "node/one", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: gw1 + " " + one},
		{name: "node, another node", from: "node/one", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: cp},
		{name: "no endpoint", from: "outside", to: cp + ":30080", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) { f.unready("a", "b") }},
		{name: "no endpoint, node itself", from: "node/cp", to: cp + ":30080", rule: ruleNoEndpoints, want: "Refused", change: func(f *fixture) { f.unready("a", "b") }},
		{name: "no endpoint, node itself", from: "node/cp", to: cp + ":30080", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { iptables(f); f.unready("a", "b") }},
		{name: "neighbour", from: "outside", to: cp + ":30081", rule: ruleNodePortFree, want: "Refused"},
		{name: "neighbour, pod", from: "pod/one", to: two + ":30081", rule: ruleNodePortFree, want: "Refused"},
		{name: "neighbour, node", from: "node/one", to: one + ":30081", rule: ruleNodePortFree, want: "Refused"},
		{name: "UDP of a TCP nodePort", from: "outside", to: cp + ":30080/UDP", rule: ruleNodePortFree, want: "Refused"},
		{name: "after the Service gave it up", from: "outside", to: cp + ":30080", rule: ruleNodePortFree, want: "Refused",
			change: func(f *fixture) { f.web().Spec.Ports[0].NodePort = 0 }},
		{name: "Service port at a node", from: "outside", to: cp + ":80", rule: ruleNodePortFree, want: "Refused"},
		{name: "targetPort at a node", from: "outside", to: cp + ":8080", rule: ruleNodePortFree, want: "Refused"},
		{name: "single-stack Service, the other family", from: "outside", to: "[fc00::2]:30080", rule: ruleNodePortFamily, want: "Refused",
			change: func(f *fixture) { f.web().Spec.ClusterIPs = []string{webIP} }, says: "in IPv4 only"},
		{name: "IPv6", from: "outside", to: "[fc00::2]:30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: "fc00::2"},
		{name: "second address", from: "outside", to: "172.18.1.3:30080", rule: ruleNodePortSecondary, want: "Refused", change: func(f *fixture) { f.secondAddress() }},
		{name: "second address", from: "outside", to: "172.18.1.3:30080", rule: ruleNodePort, want: "Reached", backends: "a b",
			change: func(f *fixture) { iptables(f); f.secondAddress() }},
		{name: "of another namespace", from: "outside", to: cp + ":30099", rule: ruleElsewhere, want: "Reached Refused TimedOut Unreachable WrongAnswer",
			change: func(f *fixture) { f.elsewhere() }},
		{name: "node not Ready", from: "outside", to: two + ":30080", rule: ruleNodeNotReady, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.notReady("two") }},
		{name: "node not Ready, from itself", from: "node/two", to: two + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", change: func(f *fixture) { f.notReady("two") }},
		{name: "loopback", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostNFTables, want: "Refused"},
		{name: "loopback", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostServed, want: "Reached", backends: "a b", sources: gw1 + " " + one, change: iptables},
		{name: "loopback, node without endpoint", from: "node/cp", to: "127.0.0.1:30080", rule: ruleLocalhostServed, want: "Reached", backends: "a b", sources: cp, change: iptables},
		{name: "loopback, policy Local", from: "node/cp", to: "127.0.0.1:30080", rule: ruleLocalhostServed, want: "Reached", backends: "a b", sources: cp,
			change: func(f *fixture) { iptables(f); f.local() }},
		{name: "loopback, no endpoint", from: "node/cp", to: "127.0.0.1:30080", rule: ruleNoEndpoints, want: "Refused",
			change: func(f *fixture) { iptables(f); f.unready("a", "b") }},
		{name: "loopback", from: "node/one", to: "[::1]:30080", rule: ruleLocalhostIPv6, want: "Refused"},
		{name: "loopback", from: "node/one", to: "[::1]:30080", rule: ruleLocalhostIPv6, want: "Refused", change: iptables},
		{name: "loopback, policy Local, none there", from: "node/cp", to: "[::1]:30080", rule: ruleLocalhostIPv6, want: "TimedOut",
			change: func(f *fixture) { iptables(f); f.local() }, says: "in iptables mode the packet is dropped"},
		{name: "loopback, policy Local, one there", from: "node/one", to: "[::1]:30080", rule: ruleLocalhostIPv6, want: "Refused", change: func(f *fixture) { iptables(f); f.local() }},
		{name: "loopback, policy Local, none anywhere", from: "node/cp", to: "[::1]:30080", rule: ruleLocalhostIPv6, want: "Refused",
			change: func(f *fixture) { iptables(f); f.local(); f.unready("a", "b") }},
		{name: "loopback, by a process", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostProxied, want: "Reached", backends: "a b", sources: gw1 + " " + one, change: loopbackProxy},
		{name: "loopback, by a process", from: "node/cp", to: "[::1]:30080", rule: ruleLocalhostProxied, want: "Reached", backends: "a b", change: loopbackProxy},
		{name: "loopback, by a process, policy Local, none there", from: "node/cp", to: "127.0.0.1:30080", rule: ruleLocalhostProxied, want: "WrongAnswer", says: "has no endpoint for it, and closes it",
			change: func(f *fixture) { loopbackProxy(f); f.local() }},
		{name: "loopback, by a process, policy Local, one there", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostProxied, want: "Reached", backends: "a", sources: gw1 + " " + one,
			change: func(f *fixture) { loopbackProxy(f); f.local() }},
		{name: "loopback, not named among nodePortAddresses", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostNFTables, want: "Refused",
			change: func(f *fixture) { f.Facts.LoopbackProxy = true; f.Facts.NodePortAddresses = []string{"all"} }},
		{name: "switched off", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostOff, want: "Refused", change: func(f *fixture) { iptables(f); f.Facts.NoLocalhostNodePorts = true }},
		{name: "switched off, policy Local, none there", from: "node/cp", to: "127.0.0.1:30080", rule: ruleLocalhostOff, want: "TimedOut",
			change: func(f *fixture) { iptables(f); f.local(); f.Facts.NoLocalhostNodePorts = true }},
		{name: "not among nodePortAddresses", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostOff, want: "Refused",
			change: func(f *fixture) { iptables(f); f.Facts.NodePortAddresses = []string{"172.18.0.0/16"} }},
		{name: "nodePortAddresses of the primary address", from: "outside", to: "172.18.1.3:30080", rule: ruleNodePortElsewhere, want: "Refused",
			change: func(f *fixture) { iptables(f); f.secondAddress(); f.Facts.NodePortAddresses = []string{"primary"} }},
		{name: "nodePortAddresses of a prefix, at an address outside it, policy Local, none there", from: "outside", to: cp + ":30080", rule: ruleNodePortElsewhere, want: "TimedOut",
			change: func(f *fixture) { iptables(f); f.local(); f.Facts.NodePortAddresses = []string{"172.18.1.0/24"} }},
		{name: "nodePortAddresses of all", from: "outside", to: "172.18.1.3:30080", rule: ruleNodePort, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.secondAddress(); f.Facts.NodePortAddresses = []string{"all"} }},
		{name: "nodePortAddresses of the other family only", from: "outside", to: "172.18.1.3:30080", rule: ruleNodePort, want: "Reached", backends: "a b",
			change: func(f *fixture) { f.secondAddress(); f.Facts.NodePortAddresses = []string{"fc00::/64"} }},
		{name: "loopback, nodePortAddresses of the primary address", from: "node/one", to: "127.0.0.1:30080", rule: ruleLocalhostOff, want: "Refused",
			change: func(f *fixture) { iptables(f); f.Facts.NodePortAddresses = []string{"primary"} }},
		{name: "loopback, an unused port", from: "node/one", to: "127.0.0.1:30081", rule: ruleNodePortFree, want: "Refused", change: iptables},
		{name: "loopback of a pod", from: "pod/one", to: "127.0.0.1:30080", rule: ruleLocalhostOwn, want: "Refused", change: iptables},
	}
}

func localCases() []tc {
	local := func(f *fixture) { f.local() }
	with := func(changes ...func(*fixture)) func(*fixture) {
		return func(f *fixture) {
			f.local()
			for _, change := range changes {
				change(f)
			}
		}
	}
	return []tc{
		{name: "outside, endpoint there", from: "outside", to: one + ":30080", rule: ruleETPLocal, want: "Reached", backends: "a", sources: outsideIP, change: local},
		{name: "outside, none there", from: "outside", to: cp + ":30080", rule: ruleETPLocalNone, want: "TimedOut", change: local,
			says: "externalTrafficPolicy is Local and cp has no ready endpoint of demo/web, so the packet is dropped"},
		{name: "host, endpoint there", from: "host", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b", sources: "172.18.0.1", change: local},
		{name: "no endpoint anywhere", from: "outside", to: cp + ":30080", rule: ruleNoEndpoints, want: "Refused", change: with(func(f *fixture) { f.unready("a", "b") })},
		{name: "pod, its own node without endpoint", from: "pod/cp", to: cp + ":30080", rule: ruleETPPod, want: "Reached", backends: "a b", sources: "10.244.0.9", change: local},
		{name: "pod, its own node", from: "pod/one", to: one + ":30080", rule: ruleETPPod, want: "Reached", backends: "a b", sources: pod1, change: local},
		{name: "pod, another node with an endpoint", from: "pod/one", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b", sources: one, change: local},
		{name: "pod, another node without", from: "pod/one", to: cp + ":30080", rule: ruleETPLocalNone, want: "TimedOut", change: local},
		{name: "pod, another node without, address kept on the way", from: "pod/one", to: cp + ":30080", rule: ruleAstray, want: "TimedOut",
			change: with(func(f *fixture) { f.Facts.PodToNode = world.EgressPod }), says: "an endpoint that is not on cp answers the client directly"},
		{name: "pod, another node with one of two, address kept on the way", from: "pod/one", to: two + ":30080", rule: ruleAstray, want: "Reached TimedOut", backends: "b", sources: pod1,
			change: with(func(f *fixture) { f.Facts.PodToNode = world.EgressPod })},
		{name: "pod, another node, not known", from: "pod/one", to: two + ":30080", rule: ruleETPUnknown, want: "Reached TimedOut", backends: "b", any: true, sources: pod1 + " " + one,
			change: with(func(f *fixture) { f.Facts.PodToNode = world.EgressUnknown })},
		{name: "pod, another node, its own has a further address", from: "pod/one", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b", sources: "10.244.1.0 " + one,
			change: with(func(f *fixture) { f.sourceOf("one", "10.244.1.0/32") })},
		{name: "policy Cluster does not depend on it", from: "pod/one", to: cp + ":30080", rule: ruleNodePort, want: "Reached", backends: "a b", sources: cp,
			change: func(f *fixture) { f.Facts.PodToNode = world.EgressUnknown }},
		{name: "node, itself without endpoint", from: "node/cp", to: cp + ":30080", rule: ruleETPNode, want: "Reached", backends: "a b", sources: cp, change: local},
		{name: "node, itself", from: "node/one", to: one + ":30080", rule: ruleETPNode, want: "Reached", backends: "a b", sources: gw1 + " " + one, change: local},
		{name: "node, another node with an endpoint", from: "node/one", to: two + ":30080", rule: ruleETPLocal, want: "Reached", backends: "b", sources: one, change: local},
		{name: "node, another node without", from: "node/one", to: cp + ":30080", rule: ruleETPLocalNone, want: "TimedOut", change: local},
		{name: "load balancer, outside", from: "outside", to: lbIP + ":80", rule: ruleETPLocal, want: "Reached", backends: "a", sources: outsideIP, change: local},
		{name: "load balancer, outside, announced where none is", from: "outside", to: lbIP + ":80", rule: ruleETPLocalNone, want: "TimedOut",
			change: with(func(f *fixture) { f.announce("cp") })},
		{name: "load balancer, pod", from: "pod/cp", to: lbIP + ":80", rule: ruleETPPod, want: "Reached", backends: "a b", sources: "10.244.0.9", change: local},
		{name: "load balancer, node", from: "node/cp", to: lbIP + ":80", rule: ruleETPNode, want: "Reached", backends: "a b", sources: cp, change: local},
		{name: "ClusterIP is not touched", from: "pod/cp", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "a b", sources: "10.244.0.9", change: local},
		{name: "endpoint written by hand, without its node", from: "outside", to: one + ":30080", rule: ruleETPLocalNone, want: "TimedOut",
			change: with(func(f *fixture) { f.byHand("10.244.1.11", 8080) })},
		{name: "the slice says another node than the pod's", from: "outside", to: two + ":30080", rule: ruleAstray, want: "Reached TimedOut", backends: "b", sources: outsideIP,
			change: with(func(f *fixture) { f.each("a", func(e *discoveryv1.Endpoint) { e.NodeName = ptr("two") }) })},
		{name: "pods by the node's own range, a pod of it", from: "pod/cp", to: cp + ":30080", rule: ruleETPPod, want: "Reached", backends: "a b", sources: "10.244.0.9",
			change: with(func(f *fixture) { f.Facts.Detection = world.DetectNodeCIDR })},
		{name: "pods by the node's own range, a pod of another", from: "pod/one", to: cp + ":30080", rule: ruleETPLocalNone, want: "TimedOut",
			change: with(func(f *fixture) { f.Facts.Detection = world.DetectNodeCIDR; f.Facts.PodToNode = world.EgressPod })},
		{name: "not known how pods are told from others", from: "pod/cp", to: cp + ":30080", rule: ruleDetectUnknown, want: "TimedOut Reached", backends: "a b", any: true, sources: "10.244.0.9",
			change: with(func(f *fixture) { f.Facts.PodCIDRs, f.Facts.Detection = nil, world.DetectUnknown })},
		{name: "not known how pods are told from others, node", from: "node/cp", to: cp + ":30080", rule: ruleETPNode, want: "Reached", backends: "a b", sources: cp,
			change: with(func(f *fixture) { f.Facts.PodCIDRs, f.Facts.Detection = nil, world.DetectUnknown })},
		{name: "back to the pod itself, through another node", from: "a", to: two + ":30080", rule: ruleHairpinAcross, want: "Reached TimedOut", backends: "b", sources: "10.244.1.11",
			change: with(func(f *fixture) { f.Facts.PodToNode = world.EgressPod })},
		{name: "back to the pod itself, through another node, no other endpoint", from: "a", to: two + ":30080", rule: ruleHairpinAcross, want: "TimedOut",
			change: with(func(f *fixture) { f.Facts.PodToNode = world.EgressPod; f.slice("web", "a") })},
		{name: "back to the pod itself, through another node", from: "a", to: two + ":30080", rule: ruleETPPod, want: "Reached", backends: "a b", sources: "10.244.1.11 " + two,
			change: with(func(f *fixture) { iptables(f); f.Facts.PodToNode = world.EgressPod })},
		{name: "without local detection pods are outside", from: "pod/cp", to: cp + ":30080", rule: ruleETPLocalNone, want: "TimedOut",
			change: with(func(f *fixture) { f.Facts.PodCIDRs = nil })},
	}
}

// sourceCases are about addresses that no other case has: endpoints on the host network, and pods that leave
// the pod network.
func sourceCases() []tc {
	hostOnly := func(f *fixture) { f.hostPod("h", "one"); f.slice("web", "h") }
	mixed := func(f *fixture) { f.hostPod("h", "one"); f.slice("web", "h", "b") }
	return []tc{
		{name: "host endpoint here, pod", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: pod1, change: hostOnly},
		{name: "host endpoint there, pod", from: "pod/two", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: two, change: hostOnly},
		{name: "host endpoint there, pod, kept", from: "pod/two", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: pod2,
			change: func(f *fixture) { hostOnly(f); f.Facts.PodToNode = world.EgressPod }},
		{name: "host endpoint there, pod, not known", from: "pod/two", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: pod2 + " " + two,
			change: func(f *fixture) { hostOnly(f); f.Facts.PodToNode = world.EgressUnknown }},
		{name: "host endpoint here, node", from: "node/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: gw1 + " " + one, change: hostOnly},
		{name: "host endpoint here, node, without local detection", from: "node/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: gw1 + " " + one,
			change: func(f *fixture) { hostOnly(f); f.Facts.PodCIDRs = nil }},
		{name: "host endpoint here that the slice has elsewhere, node, without local detection", from: "node/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one", sources: one,
			change: func(f *fixture) {
				hostOnly(f)
				f.Facts.PodCIDRs = nil
				f.each("h", func(e *discoveryv1.Endpoint) { e.NodeName = ptr("two") })
			}},
		{name: "external host that the slice has here, node", from: "node/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "outside", sources: one,
			change: func(f *fixture) { f.byHand(outsideIP, 80); f.Slices[0].Endpoints[0].NodeName = ptr("one") }},
		{name: "pod written by hand, without the pod range", from: "pod/one", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "b", sources: pod1,
			change: func(f *fixture) { f.byHand("10.244.2.12", 8080); f.Facts.PodCIDRs = nil }},
		{name: "host endpoint at the node probed, outside", from: "outside", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "one", sources: outsideIP, change: hostOnly,
			says: "the endpoint sees the client's own address."},
		{name: "host endpoint at the node probed, another node", from: "node/two", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "one", sources: two, change: hostOnly},
		{name: "host endpoint elsewhere, outside", from: "outside", to: two + ":30080", rule: ruleNodePort, want: "Reached", backends: "one", sources: two, change: hostOnly},
		{name: "host endpoint and pod elsewhere, outside", from: "outside", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "b one", sources: one + " " + outsideIP, change: mixed,
			says: "the client's own address or one of one's"},
		{name: "client's address not known", from: "bare", to: webIP + ":80", rule: ruleClusterIP, want: "Reached", backends: "one two", sources: "?",
			change: func(f *fixture) { f.hostPod("h", "one"); f.hostPod("g", "two"); f.slice("web", "g", "h") }},
		{name: "further addresses of a node", from: "outside", to: one + ":30080", rule: ruleNodePort, want: "Reached", backends: "b", sources: "10.244.1.0 " + one,
			change: func(f *fixture) { f.slice("web", "b"); f.sourceOf("one", "10.244.1.0/32") }},
	}
}
