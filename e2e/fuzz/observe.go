package fuzz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// Prober asks; probe.Client is one.
type Prober interface {
	Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error)
}

// Predict is the oracle for one world.
type Predict func(w world.World) func(v reach.Vantage, t reach.Target) reach.Prediction

func predictByOracle(w world.World) func(v reach.Vantage, t reach.Target) reach.Prediction {
	return oracle.New(w).Predict
}

// How many probes a cell gets, as in package runner.
const (
	minProbes    = 8
	deniedProbes = 2
)

// apart is the pause between two probes of a cell that is refused. A node sends fifty ICMP errors at once and no more
// (net.ipv4.icmp_msgs_burst), and a datagram whose refusal is not sent is not sent again.
const apart = 25 * time.Millisecond

// reprobe is the pause between two rounds of convergence, which no object tells of.
const reprobe = 200 * time.Millisecond

// pair is a cell that can be asked, whatever is predicted of it.
type pair struct {
	vantage reach.Vantage
	target  reach.Target
}

func (p pair) key() string { return p.vantage.Name + "|" + p.target.Name() }

// askable says whether a pair is worth asking. Names are asked where the cluster's DNS answers: from pods and nodes. The
// host is asked for what is on the nodes' network only, since nothing else may leave this machine.
func askable(v reach.Vantage, t reach.Target) bool {
	name := t.Kind == reach.DNSName || t.Kind == reach.ExternalName
	switch {
	case !world.Applicable(v, t):
		return false
	case v.Kind == reach.Host:
		return t.Kind == reach.NodePort || t.Kind == reach.LoadBalancer || t.Kind == reach.HealthCheck
	case v.Kind == reach.Outside:
		return !name
	default:
		return true
	}
}

// pairs are all that can be asked of a Service, from every vantage. An ExternalName is only looked up: nobody connects to
// what it leads to.
func pairs(w world.World, vantages []reach.Vantage, service string) []pair {
	var (
		list []pair
		have = map[string]bool{}
	)
	for _, t := range w.TargetsWith(service, form(service)) {
		if t.Kind == reach.ExternalName {
			t.Port = 0
		}
		for _, v := range vantages {
			if p := (pair{v, t}); askable(v, t) && !have[p.key()] {
				have[p.key()] = true
				list = append(list, p)
			}
		}
	}
	return list
}

// form is how a Service's name is asked: for each fourth in full, through the search path of a pod, which makes six lookups
// in vain first; for the others as it stands, to spare the cluster's DNS.
func form(service string) world.NameForm {
	if service[len(service)-1]%4 == 0 {
		return world.FormFull
	}
	return world.FormAbsolute
}

// sample keeps at most so many pairs. It takes one of each kind of target and vantage before it takes a second one of any,
// and by chance otherwise.
func sample(r *rand.Rand, list []pair, most int) []pair {
	if len(list) <= most {
		return list
	}
	type ranked struct{ turn, place int }
	var (
		order = make([]ranked, len(list))
		turns = map[string]int{}
	)
	for i, place := range r.Perm(len(list)) {
		p := list[place]
		stratum := fmt.Sprintf("%s %s %t", p.vantage.Kind, p.target.Kind, p.target.Undeclared)
		order[i] = ranked{turns[stratum], place}
		turns[stratum]++
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return a.turn - b.turn })
	order = order[:most]
	slices.SortFunc(order, func(a, b ranked) int { return a.place - b.place })
	kept := make([]pair, most)
	for i, o := range order {
		kept[i] = list[o.place]
	}
	return kept
}

// question is a pair with what is predicted of it in one world.
type question struct {
	pair
	want reach.Prediction
	// endpoints is how many endpoints the Service has at most: what connections may be spread over.
	endpoints int
	dns       netip.AddrPort
}

