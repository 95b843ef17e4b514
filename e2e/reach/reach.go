// Package reach holds the values that every stage of svclab hands to the next: the client (Vantage), the
// address that it probes (Target), what the probe saw (Observation, Cell), what it should see (Prediction), and what
// the comparison says (Difference, Verdict). It holds values only and imports only the standard library, so each stage
// can be read and tested alone.
package reach

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// VantageKind says where a client stands.
type VantageKind string

// Where a client can stand.
const (
	// Pod is a pod's own network.
	Pod VantageKind = "pod"
	// Node is a node's own network, as a host-network pod or a daemon on the node has it.
	Node VantageKind = "node"
	// Outside is on the nodes' layer-2 network, not in the cluster, with no default route.
	Outside VantageKind = "outside"
	// Host is the machine svclab runs on.
	Host VantageKind = "host"
)

// Vantage is where one client stands. Name is unique in a table and is what expected tables refer to.
type Vantage struct {
	// Name is KIND or KIND/SLOT: "pod/worker", "node/control-plane", "outside", "host".
	Name string      `json:"name"`
	Kind VantageKind `json:"kind"`
	// Node is the Kubernetes node it stands on; empty for outside and host.
	Node string `json:"node,omitempty"`
	// Namespace and PodName are set for Pod vantages. The namespace decides how short DNS names resolve.
	Namespace string `json:"namespace,omitempty"`
	PodName   string `json:"podName,omitempty"`
	// Labels of the pod, for Pod vantages.
	Labels map[string]string `json:"labels,omitempty"`
	// Addrs are the addresses its packets leave with, one per IP family. A Host or Node may own more.
	Addrs []netip.Addr `json:"addrs,omitempty"`
	// Unusable, when not empty, says why no probe can be sent from here; its cells are Unprobed.
	Unusable string `json:"unusable,omitempty"`
}

// Protocol is the layer-4 protocol of a port.
type Protocol string

// The protocols a Service port can have.
const (
	TCP  Protocol = "TCP"
	UDP  Protocol = "UDP"
	SCTP Protocol = "SCTP"
)

// TargetKind says which address of a Service a target is.
type TargetKind string

// The addresses at which a Service can be probed.
const (
	ClusterIP    TargetKind = "clusterIP"
	DNSName      TargetKind = "dns"
	NodePort     TargetKind = "nodePort"
	LoadBalancer TargetKind = "loadBalancer"
	ExternalIP   TargetKind = "externalIP"
	ExternalName TargetKind = "externalName"
	Endpoint     TargetKind = "endpoint"
	// Localhost is 127.0.0.1 (or ::1) with a node port. Only a Node vantage probes it, on its own node.
	Localhost TargetKind = "localhost"
	// HealthCheck is a node's healthCheckNodePort, probed by HTTP.
	HealthCheck TargetKind = "healthCheck"
)

// Target is one address, port and protocol of a Service. The zero Port is invalid but for pure DNS targets.
type Target struct {
	Kind TargetKind `json:"kind"`
	// Service is "namespace/name".
	Service string `json:"service"`
	// Host is what is dialled: an IP address or a DNS name.
	Host     string   `json:"host"`
	Port     uint16   `json:"port"`
	Protocol Protocol `json:"protocol"`
	// Slot names the node (its short name) whose address Host is, for NodePort and HealthCheck targets, and the
	// one it runs on for Endpoint targets.
	Slot string `json:"slot,omitempty"`
	// Node is that node's full name.
	Node string `json:"node,omitempty"`
	// Pod is the pod whose address Host is, for Endpoint targets.
	Pod string `json:"pod,omitempty"`
	// Undeclared marks a port that the Service does not declare at this address.
	Undeclared bool `json:"undeclared,omitempty"`
	// HostHeader, when set, is sent as the HTTP Host header instead of the dialled name.
	HostHeader string `json:"hostHeader,omitempty"`
	// Family, 4 or 6, is the IP family that a name is resolved in; 0: the client chooses. It then uses one family only: most
	// clients choose IPv4 if the IPv6 addresses are unique local ones.
	Family int `json:"family,omitempty"`
}

// IPFamily is the IP family of the target's address, or the one that its name is resolved in: 4, 6, or 0 for either.
func (t Target) IPFamily() int {
	addr, err := netip.ParseAddr(t.Host)
	switch {
	case err != nil:
		return t.Family
	case addr.Unmap().Is4():
		return 4
	default:
		return 6
	}
}

// Name is the target as tables print it, unique within one: "my-service nodePort@worker:30080/TCP".
func (t Target) Name() string {
	_, short, found := strings.Cut(t.Service, "/")
	if !found {
		short = t.Service
	}
	at := ""
	switch {
	case t.Pod != "":
		at = "@" + t.Pod
	case t.Kind == Endpoint || t.Kind == ExternalIP:
		at = "@" + t.Host // there may be several, and nothing else distinguishes them
	case t.Slot != "":
		at = "@" + t.Slot
	}
	if t.Kind == DNSName || t.Kind == ExternalName {
		at = "(" + t.Host + ")"
	}
	family := ""
	if t.IPFamily() == 6 {
		family = "/v6"
	}
	return fmt.Sprintf("%s %s%s:%d/%s%s", short, t.Kind, at, t.Port, t.Protocol, family)
}

