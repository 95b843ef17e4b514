package scenario

import "slices"

// Behaviour is one thing Services promise; scenarios say which they verify.
type Behaviour struct {
	// ID is stable; reports count by it.
	ID string
	// Text says in a line what is promised.
	Text string
	// Upstream: Kubernetes' own conformance suite has it. Beyond: upstream never checks it from outside the
	// cluster, or not at all.
	Upstream, Beyond bool
	// Profile says where it is promised.
	Profile Profile
	// Nodes is the least number of schedulable nodes that can show it.
	Nodes int
}

// Profile is a group of behaviours that a cluster is held to.
type Profile string

// The profiles. A run of Extended holds a cluster to Core too.
const (
	// Core is what the Kubernetes API promises in every cluster.
	Core Profile = "core"
	// Extended is what a cluster may have, or may do in its own way: load balancers, dual-stack, traffic policies, node
	// ports on localhost, an even spread, what kubectl does.
	Extended Profile = "extended"
)

// Holds reports whether a run of profile p is about a behaviour of profile of.
func (p Profile) Holds(of Profile) bool { return p == Extended || of == Core }

// Behaviours lists what svclab verifies, in the order reports print it.
func Behaviours() []Behaviour {
	return []Behaviour{
		{ID: "clusterip.basic", Upstream: true, Profile: Core, Nodes: 1,
			Text: "VIP and DNS name reach every ready endpoint from pod, node; not from outside; endpoint churn follows"},
		{ID: "clusterip.undeclared-port", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "a port the Service does not declare is not served (refused in nftables mode, dropped in iptables mode)"},
		{ID: "port.mapping", Beyond: true, Profile: Core, Nodes: 1,
			Text: "port ≠ targetPort ≠ nodePort: each answers only where it should"},
		{ID: "port.multi", Upstream: true, Profile: Core, Nodes: 1,
			Text: "several ports; same number on TCP and UDP; add and remove ports live"},
		{ID: "port.named", Profile: Core, Nodes: 1,
			Text: "named targetPort resolving to different numbers per pod; a name that matches nothing"},
		{ID: "nodeport.every-node", Beyond: true, Profile: Core, Nodes: 2,
			Text: "30080 answers on every node's address from outside and host, whichever node runs the pod"},
		{ID: "nodeport.allocation", Profile: Core, Nodes: 1,
			Text: "automatic in 30000–32767; out of range, taken, and duplicate rejected with the API's reason; released on delete"},
		{ID: "nodeport.localhost", Profile: Extended, Nodes: 1,
			Text: "127.0.0.1:nodePort on a node: iptables yes, nftables no"},
		{ID: "expose.command", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "what kubectl expose and kubectl create service really do; the article's flag is rejected; the equivalents work; kubectl get service shows it"},
		{ID: "lb.assign", Profile: Extended, Nodes: 1,
			Text: "an address from the pool; requested address; pool empty → pending, with the event's reason; freed on delete and type change"},
		{ID: "lb.reach", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "the address answers from outside and host; exactly one node answers ARP/NDP for it"},
		{ID: "lb.no-nodeport", Profile: Extended, Nodes: 1,
			Text: "allocateLoadBalancerNodePorts: false"},
		{ID: "lb.class", Upstream: true, Profile: Extended, Nodes: 1,
			Text: "loadBalancerClass another controller owns is left alone"},
		{ID: "lb.source-ranges", Profile: Extended, Nodes: 2,
			Text: "loadBalancerSourceRanges admits and denies, from outside"},
		{ID: "lb.sharing", Profile: Extended, Nodes: 2,
			Text: "two Services, one address, two ports"},
		{ID: "lb.failover", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "the announcing node dies: time to the first answer and requests lost, measured with traffic flowing"},
		{ID: "external.cname", Upstream: true, Profile: Core, Nodes: 1,
			Text: "the name resolves as a CNAME to spec.externalName; no VIP, no slice; port not mapped; Host header and TLS name unchanged"},
		{ID: "type.change", Upstream: true, Profile: Extended, Nodes: 1,
			Text: "every conversion among the four types, live, with DNS and addresses following"},
		{ID: "headless.dns", Upstream: true, Profile: Core, Nodes: 1,
			Text: "A/AAAA per ready endpoint, SRV, per-pod names, publishNotReadyAddresses"},
		{ID: "dns.service", Upstream: true, Profile: Core, Nodes: 1,
			Text: "A, AAAA, SRV, short and full names, cross-namespace"},
		{ID: "affinity.clientip", Upstream: true, Profile: Extended, Nodes: 2,
			Text: "ClientIP affinity sticks, times out, switches on and off; ClusterIP, NodePort, LB"},
		{ID: "spread", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "traffic spreads evenly over endpoints (chi-square, stated error)"},
		{ID: "etp.cluster", Profile: Extended, Nodes: 3,
			Text: "externalTrafficPolicy: which nodes answer, which pods, which source address; flip live"},
		{ID: "etp.local", Profile: Extended, Nodes: 3,
			Text: "externalTrafficPolicy: which nodes answer, which pods, which source address; flip live"},
		{ID: "hcnp", Profile: Extended, Nodes: 2,
			Text: "healthCheckNodePort answers by node; drops when only terminating endpoints are left"},
		{ID: "itp.local", Profile: Extended, Nodes: 2,
			Text: "internalTrafficPolicy Local: pod and host-network clients"},
		{ID: "terminating", Profile: Extended, Nodes: 2,
			Text: "fallback to terminating endpoints, internal and external, Cluster and Local"},
		{ID: "unready", Profile: Core, Nodes: 1,
			Text: "unready endpoints get no traffic; no endpoint at all is refused; publishNotReadyAddresses"},
		{ID: "hairpin", Profile: Core, Nodes: 1,
			Text: "a pod reaches itself through its Service"},
		{ID: "sourceip", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "the address the server sees, for every vantage × target"},
		{ID: "externalips", Profile: Extended, Nodes: 1,
			Text: "spec.externalIPs on an address no node owns"},
		{ID: "selectorless", Upstream: true, Profile: Core, Nodes: 1,
			Text: "Service without selector, EndpointSlice by hand"},
		{ID: "slices", Upstream: true, Profile: Core, Nodes: 1,
			Text: "EndpointSlices follow pods: ready, serving, terminating, ports, multi-IP"},
		{ID: "udp", Profile: Core, Nodes: 2,
			Text: "UDP Services; no stale conntrack when the backend changes"},
		{ID: "dualstack", Profile: Extended, Nodes: 2,
			Text: "families and policies: SingleStack, PreferDualStack, RequireDualStack, each family reachable"},
		{ID: "distribution", Profile: Extended, Nodes: 3,
			Text: "trafficDistribution PreferSameNode, PreferSameZone"},
		{ID: "rollout", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "rolling update under constant traffic: failed requests counted, none with graceful shutdown"},
		{ID: "restart", Profile: Extended, Nodes: 2,
			Text: "Services keep working across kube-proxy, API server and node restarts"},
		{ID: "recreate", Profile: Core, Nodes: 1,
			Text: "delete and recreate; up and down; two Services swap"},
		{ID: "servicecidr", Upstream: true, Profile: Extended, Nodes: 1,
			Text: "an added ServiceCIDR serves; IPAddress objects agree"},
		{ID: "status", Upstream: true, Profile: Core, Nodes: 1,
			Text: "API lifecycle: status conditions, list across namespaces, delete collection"},
		{ID: "slices.many", Beyond: true, Profile: Core, Nodes: 1,
			Text: "more than 100 ports; more than 100 endpoints over several EndpointSlices; one that several list counts once"},
		{ID: "names.longest", Beyond: true, Profile: Core, Nodes: 1,
			Text: "the longest names of Services and ports that the API admits are served, with session affinity too"},
		{ID: "backends.host-network", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "pods of the host network are backends: who reaches them, and which source address they see"},
		{ID: "connections.survive", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "established connections survive changes of other endpoints, a restart of kube-proxy or the API server, and their pod's grace"},
		{ID: "rules.restored", Profile: Extended, Nodes: 1,
			Text: "kube-proxy restores its rules when somebody deletes them"},
		{ID: "mode.switch", Beyond: true, Profile: Extended, Nodes: 3,
			Text: "kube-proxy switches between iptables and nftables mode node by node: each node does what its mode does, connections stay, nothing of the old mode is left (KEP-3866, KEP-5343)"},
		{ID: "proxy.health", Profile: Extended, Nodes: 1,
			Text: "kube-proxy's /healthz fails on a node that is about to be deleted, /livez does not (KEP-3836)"},
		{ID: "dns.spec", Beyond: true, Profile: Core, Nodes: 1,
			Text: "DNS specification 1.1: version TXT, upper case, NXDOMAIN against NODATA, PTR of headless endpoints, N × M SRV"},
		{ID: "apiserver.service", Upstream: true, Profile: Core, Nodes: 1,
			Text: "kubernetes.default leads to an API server, and the API server's services/proxy to a Service's pods"},
		{ID: "bands", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "ClusterIPs and node ports that a Service did not ask for are outside the band kept for those it asks for (KEP-3070, 3668)"},
		{ID: "clusterip.unallocated", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "an address of the Service range that no Service has leads nowhere"},
		{ID: "lb.ipmode", Profile: Extended, Nodes: 2,
			Text: "ipMode Proxy: kube-proxy leaves the address alone, VIP: nodes serve it; refused without an address (KEP-1860)"},
		{ID: "lb.mixed-protocol", Profile: Extended, Nodes: 2,
			Text: "one port of a load balancer's address over TCP and over UDP (KEP-1435)"},
		{ID: "lb.nodeport-flip", Profile: Extended, Nodes: 1,
			Text: "allocateLoadBalancerNodePorts changed on a living Service: a node port stays, is given up, is allocated (KEP-1864)"},
		{ID: "distribution.fallback", Profile: Extended, Nodes: 3,
			Text: "PreferSameNode falls back to the zone, and both to all endpoints (KEP-3015)"},
		{ID: "affinity.scope", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "a client has one pod at each port: the same at the ClusterIP and the load balancer's address, and any at another port"},
		{ID: "servicecidr.delete", Beyond: true, Profile: Extended, Nodes: 1,
			Text: "a ServiceCIDR that is deleted stays, and serves, as long as a Service has an address of it (KEP-1880)"},
		{ID: "names.digit", Profile: Extended, Nodes: 1,
			Text: "a name that begins with a digit is admitted, served, and has its records in the DNS (KEP-5311)"},
		{ID: "endpoints.mirror", Upstream: true, Profile: Core, Nodes: 1,
			Text: "Endpoints that somebody wrote for a Service without selector are copied into EndpointSlices, unless a label says not to (KEP-4974)"},
		{ID: "env", Profile: Core, Nodes: 1,
			Text: "environment variables lead a pod to a Service's virtual address and port; enableServiceLinks false leaves only the API server's"},
		{ID: "lb.finalizer", Profile: Extended, Nodes: 1,
			Text: "a Service that waits for its load balancer's cleanup keeps its port and is served until the finalizer is gone (KEP-980)"},
		{ID: "lb.exclude-node", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "nodes labelled exclude-from-external-load-balancers announce no address, and serve all the same"},
		{ID: "mtu", Beyond: true, Profile: Extended, Nodes: 2,
			Text: "path MTU discovery works through the NAT: a link behind a Service that is narrower than the client's"},
		{ID: "proxy.labels", Profile: Core, Nodes: 1,
			Text: "kube-proxy leaves alone what the labels service-proxy-name and headless keep from it"},
	}
}

// KnownBehaviour reports whether id is one of Behaviours.
func KnownBehaviour(id string) bool {
	return slices.ContainsFunc(Behaviours(), func(b Behaviour) bool { return b.ID == id })
}
