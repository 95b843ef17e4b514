package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// overTime is a case of the oracle over time: a change to the fixture, with demo/web on TCP and UDP, and what may happen to a
// flow that a answered before.
type overTime struct {
	name    string
	before  func(f *fixture) // the fixture is changed before the start, too
	change  func(f *fixture)
	passing func(o *Oracle) []*Oracle
	edit    func(c *Change)
	from    string
	to      string
	kind    reach.FlowKind
	backend string // who answered before; "-": no backend
	// want is the kind of fate, then the backends that must answer or the outcomes, and rule the rule.
	want string
	then string
	rule string
	// all is what describe says of the fate in nftables mode; empty: it is not compared.
	all string
}

// describe is all that a fate allows: until it is in force, then, and how many requests may be lost.
func describe(f reach.Fate) string {
	one := func(p reach.Prediction) string {
		text := strings.Trim(fmt.Sprint(p.Outcomes), "[]")
		if len(p.Backends) > 0 {
			text += " by " + strings.Join(p.Backends, ",")
		}
		if p.Sticky {
			text += " sticky"
		}
		if p.AnyBackend {
			text += " any"
		}
		if p.Even || len(p.Certain) > 0 {
			text += " each must answer"
		}
		return text
	}
	text := one(f.Meanwhile) + "; " + one(f.Then) + fmt.Sprintf("; %d lost", f.Tolerated)
	if f.Anytime {
		text += " anytime"
	}
	if f.Every > 0 {
		text += " and each " + f.Every.String()
	}
	if f.AfterLoss != nil {
		text += ", then by " + strings.Join(f.AfterLoss, ",")
	}
	if f.Untranslated {
		text += ", some not translated"
	}
	return fmt.Sprintf("%s; %s", text, f.Within)
}

// withUDP has demo/web serve 53/UDP too, at node port 30053, from 5353 of the pods.
func withUDP() *fixture {
	f := newFixture()
	f.web().Spec.Ports = append(f.web().Spec.Ports, corev1.ServicePort{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(5353), NodePort: 30053, Protocol: corev1.ProtocolUDP})
	for i := range f.Pods {
		c := &f.Pods[i].Spec.Containers[0]
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 5353, Protocol: corev1.ProtocolUDP}, corev1.ContainerPort{ContainerPort: 5354, Protocol: corev1.ProtocolUDP})
	}
	for i := range f.Slices {
		f.Slices[i].Ports = append(f.Slices[i].Ports, discoveryv1.EndpointPort{Name: ptr("dns"), Port: ptr(int32(5353)), Protocol: ptr(corev1.ProtocolUDP)})
	}
	return f
}

func (f *fixture) drop(pods ...string) {
	for i := range f.Slices {
		f.Slices[i].Endpoints = slices.DeleteFunc(f.Slices[i].Endpoints, func(e discoveryv1.Endpoint) bool {
			return e.TargetRef != nil && slices.Contains(pods, e.TargetRef.Name)
		})
	}
}

func (f *fixture) vanish(pods ...string) {
	f.drop(pods...)
	f.Pods = slices.DeleteFunc(f.Pods, func(p corev1.Pod) bool { return slices.Contains(pods, p.Name) })
}

func switched(node string) func(*Change) {
	return func(c *Change) { c.Switched = map[string]bool{node: true} }
}

func affine(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }

// partedSlices has one slice for IPv4 of demo/web for each list of pods, with names that stay the same.
func (f *fixture) partedSlices(pods ...string) {
	var list []discoveryv1.EndpointSlice
	for i, names := range pods {
		slice := f.slicesNamed("web", strings.Fields(names)...)[0]
		slice.Name = fmt.Sprintf("web-%d", i)
		list = append(list, slice)
	}
	f.Slices = list
	*f = *withUDPSlices(f)
}

// twice has pod a be two endpoints of demo/web: the other one has other ports.
func (f *fixture) twice() {
	slice := f.slicesNamed("web", "a")[0]
	slice.Name = "web-more"
	slice.Ports[0].Port = ptr(int32(8082))
	slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: ptr("dns"), Port: ptr(int32(5354)), Protocol: ptr(corev1.ProtocolUDP)})
	f.Slices = append(f.Slices, slice)
	c := &f.byName("a").Spec.Containers[0]
	c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 8082, Protocol: corev1.ProtocolTCP})
}

// once has the other endpoint of twice gone.
func (f *fixture) once() {
	f.Slices = slices.DeleteFunc(slices.Clone(f.Slices), func(s discoveryv1.EndpointSlice) bool { return s.Name == "web-more" })
}

