package oracle

// Rule is one statement of how Services behave, as the oracle applies it.
type Rule struct {
	// ID is short and stable: Prediction.Rule.
	ID string
	// Statement says the rule in one sentence.
	Statement string
	// Doc is the Kubernetes document or KEP it rests on.
	Doc string
}

// Where rules are written down.
const (
	docService     = "https://kubernetes.io/docs/concepts/services-networking/service/"
	docVirtualIPs  = "https://kubernetes.io/docs/reference/networking/virtual-ips/"
	docAffinity    = docVirtualIPs + "#session-affinity"
	docPolicies    = docVirtualIPs + "#traffic-policies"
	docNFTDiff     = docVirtualIPs + "#migrating-from-iptables-mode-to-nftables"
	docITP         = "https://kubernetes.io/docs/concepts/services-networking/service-traffic-policy/"
	docDNS         = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/"
	docDualStack   = "https://kubernetes.io/docs/concepts/services-networking/dual-stack/"
	docSlices      = "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/"
	docSourceIP    = "https://kubernetes.io/docs/tutorials/services/source-ip/"
	docTermination = "https://kubernetes.io/docs/tutorials/services/pods-and-endpoint-termination-flow/"
	docDebug       = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/"
	docNetworking  = "https://kubernetes.io/docs/concepts/cluster-administration/networking/"
	docProxyConfig = "https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/"
	docNodes       = "https://kubernetes.io/docs/concepts/architecture/nodes/"
	docLayer2      = "https://metallb.universe.tf/concepts/layer2/"
	kepIPMode      = "https://kep.k8s.io/1860"
	kepLocalhost   = "https://kep.k8s.io/6032"
	kepNFTables    = "https://kep.k8s.io/3866"
	kepTerminating = "https://kep.k8s.io/1669"
	kepSameNode    = "https://kep.k8s.io/3015"
	kepSameZone    = "https://kep.k8s.io/4444"
)

// The identifiers of the rules.
const (
	ruleLacksFamily       = "vantage-lacks-family"
	ruleClusterIP         = "clusterip"
	ruleITPLocal          = "itp-local"
	ruleITPLocalNone      = "itp-local-no-endpoint"
	ruleNoEndpoints       = "no-endpoints"
	ruleNoEndpointsOutput = "no-endpoints-iptables-output"
	ruleUndeclaredRefused = "clusterip-undeclared-port-refused"
	ruleUndeclaredDropped = "clusterip-undeclared-port-dropped"
	ruleUndeclaredRouted  = "clusterip-undeclared-port-routed"
	ruleUnallocated       = "clusterip-unallocated"
	ruleNoRoute           = "outside-no-route"
	ruleHostNoRoute       = "host-no-route"
	ruleModeUnknown       = "proxy-mode-unknown"
	ruleDetectUnknown     = "local-detection-unknown"

	ruleNodePort          = "nodeport"
	ruleNodePortFree      = "nodeport-unallocated"
	ruleNodePortFamily    = "nodeport-other-family"
	ruleNodePortSecondary = "nodeport-secondary-address"
	ruleNodePortElsewhere = "nodeport-addresses"
	ruleElsewhere         = "other-namespace"
	ruleETPLocal          = "etp-local"
	ruleETPLocalNone      = "etp-local-no-endpoint"
	ruleETPPod            = "etp-local-pod-short-circuit"
	ruleETPNode           = "etp-local-node-short-circuit"
	ruleETPUnknown        = "etp-local-source-unknown"
	ruleNodeNotReady      = "node-not-ready"
	ruleLocalhostServed   = "localhost-nodeport-served"
	ruleLocalhostNFTables = "localhost-nodeport-nftables"
	ruleLocalhostIPv6     = "localhost-nodeport-ipv6"
	ruleLocalhostOff      = "localhost-nodeport-off"
	ruleLocalhostProxied  = "localhost-nodeport-proxied"
	ruleLocalhostOwn      = "localhost-own"

	ruleLB           = "loadbalancer"
	ruleLBInside     = "loadbalancer-inside"
	ruleLBUnclaimed  = "loadbalancer-not-announced"
	ruleLBUnknown    = "loadbalancer-announcer-unknown"
	ruleLBProxyMode  = "loadbalancer-proxy-mode"
	ruleLBRanges     = "loadbalancer-source-ranges"
	ruleLBUndeclared = "loadbalancer-undeclared-port"
	ruleExternalIP   = "externalip"
	ruleExtIPNoRoute = "externalip-not-routed"
	ruleExtIPUndecl  = "externalip-undeclared-port"
	ruleAddressFree  = "address-unassigned"
	ruleShared       = "address-shared"

	ruleDNS          = "dns-clusterip"
	ruleDNSHeadless  = "dns-headless"
	ruleDNSEmpty     = "dns-headless-empty"
	ruleDNSPod       = "dns-pod-name"
	ruleDNSNone      = "dns-no-such-name"
	ruleDNSOutside   = "dns-not-cluster"
	ruleDNSNode      = "dns-node-resolver"
	ruleCNAME        = "externalname"
	ruleCNAMEPort    = "externalname-port"
	ruleCNAMECluster = "externalname-cluster-name"
	ruleCNAMENone    = "externalname-no-answer"
	ruleCNAMEAddress = "externalname-address"
	ruleCNAMEUnknown = "externalname-unknown"

	ruleEndpoint         = "endpoint-direct"
	ruleEndpointDeaf     = "endpoint-not-listening"
	ruleEndpointPartly   = "endpoint-partly-listening"
	ruleEndpointUnknown  = "endpoint-unknown"
	ruleEndpointGone     = "endpoint-gone"
	ruleAffinity         = "affinity-clientip"
	ruleTerminating      = "terminating-fallback"
	ruleSameZone         = "distribution-same-zone"
	ruleSameNode         = "distribution-same-node"
	ruleHairpin          = "hairpin"
	ruleHairpinAcross    = "hairpin-across-nodes"
	ruleAstray           = "answers-astray"
	rulePublish          = "publish-not-ready"
	ruleHealthServing    = "healthcheck-serving"
	ruleHealthNotServing = "healthcheck-not-serving"
	ruleHealthClosed     = "healthcheck-closed"
	ruleHealthSecondary  = "healthcheck-secondary-address"
)

