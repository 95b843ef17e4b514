// Package explain says why a Service cannot be reached, or not in the way its user hopes: from a snapshot of the
// cluster and, where one was made, the judged table of what was observed, it finds causes, each in plain words with
// the field to change and a command that changes it. It is pure: what it looks at is a Case, which package ask makes.
package explain

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Case is all that is known of one Service, or of one that is not there. Only World and Service are needed; a rule
// that needs what is missing finds nothing.
type Case struct {
	World world.World
	// Service is "namespace/name", as it was asked for.
	Service string
	// Table is what was predicted and observed of the Service.
	Table reach.Table
	// Events are those of the Service's namespace.
	Events []corev1.Event
	// Proxies are kube-proxy's pods; none: it is not known whether and how kube-proxy runs.
	Proxies []corev1.Pod
	// Balancer is MetalLB's configuration; nil: not known.
	Balancer *Balancer
	// Policies are the NetworkPolicies of the Service's namespace.
	Policies []networkingv1.NetworkPolicy
	// Sockets are what a pod, by name, was seen to listen on; a pod that is missing was not looked at.
	Sockets map[string][]Socket
	Hopes   Hopes
}

// Socket is something a program listens on, in its pod's own network.
type Socket struct {
	Addr     netip.Addr
	Port     uint16
	Protocol corev1.Protocol
}

// Balancer is how MetalLB is configured.
type Balancer struct {
	Pools          []Pool
	Advertisements []Advertisement
}

// Pool is an IPAddressPool: its name and its ranges, as "10.0.0.1-10.0.0.9" or "10.0.0.0/28".
type Pool struct {
	Name   string
	Ranges []string
}

// Advertisement is an L2Advertisement or a BGPAdvertisement.
type Advertisement struct {
	Kind, Name string
	// Pools are the names of the pools it announces; none: all. Choosy: it chooses pools by label, too.
	Pools  []string
	Choosy bool
	// Nodes choose the nodes that announce; none: all.
	Nodes []metav1.LabelSelector
}

// Hopes are what the user wants of the Service beyond what it promises. The zero value hopes for just that.
type Hopes struct {
	// From is the vantage, by name or kind ("outside", "node/worker"), from which it is to be reached.
	From string
	// At is the kind of address at which it is.
	At reach.TargetKind
	// Port and Protocol are what the user asks.
	Port     uint16
	Protocol reach.Protocol
	// Spread: connections of one client are to reach all backends.
	Spread bool
}

// Cause is one reason why a Service is not reached as hoped.
type Cause struct {
	// ID is short and stable; see IDs.
	ID string `json:"id"`
	// Sentence says in plain words what is wrong, naming the objects.
	Sentence string `json:"sentence"`
	// Field is the field to change, and Command one that changes it, or shows more where nothing can be suggested.
	Field   string `json:"field"`
	Command string `json:"command"`
	// Doc is the Kubernetes document the cause rests on.
	Doc string `json:"doc"`
	// Note: things are as the Service's author asked for, and nobody hoped otherwise.
	Note bool `json:"note,omitempty"`
}

// Finding is what was found out about a Service: what to change, the most fundamental first, and what is worth
// knowing though it is as it should be.
type Finding struct {
	Causes []Cause `json:"causes"`
	Notes  []Cause `json:"notes,omitempty"`
}

// Explain finds the causes. They come in a fixed order: what others follow from goes first.
func Explain(c Case) Finding {
	v := newView(c)
	var f Finding
	for _, r := range rules() {
		for _, cause := range r.find(v, len(f.Causes) > 0) {
			cause.ID, cause.Doc = r.id, r.doc
			if cause.Note {
				f.Notes = append(f.Notes, cause)
			} else {
				f.Causes = append(f.Causes, cause)
			}
		}
	}
	return f
}

// view is a case with what several rules need worked out.
type view struct {
	Case
	// service is nil where there is none.
	service *corev1.Service
	// pods are those the selector matches, also ended ones; neighbours are all of the namespace.
	pods, neighbours []*corev1.Pod
	// ready are the ready endpoints of all ports and families, an address once.
	ready []world.Endpoint
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

// slices are the Service's EndpointSlices, one list for each family.
func (v *view) slices() [][]discoverySlice {
	var lists [][]discoverySlice
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if list := v.World.SlicesOf(v.Service, family); len(list) > 0 {
			lists = append(lists, list)
		}
	}
	return lists
}

// endpoints are those of one port in all families, ready or not.
func (v *view) endpoints(port corev1.ServicePort) []world.Endpoint {
	var all []world.Endpoint
	for _, list := range v.slices() {
		all = append(all, world.Endpoints(list, port.Name, port.Protocol)...)
	}
	return all
}

// there says whether the Service exists and kube-proxy or DNS leads to pods: it is no ExternalName.
func (v *view) there() bool {
	return v.service != nil && v.service.Spec.Type != corev1.ServiceTypeExternalName
}

// living are the selected pods that have not ended.
func (v *view) living() []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(v.pods), world.Ended)
}

// pod is the namespace's pod of that name, or nil.
func (v *view) pod(name string) *corev1.Pod {
	for _, pod := range v.neighbours {
		if pod.Name == name {
			return pod
		}
	}
	return nil
}

// cells are the table's cells of one kind of target that were asked.
func (v *view) cells(kind reach.TargetKind) []reach.CellVerdict {
	var list []reach.CellVerdict
	for _, c := range v.Table.Cells {
		if c.Cell.Target.Kind != kind || c.Cell.Target.Undeclared {
			continue
		}
		if asked, _, _ := c.Cell.Asked(); asked {
			list = append(list, c)
		}
	}
	return list
}

// always says whether all of a cell's observations had that outcome.
func always(c reach.CellVerdict, outcome reach.Outcome) bool {
	return len(c.Cell.Observations) > 0 && !slices.ContainsFunc(c.Cell.Observations, func(o reach.Observation) bool { return o.Outcome != outcome })
}

// failing are the cells that are not as predicted.
func (v *view) failing() []reach.CellVerdict {
	return slices.DeleteFunc(slices.Clone(v.Table.Cells), func(c reach.CellVerdict) bool { return c.Result != reach.Fail })
}

// events are those about one object, the newest first.
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

// lastSeen is when an event last happened, in seconds.
func lastSeen(e corev1.Event) int64 {
	seen := max(e.LastTimestamp.Unix(), e.EventTime.Unix(), e.CreationTimestamp.Unix())
	if e.Series != nil {
		seen = max(seen, e.Series.LastObservedTime.Unix())
	}
	return seen
}

// selects says whether all of a selector's labels are among those of a pod.
func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}
