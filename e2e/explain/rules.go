package explain

// The documents that explain the causes.
const (
	docService     = "https://kubernetes.io/docs/concepts/services-networking/service/"
	docDebug       = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/"
	docDebugPods   = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/"
	docDebugNode   = "https://kubernetes.io/docs/tasks/debug/debug-cluster/"
	docImages      = "https://kubernetes.io/docs/concepts/containers/images/"
	docLifecycle   = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/"
	docProbes      = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
	docLabels      = "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"
	docDNS         = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/"
	docSlices      = "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/"
	docPolicies    = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
	docTermination = "https://kubernetes.io/docs/tutorials/services/pods-and-endpoint-termination-flow/"
	docITP         = "https://kubernetes.io/docs/concepts/services-networking/service-traffic-policy/"
	docVirtualIPs  = "https://kubernetes.io/docs/reference/networking/virtual-ips/"
	docNodes       = "https://kubernetes.io/docs/concepts/architecture/nodes/"
	docNetworking  = "https://kubernetes.io/docs/concepts/cluster-administration/networking/"
	docLBClass     = docService + "#load-balancer-class"
	docLB          = docService + "#loadbalancer"
	docPool        = "https://metallb.universe.tf/usage/"
	docLayer2      = "https://metallb.universe.tf/concepts/layer2/"
)

// rule finds one kind of cause.
type rule struct {
	id, doc string
	// when reports whether the rule is about such a Service; find returns the rule's causes.
	when func(*view) bool
	find func(*view) []Cause
}

// rules returns all rules in the order of their causes: a cause comes before those that follow from it.
func rules() []rule {
	return []rule{
		// there is no such Service
		{"service-in-other-namespace", docDNS + "#namespaces-of-services", (*view).missing, otherNamespace},
		{"no-such-service", docService, (*view).missing, noSuchService},
		// names that lead out of the cluster
		{"external-name-address", docService + "#externalname", (*view).external, externalNameAddress},
		{"external-name-unresolved", docService + "#externalname", (*view).external, externalNameUnresolved},
		{"external-name-port", docService + "#externalname", (*view).external, externalNamePort},
		{"external-name-host-header", docService + "#externalname", (*view).external, externalNameHost},
		// the Service leads to no pod
		{"selector-near-miss", docLabels, (*view).unmatched, selectorNearMiss},
		{"scaled-to-zero", docDebug, (*view).unmatched, scaledToZero},
		{"pods-missing", docDebugPods, (*view).unmatched, podsMissing},
		{"pods-ended", docLifecycle, (*view).routed, podsEnded},
		{"selector-matches-nothing", docDebug + "#does-the-service-have-any-endpointslices", (*view).unmatched, selectorNothing},
		{"selectorless-no-slices", docService + "#services-without-selectors", (*view).byHand, selectorlessEmpty},
		{"slice-port-unset", docSlices, (*view).byHand, slicePortUnset},
		{"slice-port-name", docSlices, (*view).byHand, slicePortName},
		// it leads to pods that are not ready
		{"pod-unschedulable", docDebugPods + "#my-pod-stays-pending", (*view).routed, podRule("pod-unschedulable")},
		{"image-pull", docImages + "#imagepullbackoff", (*view).routed, podRule("image-pull")},
		{"crash-loop", docLifecycle + "#container-states", (*view).routed, podRule("crash-loop")},
		{"container-config", docDebugPods, (*view).routed, podRule("container-config")},
		{"probe-failing", docProbes, (*view).routed, podRule("probe-failing")},
		{"readiness-gate", docLifecycle + "#pod-readiness-gate", (*view).routed, podRule("readiness-gate")},
		{"containers-creating", docDebugPods, (*view).routed, podRule("containers-creating")},
		{"pods-not-ready", docLifecycle, (*view).routed, podRule("pods-not-ready")},
		{"publish-not-ready", docService, (*view).routed, publishNotReady},
		{"only-terminating", docTermination, (*view).routed, onlyTerminating},
		// it leads to a port without a listener
		{"named-port-unresolved", docService + "#field-spec-ports", (*view).routed, namedPort},
		{"protocol-mismatch", docService + "#protocol-support", (*view).routed, portRule("protocol-mismatch")},
		{"loopback-only", docDebug + "#are-the-pods-working", (*view).routed, portRule("loopback-only")},
		{"target-port-deaf", docDebug + "#is-the-service-defined-correctly", (*view).routed, portRule("target-port-deaf")},
		{"network-policy", docPolicies, (*view).routed, networkPolicy},
		{"pod-network", docNetworking, (*view).routed, podNetwork},
		{"selector-too-wide", docLabels, (*view).routed, selectorTooWide},
		// it does not get a load-balancer address
		{"lb-class-unserved", docLBClass, (*view).pending, lbClass},
		{"lb-no-controller", docLB, (*view).pending, lbNoController},
		{"lb-pool-exhausted", docPool, (*view).pending, lbPoolExhausted},
		{"lb-address-refused", docPool, (*view).pending, lbAddressRefused},
		{"lb-pending", docLB, (*view).pending, lbPending},
		{"lb-not-advertised", docLayer2, (*view).routed, lbNotAdvertised},
		{"lb-nodes-excluded", docLayer2, (*view).routed, lbNodesExcluded},
		{"lb-not-announced", docLayer2, (*view).routed, lbNotAnnounced},
		{"lb-source-ranges", docLB, (*view).routed, lbSourceRanges},
		// it is reachable from some vantages only
		{"etp-local-no-endpoint", docVirtualIPs + "#external-traffic-policy", (*view).routed, externalLocal},
		{"itp-local-no-endpoint", docITP, (*view).routed, internalLocal},
		{"external-ip-unrouted", docService + "#external-ips", (*view).routed, externalIPs},
		{"headless-port", docService + "#headless-services", (*view).headless, headlessPort},
		{"headless-no-vip", docService + "#headless-services", (*view).headless, headlessNoVIP},
		{"node-port-differs", docService + "#type-nodeport", (*view).routed, nodePortDiffers},
		{"port-undeclared", docService, (*view).routed, portUndeclared},
		{"protocol-undeclared", docService + "#protocol-support", (*view).routed, protocolUndeclared},
		{"cluster-ip-only", docService + "#type-clusterip", (*view).routed, clusterIPOnly},
		{"dns-only-inside", docDNS, (*view).exists, dnsOnlyInside},
		{"node-port-primary-address", docVirtualIPs + "#migrating-from-iptables-mode-to-nftables", (*view).routed, nodePortPrimary},
		{"health-check-node-port", docTermination, (*view).routed, healthCheckPort},
		{"affinity", docVirtualIPs + "#session-affinity", (*view).routed, affinity},
		// the nodes do not do what the objects say
		{"node-not-ready", docNodes, (*view).routed, nodeNotReady},
		{"kube-proxy-not-running", docDebug + "#is-kube-proxy-working", (*view).routed, proxyNotRunning},
		{"still-changing", docDebug, (*view).unexplained, stillChanging},
		{"kube-proxy-behind", docDebug + "#is-kube-proxy-writing-iptables-rules", (*view).unexplained, proxyBehind},
		{"unexplained", docDebug, (*view).unexplained, unknownReason},
	}
}
