package runner

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// written turns what a row says into a prediction. The snapshot is used for names only: which pods carry the
// labels the row gives, which addresses a vantage or a node has. What happens is the row's word alone; the
// oracle is never asked, so that the two stay independent.
func (s site) written(t scenario.Table, cell matched) (reach.Prediction, error) {
	row := t.Rows[cell.row]
	p := reach.Prediction{
		Outcomes: row.Outcome.For(s.world.Facts.ProxyMode), CNAME: s.fill(row.CNAME),
		Reason: row.Because, Rule: fmt.Sprintf("row %d", cell.row+1),
	}
	if p.Reason == "" {
		p.Reason = "the expected table says so: " + row.String()
	}
	if !p.Allows(reach.Reached) {
		return p, nil
	}
	p.HostSeen = s.fill(row.Host)
	backends, err := s.backends(t, *row.By, cell)
	if err != nil {
		return p, fmt.Errorf("row %d: from %s to %s: %w", cell.row+1, cell.vantage.Name, cell.target.Name(), err)
	}
	p.Backends, p.Sticky, p.AnyBackend = backends, row.By.Need == "one", row.By.Need == "any"
	for _, symbol := range row.Sees {
		prefixes, err := s.sources(symbol, cell)
		if err != nil {
			return p, fmt.Errorf("row %d: sees %s, from %s to %s: %w", cell.row+1, symbol, cell.vantage.Name, cell.target.Name(), err)
		}
		p.Sources = append(p.Sources, prefixes...)
	}
	return p, nil
}

// backends are the names behind by, sorted. That nobody is behind it is an error: the row expects an answer.
func (s site) backends(t scenario.Table, by scenario.By, cell matched) ([]string, error) {
	switch {
	case len(by.Names) > 0:
		return slices.Sorted(slices.Values(by.Names)), nil
	case by.Itself && cell.target.Pod == "":
		return nil, errors.New("by itself is for endpoint targets of pods")
	}
	text := t.App
	if by.Pods != "" {
		text = by.Pods
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("pods %q: %w", text, err)
	}
	var names []string
	for i := range s.world.Pods {
		pod := &s.world.Pods[i]
		switch {
		case pod.Namespace != s.namespace:
		case by.Itself:
			if pod.Name == cell.target.Pod {
				names = append(names, world.Identity(pod))
			}
		case selector.Matches(labels.Set(pod.Labels)) && inState(pod, by.States) && s.onNode(pod, by.On, cell):
			names = append(names, world.Identity(pod))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s is to answer, but there is none", by)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// inState reports whether a pod is in one of the states; in none given, whether it is ready.
func inState(pod *corev1.Pod, states []string) bool {
	if world.Ended(pod) {
		return false
	}
	state := "unready"
	switch {
	case pod.DeletionTimestamp != nil:
		state = "terminating"
	case world.Ready(pod):
		state = "ready"
	}
	if len(states) == 0 {
		return state == "ready"
	}
	return slices.Contains(states, state)
}

func (s site) onNode(pod *corev1.Pod, on []string, cell matched) bool {
	if len(on) == 0 {
		return true
	}
	return slices.ContainsFunc(on, func(where string) bool {
		switch where {
		case "own":
			return pod.Spec.NodeName == cell.vantage.Node
		case "target":
			return pod.Spec.NodeName == s.nodeOf(cell.target)
		default:
			return pod.Spec.NodeName == s.world.Facts.Slots[where]
		}
	})
}

// sources are the addresses a symbol of Row.Sees stands for; see scenario.Sources.
func (s site) sources(symbol string, cell matched) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	switch symbol {
	case "self":
		prefixes = singles(cell.vantage.Addrs)
		if cell.vantage.Kind == reach.Node {
			prefixes = append(prefixes, s.nodeAddrs(cell.vantage.Node)...)
		}
	case "own-node":
		prefixes = s.nodeAddrs(cell.vantage.Node)
	case "node":
		prefixes = s.entry(cell)
	case "any-node":
		for _, node := range s.world.Nodes {
			prefixes = append(prefixes, s.nodeAddrs(node.Name)...)
		}
	case "host":
		for _, v := range s.vantages {
			if v.Kind == reach.Host {
				prefixes = append(prefixes, singles(v.Addrs)...)
			}
		}
	default:
		if prefix, err := netip.ParsePrefix(symbol); err == nil {
			return []netip.Prefix{prefix}, nil
		}
		addr, err := netip.ParseAddr(symbol)
		if err != nil {
			return nil, err
		}
		return singles([]netip.Addr{addr}), nil
	}
	if len(prefixes) == 0 {
		if cell.vantage.Unusable != "" {
			return nil, nil // it has no address to be seen, and nothing is asked from there
		}
		return nil, errors.New("no such address is known")
	}
	return prefixes, nil
}

// entry are the addresses of the node at which the packet meets the Service's rules: the node whose address
// is asked; else the vantage's own; else, for a load-balancer address asked from beyond the nodes, the node
// that announces it, or any where nothing says which.
func (s site) entry(cell matched) []netip.Prefix {
	if node := s.nodeOf(cell.target); node != "" && cell.target.Pod == "" {
		return s.nodeAddrs(node)
	}
	if cell.vantage.Node != "" {
		return s.nodeAddrs(cell.vantage.Node)
	}
	if addr, err := netip.ParseAddr(cell.target.Host); err == nil && s.world.Announcers[addr] != "" {
		return s.nodeAddrs(s.world.Announcers[addr])
	}
	var prefixes []netip.Prefix
	for _, node := range s.world.Nodes {
		prefixes = append(prefixes, s.nodeAddrs(node.Name)...)
	}
	return prefixes
}

// nodeAddrs are the addresses a packet that the node sends, or masquerades, can have: its own, the first of
// its pod range (its end of every pod's link), and what the cluster's facts add.
func (s site) nodeAddrs(name string) []netip.Prefix {
	for i := range s.world.Nodes {
		node := &s.world.Nodes[i]
		if node.Name == name {
			return slices.Concat(singles(world.NodeAddrs(node)), singles(world.Gateways(node)), s.world.Facts.NodeSources[name])
		}
	}
	return nil
}

func singles(addrs []netip.Addr) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	return prefixes
}
