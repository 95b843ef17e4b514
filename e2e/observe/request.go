package observe

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// How many probes a cell gets.
const (
	// minProbes are sent to every cell that must be answered, heldProbes of them when the first pass is over.
	minProbes, heldProbes = 8, 2
	// deniedProbes are sent to every cell that must not, in each of two passes; mostDenied at most, where a node has few such
	// cells.
	deniedProbes, mostDenied = 2, 40
	// MissChance bounds the chance that a healthy cell is judged wrong because one of its backends, though in the
	// rotation, was never chosen. A run of 10,000 cells then has one false alarm in 100,000 runs.
	MissChance = 1e-9
	// evenProbes are enough to know that a backend is favoured, which takes about 60. A healthy path takes 16: see reach.Skewed.
	evenProbes = 128
	// manyEndpoints is how many endpoints a path may have at most whose connections are answered in part, so that each of those
	// that answer is waited for: 20 of them take 462 connections.
	manyEndpoints = 20
	// stickyMost bounds the probes by which convergence sees that one backend answers them all: 12 endpoints take 276.
	stickyMost = 300
	// betweenRefusals is the pause between two probes of a cell that must be refused. A node sends fifty ICMP errors
	// at once and no more (net.ipv4.icmp_msgs_burst), and a datagram whose refusal is not sent is not sent again.
	betweenRefusals = 25 * time.Millisecond
	// refusalsTake bounds the time in which those of one cell are sent.
	refusalsTake = 500 * time.Millisecond
)

// MaxProbes is the number of connections after which every one of k backends has answered at least once, but for a
// chance below MissChance, where each connection picks a backend evenly and independently, as kube-proxy does. One given
// backend is missed by n connections with chance (1-1/k)^n, any of k with at most k times that, so
// n = ln(MissChance/k) / ln(1-1/k), and never less than minProbes. For 2 backends that is 31, for 3 54, for 10 219.
func MaxProbes(k int) int {
	if k < 2 {
		return minProbes
	}
	n := math.Log(MissChance/float64(k)) / math.Log1p(-1/float64(k))
	return max(minProbes, int(math.Ceil(n)))
}

// pass says what requests are for: convergence, or the first or second part of the judged pass.
type pass int

const (
	quick pass = iota
	first
	second
)

// Timeouts of one connection, name lookup included.
type Timeouts struct {
	// Answered is for cells in which an answer may come: it must be long enough for a busy machine.
	Answered time.Duration
	// Denied is for cells that must be refused or unreachable. The kernel limits how many ICMP errors it sends to one
	// client (net.ipv4.icmp_ratelimit: six at once, then one a second), and a packet filter refuses by an ICMP error.
	// So it must be long enough for SYN to be sent again, which is after 1 and 3 seconds. It costs time only where
	// nothing comes back.
	Denied time.Duration
	// Silent is for cells in which no reply must come: each connection takes this long. It must be long enough for SYN
	// to be sent again once, so that one lost packet does not look like a denial. The lookup of a name is not part of it.
	Silent time.Duration
}

// Or returns the timeouts with those of d where they are zero.
func (t Timeouts) Or(d Timeouts) Timeouts {
	return Timeouts{Answered: cmp.Or(t.Answered, d.Answered), Denied: cmp.Or(t.Denied, d.Denied), Silent: cmp.Or(t.Silent, d.Silent)}
}

// DefaultTimeouts are far above what a loaded two-core machine needs.
func DefaultTimeouts() Timeouts {
	return Timeouts{Answered: 5 * time.Second, Denied: 5 * time.Second, Silent: 1500 * time.Millisecond}
}

// Forecast is a cell together with what the oracle predicts of it.
type Forecast struct {
	Cell
	Oracle reach.Prediction

	policy Policy
	// predicted is the oracle's prediction as a text, before Engine.Adjust may have changed it.
	predicted string
	// endpoints is how many endpoints connections to the target may be spread over.
	endpoints int
	// dns is the DNS server to send lookups to; the zero value: the vantage's own.
	dns netip.AddrPort
	// unanswered: see Policy.GiveUpUnanswered.
	unanswered bool
	// proportions: see Table.Proportions.
	proportions bool
	// least is how many connections it gets at least; 0: as many as every cell.
	least int
}

