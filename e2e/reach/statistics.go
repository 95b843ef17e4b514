package reach

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Statistics weigh the evidence of a fault against that of health, by the ratio of their likelihoods. It may be looked at
// after every probe: on a healthy cluster it ever exceeds 1/FalseAlarm with a chance of at most FalseAlarm (Ville's
// inequality), whenever the probing stops.
const (
	// FalseAlarm is the chance that one statistic fails where nothing is wrong. A run has about 10,000 of them, so one run of
	// 100,000 has a false alarm.
	FalseAlarm = 1e-9
	// Missed is the chance that probing for a favoured backend stops although one is favoured. Every statistic is given as many
	// probes as it needs to notice with 1-Missed what it is made for.
	Missed = 0.01
	// favoured is how much more often than each of the others the favoured backend is chosen. Of two it gets 90 %.
	favoured = 9
	// preferred is the same for a backend that is looked for in all cells of a scenario that have the same backends: of two it
	// gets 60 %. A run has fewer than MostPools of these sums, so each may raise a false alarm more often.
	preferred      = 1.5
	PoolFalseAlarm = 1e-7
	MostPools      = 100
	// lossHere is the share of connections that may need a SYN to be sent again on a healthy machine, however busy.
	lossHere = 0.002
)

// losses are the shares of lost SYNs that are looked for, each as likely as the others.
func losses() []float64 { return []float64{0.03, 0.1, 0.4, 0.9} }

// Skewed weighs how often each of the backends of a path was chosen. skewed: one of them is favoured. even: none is, but for
// a chance of Missed. Of too few choices neither is known.
func Skewed(counts []int) (skewed, even bool) {
	if len(counts) < 2 {
		return false, true
	}
	weights := skews(counts, favoured)
	return meanOf(weights) >= -math.Log(FalseAlarm), slices.Max(weights) <= math.Log(Missed)
}

// skews weighs, for each backend, that it is chosen odds times as often as each other one.
func skews(counts []int, odds float64) []float64 {
	k, n := float64(len(counts)), 0
	for _, c := range counts {
		n += c
	}
	var (
		share     = odds / (odds + k - 1)
		chosen    = math.Log(share * k)
		notChosen = math.Log((1 - share) / (1 - 1/k))
		weights   = make([]float64, len(counts))
	)
	for i, c := range counts {
		weights[i] = float64(c)*chosen + float64(n-c)*notChosen
	}
	return weights
}

// Preferred reports whether so many connections of several cells with the same backends chose one of them more often that it is
// preferred.
func Preferred(counts []int) bool {
	return len(counts) > 1 && meanOf(skews(counts, preferred)) >= -math.Log(PoolFalseAlarm)
}

// Lossy reports whether so many of the connections needed a SYN to be sent again that packets are lost.
func Lossy(connections, resent int) bool {
	return lossWeight(connections, resent) >= -math.Log(FalseAlarm)
}

func lossWeight(connections, resent int) float64 {
	var weights []float64
	for _, p := range losses() {
		weights = append(weights, float64(resent)*math.Log(p/lossHere)+float64(connections-resent)*math.Log((1-p)/(1-lossHere)))
	}
	return meanOf(weights)
}

// meanOf is the logarithm of the mean of what weights are the logarithms of.
func meanOf(weights []float64) float64 {
	most, sum := slices.Max(weights), 0.0
	for _, w := range weights {
		sum += math.Exp(w - most)
	}
	return most + math.Log(sum/float64(len(weights)))
}

// OverallStep is the name of Overall's step.
const OverallStep = "loss and delay over all probes"

// Overall judges what no single cell shows, over all judged probes of the steps: connections that needed a SYN to be sent
// again, a backend that is preferred, and a node whose kube-proxy again and again followed the objects later than those of the
// other nodes, by more than late. late 0: this is not judged. ok is false where the steps have no probes.
func Overall(steps []Step, late time.Duration) (step Step, ok bool) {
	step = Step{Name: OverallStep, Result: Pass}
	var why []string
	for _, judge := range []func() (line, wrong string){
		func() (string, string) { return lossOf(steps) },
		func() (string, string) { return preferenceOf(steps) },
		func() (string, string) { return delayOf(steps, late) },
	} {
		line, wrong := judge()
		if line != "" {
			step.Lines = append(step.Lines, line)
		}
		if wrong != "" {
			why = append(why, wrong)
		}
	}
	if len(why) > 0 {
		step.Result, step.Why = Fail, strings.Join(why, "; ")
	}
	return step, len(step.Lines) > 0
}