// Outcome is what became of one probe: one new connection, or one datagram and its reply.
type Outcome string

// The outcomes. "Could not probe" (ProbeFailed, Unprobed) is never "blocked".
const (
	// Reached: a backend answered and said who it is.
	Reached Outcome = "Reached"
	// Refused: a TCP reset or an ICMP port-unreachable came back.
	Refused Outcome = "Refused"
	// TimedOut: nothing came back within the probe's timeout.
	TimedOut Outcome = "TimedOut"
	// Unreachable: no route, or an ICMP host- or network-unreachable or prohibited came back.
	Unreachable Outcome = "Unreachable"
	// NoSuchHost: the name did not resolve to an address.
	NoSuchHost Outcome = "NoSuchHost"
	// WrongAnswer: something answered, but not as a backend of the lab does.
	WrongAnswer Outcome = "WrongAnswer"
	// ProbeFailed: the prober itself could not run or report. It makes a verdict Inconclusive.
	ProbeFailed Outcome = "ProbeFailed"
	// Unprobed: not probed, on purpose; the reason is in Observation.Detail.
	Unprobed Outcome = "Unprobed"
)

// Observation is what one probe saw.
type Observation struct {
	Outcome Outcome `json:"outcome"`
	// Backend is the name in the answer: the pod's, or the outside web server's.
	Backend string `json:"backend,omitempty"`
	// Source is the client's address as the backend saw it.
	Source netip.Addr `json:"source,omitzero"`
	// HostSeen and ServerName are the HTTP Host header and TLS server name that the server saw, if it reports them.
	HostSeen   string `json:"hostSeen,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	// Latency is from the start of the dial (name lookup included) to the end of the answer.
	Latency time.Duration `json:"latencyNs,omitempty"`
	// Resent is how often the SYN of a TCP connection was sent again before it was answered.
	Resent int `json:"resent,omitempty"`
	// CNAME is the canonical name the target's name resolved to, without the final dot, where it is a name.
	CNAME string `json:"cname,omitempty"`
	// Addresses the target's name resolved to.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Detail is the error text, or why a cell is Unprobed.
	Detail string `json:"detail,omitempty"`
	// At is when the probe began.
	At time.Time `json:"at,omitzero"`
}

// Cell is all that was observed from one vantage at one target.
type Cell struct {
	Vantage      Vantage       `json:"vantage"`
	Target       Target        `json:"target"`
	Observations []Observation `json:"observations"`
	// Repeat is a shell command that repeats the probe.
	Repeat string `json:"repeat,omitempty"`
}

// Prediction is what should be observed in one cell. Two things make one: the oracle and the expected table.
type Prediction struct {
	// Outcomes are the allowed outcomes; every observation must have one of them. Never empty.
	Outcomes []Outcome `json:"outcomes"`
	// Backends are the pods that may answer, sorted. Each must answer at least once and no other may,
	// unless AnyBackend or Sticky. Nil if no backend is expected to answer.
	Backends []string `json:"backends,omitempty"`
	// Sticky: all answers of one vantage come from one of Backends (ClientIP affinity).
	Sticky bool `json:"sticky,omitempty"`
	// AnyBackend: any of Backends may answer; not every one needs to.
	AnyBackend bool `json:"anyBackend,omitempty"`
	// Even: each connection takes one of Backends by chance, each as likely as the others.
	Even bool `json:"even,omitempty"`
	// Certain are the backends of a path only a part of whose connections is answered that answer their part for certain, sorted.
	// Each must answer at least once, unless Sticky.
	Certain []string `json:"certain,omitempty"`
	// Sources are the source addresses the backend may see. Empty: not predicted.
	Sources []netip.Prefix `json:"sources,omitempty"`
	// CNAME, when set, is what the name must resolve through.
	CNAME string `json:"cname,omitempty"`
	// HostSeen, when set, is the Host header that must arrive.
	HostSeen string `json:"hostSeen,omitempty"`
	// Addresses are what the target's name must resolve to, all of them. Empty: not predicted. A probe that
	// resolves one IP family only is compared with the addresses of that family.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Doubt, when not empty, says why it is not known whether any probe is answered, as at a node that is not Ready. If any is, all
	// must be as predicted. If none is, and an answer or another denial was predicted, the cell is Inconclusive.
	Doubt string `json:"doubt,omitempty"`
	// Reason says in one sentence why, in terms of the objects involved.
	Reason string `json:"reason,omitempty"`
	// Said is the reason as it was put together, for other languages. Its text is Reason.
	Said Phrase `json:"-"`
	// Rule is a short stable identifier of the rule applied: "etp-local-no-endpoint".
	Rule string `json:"rule,omitempty"`
	// Doc is the Kubernetes document or KEP the rule rests on.
	Doc string `json:"doc,omitempty"`
}