// plenty gives cells more probes where the scenario has sent too few so far to notice a hole at a node that has to deny them, or a
// backend that is preferred, and counts all of them.
func plenty(forecasts []Forecast, sums map[string]int) {
	if sums == nil {
		return
	}
	cells := map[string]int{}
	for _, f := range forecasts {
		cells[f.sum()]++
	}
	sent := map[string]int{}
	for i, f := range forecasts {
		key := f.sum()
		switch {
		case key == "":
			continue
		case f.answered():
			forecasts[i].least = share(reach.Choices(len(f.Oracle.Backends))-sums[key], cells[key])
			sent[key] += max(minProbes, forecasts[i].least)
		default:
			forecasts[i].least = min(max(deniedProbes, share(reach.DenialsOfANode-sums[key], 2*cells[key])), mostDenied)
			sent[key] += 2 * forecasts[i].least
		}
	}
	for key, n := range sent {
		sums[key] += n
	}
}

// share is what each of some cells has to send of n probes.
func share(n, cells int) int { return max(0, (n+cells-1)/cells) }

// sum is what the cell's probes are counted for in Engine.Sums; "": nothing.
func (f Forecast) sum() string {
	switch {
	case f.answered() && f.proportions && f.Oracle.Even:
		return f.Target.Service
	case !f.answered() && len(f.Oracle.Outcomes) == 1 && f.allAllow(reach.Refused): // at once, so that many take no time
		return reach.ProxyOf(f.Vantage, f.Target)
	default:
		return ""
	}
}

// key identifies a cell together with what is predicted of it.
func (f Forecast) key() string {
	key := cellName(f.Vantage, f.Target) + "|" + f.predicted
	if f.Expected != nil {
		key += fmt.Sprint(*f.Expected)
	}
	return key
}

func cellName(v reach.Vantage, t reach.Target) string { return v.Name + "|" + t.Name() }

// predictions are those that decide whether the cell matches: the oracle's, and the table's where both decide.
func (f Forecast) predictions() []reach.Prediction {
	if f.Expected == nil || f.policy.ExpectedDecides {
		return []reach.Prediction{f.Oracle}
	}
	return []reach.Prediction{f.Oracle, *f.Expected}
}

// answered reports whether a prediction allows an answer. Such a cell is probed as one that has backends; every other
// one as a denied one.
func (f Forecast) answered() bool {
	return !f.unanswered && slices.ContainsFunc(f.predictions(), func(p reach.Prediction) bool { return p.Allows(reach.Reached) })
}

// allAllow reports whether every prediction allows an outcome.
func (f Forecast) allAllow(o reach.Outcome) bool {
	return !slices.ContainsFunc(f.predictions(), func(p reach.Prediction) bool { return !p.Allows(o) })
}

