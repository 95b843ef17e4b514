package oracle

// RulesOverTime are the rules of what a change may do to traffic under way.
func RulesOverTime() []Rule {
	return []Rule{
		{ruleOverBystander, "A change that gives a new connection the same answers as before is not noticed by any client.", docVirtualIPs},
		{ruleOverRewritten, "A change of a Service's objects that gives a new connection the same answers as before is not noticed, but for the instant in which a node in nftables mode writes its rules again.", docNFTDiff},
		{ruleOverNew, "A new connection gets, once the change is in force, what the objects say then.", docVirtualIPs},
		{ruleOverAffinity, "sessionAffinity ClientIP keeps a client with its endpoint as long as that is one, whatever else changes.", docAffinity},
		{ruleOverTCP, "An established TCP connection stays with its backend whatever becomes of the Service and of its endpoints, as long as the backend is there.", docTermination},
		{ruleOverGone, "A TCP connection ends with its backend, in silence or by its kernel, which closes or resets it; a new one gets what the objects say.", docTermination},
		{ruleOverUDP, "Datagrams from one port stay with their backend as long as it serves as an endpoint, whatever the policies say.", sourceCleanup},
		{ruleOverUDPTransit, "A pod's datagrams to a node port of another node may lose an answer whenever endpoints of a UDP port change: its own node deletes conntrack entries by the number of the node port, whosever address it is.", sourceCleanup},
		{ruleOverUDPStale, "Datagrams from one port leave a backend that serves no longer, as soon as another endpoint serves. An answer on its way then is not translated back.", sourceCleanup},
		{ruleOverUDPPassing, "Datagrams from one port may leave a backend that for a moment served no longer.", sourceCleanup},
		{ruleOverSlices, "While several EndpointSlices of a Service are written, traffic may for a moment not get an endpoint that moves from one of them to another, and datagrams from one port may leave it.", sourceSlices},
		{ruleOverUDPEnds, "When no endpoint serves any more, datagrams from one port get what a new connection gets, but at a node port.", sourceCleanup},
		{ruleOverUDPKept, "When a port is not served any more, or a node port has no endpoint that serves, datagrams from one port go on to the backend that they went to.", sourceCleanup},
		{ruleOverUDPNone, "When a port is not served any more, or a node port has no endpoint that serves, datagrams from one port go on to where a backend was that is gone, and are lost.", sourceCleanup},
		{ruleOverOneWayRanges, "Datagrams that are not answered are checked against loadBalancerSourceRanges each time.", kepNFTables},
		{RuleOverSwitch, "While a node's kube-proxy changes its mode, new connections through it may be lost or get another endpoint; those that are established are not affected.", kepNFTables},
		{ruleOverFailover, "When another node announces a load balancer's address, connections through the one before end.", docLayer2},
		{ruleOverCut, "When a node loses its conntrack entries, each flow is a new connection.", sourceCleanup},
	}
}

// sourceCleanup is what kube-proxy of v1.37 does with conntrack entries.
const sourceCleanup = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/proxy/conntrack/cleanup.go"

// sourceSlices is how the EndpointSlice controller of v1.37 writes slices.
const sourceSlices = "https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/endpointslice/reconciler.go"

// RuleOverSwitch is the rule of new connections through a node whose kube-proxy changes its mode.
const RuleOverSwitch = "over-time-switch"

// The identifiers of the other rules over time.
const (
	ruleOverBystander    = "over-time-bystander"
	ruleOverRewritten    = "over-time-rewritten"
	ruleOverNew          = "over-time-new"
	ruleOverAffinity     = "over-time-affinity"
	ruleOverTCP          = "over-time-tcp"
	ruleOverGone         = "over-time-backend-gone"
	ruleOverUDP          = "over-time-udp"
	ruleOverUDPTransit   = "over-time-udp-transit"
	ruleOverUDPStale     = "over-time-udp-stale"
	ruleOverUDPPassing   = "over-time-udp-passing"
	ruleOverSlices       = "over-time-slices"
	ruleOverUDPEnds      = "over-time-udp-ends"
	ruleOverUDPKept      = "over-time-udp-no-endpoints"
	ruleOverUDPNone      = "over-time-udp-nothing"
	ruleOverOneWayRanges = "over-time-one-way-ranges"
	ruleOverFailover     = "over-time-failover"
	ruleOverCut          = "over-time-forgotten"
)