// tally counts connections of one path and those that needed a SYN to be sent again.
type tally struct{ connections, resent int }

func (t tally) String() string {
	return fmt.Sprintf("%d of %d (%.1f %%)", t.resent, t.connections, 100*float64(t.resent)/float64(max(t.connections, 1)))
}

// tallies count all connections, by the path "", those from each vantage, those to each target, and those from one to the other.
func tallies(steps []Step) map[string]tally {
	paths := map[string]tally{}
	for _, s := range steps {
		for _, t := range s.Tables {
			for _, c := range t.Cells {
				if c.Cell.Target.Protocol != TCP || c.Cell.Target.Port == 0 {
					continue
				}
				for _, o := range c.Cell.Observations {
					if o.Outcome != Reached {
						continue
					}
					from, to := "from "+c.Cell.Vantage.Name, "to "+c.Cell.Target.Name()
					for _, path := range []string{"", from, to, from + " " + to} {
						sum := paths[path]
						if sum.connections++; o.Resent > 0 {
							sum.resent++
						}
						paths[path] = sum
					}
				}
			}
		}
	}
	return paths
}

// lossOf finds the path on which the most SYNs were lost.
func lossOf(steps []Step) (line, wrong string) {
	paths := tallies(steps)
	all := paths[""]
	if all.connections == 0 {
		return "", ""
	}
	line = fmt.Sprintf("a SYN was sent again for %s connections", all)
	worst := slices.MaxFunc(slices.Sorted(maps.Keys(paths)), func(a, b string) int {
		return cmp.Compare(lossWeight(paths[a].connections, paths[a].resent), lossWeight(paths[b].connections, paths[b].resent))
	})
	if sum := paths[worst]; Lossy(sum.connections, sum.resent) {
		wrong = strings.TrimSpace(fmt.Sprintf("packets are lost: a SYN had to be sent again for %s connections %s", sum, worst))
	}
	return line, wrong
}

// preferenceOf looks at the choices of all cells with the same backends.
func preferenceOf(steps []Step) (line, wrong string) {
	sums := choicesOf(steps)
	if len(sums) == 0 {
		return "", ""
	}
	worst := slices.MaxFunc(slices.Sorted(maps.Keys(sums)), func(a, b string) int {
		return cmp.Compare(meanOf(skews(sums[a].counts, preferred)), meanOf(skews(sums[b].counts, preferred)))
	})
	sum := sums[worst]
	line = fmt.Sprintf("no pod was preferred; the least even are those of %s: %s", sum.service, sum)
	if Preferred(sum.counts) {
		line = ""
		wrong = fmt.Sprintf("connections to %s do not spread evenly over all cells: %s", sum.service, sum)
	}
	return line, wrong
}

// delayOf compares how long the kube-proxy of each node was behind the objects with the mean of the other nodes, in each step: its
// tables are observed together, so they have one delay. A machine that is busy slows all of them, now one and now another. So a
// node is late if it is in two steps at least, and in half of those in which any was seen behind.
func delayOf(steps []Step, bound time.Duration) (line, wrong string) {
	var (
		last     time.Duration
		lastNode string
		changed  int
		late     = map[string][]time.Duration{}
	)
	for _, s := range steps {
		for _, t := range s.Tables {
			if len(t.Behind) < 2 {
				continue
			}
			sum, most := time.Duration(0), time.Duration(0)
			for _, d := range t.Behind {
				sum, most = sum+d, max(most, d)
			}
			for _, node := range slices.Sorted(maps.Keys(t.Behind)) {
				d := t.Behind[node]
				if lastNode == "" || d > last {
					last, lastNode = d, node
				}
				if after := d - (sum-d)/time.Duration(len(t.Behind)-1); after > bound {
					late[node] = append(late[node], after)
				}
			}
			if most > 0 {
				changed++
			}
			break
		}
	}
	if lastNode == "" {
		return "", ""
	}
	line = fmt.Sprintf("the last node followed the objects after %s (%s)", last.Round(10*time.Millisecond), lastNode)
	for _, node := range slices.Sorted(maps.Keys(late)) {
		if n := len(late[node]); bound > 0 && n >= 2 && 2*n >= changed {
			wrong = fmt.Sprintf("kube-proxy on %s followed the objects late: in %d of %d steps at least %s after the mean of the other nodes; the bound is %s",
				node, n, changed, slices.Min(late[node]).Round(10*time.Millisecond), bound)
		}
	}
	return line, wrong
}