// backends are those that must each answer, by some prediction.
func (f Forecast) backends() []string {
	var all []string
	for _, p := range f.predictions() {
		if p.Allows(reach.Reached) && !p.Sticky && !p.AnyBackend {
			all = append(all, p.Backends...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// proxy is the node whose kube-proxy alone decides where the cell's packets go; empty where others do too: a load balancer, DNS.
func (f Forecast) proxy() string {
	if f.Target.Kind == reach.LoadBalancer || f.Target.Kind == reach.DNSName {
		return ""
	}
	return reach.ProxyOf(f.Vantage, f.Target)
}

// lastLost is when the last packet was sent that shows that a cell was not as predicted yet; zero if none does. A SYN is sent again
// after 1, 3 and 7 seconds. So a connection that was not answered has sent several in vain, and one that was may have.
func lastLost(cell reach.Cell, matches bool) (last time.Time) {
	resends := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}
	for _, o := range cell.Observations {
		sent := -1 // in vain, after the first
		switch {
		case cell.Target.Protocol == reach.TCP && o.Outcome == reach.Reached && o.Resent > 0:
			sent = min(o.Resent, len(resends)) - 1
		case matches:
		case cell.Target.Protocol == reach.TCP && o.Outcome == reach.TimedOut:
			for sent = 0; sent+1 < len(resends) && resends[sent+1]+time.Second/4 < o.Latency; sent++ {
			}
		default:
			sent = 0
		}
		if sent < 0 {
			continue
		}
		if at := o.At.Add(resends[sent]); at.After(last) {
			last = at
		}
	}
	return last
}

// matches reports whether a cell is as predicted. A cell that was not probed matches: nothing more can be learned by
// probing it again.
func (f Forecast) matches(cell reach.Cell) bool {
	return !slices.ContainsFunc(f.predictions(), func(p reach.Prediction) bool { return len(reach.Compare(p, cell)) > 0 })
}

// silent reports whether no reply must come to the cell's probes, so that each takes as long as it may.
func (f Forecast) silent() bool { return !f.answered() && (f.unanswered || f.allAllow(reach.TimedOut)) }

// request returns the probes that the cell gets in a pass. Convergence only needs to see whether the cell is
// as predicted: one probe, and more only until every backend has answered, or where one backend must answer them all.
// A reply that must not come comes at once where a proxy is not done yet, so convergence does not wait for it as long.
func (f Forecast) request(of pass, timeouts Timeouts) probe.Request {
	r := probe.Request{Vantage: f.Vantage, Target: f.Target, Min: deniedProbes, Max: deniedProbes, Timeout: timeouts.Denied, DNSServer: f.dns}
	switch {
	case f.answered():
		r.Min, r.Timeout = max(f.least, minProbes-heldProbes), timeouts.Answered
		r.Max = r.Min
		if all := f.backends(); len(all) > 0 {
			r.Until, r.Max = all, max(r.Max, MaxProbes(max(len(all), f.endpoints)))
			if r.Even = f.Oracle.Even && of == first && slices.Equal(all, f.Oracle.Backends); r.Even {
				r.Max = max(r.Max, evenProbes)
			}
		} else if len(f.Oracle.Certain) > 0 && !f.Oracle.Sticky {
			r.Until, r.Max, r.Patient = f.Oracle.Certain, MaxProbes(max(len(f.Oracle.Certain), f.endpoints)), true
			if f.Oracle.Allows(reach.TimedOut) {
				f.hears(&r, timeouts.Silent)
			}
		}
	case f.silent():
		reply := timeouts.Silent
		if of == quick {
			reply /= 3
		}
		f.hears(&r, reply)
	}
	if !f.answered() && f.allAllow(reach.Refused) {
		r.Interval = betweenRefusals
		if f.least > 0 {
			r.Min, r.Max, r.Interval = f.least, f.least, min(r.Interval, refusalsTake/time.Duration(f.least))
		}
	}
	if of == second && f.answered() {
		r.Min, r.Max = heldProbes, heldProbes
	}
	if of == quick {
		r.Min = 1
		if len(r.Until) == 0 {
			r.Max = 1
		}
		if f.Oracle.Sticky && f.answered() && !f.policy.NewServices {
			// A proxy that does not know the affinity yet may pick the same backend a few times by chance. Three failures in a row
			// end the cell: each may take as long as a silent path.
			r.Until, r.Max = f.Oracle.Backends, min(MaxProbes(max(len(f.Oracle.Backends), f.endpoints)), stickyMost)
		}
	}
	return r
}

// hears sets how long a probe waits for a reply that may not come. On a busy machine the lookup of a name may take longer.
func (f Forecast) hears(r *probe.Request, reply time.Duration) {
	if isName(f.Target) && !f.unanswered {
		r.Reply = reply
	} else {
		r.Timeout = reply
	}
}

// Once is a request for one probe of a cell, for who shows what traffic does at the moment and judges nothing.
func Once(w world.World, v reach.Vantage, t reach.Target, timeout time.Duration) probe.Request {
	return probe.Request{Vantage: v, Target: t, Min: 1, Max: 1, Timeout: timeout, DNSServer: lookupsTo(w, v, t)}
}

// lookupsTo is the DNS server for lookups from a vantage; the zero value: the vantage's own. A node has no cluster DNS in its own
// resolver, but daemons on it can send lookups to the DNS Service; so node vantages do.
func lookupsTo(w world.World, v reach.Vantage, t reach.Target) netip.AddrPort {
	if service, found := w.DNSService(); found && v.Kind == reach.Node && isName(t) {
		return netip.AddrPortFrom(world.ClusterIPs(&service)[0], 53)
	}
	return netip.AddrPort{}
}

func isName(t reach.Target) bool { return t.Kind == reach.DNSName || t.Kind == reach.ExternalName }

func anyReached(cell reach.Cell) bool {
	return slices.ContainsFunc(cell.Observations, func(o reach.Observation) bool { return o.Outcome == reach.Reached })
}

// spreads counts endpoints by Service and address type.
type spreads map[string]map[discoveryv1.AddressType]int

func endpointCounts(w world.World) spreads {
	counts := spreads{}
	for i := range w.Slices {
		slice := &w.Slices[i]
		service := world.ServiceOf(slice)
		if counts[service] == nil {
			counts[service] = map[discoveryv1.AddressType]int{}
		}
		counts[service][slice.AddressType] += len(slice.Endpoints)
	}
	return counts
}

// of is how many endpoints connections to a target may be spread over, in the target's IP family.
func (s spreads) of(t reach.Target) int {
	if t.Kind == reach.Endpoint {
		return 1
	}
	counts := s[t.Service]
	switch t.IPFamily() {
	case 4:
		return counts[discoveryv1.AddressTypeIPv4]
	case 6:
		return counts[discoveryv1.AddressTypeIPv6]
	default:
		return max(counts[discoveryv1.AddressTypeIPv4], counts[discoveryv1.AddressTypeIPv6])
	}
}
