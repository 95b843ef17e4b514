package main

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// observed is what the rules make of one cell.
type observed struct {
	fates    []fate
	outcomes []reach.Outcome
	backends []string
	sources  []netip.Prefix
	sticky   bool
	vague    bool // something that no object says decides
	problem  string
}

// observe follows a cell's probe in all ways.
func (c *cluster) observe(v reach.Vantage, t reach.Target) observed {
	var (
		o       observed
		endings = c.probes(v, t, nil, false)
		chances = map[netip.AddrPort]float64{}
		open    bool
	)
	for _, e := range endings {
		o.fates = add(o.fates, e.fate)
		o.outcomes = add(o.outcomes, e.fate.outcomes(t.Protocol)...)
		o.vague = o.vague || e.fate == unknown
		open = open || e.open
		if e.chosen.IsValid() {
			chances[e.chosen] += e.chance
		}
		if e.fate != reached && e.fate != perhaps {
			continue
		}
		o.backends = add(o.backends, e.backend)
		o.sources = add(o.sources, e.sources...)
		if len(e.recorded) == 0 {
			continue
		}
		o.sticky = true
		for _, again := range c.probes(v, t, e.recorded, false) {
			if !again.open && again.chosen != e.chosen {
				o.problem = fmt.Sprintf("affinity does not keep the client with %s: it comes to %s", e.chosen, again.chosen)
			}
		}
	}
	if !open {
		for to, chance := range chances {
			if math.Abs(chance-1/float64(len(chances))) > 1e-6 {
				o.problem = fmt.Sprintf("%s has the chance %.4f among %d endpoints", to, chance, len(chances))
			}
		}
	}
	slices.Sort(o.outcomes)
	slices.Sort(o.backends)
	return o
}

