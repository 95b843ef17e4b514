package fuzz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/world"
)

// Switch is what a proof does: it switches the kube-proxies of a cluster from one mode to another, node by node, and back, under
// traffic.
type Switch struct {
	// From and To are modes. The cluster is in From.
	From, To string
	// StandIns are the Services.
	StandIns StandIns
}

// How many cells are probed in each state of the cluster: of those that the switch changes, and of the others.
const (
	provenChanging, provenOthers = 90, 60
)

// delayed is the latency from which on an answered request counts as one that was delayed: a SYN was lost and sent again.
const delayed = 700 * time.Millisecond

// Switched is the switch of one node, as clients saw it.
type Switched struct {
	Node, Mode string
	// Took is from the deletion of the pod of kube-proxy until the next one had written its rules.
	Took time.Duration
	// Through are the new connections through the node, Elsewhere those that other nodes decided about.
	Through, Elsewhere Count
	// Window is from the first to the last new connection through the node that got no answer, or a late one; 0: none did.
	Window time.Duration
	// Kept are the requests over established TCP connections, Datagrams those from one UDP port.
	Kept, Datagrams Count
	// Cells is how many cells were probed afterwards, Changed how many of them behave in another way than before the first switch,
	// Wrong how many are not as predicted.
	Cells, Changed, Wrong int
	// Left are the rules of the other mode that kube-proxy left, see Cluster.ProxyLeftovers.
	Left []string
	// Result is the worst of the cells and of the flows.
	Result reach.Result
	Why    string
}

// Count are requests: how many there were, how many got no answer, how many got one late, and on how many flows.
type Count struct{ Sent, Lost, Late, Flows int }

func (c *Count) add(v reach.FlowVerdict) {
	c.Flows++
	c.Sent += len(v.Requests)
	for _, o := range v.Requests {
		switch {
		case o.Outcome != reach.Reached:
			c.Lost++
		case o.Latency >= delayed:
			c.Late++
		}
	}
}

// String is "212, 4 lost, 1 late".
func (c Count) String() string {
	if c.Flows == 0 {
		return "–"
	}
	text := fmt.Sprint(c.Sent)
	if c.Lost > 0 {
		text += fmt.Sprintf(", %d lost", c.Lost)
	}
	if c.Late > 0 {
		text += fmt.Sprintf(", %d late", c.Late)
	}
	return text
}

// Prove switches the nodes of a cluster of svclab's own, one after the other, and back in the same way, while flows of every kind
// run from every vantage to stand-ins of the Services. After each switch the cells are compared with the prediction for a cluster
// whose nodes are in different modes, and the records of the flows with what may happen to them. The error is as in Run. The caller
// restores the kube-proxies.
func Prove(ctx context.Context, c Cluster, prober Prober, settings Settings, s Switch) (out Outcome, err error) {
	start := time.Now()
	settings.Histories = 1
	out = Outcome{Settings: settings, Rules: map[string]int{}, Planned: []string{provenName}}
	defer func() { out.Elapsed = time.Since(start) }()
	if len(s.StandIns.services) == 0 {
		return out, errors.New("there is no Service to prove the switch with")
	}
	shared, err := prepare(ctx, c, prober, settings)
	if err != nil {
		return out, err
	}
	shared.outcome, shared.proof = &out, &s
	// as a fuzz run: rules over time
	return out, shared.within(ctx, provenName, func(own *session, ctx context.Context) error {
		h := History{Name: "switch", Flows: true, Seed: settings.Seed, Start: State{Cases: own.plan.Cases, Pods: map[string]PodState{}}}
		nodes := own.nodes()
		for _, node := range nodes {
			h.Operations = append(h.Operations, Operation{Kind: modeSwitched, Node: node, Value: s.To})
		}
		for _, node := range nodes {
			h.Operations = append(h.Operations, Operation{Kind: modeSwitched, Node: node, Value: s.From})
		}
		v := own.history(ctx, 0, h)
		v.Scenario, v.Title = provenName, fmt.Sprintf("%s from %s to %s mode and back, node by node", counted(len(nodes), "node"), s.From, s.To)
		v.Behaviours = []string{"mode.switch"}
		out.Verdicts = append(out.Verdicts, v)
		return context.Cause(ctx)
	})
}

