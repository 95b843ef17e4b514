package reach

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// lossNoticed is the share of lost SYNs, and holeNoticed that of denied connections that are let through, for which Powers
	// says how likely they are to be noticed.
	lossNoticed, holeNoticed = 0.05, 0.03
	// DenialsOfANode is how many probes through one node it takes to notice such a hole there.
	DenialsOfANode = 152
	// dead and period are those of a path that refuses connections again and again. One that drops them delays them: see Lossy.
	dead, period = time.Second, 3 * time.Second
)

// Power is how likely a statistical check is to notice a fault, with the probes of one run.
type Power struct {
	// Check names it, Fault is what it notices, where it is in every connection of one of its sums.
	Check string `json:"check"`
	Fault string `json:"fault"`
	// Sums is how many sums of probes it judged, Sure in how many of them the fault is noticed with a probability of 0.99.
	Sums int `json:"sums"`
	Sure int `json:"sure"`
	// Least is that probability in the sum with the fewest probes, At is which.
	Least  float64 `json:"least"`
	At     string  `json:"at"`
	Probes int     `json:"probes"`
	// Run is the probability where the fault is in all sums.
	Run float64 `json:"run"`
}

// String is the power in a line.
func (p Power) String() string {
	return fmt.Sprintf("%s: noticed with probability 0.99 or more in %d of %d %s, least with %.2f (%s, %d probes); with %s if it is everywhere",
		p.Fault, p.Sure, p.Sums, p.Check, p.Least, p.At, p.Probes, nearly(p.Run))
}

func nearly(p float64) string {
	if p > 0.9999 {
		return "more than 0.9999"
	}
	return fmt.Sprintf("%.4f", p)
}

// Powers computes the power of the statistical checks from the probes that were judged, in scenarios that ran.
func Powers(verdicts []Verdict) []Power {
	var (
		holes    = Power{Check: "scenarios and nodes", Fault: fmt.Sprintf("a hole that lets through %.0f %% of the connections that must be denied at a node", 100*holeNoticed)}
		losses   = Power{Check: "scenarios", Fault: fmt.Sprintf("%.0f %% of SYNs lost", 100*lossNoticed)}
		even     = Power{Check: "cells", Fault: fmt.Sprintf("a backend that is chosen %.0f times as often as each other one", float64(favoured))}
		periodic = Power{Check: "paths", Fault: fmt.Sprintf("a path that refuses connections for %s of every %s", dead, period)}
		sums     = Power{Check: "sets of pods", Fault: fmt.Sprintf("a pod that is chosen %.1f times as often as each other one", preferred)}
	)
	for _, v := range verdicts {
		for node, n := range denialsOf(v.Steps) {
			holes.add(v.Scenario+" at "+node, n, 1-math.Pow(1-holeNoticed, float64(n)))
		}
		if n := tallies(v.Steps)[""].connections; n > 0 {
			losses.add(v.Scenario, n, lossPower(n, lossNoticed))
		}
		for _, sum := range choicesOf(v.Steps) {
			sums.add(v.Scenario+", "+sum.service, sum.total(), preferencePower(len(sum.counts), sum.total()))
		}
		paths := map[string][]Observation{}
		for _, s := range v.Steps {
			for _, t := range s.Tables {
				for _, c := range t.Cells {
					name := "from " + c.Cell.Vantage.Name + " to " + c.Cell.Target.Name()
					if c.Oracle.Wants() && c.Result != Skipped {
						paths[name] = append(paths[name], c.Cell.Observations...)
					}
					counts, ok := c.choices()
					if !ok {
						continue
					}
					p := 0.0
					if c.decided() {
						p = 1 - Missed
					}
					even.add(v.Scenario+", "+name, sumOf(counts), p)
				}
			}
		}
		for name, probes := range paths {
			periodic.add(v.Scenario+", "+name, len(probes), periodicPower(probes))
		}
	}
	return slices.DeleteFunc([]Power{holes, losses, even, sums, periodic}, func(p Power) bool { return p.Sums == 0 })
}

// add adds a sum of n probes in which the fault is noticed with probability p.
func (w *Power) add(at string, n int, p float64) {
	if w.Sums++; p >= 1-Missed {
		w.Sure++
	}
	if w.Sums == 1 || p < w.Least || p == w.Least && (n < w.Probes || n == w.Probes && at < w.At) {
		w.Least, w.At, w.Probes = p, at, n
	}
	w.Run = 1 - (1-w.Run)*(1-p)
}

// ProxyOf is the node whose kube-proxy decides where packets from v to t go: that of a client in the cluster, and the target's for a
// node port. It is empty where several may, or none.
func ProxyOf(v Vantage, t Target) string {
	switch t.Kind {
	case ClusterIP, ExternalIP, Localhost, LoadBalancer, DNSName:
		return v.Node
	case NodePort:
		return t.Node
	default:
		return ""
	}
}