func questions(w world.World, predict Predict, list []pair) []question {
	var (
		oracle = predict(w)
		dns    = clusterDNS(w)
		counts = map[string]int{}
	)
	for i := range w.Slices {
		counts[world.ServiceOf(&w.Slices[i])] += len(w.Slices[i].Endpoints)
	}
	asked := make([]question, len(list))
	for i, p := range list {
		q := question{pair: p, want: oracle(p.vantage, p.target), endpoints: counts[p.target.Service], dns: dns}
		if !q.want.Wants() {
			// Which backends answer is not waited for where part of the connections are refused: it takes hundreds.
			q.want.AnyBackend = q.want.Allows(reach.Reached)
		}
		asked[i] = q
	}
	return asked
}

// request says how a question is asked; quick is for convergence, which only needs to see whether it is as predicted. It
// follows package runner.
func (q question) request(quick bool, timeouts runner.Timeouts) probe.Request {
	r := probe.Request{Vantage: q.vantage, Target: q.target, Min: deniedProbes, Max: deniedProbes, Timeout: timeouts.Denied}
	if name := q.target.Kind == reach.DNSName || q.target.Kind == reach.ExternalName; q.want.Allows(reach.TimedOut) && !name {
		r.Timeout = timeouts.Silent // which the lookup of a name may take by itself on a busy machine
	}
	if q.want.Allows(reach.Reached) {
		r.Min, r.Max, r.Timeout = minProbes, minProbes, timeouts.Answered
		if len(q.want.Backends) > 0 && !q.want.Sticky && !q.want.AnyBackend {
			r.Until, r.Max = q.want.Backends, runner.MaxProbes(max(q.endpoints, len(q.want.Backends)))
		}
	}
	if quick {
		r.Min = 1
		if len(r.Until) == 0 {
			r.Max = 1
		}
	}
	if q.want.Allows(reach.Refused) && !q.want.Allows(reach.Reached) {
		r.Interval = apart
	}
	if q.target.Port == 0 {
		r.Min, r.Max = min(r.Min, deniedProbes), deniedProbes
	}
	if q.vantage.Kind == reach.Node && (q.target.Kind == reach.DNSName || q.target.Kind == reach.ExternalName) {
		r.DNSServer = q.dns
	}
	return r
}

// clusterDNS is the address of the cluster's DNS Service; the zero value where there is none.
func clusterDNS(w world.World) netip.AddrPort {
	for i := range w.Elsewhere {
		s := &w.Elsewhere[i]
		if s.Namespace == "kube-system" && s.Labels["k8s-app"] == "kube-dns" {
			for _, addr := range world.ClusterIPs(s) {
				return netip.AddrPortFrom(addr, 53)
			}
		}
	}
	return netip.AddrPort{}
}

// as says whether a cell is as predicted, or nothing more is to be learned by asking again.
func (q question) as(cell reach.Cell) bool {
	if asked, _, _ := cell.Asked(); !asked {
		return true
	}
	return len(reach.Compare(q.want, cell)) == 0
}

// observer asks pairs and judges what came of them.
type observer struct {
	prober   Prober
	predict  Predict
	look     func(ctx context.Context) (world.World, error)
	timeouts runner.Timeouts
	seed     uint64
}

// observation is what came of asking a list of pairs.
type observation struct {
	cells []reach.CellVerdict // in the order of the pairs
	// settled says when traffic was as predicted.
	settled string
}

// observe converges first and judges once, as runner's expect does and for its reasons: with few probes it asks until all
// is as predicted, or until the bound has passed; then it asks every pair in full, denials twice, and judges that.
func (o observer) observe(ctx context.Context, list []pair, bound time.Duration) (observation, error) {
	w, line, err := o.converge(ctx, list, bound)
	if err != nil {
		return observation{}, err
	}
	out := observation{settled: line}
	asked := questions(w, o.predict, list)
	cells, err := o.ask(ctx, asked, false)
	if err != nil {
		return out, err
	}
	var denied []int
	var again []question
	for i, q := range asked {
		if !q.want.Allows(reach.Reached) {
			denied, again = append(denied, i), append(again, q)
		}
	}
	held, err := o.ask(ctx, again, false)
	if err != nil {
		return out, err
	}
	for k, i := range denied {
		cells[i].Observations = append(slices.Clone(cells[i].Observations), held[k].Observations...)
	}
	failed := false
	for i, q := range asked {
		verdict := reach.Judge(cells[i], q.want, nil)
		failed = failed || verdict.Result == reach.Fail
		out.cells = append(out.cells, verdict)
	}
	if !failed {
		return out, nil
	}
	return out, o.excuse(ctx, list, &out)
}

