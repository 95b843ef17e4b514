package fuzz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

const (
	// affectedCells and bystanderCells are how many cells are probed after an operation, of the Services that it touches and of
	// the others.
	affectedCells, bystanderCells = 40, 15
	// flowTimeout is how long a request of a flow may take. It must be long enough for a busy machine.
	flowTimeout = 5 * time.Second
	// flowGather is how late a flow's requests are reported. They are judged when the history has ended.
	flowGather = time.Second
	// calm is how long a flow is observed at least once a change is in force.
	calm = 1500 * time.Millisecond
	// pausedFor is how long kube-proxy is stopped after a change, or its syncs fail.
	pausedFor = 2500 * time.Millisecond
)

// standing is a flow that runs.
type standing interface {
	Observed() []reach.Observation
	Stop() (probe.FlowReport, error)
}

// moment is an operation that was done, and what came of it. The first one of a history is its start.
type moment struct {
	operation Operation
	commands  []string
	change    oracle.Change
	period    reach.Period
	verdict   reach.Step
	// took is how long the operation itself took, and left what it left of the rules of kube-proxy's other mode.
	took   time.Duration
	left   []string
	cells  []reach.CellVerdict // those that are not as predicted
	unheld []unheld
	all    reach.Table // all that were probed
}

// played is a history that was played.
type played struct {
	history History
	moments []moment
	flows   []reach.FlowVerdict // by flow, then by moment
	flowsOf []reach.Flow
	records [][]reach.Observation // by flow
}

// play plays a history and judges it. The error says why it ended early; what was seen until then is returned with it.
func (s *session) play(ctx context.Context, h History) (p played, err error) {
	p.history = h
	var (
		running []standing
		revert  = func(context.Context) error { return nil }
	)
	defer func() {
		p.stop(running) // before the fault ends: what was lost would be sent again, and answered
		restoring, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
		defer cancel()
		err = errors.Join(err, revert(restoring))
		p.judge(s.disturbed)
	}()
	state := h.Start
	if err := s.begin(ctx, &p); err != nil {
		return p, err
	}
	if h.Flows {
		start := s.flows
		if s.proof != nil {
			start = s.everyFlow
		}
		if running, err = start(ctx, &p); err == nil {
			err = answered(ctx, running)
		}
		if err != nil {
			return p, err
		}
	}
	var fault *affliction
	fault, revert, err = s.afflict(ctx, p.moments[0].change.After)
	if err != nil {
		return p, err
	}
	for _, o := range h.Operations {
		through := o.states(state)
		if len(through) == 0 { // shrinking has removed what it needs
			continue
		}
		m, err := s.operate(ctx, &p, o, state, through, fault)
		state = through[len(through)-1]
		p.moments = append(p.moments, m)
		if err != nil {
			return p, fmt.Errorf("%s: %w", o, err)
		}
		s.count(func(out *Outcome) { out.Operations++ })
		s.say("%s: %d of %d, %s: %s after %s", h.Name, len(p.moments)-1, len(h.Operations), o, m.verdict.Result, round(m.verdict.Elapsed))
	}
	return p, nil
}

// answered waits until each flow has had an answer, for as long as one may take: until then it is not known which backend conntrack binds it to.
func answered(ctx context.Context, running []standing) error {
	late := time.Now().Add(flowTimeout)
	for _, f := range running {
		for len(f.Observed()) == 0 && time.Now().Before(late) {
			if err := wait.Sleep(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("wait for the first answers of the flows: %w", err)
			}
		}
	}
	return nil
}

