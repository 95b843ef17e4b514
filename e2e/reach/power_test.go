package reach

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The powers that are computed are those of simulations.
func TestPowers(t *testing.T) {
	const runs = 2_000
	r := rand.New(rand.NewPCG(3, 4))
	simulated := func(noticed func() bool) float64 {
		n := 0
		for range runs {
			if noticed() {
				n++
			}
		}
		return float64(n) / runs
	}
	hits := func(n int, p float64) (hits int) {
		for range n {
			if r.Float64() < p {
				hits++
			}
		}
		return hits
	}
	for name, c := range map[string]struct{ computed, simulated float64 }{
		"200 connections, 5 % lost": {lossPower(200, lossNoticed), simulated(func() bool { return Lossy(200, hits(200, lossNoticed)) })},
		"500 connections, 5 % lost": {lossPower(500, lossNoticed), simulated(func() bool { return Lossy(500, hits(500, lossNoticed)) })},
		"1000 choices, 60/40":       {preferencePower(2, 1000), simulated(func() bool { c := hits(1000, 0.6); return Preferred([]int{c, 1000 - c}) })},
	} {
		if math.Abs(c.computed-c.simulated) > 0.05 {
			t.Errorf("%s: computed %.3f, simulated %.3f", name, c.computed, c.simulated)
		}
	}
	n := Choices(2)
	if noticed := simulated(func() bool { c := hits(n, 0.6); return Preferred([]int{c, n - c}) }); noticed < 1-2*Missed || n > 2_500 {
		t.Errorf("%d choices of two: 60/40 is noticed with %.4f", n, noticed)
	}
	if p := 1 - math.Pow(1-holeNoticed, DenialsOfANode); p < 1-Missed {
		t.Errorf("%d denials: a hole is noticed with %.4f", DenialsOfANode, p)
	}
	alarms := simulated(func() bool { c := hits(n, 0.5); return Preferred([]int{c, n - c}) })
	if alarms > 0 {
		t.Errorf("%.4f of even choices alarm", alarms)
	}
}

// A path that refuses for a second of every three is noticed by connections that begin at least once a second for two seconds.
func TestPeriodicFault(t *testing.T) {
	at := func(seconds ...float64) (probes []Observation) {
		for _, s := range seconds {
			probes = append(probes, Observation{At: time.Unix(1000, int64(s*1e9))})
		}
		return probes
	}
	for _, c := range []struct {
		probes []Observation
		want   float64
	}{{at(0), 1.0 / 3}, {at(0, 0.1, 0.2), 1.2 / 3}, {at(0, 1, 2), 1}, {at(0, 1, 5), 1}, {at(0, 3, 6), 1.0 / 3}, {nil, 0}} {
		if got := periodicPower(c.probes); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%v: %.3f, want %.3f", c.probes, got, c.want)
		}
	}
}

func TestPowersOfARun(t *testing.T) {
	cell := func(outcome Outcome, n int, p Prediction) CellVerdict {
		c := CellVerdict{Oracle: p, Cell: Cell{Vantage: Vantage{Name: "pod/worker", Kind: Pod, Node: "w"}, Target: Target{Kind: ClusterIP, Service: "demo/web", Host: "10.96.0.1", Port: 80, Protocol: TCP}}}
		for range n {
			c.Cell.Observations = append(c.Cell.Observations, Observation{Outcome: outcome, Backend: "a"})
		}
		return c
	}
	verdicts := []Verdict{{Scenario: "one", Steps: []Step{{Tables: []Table{{Cells: []CellVerdict{
		cell(Refused, 152, Prediction{Outcomes: []Outcome{Refused}}), cell(Reached, 600, Prediction{Outcomes: []Outcome{Reached}})}}}}}},
		{Scenario: "two", Steps: []Step{{Tables: []Table{{Cells: []CellVerdict{cell(TimedOut, 4, Prediction{Outcomes: []Outcome{TimedOut}})}}}}}}}
	got := Powers(verdicts)
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	if h := got[0]; h.Sums != 2 || h.Sure != 1 || h.At != "two at w" || h.Probes != 4 || h.Least > 0.2 || h.Run < 0.99 {
		t.Errorf("holes: %+v", h)
	}
	if l := got[1]; l.Sums != 1 || l.Sure != 1 || l.Probes != 600 {
		t.Errorf("losses: %+v", l)
	}
}