// excuse makes those of the cells that differ inconclusive of which the prediction has changed meanwhile: they were judged
// by a world that was gone. On a cluster with other users, node ports come and go.
func (o observer) excuse(ctx context.Context, list []pair, out *observation) error {
	now, err := o.look(ctx)
	if err != nil {
		return err
	}
	for i, q := range questions(now, o.predict, list) {
		c := &out.cells[i]
		if c.Result == reach.Fail && fmt.Sprint(q.want) != fmt.Sprint(c.Oracle) {
			c.Result, c.Alone, c.Differences = reach.Inconclusive, "", nil
			c.Why = "the objects changed while it was asked: " + q.want.Reason + " now"
		}
	}
	return nil
}

func (o observer) converge(ctx context.Context, list []pair, bound time.Duration) (w world.World, line string, err error) {
	var (
		start = time.Now()
		done  = map[string]bool{} // pairs seen as predicted, with what was predicted
	)
	key := func(q question) string { return q.key() + fmt.Sprint(q.want) }
	for turn := 1; ; turn++ {
		if w, err = o.look(ctx); err != nil {
			return w, "", err
		}
		var open []question
		for _, q := range questions(w, o.predict, list) {
			if !done[key(q)] {
				open = append(open, q)
			}
		}
		cells, err := o.ask(ctx, open, true)
		if err != nil {
			return w, "", err
		}
		differing := 0
		for i, q := range open {
			if q.as(cells[i]) {
				done[key(q)] = true
			} else {
				differing++
			}
		}
		since := time.Since(start)
		switch {
		case differing == 0:
			return w, fmt.Sprintf("as predicted in round %d, %s after the objects settled", turn, since.Round(10*time.Millisecond)), nil
		case since >= bound:
			return w, fmt.Sprintf("%d cells were not as predicted %s after the objects settled (the bound is %s)", differing, since.Round(10*time.Millisecond), bound), nil
		}
		timer := time.NewTimer(reprobe)
		select {
		case <-ctx.Done():
			timer.Stop()
			return w, "", context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// ask asks in an order of its own, so that what one Service is asked does not come all at once: see apart.
func (o observer) ask(ctx context.Context, asked []question, quick bool) ([]reach.Cell, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	var (
		requests = make([]probe.Request, len(asked))
		order    = rand.New(rand.NewPCG(o.seed, uint64(len(asked)))).Perm(len(asked))
	)
	for k, i := range order {
		requests[k] = asked[i].request(quick, o.timeouts)
	}
	found, err := o.prober.Observe(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if len(found) != len(requests) {
		return nil, fmt.Errorf("asked about %d cells, got %d", len(requests), len(found))
	}
	cells := make([]reach.Cell, len(asked))
	for k, i := range order {
		cells[i] = found[k]
	}
	return cells, nil
}

// tableOf makes a table of judged cells, of one Service or more.
func tableOf(title string, cells []reach.CellVerdict) reach.Table {
	t := reach.Table{Title: title, Cells: cells}
	vantages, targets := map[string]bool{}, map[string]bool{}
	for _, c := range cells {
		if v := c.Cell.Vantage; !vantages[v.Name] {
			vantages[v.Name] = true
			t.Vantages = append(t.Vantages, v)
		}
		if target := c.Cell.Target; !targets[target.Name()] {
			targets[target.Name()] = true
			t.Targets = append(t.Targets, target)
		}
	}
	return t
}
