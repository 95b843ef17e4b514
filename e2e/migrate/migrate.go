// Package migrate predicts what a switch of kube-proxy changes for the Services of a cluster: from iptables to nftables mode, the
// other way, or from one release of kube-proxy to another. It makes two worlds of one snapshot, which differ in kube-proxy's
// settings only, has the oracle predict every Service for every kind of client in both, and groups the cells that differ by cause.
// It is pure, and sends nothing. What it predicts, package differential compares with the rules that kube-proxy itself writes.
package migrate

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Change is a cell that will behave in another way.
type Change struct {
	Vantage reach.Vantage    `json:"vantage"`
	Target  reach.Target     `json:"target"`
	Before  reach.Prediction `json:"before"`
	After   reach.Prediction `json:"after"`
}

// Effect is what a change means to a client, the worst first.
type Effect int

// The effects.
const (
	// Stops: what a backend answered is answered no longer.
	Stops Effect = iota
	// MayStop: by one of the two predictions it depends on something unknown whether a backend answers.
	MayStop
	// Moves: other backends answer.
	Moves
	// Source: the backends see another source address.
	Source
	// Starts: a backend answers that did not.
	Starts
	// Fails: no backend answers, before or after, and the client observes that in another way.
	Fails
)

// String returns the effect as reports print it.
func (e Effect) String() string {
	return [...]string{"stops answering", "may stop answering", "other backends answer", "another source address is seen", "starts answering", "fails in another way"}[e]
}

// MarshalText implements encoding.TextMarshaler.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Group are the changes that have one cause.
type Group struct {
	// ID is short and stable, Title a few words.
	ID    string `json:"id"`
	Title string `json:"title"`
	// Rules are the oracle's rules before and after, which differ, or are the same rule that the settings give another result.
	Rules  [2]string `json:"rules"`
	Effect Effect    `json:"effect"`
	// Forms are what clients observe before and after.
	Forms []Form `json:"forms"`
	// Declared: it is about addresses and ports that Services declare. Only such groups count as changes of a Service.
	Declared bool `json:"declared"`
	// Do says what to do before the switch; empty: nothing is needed.
	Do string `json:"do,omitempty"`
	// Services are the names of those that are affected, sorted.
	Services []string `json:"services"`
	// Why and Doc are the oracle's reason of the first change, and the document that it rests on.
	Why string `json:"why"`
	Doc string `json:"doc"`
	// Changes have one of each kind of client and node, not all nodes.
	Changes []Change `json:"changes"`
}

// Form is what some clients observe before and after: "answered", "refused or timed out".
type Form struct {
	Before string `json:"before"`
	After  string `json:"after"`
	// Clients are the kinds of client, sorted: "pods", "nodes".
	Clients []string `json:"clients"`
}

// Report is what a switch changes.
type Report struct {
	// Version is that of this format.
	Version int `json:"version"`
	// From and To are kube-proxy before and after: "iptables", or "nftables of v1.35".
	From string `json:"from"`
	To   string `json:"to"`
	// Services is how many were compared, Changed those with a change at an address and port that they declare, sorted.
	Services int      `json:"services"`
	Changed  []string `json:"changed"`
	// Cells is how many were predicted, in either world. Nodes that are equal in what matters count once.
	Cells  int     `json:"cells"`
	Groups []Group `json:"groups"`
	// Nodes are those on which the mode cannot run or may not run; Programs those that may read or write packet rules.
	Nodes    []Finding `json:"nodes"`
	Programs []Finding `json:"programs"`
	// Unknown is what no object says.
	Unknown []string `json:"unknown"`
}

// Finding is something next to the Services that matters to the switch.
type Finding struct {
	// What it is about: a node, a DaemonSet.
	What string `json:"what"`
	Why  string `json:"why"`
	Do   string `json:"do,omitempty"`
	// Doc is where that is said.
	Doc string `json:"doc,omitempty"`
	// Blocks: kube-proxy does not start in the new mode.
	Blocks bool `json:"blocks,omitempty"`
}

