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
	// find returns the rule's causes. explained reports that an earlier rule found a cause: rules of last resort then return
	// none.
	find func(v *view, explained bool) []Cause
}

// simple adapts a rule that does not depend on earlier rules.
func simple(find func(v *view) []Cause) func(*view, bool) []Cause {
	return func(v *view, _ bool) []Cause { return find(v) }
}

// rules returns all rules in the order of their causes: a cause comes before those that follow from it.
func rules() []rule {
	return []rule{
		// there is no such Service
		{"service-in-other-namespace", docDNS + "#namespaces-of-services", simple(otherNamespace)},
		{"no-such-service", docService, simple(noSuchService)},
		// names that lead out of the cluster
		{"external-name-address", docService + "#externalname", simple(externalNameAddress)},
		{"external-name-unresolved", docService + "#externalname", simple(externalNameUnresolved)},
		{"external-name-port", docService + "#externalname", simple(externalNamePort)},
		{"external-name-host-header", docService + "#externalname", simple(externalNameHost)},
		// the Service leads to no pod
		{"selector-near-miss", docLabels, simple(selectorNearMiss)},
		{"scaled-to-zero", docDebug, simple(scaledToZero)},
		{"pods-missing", docDebugPods, simple(podsMissing)},
		{"pods-ended", docLifecycle, simple(podsEnded)},
		{"selector-matches-nothing", docDebug + "#does-the-service-have-any-endpointslices", simple(selectorNothing)},
		{"selectorless-no-slices", docService + "#services-without-selectors", simple(selectorlessEmpty)},
		{"slice-port-unset", docSlices, simple(slicePortUnset)},
		{"slice-port-name", docSlices, simple(slicePortName)},
		// it leads to pods that are not ready
		{"pod-unschedulable", docDebugPods + "#my-pod-stays-pending", podRule("pod-unschedulable")},
		{"image-pull", docImages + "#imagepullbackoff", podRule("image-pull")},
		{"crash-loop", docLifecycle + "#container-states", podRule("crash-loop")},
		{"container-config", docDebugPods, podRule("container-config")},
		{"probe-failing", docProbes, podRule("probe-failing")},
		{"readiness-gate", docLifecycle + "#pod-readiness-gate", podRule("readiness-gate")},
		{"containers-creating", docDebugPods, podRule("containers-creating")},
		{"pods-not-ready", docLifecycle, podRule("pods-not-ready")},
		{"publish-not-ready", docService, simple(publishNotReady)},
		{"only-terminating", docTermination, simple(onlyTerminating)},
		// it leads to a port without a listener
		{"named-port-unresolved", docService + "#field-spec-ports", simple(namedPort)},
		{"protocol-mismatch", docService + "#protocol-support", portRule("protocol-mismatch")},
		{"loopback-only", docDebug + "#are-the-pods-working", portRule("loopback-only")},
		{"target-port-deaf", docDebug + "#is-the-service-defined-correctly", portRule("target-port-deaf")},
		{"network-policy", docPolicies, simple(networkPolicy)},
		{"pod-network", docNetworking, simple(podNetwork)},
		{"selector-too-wide", docLabels, simple(selectorTooWide)},
		// it does not get a load-balancer address
		{"lb-class-unserved", docLBClass, simple(lbClass)},
		{"lb-no-controller", docLB, simple(lbNoController)},
		{"lb-pool-exhausted", docPool, simple(lbPoolExhausted)},
		{"lb-address-refused", docPool, simple(lbAddressRefused)},
		{"lb-pending", docLB, simple(lbPending)},
		{"lb-not-advertised", docLayer2, simple(lbNotAdvertised)},
		{"lb-nodes-excluded", docLayer2, simple(lbNodesExcluded)},
		{"lb-not-announced", docLayer2, simple(lbNotAnnounced)},
		{"lb-source-ranges", docLB, simple(lbSourceRanges)},
		// it is reachable from some vantages only
		{"etp-local-no-endpoint", docVirtualIPs + "#external-traffic-policy", simple(externalLocal)},
		{"itp-local-no-endpoint", docITP, simple(internalLocal)},
		{"external-ip-unrouted", docService + "#external-ips", simple(externalIPs)},
		{"headless-port", docService + "#headless-services", simple(headlessPort)},
		{"headless-no-vip", docService + "#headless-services", simple(headlessNoVIP)},
		{"node-port-differs", docService + "#type-nodeport", simple(nodePortDiffers)},
		{"port-undeclared", docService, simple(portUndeclared)},
		{"protocol-undeclared", docService + "#protocol-support", simple(protocolUndeclared)},
		{"cluster-ip-only", docService + "#type-clusterip", simple(clusterIPOnly)},
		{"dns-only-inside", docDNS, simple(dnsOnlyInside)},
		{"node-port-primary-address", docVirtualIPs + "#migrating-from-iptables-mode-to-nftables", simple(nodePortPrimary)},
		{"health-check-node-port", docTermination, simple(healthCheckPort)},
		{"affinity", docVirtualIPs + "#session-affinity", simple(affinity)},
		// the nodes do not do what the objects say
		{"node-not-ready", docNodes, simple(nodeNotReady)},
		{"kube-proxy-not-running", docDebug + "#is-kube-proxy-working", simple(proxyNotRunning)},
		{"still-changing", docDebug, stillChanging},
		{"kube-proxy-behind", docDebug + "#is-kube-proxy-writing-iptables-rules", proxyBehind},
		{"unexplained", docDebug, unexplained},
	}
}