// Rules are all rules the oracle applies, grouped by what they are about. If several apply to one
// prediction, it has the most specific one, and its Reason mentions the others.
func Rules() []Rule {
	return []Rule{
		{ruleLacksFamily, "A client without an address of an IP family reaches nothing in that family.", docDualStack},
		{ruleClusterIP, "A ClusterIP's declared ports lead from every pod and node to any ready endpoint; a pod's own address is kept, a node's is rewritten to one of its own.", docVirtualIPs},
		{ruleITPLocal, "With internalTrafficPolicy Local, the ClusterIP leads to endpoints on the client's node only.", docITP},
		{ruleITPLocalNone, "With internalTrafficPolicy Local and no endpoint on the client's node, packets to the ClusterIP are dropped, though other nodes have endpoints.", docITP},
		{ruleNoEndpoints, "A Service port without any usable endpoint in the whole cluster is refused at every address it has.", docVirtualIPs},
		{ruleNoEndpointsOutput, "In iptables mode a node's own packets to a load-balancer or external IP without endpoints are not refused by that node: they go to the node that has the address.", docVirtualIPs},
		{ruleUndeclaredRefused, "In nftables mode every port of a ClusterIP that its Service does not declare is refused.", kepNFTables},
		{ruleUndeclaredDropped, "In iptables mode a ClusterIP's undeclared ports are not handled: the packet follows the node's default route, where svclab's nodes drop it.", kepNFTables},
		{ruleUndeclaredRouted, "In iptables mode a ClusterIP's undeclared ports are not handled: the packet follows the node's default route, and the outcome depends on the network there.", kepNFTables},
		{ruleUnallocated, "An address of the Service range that no Service has leads nowhere: nftables mode drops it, iptables mode leaves it to the default route.", kepNFTables},
		{ruleNoRoute, "Cluster-internal addresses have no meaning outside the cluster: a client there without a route cannot even send.", docService},
		{ruleHostNoRoute, "The host has no route into the cluster's ranges; what its default route does with such packets is unknown.", docService},
		{ruleModeUnknown, "Where proxy modes differ, the outcome is not predicted if the mode is not known, or is neither nftables nor iptables.", docVirtualIPs},
		{ruleDetectUnknown, "Whether a pod's packet is masqueraded, or spared externalTrafficPolicy Local, is not predicted where it is not known how kube-proxy tells pods from others.", docProxyConfig},

		{ruleNodePort, "A nodePort answers on every node, whichever nodes run the endpoints, and the source address becomes the receiving node's.", docSourceIP},
		{ruleNodePortFree, "A node refuses a port that is no Service's nodePort and has no listener.", docService + "#type-nodeport"},
		{ruleNodePortFamily, "A nodePort is served only in the IP families of its Service.", docDualStack},
		{ruleNodePortSecondary, "In nftables mode nodePorts are served on each node's primary address only.", docNFTDiff},
		{ruleNodePortElsewhere, "kube-proxy's nodePortAddresses limit the addresses of a node at which nodePorts are served.", docProxyConfig},
		{ruleElsewhere, "A Service whose endpoints are not in the snapshot may answer in any way.", docService},
		{ruleETPLocal, "With externalTrafficPolicy Local, traffic from outside reaches endpoints on the receiving node only, and they see the client's own address.", docSourceIP},
		{ruleETPLocalNone, "With externalTrafficPolicy Local, a node without an endpoint drops traffic from outside.", docPolicies},
		{ruleETPPod, "Pods of the cluster are not subject to externalTrafficPolicy Local: their node sends them to any endpoint, with their own address kept.", docPolicies},
		{ruleETPNode, "A node's own traffic to its external addresses is not subject to externalTrafficPolicy Local: it goes to any endpoint, from an address of the node.", docPolicies},
		{ruleETPUnknown, "Whether externalTrafficPolicy Local applies to a pod's request to another node depends on whether the pod network rewrites the pod's address on the way, which is not known here.", docPolicies},
		{ruleNodeNotReady, "Whether a node that is not Ready answers is not known; if it does, its proxy follows the objects as any other's does.", docNodes},
		{ruleLocalhostServed, "In iptables mode IPv4 nodePorts are served on a node's loopback too, to any endpoint, from an address of the node.", docNFTDiff},
		{ruleLocalhostNFTables, "In nftables mode nodePorts are not served on loopback addresses.", docNFTDiff},
		{ruleLocalhostIPv6, "No proxy mode serves nodePorts on ::1: they are refused, or in iptables mode dropped where policy Local leaves the node no endpoint.", docNFTDiff},
		{ruleLocalhostOff, "With localhostNodePorts false, or nodePortAddresses without the loopback address, iptables mode does not serve nodePorts there.", docProxyConfig},
		{ruleLocalhostProxied, "With the feature gate KubeProxyNFTablesLocalhostNodePorts, and nodePortAddresses that name loopback addresses, kube-proxy serves TCP nodePorts there in nftables mode, by a process.", kepLocalhost},
		{ruleLocalhostOwn, "A loopback address leads back to the client itself.", docService + "#type-nodeport"},

		{ruleLB, "A load-balancer address leads, through the node that announces it, to any endpoint, and the source address becomes that node's.", docService + "#loadbalancer"},
		{ruleLBInside, "Inside the cluster a load-balancer address is served by the client's own node, without a way to the load balancer.", docVirtualIPs},
		{ruleLBUnclaimed, "An address that is assigned but announced by no node does not answer outside the cluster.", docLayer2},
		{ruleLBUnknown, "Which node a load balancer delivers to is not known if no object reports it.", docService + "#loadbalancer"},
		{ruleLBProxyMode, "kube-proxy leaves a load-balancer address with ipMode Proxy alone: every client reaches the load balancer itself.", kepIPMode},
		{ruleLBRanges, "Sources outside loadBalancerSourceRanges are dropped at the load-balancer address, those inside the cluster included.", docService + "#loadbalancer"},
		{ruleLBUndeclared, "A port that no Service declares at a load-balancer address is not served; the address itself is no node's.", docLayer2},
		{ruleExternalIP, "An external IP leads to the Service's endpoints wherever the packet comes to a node: for pods and nodes, on their own node.", docService + "#external-ips"},
		{ruleExtIPNoRoute, "Kubernetes does not announce external IPs: without a route to a node they do not answer outside.", docService + "#external-ips"},
		{ruleExtIPUndecl, "A port that no Service declares at an external IP is not served by the nodes.", docService + "#external-ips"},
		{ruleShared, "Of several Services with the same address and port, which one is served is not defined.", docService + "#external-ips"},
		{ruleAddressFree, "An address that no host has does not answer.", docService},

		{ruleDNS, "A Service's name resolves, for pods, to its ClusterIP.", docDNS},
		{ruleDNSHeadless, "A headless Service's name resolves to the addresses of its ready endpoints; no port is mapped.", docService + "#headless-services"},
		{ruleDNSEmpty, "The name of a headless Service without ready endpoints has no address.", docService + "#headless-services"},
		{ruleDNSPod, "An endpoint's own name under its Service resolves to that endpoint only.", docDNS},
		{ruleDNSNone, "A name that no Service has for this client, or that has no address of the requested IP family, does not resolve.", docDNS},
		{ruleDNSOutside, "No resolver outside the cluster knows the cluster's DNS names.", docDNS},
		{ruleDNSNode, "A node resolves names by its own resolver, which does not know the cluster's.", docDNS},
		{ruleCNAME, "An ExternalName is a CNAME in DNS and nothing more: the client connects to that host itself, with the Host header it was going to send.", docService + "#externalname"},
		{ruleCNAMEPort, "An ExternalName maps no port: the host behind it must listen on the port that the client uses.", docService + "#externalname"},
		{ruleCNAMECluster, "An ExternalName that names another Service leads to that Service.", docService + "#externalname"},
		{ruleCNAMENone, "An ExternalName whose target does not resolve does not resolve either.", docService + "#externalname"},
		{ruleCNAMEAddress, "An ExternalName that looks like an IP address is not resolved.", docService + "#externalname"},
		{ruleCNAMEUnknown, "What is behind an external name that the facts do not list is not known.", docService + "#externalname"},

		{ruleEndpoint, "A pod answers at its own address on the port it listens on, with no Service involved, ready or not.", docNetworking},
		{ruleEndpointDeaf, "A Service delivers to the targetPort whether or not anything listens there: if nothing does, the connection is refused; of many datagrams at once only some are, and the others are lost.", docDebug},
		{ruleEndpointPartly, "Connections are spread without regard to which endpoints listen: some are answered, the others refused.", docDebug},
		{ruleEndpointUnknown, "What is behind an endpoint address that is no pod's is not known.", docService + "#services-without-selectors"},
		{ruleEndpointGone, "An address of the pod range that no pod has leads nowhere.", docNetworking},
		{ruleAffinity, "With sessionAffinity ClientIP, all connections from one source address through one node go to one endpoint, until the timeout.", docAffinity},
		{ruleTerminating, "Where no endpoint is ready, those that are terminating but still serve get the traffic.", kepTerminating},
		{ruleSameZone, "Where every ready endpoint has a zone hint and one is for the node's zone, only those for that zone are used.", kepSameZone},
		{ruleSameNode, "Where every ready endpoint has a node hint and one is for the node, only those for that node are used.", kepSameNode},
		{ruleHairpin, "A pod that reaches itself through a Service sees an address of its node as the source.", docDebug},
		{ruleHairpinAcross, "A pod that reaches itself, its own address kept, gets no answer in nftables mode if the proxy takes it for a pod of another node: only for endpoints of its own node it masquerades.", docDebug},
		{ruleAstray, "Where a node sends a packet on to another node and keeps the address of a client that is not its own, the answers do not come back through it, and are lost.", docVirtualIPs},
		{rulePublish, "publishNotReadyAddresses makes endpoints count as ready whatever their pods say.", docSlices},
		{ruleHealthServing, "With externalTrafficPolicy Local, a node that has a ready endpoint says so with 200 at the healthCheckNodePort.", docTermination},
		{ruleHealthNotServing, "With externalTrafficPolicy Local, a node without a ready endpoint says so with 503 at the healthCheckNodePort, even while it serves terminating ones.", docTermination},
		{ruleHealthClosed, "A health-check node port is open only for a LoadBalancer Service with externalTrafficPolicy Local, in its IP families.", docService + "#loadbalancer"},
		{ruleHealthSecondary, "Health checks are answered at the addresses where nodePorts are served: in nftables mode at each node's primary address only.", docNFTDiff},
	}
}