// modeSwitched is a kind of operation, provenName the name of what a proof makes.
const (
	modeSwitched = "mode-switched"
	provenName   = "svclab-migrate"
)

// nodes are those that clients run on, workers first: a control plane that fails takes the API server along.
func (s *session) nodes() []string {
	var list []string
	for _, v := range s.vantages {
		if v.Kind == reach.Node && v.Unusable == "" {
			list = append(list, v.Node)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int {
		first := func(name string) int { return map[bool]int{true: 1}[strings.HasSuffix(name, "control-plane")] }
		return cmp.Compare(first(a), first(b))
	})
	return list
}

// changing are the pairs whose prediction the switch of all nodes changes, and the others.
func (p *Switch) changing(w world.World, all []pair) (changing, others []pair) {
	w.Facts.NodeModes = nil
	before := oracle.New(w)
	w.Facts.ProxyMode, w.Facts.MasqueradeAll = p.To, w.Facts.NodeMasqueradeAll
	after := oracle.New(w)
	for _, one := range all {
		if migrate.Differ(before.Decide(one.vantage, one.target), after.Decide(one.vantage, one.target)) {
			changing = append(changing, one)
		} else {
			others = append(others, one)
		}
	}
	return changing, others
}

// everyFlow starts flows from every client: new connections, one TCP connection and datagrams from one port; from pods the other kinds
// of datagrams too. They go to addresses of Services in turn.
func (s *session) everyFlow(ctx context.Context, p *played) (running []standing, err error) {
	var (
		now   = p.moments[0].change.After
		w     = now.World()
		taken = map[string]int{}
		r     = rand.New(rand.NewPCG(p.history.Seed, 1<<20))
	)
	for _, v := range s.vantages {
		if v.Unusable != "" || v.Kind == reach.Host {
			continue
		}
		kinds := []reach.FlowKind{reach.FlowNew, reach.FlowKept, reach.FlowConnected}
		if v.Kind == reach.Pod {
			kinds = append(kinds, reach.FlowUnconnected, reach.FlowOneWay)
		}
		for _, kind := range kinds {
			protocol, rate := reach.UDP, datagramRate/2
			switch kind {
			case reach.FlowNew:
				protocol, rate = reach.TCP, 2*newRate
			case reach.FlowKept:
				protocol, rate = reach.TCP, keptRate
			}
			var list []pair
			for i := range w.Services {
				for _, one := range pairs(w, []reach.Vantage{v}, world.Name(&w.Services[i])) {
					t := one.target
					virtual := t.Kind == reach.ClusterIP || t.Kind == reach.NodePort || t.Kind == reach.LoadBalancer || t.Kind == reach.ExternalIP
					if virtual && !t.Undeclared && t.Protocol == protocol && now.Predict(v, t).Wants() {
						list = append(list, one)
					}
				}
			}
			if len(list) == 0 {
				continue
			}
			// the Service and the kind of address that fewest flows go to
			key := func(one pair) string { return fmt.Sprint(kind, one.target.Service, one.target.Kind) }
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			chosen := slices.MinFunc(list, func(a, b pair) int { return cmp.Compare(taken[key(a)], taken[key(b)]) })
			taken[key(chosen)]++
			flow := reach.Flow{Vantage: v, Target: chosen.target, Kind: kind}
			f, err := s.start(ctx, flow, rate)
			if err != nil {
				return running, err
			}
			running, p.flowsOf = append(running, f), append(p.flowsOf, flow)
		}
	}
	return running, nil
}

// switched sums up what clients saw of each switch.
func (p played) switched() []Switched {
	var list []Switched
	before := map[string]string{}
	outcome := func(c reach.CellVerdict) string {
		if len(c.Cell.Observations) == 0 {
			return ""
		}
		return string(c.Cell.Observations[0].Outcome)
	}
	for k, m := range p.moments {
		if k == 0 {
			for _, c := range m.all.Cells {
				before[c.Cell.Vantage.Name+"|"+c.Cell.Target.Name()] = outcome(c)
			}
			continue
		}
		one := Switched{Node: m.operation.Node, Mode: m.operation.Value, Took: m.took, Left: m.left, Result: m.verdict.Result, Why: m.verdict.Why, Cells: len(m.all.Cells)}
		for _, c := range m.all.Cells {
			if c.Result == reach.Fail || c.Result == reach.Inconclusive {
				one.Wrong++
			}
			// what is predicted either way, such as Unreachable or TimedOut where no host has an address, changes by itself
			if was := before[c.Cell.Vantage.Name+"|"+c.Cell.Target.Name()]; was != "" && was != outcome(c) && !c.Oracle.Allows(reach.Outcome(was)) {
				one.Changed++
			}
		}
		var first, last time.Time
		for _, f := range p.flows {
			if !f.Period.Began.Equal(m.period.Began) {
				continue
			}
			switch f.Flow.Kind {
			case reach.FlowKept:
				one.Kept.add(f)
			case reach.FlowNew:
				if f.Fate.Rule != oracle.RuleOverSwitch {
					one.Elsewhere.add(f)
					continue
				}
				one.Through.add(f)
				for _, o := range f.Requests {
					if o.Outcome == reach.Reached && o.Latency < delayed {
						continue
					}
					if first.IsZero() || o.At.Before(first) {
						first = o.At
					}
					if o.At.After(last) {
						last = o.At
					}
				}
			default:
				one.Datagrams.add(f)
			}
		}
		one.Window = last.Sub(first)
		list = append(list, one)
	}
	return list
}

// ProofText writes what a proof found: a line for each switch, what was left behind, what was not as predicted, and how to repeat it.
func ProofText(w io.Writer, out Outcome, s Switch, style report.Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nfrom %s to %s mode and back, node by node: %s, %s\n", s.From, s.To, counted(len(s.StandIns.services), "Service"), round(out.Elapsed))
	for _, line := range s.StandIns.Notes {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	rows := [][]string{{"switch", "took", "new connections through it", "through others", "over TCP connections", "datagrams", "cells as predicted", "rules left"}}
	for _, one := range out.Switches {
		through := one.Through.String()
		if one.Through.Lost+one.Through.Late > 0 {
			through += fmt.Sprintf(" within %s", round(max(one.Window, 10*time.Millisecond)))
		}
		left := "none"
		if len(one.Left) > 0 {
			left = counted(len(one.Left), "chain")
		}
		rows = append(rows, []string{one.Node + " → " + one.Mode, fmt.Sprint(one.Took.Round(100 * time.Millisecond)), through, one.Elsewhere.String(), one.Kept.String(), one.Datagrams.String(),
			fmt.Sprintf("%d of %d, %d changed", one.Cells-one.Wrong, one.Cells, one.Changed), left})
	}
	columns(&b, rows)
	for _, one := range out.Switches {
		if len(one.Left) > 0 {
			fmt.Fprintf(&b, "left on %s by kube-proxy in %s mode: %s\n", one.Node, one.Mode, strings.Join(one.Left, ", "))
		}
	}
	for _, one := range out.Switches {
		if one.Result != reach.Pass {
			fmt.Fprintf(&b, "%s → %s: %s: %s\n", one.Node, one.Mode, one.Result, one.Why)
		}
	}
	if _, err := io.WriteString(w, report.Printable(b.String())); err != nil {
		return fmt.Errorf("print the proof: %w", err)
	}
	return disagreementsText(w, out.Disagreements, style)
}

// columns writes rows as a table whose columns are as wide as their widest field.
func columns(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, field := range row {
			widths[i] = max(widths[i], len([]rune(field)))
		}
	}
	for _, row := range rows {
		line := " "
		for i, field := range row {
			line += " " + field + strings.Repeat(" ", widths[i]-len([]rune(field))+1)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// counted is "1 node" or "2 nodes".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