// Differs reports whether the switch changes anything that Services declare, or cannot be made on some node.
func (r Report) Differs() bool {
	return len(r.Changed) > 0 || slices.ContainsFunc(r.Nodes, func(f Finding) bool { return f.Blocks })
}

// Between compares a world under two facts, which differ in what describes kube-proxy. The facts of w itself do not count.
func Between(w world.World, from, to world.Facts) Report {
	r := Report{Version: 1, From: proxy(from), To: proxy(to), Services: len(w.Services)}
	changes, cells := compare(w, from, to)
	r.Cells = cells
	r.Groups = group(changes, to.ProxyMode)
	for _, g := range r.Groups {
		if g.Declared {
			r.Changed = append(r.Changed, g.Services...)
		}
	}
	slices.Sort(r.Changed)
	r.Changed = slices.Compact(r.Changed)
	r.surroundings(w, from, to)
	return r
}

// proxy names a kube-proxy.
func proxy(f world.Facts) string {
	if f.ProxyRelease != "" {
		return f.ProxyMode + " mode of v" + f.ProxyRelease
	}
	return f.ProxyMode + " mode"
}

// compare predicts in both worlds, on all processors, and returns the changes in the order of the Services.
func compare(w world.World, from, to world.Facts) (changes []Change, cells int) {
	from.Slots, to.Slots = nil, nil // targets go by the nodes' names
	w.Facts = from
	before := oracle.New(w)
	plan := newClients(w)
	w.Facts = to
	after := oracle.New(w)
	var (
		found   = make([][]Change, len(w.Services)+1)
		next    atomic.Int64
		count   atomic.Int64
		workers sync.WaitGroup
	)
	each := func(i int, vantages []reach.Vantage, targets []reach.Target) {
		for _, t := range targets {
			for _, v := range vantages {
				if !world.Applicable(v, t) {
					continue
				}
				count.Add(1)
				c := Change{Vantage: v, Target: t, Before: before.Decide(v, t), After: after.Decide(v, t)}
				if Differ(c.Before, c.After) {
					c.Before, c.After = before.Predict(v, t), after.Predict(v, t)
					found[i] = append(found[i], c)
				}
			}
		}
	}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(w.Services); i = int(next.Add(1)) - 1 {
				vantages, targets := plan.of(i)
				each(i, vantages, targets)
			}
		})
	}
	workers.Wait()
	vantages, targets := plan.elsewhere()
	each(len(w.Services), vantages, targets)
	return slices.Concat(found...), int(count.Load())
}

// Differ reports whether a client or a backend can tell two predictions apart: by the outcomes, the backends, that it stays with
// one of them, or the source addresses.
func Differ(a, b reach.Prediction) bool {
	if a.Rule == notAnnounced && b.Rule == notAnnounced { // no proxy sees the packet, but by a stale neighbour cache
		return false
	}
	return !same(a.Outcomes, b.Outcomes) || a.Sticky != b.Sticky || !same(a.Backends, b.Backends) || !same(a.Sources, b.Sources)
}

// notAnnounced is a rule of the oracle.
const notAnnounced = "loadbalancer-not-announced"

// same compares two sets.
func same[T comparable](a, b []T) bool {
	in := func(list []T) func(T) bool { return func(x T) bool { return slices.Contains(list, x) } }
	return slices.Equal(a, b) || !slices.ContainsFunc(a, not(in(b))) && !slices.ContainsFunc(b, not(in(a))) && (a == nil) == (b == nil)
}

func not[T any](f func(T) bool) func(T) bool { return func(x T) bool { return !f(x) } }

// effect returns what a change means.
func (c Change) effect() Effect {
	was, is := c.Before.Allows(reach.Reached), c.After.Allows(reach.Reached)
	only := func(p reach.Prediction) bool { return len(p.Outcomes) == 1 }
	switch {
	case !was && !is:
		return Fails
	case was && !is && only(c.Before):
		return Stops
	case !was && only(c.After):
		return Starts
	case !same(c.Before.Outcomes, c.After.Outcomes):
		return MayStop
	case !same(c.Before.Backends, c.After.Backends) || c.Before.Sticky != c.After.Sticky:
		return Moves
	default:
		return Source
	}
}