// denialsOf counts, by node, the probes that must not reach a backend and whose packets that node's kube-proxy has to deny.
func denialsOf(steps []Step) map[string]int {
	sums := map[string]int{}
	for _, s := range steps {
		for _, t := range s.Tables {
			for _, c := range t.Cells {
				node := ProxyOf(c.Cell.Vantage, c.Cell.Target)
				if node == "" || c.Oracle.Allows(Reached) || c.Oracle.Allows(NoSuchHost) || c.Expected != nil && c.Expected.Allows(Reached) {
					continue
				}
				for _, o := range c.Cell.Observations {
					if o.Outcome != ProbeFailed && o.Outcome != Unprobed {
						sums[node]++
					}
				}
			}
		}
	}
	return sums
}

// decided reports whether a cell was probed until it was known whether a backend is favoured.
func (c CellVerdict) decided() bool {
	seen := c
	for n := range c.Cell.Observations {
		seen.Cell.Observations = c.Cell.Observations[:n+1]
		counts, _ := seen.choices()
		if skewed, even := Skewed(counts); skewed || even {
			return true
		}
	}
	return false
}

// choices are how often each backend of a cell was chosen; ok is false for a cell whose connections do not choose evenly.
func (c CellVerdict) choices() (counted []int, ok bool) {
	if !c.Oracle.Even {
		return nil, false
	}
	chosen := map[string]int{}
	for _, o := range c.Cell.Observations {
		if o.Outcome == Reached {
			chosen[o.Backend]++
		}
	}
	return counts(c.Oracle.Backends, chosen), true
}

// periodicPower is how likely a path that refuses connections for a part of each period, which began at any time, is probed meanwhile.
func periodicPower(probes []Observation) float64 {
	var starts []time.Duration // of the part in which the fault is noticed by a probe: it began up to dead before it
	for _, o := range probes {
		starts = append(starts, time.Duration(o.At.UnixNano())%period)
	}
	slices.Sort(starts)
	noticed := time.Duration(0)
	for i, s := range starts {
		next := starts[(i+1)%len(starts)] - s
		if i+1 == len(starts) {
			next += period
		}
		noticed += min(next, dead)
	}
	return float64(noticed) / float64(period)
}

// choice is how often each of a Service's backends was chosen, in several cells.
type choice struct {
	service  string
	backends []string
	counts   []int
}

func (c choice) total() int { return sumOf(c.counts) }

// String is how often each was.
func (c choice) String() string {
	parts := make([]string, len(c.backends))
	for i, b := range c.backends {
		parts[i] = fmt.Sprintf("%s (%d)", b, c.counts[i])
	}
	return strings.Join(parts, ", ")
}

// choicesOf adds the choices of all cells of a Service with the same backends.
func choicesOf(steps []Step) map[string]choice {
	sums := map[string]choice{}
	for _, s := range steps {
		for _, t := range s.Tables {
			for _, c := range t.Cells {
				counts, ok := c.choices()
				if !ok {
					continue
				}
				key := c.Cell.Target.Service + " " + strings.Join(c.Oracle.Backends, " ")
				sum, known := sums[key]
				if !known {
					sum = choice{service: c.Cell.Target.Service, backends: c.Oracle.Backends, counts: make([]int, len(counts))}
				}
				for i, n := range counts {
					sum.counts[i] += n
				}
				sums[key] = sum
			}
		}
	}
	return sums
}

func sumOf(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// lossPower is how likely n connections, each of which loses its first SYN with probability lost, are called lossy.
func lossPower(n int, lost float64) float64 {
	return tail(n, lost, 0, func(resent int) bool { return Lossy(n, resent) })
}

// preferencePower is how likely n choices of k backends show that one of them is preferred.
func preferencePower(k, n int) float64 {
	return tail(n, preferred/(preferred+float64(k)-1), n/k, func(c int) bool {
		counts := make([]int, k)
		counts[0] = c
		for i := range n - c {
			counts[1+i%(k-1)]++
		}
		return Preferred(counts)
	})
}

// Choices is how many choices of k backends it takes to notice that one of them is preferred.
func Choices(k int) int {
	n := 1000
	for preferencePower(k, n) < 1-Missed {
		n += n / 16
	}
	return n
}

// tail is the probability that of n trials, each of which succeeds with probability p, enough succeed. From the number from on, what
// is enough for some number is enough for each greater one.
func tail(n int, p float64, from int, enough func(int) bool) float64 {
	to := n + 1
	for from < to {
		if middle := (from + to) / 2; enough(middle) {
			to = middle
		} else {
			from = middle + 1
		}
	}
	sum := 0.0
	for c := to; c <= n; c++ {
		sum += math.Exp(choose(n, c) + float64(c)*math.Log(p) + float64(n-c)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// choose is the logarithm of n over c.
func choose(n, c int) float64 {
	of := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
	return of(n) - of(c) - of(n-c)
}