func add[T comparable](list []T, items ...T) []T {
	for _, item := range items {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// differs says how a prediction differs from what the rules do; "" if it does not.
func (o observed) differs(p reach.Prediction, f world.Facts) string {
	if o.problem != "" {
		return o.problem
	}
	if f.Detection == world.DetectUnknown { // the facts do not say what the proxiers do, so the oracle has to allow for more
		if o.within(p) || o.nowhere(p) {
			return ""
		}
		return fmt.Sprintf("predicted %v, %v, %s; the rules lead to %v, %v, %s", p.Outcomes, p.Backends, texts(p.Sources), o.outcomes, o.backends, texts(o.sources))
	}
	predicted := slices.Sorted(slices.Values(p.Outcomes))
	if !slices.Equal(predicted, o.outcomes) && !o.nowhere(p) {
		return fmt.Sprintf("predicted %v, the rules lead to %v", predicted, o.outcomes)
	}
	if !slices.Contains(o.outcomes, reach.Reached) {
		return ""
	}
	if o.vague { // something answers, or not: only what is known can be compared
		if !p.AnyBackend && p.Backends != nil {
			return "some backends are not known, and all are required"
		}
		for _, b := range o.backends {
			if p.Backends != nil && !slices.Contains(p.Backends, b) {
				return fmt.Sprintf("predicted the backends %v, the rules lead to %v as well", p.Backends, b)
			}
		}
		return ""
	}
	if !slices.Equal(p.Backends, o.backends) {
		return fmt.Sprintf("predicted the backends %v, the rules lead to %v", p.Backends, o.backends)
	}
	if p.Sticky != o.sticky {
		return fmt.Sprintf("predicted sticky %v, the rules make it %v", p.Sticky, o.sticky)
	}
	if texts(p.Sources) != texts(o.sources) {
		return fmt.Sprintf("predicted the sources %s, the rules lead to %s", texts(p.Sources), texts(o.sources))
	}
	return ""
}

// nowhere says whether both find that no host has the address. What a client without a route, or with one, then sees is not
// kube-proxy's. A client that was sent to the address before may still be refused by the node that announced it.
func (o observed) nowhere(p reach.Prediction) bool {
	return len(o.fates) == 1 && o.fates[0] == nowhere && !slices.ContainsFunc(p.Outcomes, func(x reach.Outcome) bool {
		return x != reach.Unreachable && x != reach.TimedOut && (x != reach.Refused || p.Rule != "loadbalancer-not-announced")
	})
}

func texts(prefixes []netip.Prefix) string {
	var list []string
	for _, p := range prefixes {
		list = append(list, reach.PrefixText(p))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// disagreement is a cell in which the oracle and the rules differ.
type disagreement struct {
	vantage    reach.Vantage
	target     reach.Target
	prediction reach.Prediction
	how        string
	exception  *exception
}

// tally counts cells.
type tally struct {
	cells, differ, excused int
}

// compare compares all cells of a world in one proxy mode, after a history that ends with it; see proxiers.write.
func (p *proxiers) compare(w world.World, mode string, each func(*cluster, disagreement), history ...update) (map[int]tally, error) {
	w.Facts.ProxyMode, w.Facts.ProxyRelease = mode, p.release
	proxies, err := p.write(w, mode, history)
	if err != nil {
		return nil, err
	}
	c, err := newCluster(w, p.release, proxies)
	if err != nil {
		return nil, err
	}
	tallies := map[int]tally{}
	o := oracle.New(w)
	for _, t := range targets(w) {
		for _, v := range vantages(w) {
			if !world.Applicable(v, t) {
				continue
			}
			count := tallies[t.IPFamily()]
			count.cells++
			prediction := o.Predict(v, t)
			if how := c.observe(v, t).differs(prediction, w.Facts); how != "" {
				d := disagreement{vantage: v, target: t, prediction: prediction, how: how}
				d.exception = excuse(c, d)
				if d.exception == nil {
					count.differ++
				} else {
					count.excused++
				}
				each(c, d)
			}
			tallies[t.IPFamily()] = count
		}
	}
	return tallies, nil
}

// vantages are the clients of a world: one pod on each node, the backends, each node, and those outside.
func vantages(w world.World) []reach.Vantage {
	var list []reach.Vantage
	for i := range w.Nodes {
		n := &w.Nodes[i]
		pod := reach.Vantage{Name: "pod/" + n.Name, Kind: reach.Pod, Node: n.Name, Namespace: "clients", PodName: "client-" + n.Name}
		node := reach.Vantage{Name: "node/" + n.Name, Kind: reach.Node, Node: n.Name}
		for _, gateway := range world.Gateways(n) {
			pod.Addrs = append(pod.Addrs, gateway.Next())
		}
		node.Addrs = append(node.Addrs, interfaces(n)[:len(w.Facts.ServiceCIDRs)]...)
		list = append(list, pod, node)
	}
	for i := range w.Pods {
		if pod := &w.Pods[i]; !pod.Spec.HostNetwork && i < 3 {
			list = append(list, reach.Vantage{Name: "backend/" + pod.Name, Kind: reach.Pod, Node: pod.Spec.NodeName, Namespace: pod.Namespace,
				PodName: pod.Name, Addrs: world.PodAddrs(pod)})
		}
	}
	outside := reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: hosts(9, w)}
	host := reach.Vantage{Name: "host", Kind: reach.Host, Addrs: hosts(1, w)}
	return append(list, outside, host)
}

// targets are those of all Services, without names, those that only one proxy mode may serve, and an address of the Service range
// that is free.
func targets(w world.World) []reach.Target {
	all := w.Targeter()
	list := all.Unallocated()
	for i := range w.Services {
		list = append(list, all.Everywhere(world.Name(&w.Services[i]), w.Nodes...)...)
	}
	list = slices.DeleteFunc(list, func(t reach.Target) bool { return t.Kind == reach.DNSName || t.Kind == reach.ExternalName })
	slices.SortFunc(list, func(a, b reach.Target) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Service, b.Service))
	})
	return slices.CompactFunc(list, func(a, b reach.Target) bool {
		return a.Host == b.Host && a.Port == b.Port && a.Protocol == b.Protocol && a.Kind == b.Kind
	})
}