// removePort removes a port of demo/web, and from its slices.
func (f *fixture) removePort(i int) {
	f.web().Spec.Ports = slices.Delete(slices.Clone(f.web().Spec.Ports), i, i+1)
	for k := range f.Slices {
		f.Slices[k].Ports = slices.Delete(slices.Clone(f.Slices[k].Ports), i, i+1)
	}
}

// renamePort renames a port of demo/web, and in its slices.
func (f *fixture) renamePort(i int, name string) {
	f.web().Spec.Ports[i].Name = name
	for k := range f.Slices {
		f.Slices[k].Ports[i].Name = &name
	}
}

func overTimes() []overTime {
	const udp, tcp = webIP + ":53/UDP", webIP + ":80"
	return []overTime{
		{name: "nothing", change: func(*fixture) {}, from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverBystander},
		{name: "rules written again", change: func(f *fixture) { f.web().Labels = map[string]string{"x": "y"} }, edit: func(c *Change) { c.Touched = map[string]bool{"demo/web": true} },
			from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverRewritten},
		{name: "an endpoint leaves: new connections", change: func(f *fixture) { f.drop("a") }, from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew},
		{name: "the other endpoint", change: func(f *fixture) { f.drop("b") }, from: "pod/one", to: tcp, backend: "a", want: "may move", then: "a", rule: ruleOverNew},
		{name: "no endpoint is left: new connections", change: func(f *fixture) { f.drop("a", "b") }, from: "pod/one", to: tcp, want: "must end", then: "Refused TimedOut", rule: ruleOverNew},
		{name: "affinity keeps", before: func(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }, change: func(f *fixture) { f.pod("c", "two", 13); f.Slices = append(f.Slices, f.slicesNamed("web", "c")...) },
			from: "pod/one", to: tcp, want: "keeps its backend", then: "a", rule: ruleOverAffinity},
		{name: "affinity to one that leaves", before: func(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }, change: func(f *fixture) { f.drop("a") },
			from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew},
		{name: "TCP: the endpoint leaves", change: func(f *fixture) { f.drop("a") }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP},
		{name: "TCP: the Service is deleted", change: func(f *fixture) { f.Services, f.Slices = nil, nil }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP},
		{name: "TCP: the pod is gone", change: func(f *fixture) { f.vanish("a") }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "must move", then: "b", rule: ruleOverGone},
		{name: "TCP: all pods are gone", change: func(f *fixture) { f.vanish("a", "b") }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "must end", then: "Refused TimedOut", rule: ruleOverGone},
		{name: "TCP: forgotten", change: func(*fixture) {}, edit: func(c *Change) { c.Cut = true }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "may move", then: "a b", rule: ruleOverCut},
		{name: "UDP: policies change", change: func(f *fixture) { f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP: terminating, serving", change: func(f *fixture) { f.terminating("a") }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP: to another node's port", change: func(*fixture) {}, from: "pod/one", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPTransit},
		{name: "UDP: not ready", change: func(f *fixture) { f.unready("a") }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "must move", then: "b", rule: ruleOverUDPStale},
		{name: "UDP: leaves", change: func(f *fixture) { f.drop("a") }, from: "outside", to: two + ":30053/UDP", kind: reach.FlowUnconnected, want: "must move", then: "b", rule: ruleOverUDPStale},
		{name: "UDP: another target port", change: func(f *fixture) { f.Slices[0].Ports[1].Port = ptr(int32(5354)) }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPStale},
		{name: "UDP: no endpoint serves", change: func(f *fixture) { f.unready("a", "b") }, from: "pod/two", to: udp, kind: reach.FlowOneWay, want: "must end", then: "Refused TimedOut", rule: ruleOverUDPEnds},
		{name: "UDP: no endpoint serves a node port", change: func(f *fixture) { f.unready("a", "b") }, from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept},
		{name: "UDP: no endpoint of a node port is there", change: func(f *fixture) { f.vanish("a", "b") }, from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "must end", then: "TimedOut Refused Unreachable", rule: ruleOverUDPNone},
		{name: "UDP: the Service is deleted", change: func(f *fixture) { f.Services, f.Slices = nil, nil }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept},
		{name: "UDP: the Service is recreated", change: func(*fixture) {}, passing: func(o *Oracle) []*Oracle { return []*Oracle{o.Without(nil, map[string]bool{"demo/web": true}, nil)} },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPPassing},
		{name: "UDP: ready, not ready, ready", change: func(*fixture) {}, passing: func(o *Oracle) []*Oracle { return []*Oracle{o.Without(nil, nil, map[string]bool{"a": true})} },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPPassing},
		{name: "UDP: no backend answered", before: func(f *fixture) { f.unready("a", "b") }, change: func(f *fixture) {
			f.each("a", func(e *discoveryv1.Endpoint) { e.Conditions = discoveryv1.EndpointConditions{} })
		},
			from: "pod/two", to: udp, kind: reach.FlowConnected, backend: "-", want: "must move", then: "a", rule: ruleOverNew, all: "Reached Refused TimedOut Unreachable by a any; Reached by a any; 2 lost; 3s"},
		{name: "UDP: source ranges", change: func(f *fixture) { f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"} }, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowConnected,
			want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP without answers: source ranges", change: func(f *fixture) { f.web().Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"} }, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowOneWay,
			want: "must end", then: "TimedOut", rule: ruleOverOneWayRanges},
		{name: "the client's node switches its mode", change: func(*fixture) {}, edit: switched("one"), from: "pod/one", to: tcp, want: "may move", then: "a b", rule: RuleOverSwitch},
		{name: "it forgets affinity", before: func(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }, change: func(*fixture) {}, edit: switched("one"),
			from: "pod/one", to: tcp, want: "may move", then: "a b", rule: RuleOverSwitch},
		{name: "another node switches its mode", change: func(*fixture) {}, edit: switched("two"), from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverBystander},
		{name: "the node of a node port switches", change: func(*fixture) {}, edit: switched("two"), from: "pod/one", to: two + ":30080", want: "may move", then: "a b", rule: RuleOverSwitch},
		{name: "TCP: the client's node switches", change: func(*fixture) {}, edit: switched("one"), from: "pod/one", to: tcp, kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP},
		{name: "UDP: the client's node switches", change: func(*fixture) {}, edit: switched("one"), from: "pod/one", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP: the endpoint moves to another slice", before: func(f *fixture) { f.partedSlices("a", "b") }, change: func(f *fixture) { f.partedSlices("b", "a") },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverSlices,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: another endpoint moves to another slice", before: func(f *fixture) { f.pod("c", "two", 13); f.partedSlices("a", "b", "c") }, change: func(f *fixture) { f.partedSlices("a", "c", "b") },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: the endpoint moves to a slice that is new", before: func(f *fixture) { f.partedSlices("a b") }, change: func(f *fixture) { f.partedSlices("b", "a") },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP: the endpoint moves from a slice that is deleted", before: func(f *fixture) { f.partedSlices("b", "a") }, change: func(f *fixture) { f.partedSlices("b a") },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP},
		{name: "UDP: the endpoints of a node port leave, slice by slice", before: func(f *fixture) { f.partedSlices("a", "b") }, change: func(f *fixture) { f.partedSlices("", "") },
			from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "may move", then: "a", rule: ruleOverSlices},
		{name: "UDP: the endpoints of a node port leave with their slice", before: func(f *fixture) { f.partedSlices("a b", "") }, change: func(f *fixture) { f.partedSlices("", "") },
			from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: the endpoints of another node's port leave with their slice", before: func(f *fixture) { f.partedSlices("a b", "") }, change: func(f *fixture) { f.partedSlices("", "") },
			from: "pod/one", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "may move", then: "a", rule: ruleOverUDPKept,
			all: "Reached Refused TimedOut Unreachable by a,b any; Refused Reached TimedOut by a any; 2 lost; 3s"},
		{name: "UDP: the port is renamed", change: func(f *fixture) { f.renamePort(1, "domain") },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverSlices},
		{name: "UDP: the port is removed", change: func(f *fixture) { f.removePort(1) },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a", rule: ruleOverSlices},
		{name: "UDP: the port is removed, and not from the slices", change: func(f *fixture) { f.web().Spec.Ports = f.web().Spec.Ports[:1] },
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept},
		{name: "new connections: endpoints move to other slices", before: func(f *fixture) { f.partedSlices("a", "b") }, change: func(f *fixture) { f.partedSlices("b", "a") },
			from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverSlices,
			all: "Reached by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "new connections: the only endpoint moves to another slice", before: func(f *fixture) { f.partedSlices("a", "") }, change: func(f *fixture) { f.partedSlices("", "a") },
			from: "pod/one", to: tcp, want: "may move", then: "a", rule: ruleOverSlices,
			all: "Reached Refused TimedOut by a any; Reached by a any; 2 lost; 3s"},
		{name: "new connections: the port is renamed", change: func(f *fixture) { f.renamePort(0, "web") }, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverSlices,
			all: "Reached Refused TimedOut by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "affinity, the endpoint moves to another slice", before: func(f *fixture) { affine(f); f.partedSlices("a", "b") }, change: func(f *fixture) { affine(f); f.partedSlices("b", "a") },
			from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverSlices,
			all: "Reached by a,b any; Reached by a,b sticky; 2 lost; 3s"},
		{name: "another node announces", change: func(f *fixture) { f.announce("two") }, from: "outside", to: lbIP + ":80", kind: reach.FlowKept, want: "may move", then: "a b", rule: ruleOverFailover},
		{name: "speakers restarted", change: func(*fixture) {}, edit: func(c *Change) { c.Announcing = true }, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverFailover},
	}
}

// boundsOverTime are cases of what decides a rule, and of all that it allows: each fails when one condition or bound of time.go,
// fates.go or conntrack.go is left out.
func boundsOverTime() []overTime {
	const udp, tcp = webIP + ":53/UDP", webIP + ":80"
	touched := func(c *Change) { c.Touched = map[string]bool{"demo/web": true} }
	resynced := func(c *Change) { c.Resynced = true }
	empty := func(o *Oracle) []*Oracle { return []*Oracle{o.Without(nil, map[string]bool{"demo/web": true}, nil)} }
	gone := func(o *Oracle) []*Oracle { return []*Oracle{o.Without(map[string]bool{"demo/web": true}, nil, nil)} }
	unready := func(o *Oracle) []*Oracle { return []*Oracle{o.Without(nil, nil, map[string]bool{"a": true})} }
	same := func(*fixture) {}
	// other is a Service with the endpoint b that takes over an address of demo/web.
	other := func(f *fixture) *corev1.Service {
		s := f.second()
		s.Spec.Ports[1].NodePort = 0
		f.Slices = append(f.Slices, f.slicesNamed("other", "b")...)
		return s
	}
	moved := func(f *fixture) {
		other(f).Status, f.web().Status = f.web().Status, corev1.ServiceStatus{}
		f.Services[1].Spec.Type = corev1.ServiceTypeLoadBalancer
	}
	return []overTime{
		{name: "a load balancer's address moves to another Service", change: moved, from: "outside", to: lbIP + ":80", want: "may move", then: "b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "TCP: a load balancer's address moves to another Service", change: moved, from: "outside", to: lbIP + ":80", kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: a load balancer's address moves to another Service, which has no such port", change: func(f *fixture) {
			moved(f)
			f.Services[1].Spec.Ports = f.Services[1].Spec.Ports[:1]
		}, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: a load balancer's address moves to another Service, which has the port", change: func(f *fixture) {
			moved(f)
			*f = *withUDPSlices(f)
		}, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowUnconnected, want: "must move", then: "b", rule: ruleOverUDPStale,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by b any; 2 lost, some not translated; 3s"},
		{name: "a ClusterIP moves to another Service", change: func(f *fixture) {
			s := other(f)
			s.Spec.ClusterIP, s.Spec.ClusterIPs = webIP, []string{webIP}
			f.Services = f.Services[1:]
		}, from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "UDP: an entry to an endpoint of long ago", before: func(f *fixture) { f.drop("a") }, change: same, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "must move", then: "b", rule: ruleOverUDPStale,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "an unknown address, then a pod", before: func(f *fixture) { f.byHand("10.244.9.9", 8080) }, change: func(f *fixture) { f.slice("web", "b") }, from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew,
			all: "Reached Refused TimedOut Unreachable any; Reached by b any; 2 lost; 3s"},
		{name: "touched, nothing changes", change: same, edit: touched, from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverRewritten,
			all: "Reached by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "resynced", change: same, edit: resynced, from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverRewritten,
			all: "Reached by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "another Service is touched", change: same, edit: func(c *Change) { c.Touched = map[string]bool{"demo/other": true} }, from: "pod/one", to: tcp, want: "must not notice", then: "a b", rule: ruleOverBystander,
			all: "Reached by a,b any; Reached by a,b any; 0 lost; 3s"},
		{name: "no backend answered, nothing changes", before: func(f *fixture) { f.unready("a", "b") }, change: same, from: "pod/two", to: udp, kind: reach.FlowConnected, backend: "-", want: "must not notice", then: "Refused TimedOut", rule: ruleOverBystander,
			all: "Refused TimedOut Unreachable any; Refused TimedOut any; 0 lost; 3s"},
		{name: "no backend answers new connections, nothing changes", before: func(f *fixture) { f.unready("a", "b") }, change: same, from: "pod/two", to: udp, backend: "-", want: "must not notice", then: "Refused TimedOut", rule: ruleOverBystander,
			all: "Refused TimedOut any; Refused TimedOut any; 0 lost; 3s"},
		{name: "no endpoints for a moment", change: same, passing: empty, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached Refused TimedOut by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "one endpoint does not listen any more", change: func(f *fixture) { f.byName("b").Spec.Containers[0].Ports = f.byName("b").Spec.Containers[0].Ports[1:] }, from: "pod/one", to: tcp, want: "may move", then: "a", rule: ruleOverNew,
			all: "Reached Refused TimedOut by a,b any; Reached Refused TimedOut by a any; 2 lost; 3s"},
		{name: "an endpoint leaves, and lives", change: func(f *fixture) { f.drop("a") }, from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "an endpoint leaves, and is gone", change: func(f *fixture) { f.vanish("a") }, from: "pod/one", to: tcp, want: "may move", then: "b", rule: ruleOverNew,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "the only endpoint is replaced", before: func(f *fixture) { f.drop("b") }, change: func(f *fixture) { f.Slices = nil; f.slice("web", "b"); *f = *withUDPSlices(f) }, from: "pod/one", to: tcp, want: "must move", then: "b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "endpoints come", before: func(f *fixture) { f.drop("a", "b") }, change: func(f *fixture) { f.slice("web", "a"); *f = *withUDPSlices(f) }, from: "pod/one", to: tcp, backend: "-", want: "must move", then: "a", rule: ruleOverNew,
			all: "Reached Refused TimedOut by a any; Reached by a any; 2 lost; 3s"},
		{name: "affinity begins", change: affine, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by a,b sticky; 2 lost; 3s"},
		{name: "affinity ends", before: affine, change: func(f *fixture) { f.web().Spec.SessionAffinity = "" }, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "affinity, touched", before: affine, change: same, edit: touched, from: "pod/one", to: tcp, want: "keeps its backend", then: "a", rule: ruleOverAffinity,
			all: "Reached by a sticky; Reached by a sticky; 2 lost; 3s"},
		{name: "affinity, resynced", before: affine, change: same, edit: resynced, from: "pod/one", to: tcp, want: "keeps its backend", then: "a", rule: ruleOverAffinity,
			all: "Reached by a sticky; Reached by a sticky; 2 lost; 3s"},
		{name: "affinity, nothing is done", before: affine, change: same, from: "pod/one", to: tcp, want: "keeps its backend", then: "a", rule: ruleOverAffinity,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "affinity, no endpoints for a moment", before: affine, change: same, passing: empty, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached Refused TimedOut by a,b any; Reached by a,b sticky; 2 lost; 3s"},
		{name: "affinity, the endpoint not ready for a moment", before: affine, change: same, passing: unready, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by a,b sticky; 2 lost; 3s"},
		{name: "affinity, one of the pod's endpoints leaves", before: func(f *fixture) { affine(f); f.twice() }, change: (*fixture).once, from: "pod/one", to: tcp, want: "may move", then: "a b", rule: ruleOverNew,
			all: "Reached by a,b any; Reached by a,b sticky; 2 lost; 3s"},
		{name: "affinity, another endpoint of the pod comes", before: affine, change: (*fixture).twice, from: "pod/one", to: tcp, want: "keeps its backend", then: "a", rule: ruleOverAffinity,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "affinity, another node announces", before: affine, change: func(f *fixture) { f.announce("two") }, from: "outside", to: lbIP + ":80", want: "may move", then: "a b", rule: ruleOverFailover,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b sticky; 2 lost; 10s"},
		{name: "the node that announces switches its mode", change: same, edit: switched("one"), from: "outside", to: lbIP + ":80", want: "may move", then: "a b", rule: RuleOverSwitch,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "the node that announced switches its mode", change: func(f *fixture) { f.announce("two") }, edit: switched("one"), from: "outside", to: lbIP + ":80", want: "may move", then: "a b", rule: RuleOverSwitch,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "the node that will announce switches its mode", change: func(f *fixture) { f.announce("two") }, edit: switched("two"), from: "outside", to: lbIP + ":80", want: "may move", then: "a b", rule: RuleOverSwitch,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "another node announces, for a pod", change: func(f *fixture) { f.announce("two") }, edit: func(c *Change) { c.Announcing = true }, from: "pod/one", to: lbIP + ":80", kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "another node announces, for the host", change: func(f *fixture) { f.announce("two") }, from: "host", to: lbIP + ":80", kind: reach.FlowKept, want: "may move", then: "a b", rule: ruleOverFailover,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 10s"},
		{name: "speakers restarted, another kind of address", change: same, edit: func(c *Change) { c.Announcing = true }, from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "speakers restarted, new connections", change: same, edit: func(c *Change) { c.Announcing = true }, from: "outside", to: lbIP + ":80", want: "may move", then: "a b", rule: ruleOverFailover,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 10s"},
		{name: "TCP: touched", change: same, edit: touched, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "keeps its backend", then: "a", rule: ruleOverTCP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "TCP: recreated with another address", change: func(f *fixture) { f.byName("a").Status.PodIPs[0].IP = "10.244.1.77" }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "may move", then: "a b", rule: ruleOverGone,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "TCP: the pod has ended", change: func(f *fixture) { f.byName("a").Status.Phase = corev1.PodFailed }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "may move", then: "a b", rule: ruleOverGone,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "TCP: a backend of before", change: same, from: "pod/one", to: tcp, kind: reach.FlowKept, backend: "older", want: "keeps its backend", then: "older", rule: ruleOverTCP,
			all: "Reached by older sticky; Reached by older sticky; 0 lost; 3s"},
		{name: "UDP: forgotten", change: same, edit: func(c *Change) { c.Cut = true }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverCut,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: the Service is gone for a moment", change: same, passing: gone, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: no endpoints of a node port for a moment", change: same, passing: empty, from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: no endpoints of a node port for a moment, in two slices", before: func(f *fixture) { f.partedSlices("a", "b") }, change: same, passing: empty,
			from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverSlices,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: not ready for a moment, then others only", change: func(f *fixture) { f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }, passing: unready,
			from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "b a", rule: ruleOverUDPPassing,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by b,a any; 2 lost; 3s"},
		{name: "UDP: not ready for a moment, then none for new ones", change: func(f *fixture) { f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) }, passing: unready,
			from: "pod/cp", to: udp, kind: reach.FlowConnected, want: "may move", then: "a", rule: ruleOverUDPPassing,
			all: "Reached Refused TimedOut Unreachable by a,b any; TimedOut Reached by a any; 2 lost; 3s"},
		{name: "UDP: to a node port of the pod's own node", change: same, from: "pod/two", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: to a node port from outside", change: same, from: "outside", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: to another node's port, all that is allowed", change: same, from: "pod/one", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPTransit,
			all: "Reached by a sticky; Reached by a sticky; 3 lost anytime and each 1s, then by a,b; 3s"},
		{name: "UDP: an entry older than the endpoints", before: func(f *fixture) { f.drop("a") }, change: func(f *fixture) { f.slice("web", "a", "b"); *f = *withUDPSlices(f) }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: one of the pod's endpoints leaves", before: (*fixture).twice, change: (*fixture).once, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPStale,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: another endpoint of the pod comes", before: same, change: (*fixture).twice, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: one of the pod's endpoints leaves for a moment", before: (*fixture).twice, change: same, passing: func(o *Oracle) []*Oracle {
			f := &fixture{World: o.World()}
			f.once()
			return []*Oracle{New(f.World)}
		}, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPPassing,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: a node port without endpoints has the number of another address", change: func(f *fixture) {
			s := f.second()
			s.Spec.Type, s.Spec.Ports[0] = corev1.ServiceTypeNodePort, corev1.ServicePort{Name: "x", Port: 99, NodePort: 53, Protocol: corev1.ProtocolUDP}
		}, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: a node port with other endpoints has the number of another address", change: func(f *fixture) {
			s := f.second()
			s.Spec.Type, s.Spec.Ports[0] = corev1.ServiceTypeNodePort, corev1.ServicePort{Name: "x", Port: 99, NodePort: 53, Protocol: corev1.ProtocolUDP}
			slice := f.slicesNamed("other", "b")[0]
			slice.Ports[0].Name, slice.Ports[0].Protocol = ptr("x"), ptr(corev1.ProtocolUDP)
			f.Slices = append(f.Slices, slice)
		}, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "may move", then: "a b", rule: ruleOverUDPStale,
			all: "Reached Refused TimedOut Unreachable by a,b any; Reached by a,b any; 2 lost; 3s"},
		{name: "UDP: unconnected, no backend answered", before: func(f *fixture) { f.unready("a", "b") }, change: func(f *fixture) {
			f.each("a", func(e *discoveryv1.Endpoint) { e.Conditions = discoveryv1.EndpointConditions{} })
		}, from: "pod/two", to: udp, kind: reach.FlowUnconnected, backend: "-", want: "must move", then: "a", rule: ruleOverNew,
			all: "Reached Refused TimedOut Unreachable by a any; Reached by a any; 2 lost; 3s"},
		{name: "UDP: to another node's port that had no endpoints", before: func(f *fixture) { f.unready("a", "b") }, change: same, from: "pod/one", to: two + ":30053/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "TCP: another backend is gone", change: func(f *fixture) { f.vanish("b") }, from: "pod/one", to: tcp, want: "may move", then: "a", rule: ruleOverNew,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by a any; 2 lost; 3s"},
		{name: "TCP: the pod is gone that had left", before: func(f *fixture) { f.drop("a") }, change: func(f *fixture) { f.vanish("a") }, from: "pod/one", to: tcp, kind: reach.FlowKept, want: "must move", then: "b", rule: ruleOverGone,
			all: "Reached Refused TimedOut Unreachable WrongAnswer by a,b any; Reached by b any; 2 lost; 3s"},
		{name: "UDP: terminating, the only ones", change: func(f *fixture) { f.terminating("a", "b") }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP: all gone but the Service", change: func(f *fixture) { f.vanish("a", "b") }, from: "pod/two", to: udp, kind: reach.FlowConnected, want: "must end", then: "Refused TimedOut", rule: ruleOverUDPEnds,
			all: "Reached Refused TimedOut Unreachable any; Refused TimedOut any; 2 lost; 3s"},
		{name: "UDP: the address is the load balancer's own", before: func(f *fixture) { f.web().Status.LoadBalancer.Ingress[0].IPMode = ptr(corev1.LoadBalancerIPModeProxy) },
			change: func(f *fixture) { f.unready("a", "b") }, from: "pod/one", to: lbIP + ":53/UDP", kind: reach.FlowConnected, want: "keeps its backend", then: "a", rule: ruleOverUDPKept,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "UDP without answers: no ranges", change: same, from: "outside", to: lbIP + ":53/UDP", kind: reach.FlowOneWay, want: "keeps its backend", then: "a", rule: ruleOverUDP,
			all: "Reached by a sticky; Reached by a sticky; 0 lost; 3s"},
		{name: "an unknown address", before: func(f *fixture) { f.byHand("10.244.9.9", 8080) }, change: func(f *fixture) { f.drop("a", "b"); f.Slices[0].Endpoints = nil }, from: "pod/one", to: tcp, want: "must end", then: "Refused TimedOut", rule: ruleOverNew,
			all: "Reached Refused TimedOut Unreachable any; Refused TimedOut any; 2 lost; 3s"},
	}
}

// withUDPSlices has slices that were made again serve 53/UDP too, as those of withUDP do.
func withUDPSlices(f *fixture) *fixture {
	for i := range f.Slices {
		if len(f.Slices[i].Ports) == 1 {
			f.Slices[i].Ports = append(f.Slices[i].Ports, discoveryv1.EndpointPort{Name: ptr("dns"), Port: ptr(int32(5353)), Protocol: ptr(corev1.ProtocolUDP)})
		}
	}
	return f
}

// TestBounds holds the bounds to what they rest on.
func TestBounds(t *testing.T) {
	for what, pair := range map[string][2]any{
		"minSyncPeriod of kube-proxy": {SyncPeriod, time.Second}, "syncPeriod of kube-proxy": {RetryPeriod, 30 * time.Second}, "cleanup": {CleanupPeriod, 2 * time.Second},
		"endpointslice-updates-batch-period": {BatchPeriod, time.Duration(0)}, "memberlist": {FailoverPeriod, 10 * time.Second}, "all but failover": {Within, 3 * time.Second},
		"requests lost when rules are rewritten": {rewritten, 2}, "answers lost in transit": {Transits, 3},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
}

// in is the change of a case in a proxy mode, and its flow.
func (tc overTime) in(mode string) (c Change, flow reach.Flow, backend string) {
	before, after := withUDP(), withUDP()
	for _, f := range []*fixture{before, after} {
		if f.Facts.ProxyMode = mode; tc.before != nil {
			tc.before(f)
		}
	}
	tc.change(after)
	c = Change{Before: New(before.World), After: New(after.World)}
	if tc.passing != nil {
		c.Passing = tc.passing(c.Before)
	}
	if tc.edit != nil {
		tc.edit(&c)
	}
	backend = map[string]string{"": "a", "-": ""}[tc.backend]
	if tc.backend != "" && tc.backend != "-" {
		backend = tc.backend
	}
	target := at(tc.to)
	target.Service = "demo/web"
	if strings.Contains(tc.to, lbIP) {
		target.Kind = reach.LoadBalancer
	}
	if strings.Contains(tc.to, ":30053") {
		target.Kind, target.Node = reach.NodePort, "two"
	}
	flow = reach.Flow{Vantage: vantage(tc.from), Target: target, Kind: tc.kind}
	return c, flow, backend
}

// TestEveryRuleCanFail: a record that breaks a fate is noticed, one that keeps it is not.
func TestEveryRuleCanFail(t *testing.T) {
	began := time.Unix(1000, 0)
	period := reach.Period{Began: began, InForce: began.Add(4 * time.Second), Ended: began.Add(8 * time.Second)}
	at := func(seconds int, outcome reach.Outcome, backend string) reach.Observation {
		return reach.Observation{At: began.Add(time.Duration(seconds) * time.Second), Outcome: outcome, Backend: backend, Latency: time.Millisecond}
	}
	noticed := map[string]bool{}
	for _, tc := range append(overTimes(), boundsOverTime()...) {
		c, flow, backend := tc.in(world.ModeNFTables)
		fate := c.Fate(flow, backend)
		like := at(5, fate.Then.Outcomes[0], "")
		if like.Outcome == reach.Reached && len(fate.Then.Backends) > 0 {
			like.Backend = fate.Then.Backends[0]
		}
		judge := func(record ...reach.Observation) reach.Result {
			return reach.JudgeFlow(flow, backend, fate, period, record).Result
		}
		if judge(like) != reach.Pass {
			t.Errorf("%s: %+v is not allowed", tc.name, like)
		}
		wrong := map[string]reach.Observation{"a wrong answer": at(5, reach.WrongAnswer, "")}
		if len(fate.Then.Backends) > 0 || !fate.Then.Allows(reach.Reached) {
			wrong["an answer of another"] = at(5, reach.Reached, "stranger")
		}
		if !fate.Then.Allows(reach.TimedOut) {
			wrong["silence"] = at(5, reach.TimedOut, "")
		}
		if len(fate.Meanwhile.Backends) > 0 {
			wrong["an answer of another before it is in force"] = at(1, reach.Reached, "stranger")
		}
		if !fate.Meanwhile.Allows(reach.TimedOut) {
			wrong["silence before it is in force"] = at(1, reach.TimedOut, "")
		}
		for what, o := range wrong {
			record := []reach.Observation{o}
			tolerated := fate.Tolerated
			if fate.Every > 0 {
				tolerated += int(period.Ended.Sub(period.Began) / fate.Every)
			}
			for range tolerated {
				record = append(record, o)
			}
			if judge(record...) != reach.Fail {
				t.Errorf("%s: %s is not noticed", tc.name, what)
			} else if what != "a wrong answer" {
				noticed[fate.Rule] = true
			}
			if fate.Tolerated > 0 && o.Outcome == reach.TimedOut && (o.At.Before(period.InForce) || fate.Anytime) && judge(record[1:]...) != reach.Pass {
				t.Errorf("%s: %s is not tolerated %d times", tc.name, what, fate.Tolerated)
			}
		}
	}
	for _, r := range RulesOverTime() {
		if !noticed[r.ID] {
			t.Errorf("no record breaks rule %s", r.ID)
		}
	}
}

func TestOverTime(t *testing.T) {
	covered := map[string]bool{}
	for _, mode := range []string{world.ModeNFTables, world.ModeIPTables} {
		for _, tc := range append(overTimes(), boundsOverTime()...) {
			covered[tc.rule] = true
			t.Run(mode+" "+tc.name, func(t *testing.T) {
				c, flow, backend := tc.in(mode)
				fate := c.Fate(flow, backend)
				then := strings.Join(fate.Then.Backends, " ")
				if !fate.Then.Allows(reach.Reached) {
					then = strings.Trim(fmt.Sprint(fate.Then.Outcomes), "[]")
				}
				all := tc.all
				if mode == world.ModeIPTables && !fate.Anytime { // which writes its rules in one go
					all = strings.Replace(all, fmt.Sprintf(" %d lost", rewritten), " 0 lost", 1)
				}
				if got := describe(fate); all != "" && got != all {
					t.Errorf("it allows %s\nwant         %s", got, all)
				}
				if string(fate.Kind) != tc.want || then != tc.then || fate.Rule != tc.rule || fate.Doc == "" || fate.Reason == "" {
					t.Errorf("it %s: %s, by %s: %s", fate.Kind, then, fate.Rule, fate.Reason)
				}
				if lossless := (fate.Kind == reach.Unnoticed || fate.Kind == reach.Keeps) && fate.Then.Allows(reach.Reached); lossless && fate.Meanwhile.Allows(reach.TimedOut) || fate.Tolerated > 0 && mode == world.ModeIPTables && !fate.Anytime {
					t.Errorf("it %s, and meanwhile %v is allowed, %d tolerated", fate.Kind, fate.Meanwhile.Outcomes, fate.Tolerated)
				}
			})
		}
	}
	for _, r := range RulesOverTime() {
		if !covered[r.ID] {
			t.Errorf("rule %s has no case", r.ID)
		}
		if !strings.HasSuffix(r.Statement, ".") || !strings.HasPrefix(r.Doc, "https://") {
			t.Errorf("rule %s: statement %q, document %q", r.ID, r.Statement, r.Doc)
		}
	}
}