// begin makes the start of a history and probes it.
func (s *session) begin(ctx context.Context, p *played) error {
	turn := s.turns.take(kind{}, true)
	defer turn.end()
	began := time.Now()
	m := moment{operation: Operation{Kind: "start"}, verdict: reach.Step{Name: "start", Result: reach.Pass, Lines: []string{mixture(p.history.Start.Cases)}}}
	unsettled, err := s.sandbox.apply(ctx, p.history.Start.Cases, func(pod string) bool { return !p.history.Start.Pods[pod].Apart })
	if err == nil {
		m.unsettled(unsettled)
		names := map[string]bool{}
		for _, c := range p.history.Start.Cases {
			names[c.Name()] = true
		}
		err = s.look(ctx, p.history, 0, names, &m)
	}
	m.period.Began, m.verdict.Elapsed = began, time.Since(began)
	p.moments = append(p.moments, m)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

func (m *moment) unsettled(why string) {
	if why != "" {
		m.verdict.Result, m.verdict.Why = reach.Inconclusive, why
	}
}

// operate does one operation, waits until the objects agree, and probes what it touches and some of the others.
func (s *session) operate(ctx context.Context, p *played, o Operation, from State, through []State, fault *affliction) (m moment, err error) {
	turn := s.turns.take(kinds()[o.Kind], balances(from, through))
	defer turn.end()
	before := p.moments[len(p.moments)-1].change.After
	m = moment{operation: o, verdict: reach.Step{Name: o.String(), Result: reach.Pass}, change: oracle.Change{Before: before, After: before, Touched: map[string]bool{}}}
	m.period.Began = time.Now()
	defer func() { m.verdict.Elapsed = time.Since(m.period.Began) }()
	names := map[string]bool{}
	for _, pair := range pairwise(from, through) {
		maps.Copy(names, touched(pair[0], pair[1], s.plan.Pods))
	}
	for name := range names {
		m.change.Touched[s.sandboxName+"/"+name] = true
	}
	m.change.Passing = passing(before, from, through, s.sandboxName)
	if o.Exclusive() {
		defer s.disturbed.begin(o, m.period.Began)(&m)
	}
	move := func(ctx context.Context, to State) error {
		commands, err := s.sandbox.move(ctx, to)
		m.commands = append(m.commands, commands...)
		return err
	}
	if _, balances := balanceKinds()[o.Kind]; balances {
		err = s.balance(ctx, o, p.history, through, &m, move)
	} else {
		err = s.disturb(ctx, o, func(ctx context.Context) error {
			if o.Exclusive() && o.Inner == nil {
				return nil
			}
			for _, to := range through {
				if err := move(ctx, to); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = fault.operated(ctx)
	}
	if err != nil {
		return m, err
	}
	m.took = time.Since(m.period.Began)
	unsettled, err := s.sandbox.settle(ctx)
	if err != nil {
		return m, err
	}
	m.unsettled(unsettled)
	m.verdict.Lines = append(m.verdict.Lines, fmt.Sprintf("done after %s, the objects agreed after %s", round(m.took), round(time.Since(m.period.Began))))
	switch o.Kind {
	case syncFails: // it is tried again when anything changes: only alone it takes kube-proxy's syncPeriod
	case "speakers-restarted", "speakers-partitioned": // until the cells are as predicted, addresses of other histories may have no announcer
	default:
		turn.share()
	}
	if s.proof != nil {
		if m.left, err = s.cluster.ProxyLeftovers(ctx, o.Node); err != nil {
			return m, err
		}
		if len(m.left) > 0 {
			m.verdict.Result, m.verdict.Why = reach.Fail, fmt.Sprintf("kube-proxy left rules of its other mode on %s: %s", o.Node, strings.Join(m.left, ", "))
		}
	}
	if err := s.look(ctx, p.history, len(p.moments), names, &m); err != nil {
		return m, err
	}
	if p.history.Flows {
		return m, wait.Sleep(ctx, time.Until(m.period.InForce.Add(calm)))
	}
	return m, nil
}

func pairwise(from State, through []State) (pairs [][2]State) {
	for _, to := range through {
		pairs = append(pairs, [2]State{from, to})
		from = to
	}
	return pairs
}

// passing are the worlds between the first and the last state, as far as they matter to traffic: without a Service that is
// deleted, without the endpoints of one that has none for a while, without the node ports and the load balancer's address of one that is of
// type ClusterIP for a while. Those in which the slices of one step are written in part the oracle finds itself.
func passing(before *oracle.Oracle, from State, through []State, namespace string) []*oracle.Oracle {
	var list []*oracle.Oracle
	for _, s := range through[:len(through)-1] {
		gone, empty, inside := map[string]bool{}, map[string]bool{}, map[string]bool{}
		pods := map[string]bool{}
		for _, c := range from.Cases {
			name := namespace + "/" + c.Name()
			switch at := s.find(c.Name()); {
			case at < 0:
				gone[name] = true
			case selects(generator{}, from, c) && !selects(generator{}, s, s.Cases[at]):
				empty[name] = true
			case s.Cases[at].Service.Spec.Type == corev1.ServiceTypeClusterIP && c.Service.Spec.Type != corev1.ServiceTypeClusterIP:
				inside[name] = true
			}
		}
		for pod, state := range s.Pods {
			if state.Unready && !from.Pods[pod].Unready {
				pods[pod] = true
			}
		}
		if len(gone) > 0 { // proxies may see a Service again before its endpoints
			list = append(list, before.Without(gone, nil, nil))
		}
		maps.Copy(empty, gone)
		list = append(list, oracle.New(reachedInside(before.World(), inside)).Without(nil, empty, pods))
	}
	return list
}

// reachedInside is a world in which some Services, by "namespace/name", have the addresses of type ClusterIP only.
func reachedInside(w world.World, names map[string]bool) world.World {
	w.Services = slices.Clone(w.Services)
	for i := range w.Services {
		if !names[world.Name(&w.Services[i])] {
			continue
		}
		s := w.Services[i].DeepCopy()
		retype(&s.Spec, corev1.ServiceTypeClusterIP)
		s.Spec.HealthCheckNodePort, s.Status = 0, corev1.ServiceStatus{}
		for k := range s.Spec.Ports {
			s.Spec.Ports[k].NodePort = 0
		}
		w.Services[i] = *s
	}
	return w
}

// look probes the cells of some Services, and a few of the others.
func (s *session) look(ctx context.Context, h History, turn int, names map[string]bool, m *moment) error {
	w, err := s.sandbox.snapshot(ctx)
	if err != nil {
		return err
	}
	var (
		r            = rand.New(rand.NewPCG(h.Seed, uint64(turn)))
		near, others []pair
		list         []pair
	)
	for i := range w.Services {
		all := pairs(w, s.vantages, world.Name(&w.Services[i]))
		if names[w.Services[i].Name] {
			near = append(near, all...)
			if !h.Flows {
				list = append(list, sample(r, all, s.Cells)...)
			}
		} else {
			others = append(others, all...)
		}
	}
	most := s.Cells * len(names)
	switch {
	case s.proof != nil: // the same cells each time, so that they can be compared
		near, others = s.proof.changing(w, slices.Concat(near, others))
		r, most = rand.New(rand.NewPCG(h.Seed, 0)), provenChanging
		list = slices.Concat(sample(r, near, provenChanging), sample(r, others, provenOthers))
	case h.Flows:
		most = affectedCells
		list = slices.Concat(sample(r, near, most), sample(r, others, bystanderCells))
	}
	seen := observation{}
	seen.judged = time.Now()
	if len(list) > 0 {
		observer, within := s.observer, s.followedWithin(m.operation)
		if within > s.Convergence {
			observer.engine.Programmed = s.programmed(within)
		}
		if seen, err = observer.observe(ctx, list, within); err != nil {
			return err
		}
		w = seen.world
		seen.excuse()
	}
	m.change.After = oracle.New(w)
	m.period.InForce = seen.judged.Add(oracle.CleanupPeriod)
	m.all = tableOf("", seen.cells)
	if m.all.Behind = seen.behind; len(list) > 0 {
		m.verdict.Result = reach.Worse(m.verdict.Result, m.all.Result())
	}
	m.verdict.Lines = append(append(m.verdict.Lines, probedLines(seen.cells, len(near)+len(others), most)...), seen.lines...)
	if m.verdict.Result != reach.Pass && m.verdict.Why == "" {
		m.verdict.Tables, m.verdict.Why = troubled(seen.cells), firstOf(seen.cells)
	}
	if s.proof != nil {
		m.verdict.Tables = []reach.Table{m.all}
	}
	for _, c := range seen.cells {
		if c.Result == reach.Fail {
			m.cells = append(m.cells, c)
		}
	}
	s.count(func(out *Outcome) {
		out.Services += len(names)
		out.Possible += len(near) + len(others)
		out.Probed += len(list)
		for _, c := range seen.cells {
			out.Rules[c.Oracle.Rule]++
		}
	})
	return nil
}

// excuse lets cells pass, or leaves them out, that differ because of what else goes on in the cluster meanwhile.
func (o *observation) excuse() {
	lost, taken := 0, 0
	for i := range o.cells {
		c := &o.cells[i]
		unsent := slices.ContainsFunc(c.Cell.Observations, func(one reach.Observation) bool { return one.Outcome == reach.ProbeFailed })
		switch {
		case c.Result == reach.Fail && oracle.InTransit(c.Cell.Vantage, c.Cell.Target) && len(c.Differences) == 1 && c.Differences[0].Count <= oracle.Transits &&
			c.Differences[0].Field == "outcome" && c.Differences[0].Got == string(reach.TimedOut):
			lost += c.Differences[0].Count
			c.Result, c.Why, c.Differences = reach.Pass, "", nil
		case c.Result == reach.Inconclusive && !unsent && c.Cell.Target.Undeclared && c.Cell.Target.Kind == reach.NodePort: // only others change what it leads to
			c.Result = reach.Skipped
			taken++
		}
	}
	if lost > 0 {
		o.lines = append(o.lines, fmt.Sprintf("%d answers to pods' datagrams to another node's port were lost when kube-proxy synced (rule over-time-udp-transit)", lost))
	}
	if taken > 0 {
		o.lines = append(o.lines, fmt.Sprintf("%d cells of node ports that no Service had are left out: another history's Service got the number", taken))
	}
}

// followedWithin is how long traffic may take to follow an operation.
func (s *session) followedWithin(o Operation) time.Duration {
	if o.Kind == syncFails {
		return s.Convergence + oracle.RetryPeriod
	}
	return s.Convergence
}

// probedLines say how many cells were probed of those that there are.
func probedLines(cells []reach.CellVerdict, possible, most int) []string {
	probes, unprobed := 0, 0
	for _, c := range cells {
		if probes += len(c.Cell.Observations); c.Result == reach.Skipped {
			unprobed++
		}
	}
	lines := []string{fmt.Sprintf("%d of %d cells probed, the others left out by chance (at most %d of those affected), %d probes in the judged pass", len(cells), possible, most, probes)}
	if unprobed > 0 {
		lines = append(lines, fmt.Sprintf("%d cells could not be probed", unprobed))
	}
	return lines
}

// Rates of flows, in requests a second.
const (
	newRate, keptRate, datagramRate = 4, 5, 10
)

// flows starts the standing flows of a history: new connections to the first Service from a pod on each node, by which the last
// node to follow is known; one TCP connection and three kinds of datagrams from anywhere; new connections to another Service.
func (s *session) flows(ctx context.Context, p *played) (running []standing, err error) {
	var (
		r        = rand.New(rand.NewPCG(p.history.Seed, 1<<20))
		now      = p.moments[0].change.After
		first    = s.sandboxName + "/" + serviceName(0)
		w        = now.World()
		wants    = func(v reach.Vantage, t reach.Target) bool { return now.Predict(v, t).Wants() }
		eligible = func(service string, protocol reach.Protocol, kinds ...reach.TargetKind) (list []pair) {
			for _, pair := range pairs(w, s.vantages, service) {
				t := pair.target
				if pair.vantage.Kind != reach.Host && pair.vantage.Unusable == "" && !t.Undeclared && t.Protocol == protocol && slices.Contains(kinds, t.Kind) && wants(pair.vantage, t) {
					list = append(list, pair)
				}
			}
			return list
		}
		virtual = []reach.TargetKind{reach.ClusterIP, reach.NodePort, reach.LoadBalancer, reach.ExternalIP}
		bound   = func(protocol reach.Protocol) []pair {
			return slices.DeleteFunc(eligible(first, protocol, virtual...), func(one pair) bool {
				return p.history.From != "" && one.vantage.Kind != p.history.From || p.history.To != "" && one.target.Kind != p.history.To
			})
		}
		start = func(kind reach.FlowKind, rate int, list []pair) {
			if len(list) == 0 || err != nil {
				return
			}
			chosen := list[r.IntN(len(list))]
			flow := reach.Flow{Vantage: chosen.vantage, Target: chosen.target, Kind: kind}
			var f standing
			if f, err = s.start(ctx, flow, rate); err == nil {
				running, p.flowsOf = append(running, f), append(p.flowsOf, flow)
			}
		}
	)
	for _, v := range s.vantages {
		if v.Kind == reach.Pod {
			start(reach.FlowNew, newRate, slices.DeleteFunc(eligible(first, reach.TCP, reach.ClusterIP), func(p pair) bool { return p.vantage.Name != v.Name }))
		}
	}
	// One client on all ports: sessionAffinity keeps it with a backend on each, which need not be the same.
	sticky := slices.DeleteFunc(eligible(first, reach.TCP, reach.ClusterIP), func(p pair) bool { return p.vantage.Kind != reach.Pod || !now.Predict(p.vantage, p.target).Sticky })
	for i, p := range sticky {
		if p.vantage.Name == sticky[0].vantage.Name {
			start(reach.FlowNew, newRate, sticky[i:i+1])
		}
	}
	start(reach.FlowKept, keptRate, bound(reach.TCP))
	for _, kind := range []reach.FlowKind{reach.FlowConnected, reach.FlowUnconnected, reach.FlowOneWay} {
		start(kind, datagramRate, bound(reach.UDP))
	}
	for _, c := range p.history.Start.Cases[1:] {
		if list := eligible(s.sandboxName+"/"+c.Name(), reach.TCP, virtual...); len(list) > 0 {
			start(reach.FlowNew, newRate, list)
			break
		}
	}
	return running, err
}

// stop ends the flows and takes their records. What was wrong with a flow itself makes it inconclusive, not the cluster.
func (p *played) stop(running []standing) {
	end := time.Now()
	for i := range p.moments {
		if i > 0 {
			p.moments[i-1].period.Ended = p.moments[i].period.Began
		}
		p.moments[i].period.Ended = end
	}
	for i, f := range running {
		_, err := f.Stop()
		record := f.Observed()
		if err != nil {
			record = append(record, reach.Observation{Outcome: reach.ProbeFailed, At: end.Add(-time.Millisecond), Detail: fmt.Sprintf("%s: %v", p.flowsOf[i].Name(), err)})
		}
		p.records = append(p.records, record)
	}
}

// judge judges the record of each flow during each operation.
func (p *played) judge(others *disturbances) {
	for i, record := range p.records {
		for k := 1; k < len(p.moments); k++ {
			m := &p.moments[k]
			if m.change.After == nil || m.period.InForce.IsZero() {
				continue // it was not finished
			}
			change := m.change
			others.during(m.period, &change)
			backend := lastBackend(record, m.period.Began)
			p.flows = append(p.flows, reach.JudgeFlow(p.flowsOf[i], backend, change.Fate(p.flowsOf[i], backend), m.period, record))
			v := &p.flows[len(p.flows)-1]
			if m.verdict.Result = reach.Worse(m.verdict.Result, v.Result); v.Result != reach.Pass {
				m.verdict.Lines = append(m.verdict.Lines, v.Flow.Name()+": "+v.Why)
				if m.verdict.Why == "" {
					m.verdict.Why = v.Flow.Name() + ": " + v.Why
				}
			}
		}
	}
}

// lastBackend is who answered a flow's last request that ended before a time; empty: no backend.
func lastBackend(record []reach.Observation, before time.Time) (backend string) {
	for _, o := range record {
		if o.At.Add(o.Latency).After(before) || o.Outcome == reach.ProbeFailed {
			continue
		}
		backend = o.Backend
		if o.Outcome != reach.Reached {
			backend = ""
		}
	}
	return backend
}

// start starts one flow.
func (s *session) start(ctx context.Context, f reach.Flow, rate int) (standing, error) {
	if s.starter == nil {
		return nil, errors.New("this prober runs no flows")
	}
	flow, err := s.starter(context.WithoutCancel(ctx), probe.FlowRequest{Vantage: f.Vantage, Target: f.Target, PerSecond: rate, Kind: f.Kind, Timeout: flowTimeout, Duration: time.Hour, Gather: flowGather})
	if err != nil {
		return nil, fmt.Errorf("start a flow: %w", err)
	}
	return flow, nil
}
