// Package explain finds why a Service cannot be reached, or not in the way that its user intends. From a snapshot of the
// cluster and, if traffic was observed, the judged table, it derives causes. Each has a sentence, the field to change and a
// command that changes it. The package is pure: it reads a Case, which package collect makes.
package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Case is everything that is known about one Service, or about a name without a Service. Only World and Service are required;
// a rule that needs a missing part finds nothing.
type Case struct {
	World world.World
	// Service is "namespace/name", as the user gave it.
	Service string
	// Table has the predictions and observations for the Service.
	Table reach.Table
	// Events are the events of the Service's namespace.
	Events []corev1.Event
	// Proxies are kube-proxy's pods; none: unknown whether and how kube-proxy runs.
	Proxies []corev1.Pod
	// Balancer is MetalLB's configuration; nil: unknown.
	Balancer *Balancer
	// Policies are the NetworkPolicies of the Service's namespace.
	Policies []networkingv1.NetworkPolicy
	// Sockets lists the listening sockets by pod name; a missing pod was not inspected.
	Sockets map[string][]Socket
	// Unread are the refusing pods whose sockets were not read: because the user did not allow it or, with Tried, because
	// the command failed.
	Unread []string
	Tried  bool
	// Unprobed says of which targets the table lacks cells; empty: of none.
	Unprobed string
	Intent   Intent
}

// Socket is a listening socket in a pod's network namespace.
type Socket struct {
	Addr     netip.Addr
	Port     uint16
	Protocol corev1.Protocol
}

// Balancer is MetalLB's configuration.
type Balancer struct {
	Pools          []world.Pool
	Advertisements []Advertisement
}

// Advertisement is an L2Advertisement or a BGPAdvertisement.
type Advertisement struct {
	Kind, Name string
	// Pools are the names of the pools that it announces; none: all. ByLabel: it also selects pools by label.
	Pools   []string
	ByLabel bool
	// Nodes select the nodes that announce; none: all.
	Nodes []metav1.LabelSelector
}

// Intent is what the user wants from the Service beyond what it promises. The zero value adds nothing.
type Intent struct {
	// From is the vantage, by name or kind ("outside", "node/worker"), from which the user wants to reach it.
	From string
	// At is the kind of address that the user wants to use.
	At reach.TargetKind
	// Port and Protocol are those that the user connects with.
	Port     uint16
	Protocol reach.Protocol
	// Spread: the connections of one client should reach all backends.
	Spread bool
}

// Cause is one reason why a Service is not reached as intended.
type Cause struct {
	// ID is short and stable; see rules.
	ID string `json:"id"`
	// Sentence describes what is wrong and names the objects.
	Sentence string `json:"sentence"`
	// Field is the field to change. Command changes it, or shows more if there is no suggestion.
	Field   string `json:"field"`
	Command string `json:"command"`
	// Doc is the Kubernetes document that explains the cause.
	Doc string `json:"doc"`
	// Note: the behaviour is by design, and the intent does not contradict it.
	Note bool `json:"note,omitempty"`
}

// Finding is the result for a Service: the causes, the most fundamental first, and the notes, which are correct behaviour that
// is worth knowing.
type Finding struct {
	Causes []Cause `json:"causes"`
	Notes  []Cause `json:"notes,omitempty"`
	// Omitted is what was not read or probed.
	Omitted []Omission `json:"omitted,omitempty"`
	// Where is the hop at which a packet that should be answered ends, as a trace of one showed. Empty: none was traced.
	Where string `json:"where,omitempty"`
}

// Omission is something that was not read or probed, and a command that shows it; the command may be empty.
type Omission struct {
	Sentence string `json:"sentence"`
	Command  string `json:"command,omitempty"`
}

// Explain finds the causes. Their order is fixed: a cause comes before those that follow from it.
func Explain(c Case) Finding {
	v := newView(c)
	var f Finding
	for _, r := range rules() {
		v.explained = len(f.Causes) > 0
		if !r.when(v) {
			continue
		}
		for _, cause := range r.find(v) {
			cause.ID, cause.Doc = r.id, r.doc
			if cause.Note {
				f.Notes = append(f.Notes, cause)
			} else {
				f.Causes = append(f.Causes, cause)
			}
		}
	}
	if c.Unprobed != "" {
		f.Omitted = append(f.Omitted, Omission{Sentence: c.Unprobed})
	}
	if len(c.Unread) > 0 {
		why := fmt.Sprintf("because that runs a command in the %s; --read-sockets allows it", verb(len(c.Unread), "pod", "pods"))
		if c.Tried {
			why = "because no command could be run in the " + verb(len(c.Unread), "pod", "pods")
		}
		f.Omitted = append(f.Omitted, Omission{
			Sentence: fmt.Sprintf("what %s, which %s, %s on was not read, %s", counted("pod", c.Unread), verb(len(c.Unread), "refuses", "refuse"), verb(len(c.Unread), "listens", "listen"), why),
			Command:  v.kubectl("exec %s -- cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6", c.Unread[0])})
	}
	return f
}