// declared reports whether the change is at an address and port that the Service declares.
func (c Change) declared() bool { return c.Target.Service != "" && !c.Target.Undeclared }

// group groups changes by cause and effect, the gravest first.
func group(changes []Change, mode string) []Group {
	type key struct {
		id       string
		effect   Effect
		declared bool
	}
	groups, all := map[key]*Group{}, causes()
	for _, c := range changes {
		why := all[slices.IndexFunc(all, func(why cause) bool { return why.applies(c) })] // the last one applies to every change
		k := key{why.id, c.effect(), c.declared()}
		if why.id == other {
			k.id += " " + c.Before.Rule + " " + c.After.Rule
		}
		g := groups[k]
		if g == nil {
			g = &Group{ID: why.id, Title: why.title, Rules: [2]string{c.Before.Rule, c.After.Rule}, Effect: k.effect, Declared: k.declared,
				Do: why.do[mode], Why: c.After.Reason, Doc: cmp.Or(why.doc, c.After.Doc)}
			groups[k] = g
		}
		g.add(c)
	}
	var list []Group
	for _, g := range groups {
		slices.Sort(g.Services)
		g.Services = slices.Compact(g.Services)
		for i := range g.Forms {
			slices.Sort(g.Forms[i].Clients)
		}
		slices.SortFunc(g.Forms, func(a, b Form) int { return cmp.Or(cmp.Compare(a.Before, b.Before), cmp.Compare(a.After, b.After)) })
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		first := func(is bool) int { return map[bool]int{true: 0, false: 1}[is] }
		return cmp.Or(cmp.Compare(first(a.Declared), first(b.Declared)), cmp.Compare(a.Effect, b.Effect), cmp.Compare(len(b.Services), len(a.Services)),
			cmp.Compare(a.ID, b.ID), cmp.Compare(a.Rules[0], b.Rules[0]), cmp.Compare(a.Rules[1], b.Rules[1]))
	})
	return list
}

// add adds a change to a group. Where only the source address differs, the first one stands for all.
func (g *Group) add(c Change) {
	g.Changes = append(g.Changes, c)
	if c.Target.Service != "" {
		g.Services = append(g.Services, c.Target.Service)
	}
	form, client := Form{Before: observed(c.Before), After: observed(c.After)}, kindOf(c.Vantage)
	i := slices.IndexFunc(g.Forms, func(f Form) bool { return g.Effect == Source || f.Before == form.Before && f.After == form.After })
	if i < 0 {
		if g.Effect == Source {
			form = Form{Before: seen(c.Before), After: seen(c.After)}
		}
		i, g.Forms = len(g.Forms), append(g.Forms, form)
	}
	if !slices.Contains(g.Forms[i].Clients, client) {
		g.Forms[i].Clients = append(g.Forms[i].Clients, client)
	}
}

// observed says what a client observes: "answered", "refused or timed out".
func observed(p reach.Prediction) string {
	words := map[reach.Outcome]string{reach.Reached: "answered", reach.Refused: "refused", reach.TimedOut: "timed out",
		reach.Unreachable: "unreachable", reach.NoSuchHost: "no such host", reach.WrongAnswer: "answered by something else"}
	var said []string
	for _, o := range p.Outcomes {
		said = append(said, cmp.Or(words[o], string(o)))
	}
	slices.Sort(said)
	return strings.Join(said, " or ")
}

// seen says whose address the backends see.
func seen(p reach.Prediction) string {
	var texts []string
	for _, prefix := range p.Sources {
		texts = append(texts, reach.PrefixText(prefix))
	}
	slices.Sort(texts)
	if len(texts) == 0 {
		return "source unknown"
	}
	return "seen from " + strings.Join(texts, " or ")
}

// kindOf is a vantage as reports print it.
func kindOf(v reach.Vantage) string {
	switch {
	case v.Kind == reach.Pod && strings.HasPrefix(v.Name, own):
		return "pods of the Service itself"
	case v.Kind == reach.Outside:
		return "clients outside the cluster"
	default:
		return fmt.Sprintf("%ss", v.Kind)
	}
}
