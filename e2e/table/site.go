// Package table matches the expected tables of a scenario with a world: it lists a table's targets, finds the row of each
// cell, and turns the row into a prediction.
//
// The package is pure. It needs no cluster, no client and no clock, so a table can be checked against a world that was
// taken from a cluster and against one that a test made. It decides nothing about traffic: that a row is right is for the
// observation to show.
package table

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Site is where a table is matched: one namespace of a world, and the vantages from which requests can be sent.
type Site struct {
	Namespace string
	World     world.World
	Vantages  []reach.Vantage
	// Former are the ClusterIPs that Services of the namespace have or had, by name, for {formerIP:SERVICE}.
	Former map[string][]netip.Addr
}

// clients returns the vantages that a table can select from: those of the site, or the scenario's own ready pods where the
// table names pods as clients. Loading has refused a selector that does not parse, so here it selects no pod.
func (s Site) clients(t scenario.Table) []reach.Vantage {
	if t.Clients == "" {
		return s.Vantages
	}
	selector, err := labels.Parse(t.Clients)
	if err != nil {
		return nil
	}
	var vantages []reach.Vantage
	for i := range s.World.Pods {
		pod := &s.World.Pods[i]
		if pod.Namespace == s.Namespace && selector.Matches(labels.Set(pod.Labels)) && InState(pod, nil) {
			vantages = append(vantages, podVantage(pod))
		}
	}
	return vantages
}

// Client finds a vantage by name. "pod/NAME" also names a pod of the scenario itself.
func (s Site) Client(name string) (v reach.Vantage, found bool) {
	for _, v := range s.Vantages {
		if v.Name == name {
			return v, true
		}
	}
	for i := range s.World.Pods {
		if pod := &s.World.Pods[i]; pod.Namespace == s.Namespace && "pod/"+pod.Name == name {
			return podVantage(pod), true
		}
	}
	return reach.Vantage{}, false
}

// podVantage is a pod as a vantage.
func podVantage(pod *corev1.Pod) reach.Vantage {
	return reach.Vantage{Name: "pod/" + pod.Name, Kind: reach.Pod, Node: pod.Spec.NodeName, Namespace: pod.Namespace,
		PodName: pod.Name, Labels: pod.Labels, Addrs: world.PodAddrs(pod)}
}

// Selects reports whether a row or a step that selects targets by to selects the target, for requests from v.
func (s Site) Selects(to scenario.To, v reach.Vantage, t reach.Target) bool {
	_, service, _ := strings.Cut(t.Service, "/")
	switch {
	case to.Undeclared != t.Undeclared,
		len(to.Kind) > 0 && !slices.Contains(to.Kind, t.Kind),
		to.Service != "" && to.Service != service,
		to.Port != 0 && to.Port != t.Port,
		to.Protocol != "" && to.Protocol != t.Protocol,
		to.Name != "" && s.fillNames(to.Name) != t.Host,
		to.Family != "" && to.Family != familyOf(t):
		return false
	}
	node := s.nodeOf(t)
	switch to.Node {
	case "":
		return true
	case "own":
		return node != "" && node == v.Node
	case "other":
		return node != "" && node != v.Node
	default:
		return node != "" && node == s.World.Facts.Slots[to.Node]
	}
}

// Pair is a vantage and a target of it.
type Pair struct {
	Vantage reach.Vantage
	Target  reach.Target
}

// Pairs returns the selected vantages, each with the targets of a Service that to selects. It is an error if there are none.
func (s Site) Pairs(service string, from scenario.Strings, to scenario.To) ([]Pair, error) {
	var pairs []Pair
	for _, v := range s.Vantages {
		if !scenario.MatchVantage(from, v) {
			continue
		}
		for _, target := range s.World.Targets(s.Namespace + "/" + service) {
			if world.Applicable(v, target) && s.Selects(to, v, target) {
				pairs = append(pairs, Pair{v, target})
			}
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("no target of service %s is selected from %s to %s", service, strings.Join(from, ", "), to)
	}
	return pairs, nil
}

// ReadyPods returns the identities of the namespace's ready pods that a label selector selects, sorted.
func (s Site) ReadyPods(selector string) ([]string, error) {
	selected, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("pods %q: %w", selector, err)
	}
	var names []string
	for i := range s.World.Pods {
		if pod := &s.World.Pods[i]; pod.Namespace == s.Namespace && selected.Matches(labels.Set(pod.Labels)) && InState(pod, nil) {
			names = append(names, world.Identity(pod))
		}
	}
	slices.Sort(names)
	return names, nil
}

// familyOf is the IP family of a target in the words of tables; empty where the client may use either.
func familyOf(t reach.Target) string {
	return map[int]string{4: string(corev1.IPv4Protocol), 6: string(corev1.IPv6Protocol)}[t.IPFamily()]
}

// nodeOf is the node that has the target's address; empty for addresses that no single node has.
func (s Site) nodeOf(t reach.Target) string {
	if t.Node != "" || t.Pod == "" {
		return t.Node
	}
	for _, pod := range s.World.Pods {
		if pod.Name == t.Pod && pod.Namespace == s.Namespace {
			return pod.Spec.NodeName
		}
	}
	return ""
}

// nodeAt is the node that has an address; empty where none has it.
func (s Site) nodeAt(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	for i := range s.World.Nodes {
		if slices.Contains(world.NodeAddrs(&s.World.Nodes[i]), addr) {
			return s.World.Nodes[i].Name
		}
	}
	return ""
}

// InState reports whether a pod is in one of the states "ready", "unready" and "terminating"; without states, whether it is
// ready. A pod whose containers have all ended is in none of them.
func InState(pod *corev1.Pod, states []string) bool {
	if world.Ended(pod) {
		return false
	}
	state := "unready"
	switch {
	case pod.DeletionTimestamp != nil: // a terminating pod may still be ready: the API keeps both
		state = "terminating"
	case world.Ready(pod):
		state = "ready"
	}
	if len(states) == 0 {
		return state == "ready"
	}
	return slices.Contains(states, state)
}