// view is a case with values that several rules need.
type view struct {
	Case
	// service is nil if it does not exist.
	service *corev1.Service
	// pods are the pods that the selector matches, including ended ones. neighbours are all pods of the namespace.
	pods, neighbours []*corev1.Pod
	// ready are the ready endpoints of all ports and families, without duplicate addresses.
	ready []world.Endpoint
	// explained: an earlier rule has found a cause.
	explained bool
}

func newView(c Case) *view {
	v := &view{Case: c}
	service, found := c.World.Service(c.Service)
	if !found {
		return v
	}
	v.service = &service
	for i := range c.World.Pods {
		pod := &c.World.Pods[i]
		if pod.Namespace != service.Namespace {
			continue
		}
		v.neighbours = append(v.neighbours, pod)
		if len(service.Spec.Selector) > 0 && selects(service.Spec.Selector, pod.Labels) {
			v.pods = append(v.pods, pod)
		}
	}
	for _, port := range service.Spec.Ports {
		for _, e := range v.endpoints(port) {
			if e.Ready && !slices.ContainsFunc(v.ready, func(r world.Endpoint) bool { return r.Addr == e.Addr }) {
				v.ready = append(v.ready, e)
			}
		}
	}
	if len(service.Spec.Ports) == 0 && world.Headless(&service) {
		for _, list := range v.slices() {
			v.ready = append(v.ready, world.Addresses(list)...)
		}
	}
	return v
}

// slices returns the Service's EndpointSlices, one list for each family.
func (v *view) slices() [][]discoverySlice {
	var lists [][]discoverySlice
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if list := v.World.SlicesOf(v.Service, family); len(list) > 0 {
			lists = append(lists, list)
		}
	}
	return lists
}

// endpoints returns the endpoints of one port in all families, ready or not.
func (v *view) endpoints(port corev1.ServicePort) []world.Endpoint {
	var all []world.Endpoint
	for _, list := range v.slices() {
		all = append(all, world.Endpoints(list, port.Name, port.Protocol)...)
	}
	return all
}

func (v *view) missing() bool { return v.service == nil }

func (v *view) exists() bool { return v.service != nil }

// unexplained reports whether cells differ from the prediction and no rule has found a cause: the rules of last resort apply.
func (v *view) unexplained() bool { return !v.explained && v.exists() && len(v.failing()) > 0 }

// routed reports whether the Service exists and kube-proxy or DNS leads to endpoints, so that it is not an ExternalName.
func (v *view) routed() bool {
	return v.service != nil && v.service.Spec.Type != corev1.ServiceTypeExternalName
}

// living returns the selected pods that have not ended.
func (v *view) living() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(v.pods), world.Ended)
}

// pod returns the namespace's pod of that name, or nil.
func (v *view) pod(name string) *corev1.Pod {
	for _, pod := range v.neighbours {
		if pod.Name == name {
			return pod
		}
	}
	return nil
}

// cells returns the table's probed cells of one kind of target.
func (v *view) cells(kind reach.TargetKind) []reach.CellVerdict {
	var list []reach.CellVerdict
	for _, c := range v.Table.Cells {
		if c.Cell.Target.Kind != kind || c.Cell.Target.Undeclared {
			continue
		}
		if probed, _, _ := c.Cell.Probed(); probed {
			list = append(list, c)
		}
	}
	return list
}

// always reports whether all of a cell's observations have that outcome.
func always(c reach.CellVerdict, outcome reach.Outcome) bool {
	return len(c.Cell.Observations) > 0 && !slices.ContainsFunc(c.Cell.Observations, func(o reach.Observation) bool { return o.Outcome != outcome })
}

// failing returns the cells that differ from the prediction.
func (v *view) failing() []reach.CellVerdict {
	return slices.DeleteFunc(slices.Clone(v.Table.Cells), func(c reach.CellVerdict) bool { return c.Result != reach.Fail })
}

// events returns the events about one object, the newest first.
func (v *view) events(kind, name string) []corev1.Event {
	var list []corev1.Event
	for _, e := range v.Events {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b corev1.Event) int { return cmp.Compare(lastSeen(b), lastSeen(a)) })
	return list
}

// lastSeen returns when an event last happened, in seconds.
func lastSeen(e corev1.Event) int64 {
	seen := max(e.LastTimestamp.Unix(), e.EventTime.Unix(), e.CreationTimestamp.Unix())
	if e.Series != nil {
		seen = max(seen, e.Series.LastObservedTime.Unix())
	}
	return seen
}

// selects reports whether a pod has all of a selector's labels.
func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}
