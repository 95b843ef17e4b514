package table

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

// Expected turns the row of a cell into a prediction. It uses the world for names only: which pods have the labels that
// the row selects, which addresses a vantage or a node has. What happens is what the row says. The oracle has no part in
// it, so that the two predictions stay independent.
//
// With an error the prediction has no backends, or not all sources.
func (s Site) Expected(t scenario.Table, cell Cell) (reach.Prediction, error) {
	row := t.Rows[cell.Row]
	p := reach.Prediction{
		Outcomes: row.Outcome.For(s.mode(cell)), CNAME: s.fillNames(row.CNAME),
		Reason: row.Because, Rule: fmt.Sprintf("row %d", cell.Row+1),
	}
	if p.Reason == "" {
		p.Reason = "the expected table says so: " + row.String()
	}
	if !p.Allows(reach.Reached) {
		return p, nil
	}
	p.HostSeen = s.fillNames(row.Host)
	backends, err := s.backends(t, *row.By, cell)
	if err != nil {
		return p, fmt.Errorf("row %d: from %s to %s: %w", cell.Row+1, cell.Vantage.Name, cell.Target.Name(), err)
	}
	p.Backends, p.Sticky, p.AnyBackend = backends, row.By.Need == "one", row.By.Need == "any"
	for _, symbol := range row.Sees {
		prefixes, err := s.sources(symbol, cell)
		if err != nil {
			return p, fmt.Errorf("row %d: sees %s, from %s to %s: %w", cell.Row+1, symbol, cell.Vantage.Name, cell.Target.Name(), err)
		}
		p.Sources = append(p.Sources, prefixes...)
	}
	return p, nil
}

// backends returns the sorted backend names that by selects. It returns an error when there are none, because the row
// expects an answer.
func (s Site) backends(t scenario.Table, by scenario.By, cell Cell) ([]string, error) {
	switch {
	case len(by.Names) > 0:
		return slices.Sorted(slices.Values(by.Names)), nil
	case by.Itself && cell.Target.Pod == "":
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
	for i := range s.World.Pods {
		pod := &s.World.Pods[i]
		switch {
		case pod.Namespace != s.Namespace:
		case by.Itself:
			if pod.Name == cell.Target.Pod {
				names = append(names, world.Identity(pod))
			}
		case selector.Matches(labels.Set(pod.Labels)) && InState(pod, by.States) && s.onNode(pod, by.On, cell):
			names = append(names, world.Identity(pod))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the row expects an answer by %s, but there is no such pod", by)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// onNode reports whether a pod is on one of the nodes; "own" is the vantage's node, "target" the target's.
func (s Site) onNode(pod *corev1.Pod, on []string, cell Cell) bool {
	if len(on) == 0 {
		return true
	}
	return slices.ContainsFunc(on, func(where string) bool {
		switch where {
		case "own":
			return pod.Spec.NodeName == cell.Vantage.Node
		case "target":
			return pod.Spec.NodeName == s.nodeOf(cell.Target)
		default:
			return pod.Spec.NodeName == s.World.Facts.Slots[where]
		}
	})
}

// sources returns the addresses that a symbol of Row.Sees stands for; see scenario.Sources.
func (s Site) sources(symbol string, cell Cell) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	switch symbol {
	case "self":
		prefixes = singles(cell.Vantage.Addrs)
		if cell.Vantage.Kind == reach.Node {
			prefixes = append(prefixes, s.nodeAddrs(cell.Vantage.Node)...)
		}
	case "own-node":
		prefixes = s.nodeAddrs(cell.Vantage.Node)
	case "node":
		prefixes = s.entry(cell)
	case "any-node":
		for _, node := range s.World.Nodes {
			prefixes = append(prefixes, s.nodeAddrs(node.Name)...)
		}
	case "host":
		for _, v := range s.Vantages {
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
		if cell.Vantage.Unusable != "" {
			return nil, nil // no request is sent from it, so no backend sees an address of it
		}
		return nil, errors.New("no such address is known")
	}
	return prefixes, nil
}

// mode is that of the kube-proxy whose rules the packet of a cell meets first.
func (s Site) mode(cell Cell) string { return s.World.Facts.ModeOf(s.first(cell)) }

// first is the node whose kube-proxy rules the packet meets first: the node that has the target's address; else the vantage's node;
// else, for a load-balancer address and a vantage outside the nodes, the node that announces the address. Empty: not known.
func (s Site) first(cell Cell) string {
	if node := s.nodeOf(cell.Target); node != "" && cell.Target.Pod == "" {
		return node
	}
	if cell.Vantage.Node != "" {
		return cell.Vantage.Node
	}
	if addr, err := netip.ParseAddr(cell.Target.Host); err == nil {
		return s.World.Announcers[addr]
	}
	return ""
}

// entry returns the addresses of the first node, or of every node if that is not known.
func (s Site) entry(cell Cell) []netip.Prefix {
	if node := s.first(cell); node != "" {
		return s.nodeAddrs(node)
	}
	var prefixes []netip.Prefix
	for _, node := range s.World.Nodes {
		prefixes = append(prefixes, s.nodeAddrs(node.Name)...)
	}
	return prefixes
}

// nodeAddrs returns the source addresses that a packet can have that the node sends or masquerades: its own addresses, the
// first of its pod range (its end of every pod's link), and what the cluster's facts add.
func (s Site) nodeAddrs(name string) []netip.Prefix {
	for i := range s.World.Nodes {
		node := &s.World.Nodes[i]
		if node.Name == name {
			return slices.Concat(singles(world.NodeAddrs(node)), singles(world.Gateways(node)), s.World.Facts.NodeSources[name])
		}
	}
	return nil
}

// singles are prefixes of one address each.
func singles(addrs []netip.Addr) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	return prefixes
}
