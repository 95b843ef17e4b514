package reach

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// until probes one path as the prober does: at least 8 times, at most most times, and until it is known whether one of k backends
// is favoured, which the first one is with odds to 1.
func until(r *rand.Rand, k int, odds float64, most int) (skewed bool, probes int) {
	chosen := make([]int, k)
	for n := 1; ; n++ {
		if i := int(r.Float64() * (odds + float64(k) - 1) / odds); i == 0 {
			chosen[0]++
		} else {
			chosen[1+r.IntN(k-1)]++
		}
		skewed, even := Skewed(chosen)
		if n >= most || n >= 8 && (skewed || even) {
			return skewed, n
		}
	}
}

// The power of the look for a favoured backend, and what it costs on a healthy path.
func TestSkewed(t *testing.T) {
	const runs = 20_000
	for _, c := range []struct {
		k      int
		most   int
		probes float64 // on a healthy path, in the mean
	}{{2, 128, 16}, {3, 128, 16}, {10, 219, 32}} {
		r := rand.New(rand.NewPCG(1, uint64(c.k)))
		alarms, probes, noticed := 0, 0, 0
		for range runs {
			skewed, n := until(r, c.k, 1, c.most)
			probes += n
			if skewed {
				alarms++
			}
			if skewed, _ := until(r, c.k, favoured, c.most); skewed {
				noticed++
			}
		}
		if alarms > 0 {
			t.Errorf("%d backends: %d of %d healthy paths fail", c.k, alarms, runs)
		}
		if got := float64(noticed) / runs; got < 1-Missed {
			t.Errorf("%d backends: one that is chosen as often as %d others is noticed with chance %.4f, want %.2f", c.k, favoured, got, 1-Missed)
		}
		if got := float64(probes) / runs; got > c.probes {
			t.Errorf("%d backends: a healthy path takes %.1f probes in the mean, want at most %.0f", c.k, got, c.probes)
		}
	}
}

// The power of the count of SYNs that were sent again, by how many connections a scenario has.
func TestLossy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		connections int
		lost        float64
		least, most float64 // with which chance it is called lossy
	}{
		{10_000, 0.001, 0, 0}, {500, 0.002, 0, 0}, {8, 0.001, 0, 0},
		{500, 0.05, 0.99, 1}, {136, 0.1, 0.9, 1}, {40, 1.0 / 3, 0.98, 1}, {8, 1, 1, 1},
	} {
		called := 0
		const runs = 2_000
		for range runs {
			resent := 0
			for range c.connections {
				if r.Float64() < c.lost {
					resent++
				}
			}
			if Lossy(c.connections, resent) {
				called++
			}
		}
		if got := float64(called) / runs; got < c.least || got > c.most {
			t.Errorf("%d connections, %.1f %% lost: called lossy with chance %.4f, want %.2f to %.2f", c.connections, 100*c.lost, got, c.least, c.most)
		}
	}
}

func TestOverall(t *testing.T) {
	path := func(from string, port uint16, total, resent int) []Step {
		cell := Cell{Vantage: Vantage{Name: from}, Target: Target{Kind: ClusterIP, Service: "demo/web", Host: "10.96.0.1", Port: port, Protocol: TCP}}
		for i := range total {
			o := Observation{Outcome: Reached}
			if i < resent {
				o.Resent = 1
			}
			cell.Observations = append(cell.Observations, o)
		}
		return []Step{{Name: "expect", Tables: []Table{{Cells: []CellVerdict{{Cell: cell}}}}}}
	}
	connections := func(total, resent int) []Step { return path("pod/worker", 80, total, resent) }
	behind := func(each ...map[string]time.Duration) (steps []Step) {
		for _, nodes := range each { // the tables of a step share their convergence
			steps = append(steps, Step{Name: "expect", Tables: []Table{{Behind: nodes}, {Behind: nodes}}})
		}
		return steps
	}
	chosen := func(a, b int) (steps []Step) {
		for range 2 {
			cell := CellVerdict{Oracle: Prediction{Even: true, Backends: []string{"a", "b"}}, Cell: Cell{Target: Target{Kind: NodePort, Service: "demo/web", Protocol: TCP, Port: 80}}}
			for range a {
				cell.Cell.Observations = append(cell.Cell.Observations, Observation{Outcome: Reached, Backend: "a"})
			}
			for range b {
				cell.Cell.Observations = append(cell.Cell.Observations, Observation{Outcome: Reached, Backend: "b"})
			}
			steps = append(steps, Step{Name: "expect", Tables: []Table{{Cells: []CellVerdict{cell}}}})
		}
		return steps
	}
	nodes := func(a, b time.Duration) map[string]time.Duration { return map[string]time.Duration{"a": a, "b": b} }
	three := func(a, b, c time.Duration) map[string]time.Duration {
		return map[string]time.Duration{"a": a, "b": b, "c": c}
	}
	for name, c := range map[string]struct {
		steps  []Step
		result Result
		says   string
	}{
		"nothing was lost":      {connections(100, 0), Pass, "a SYN was sent again for 0 of 100 (0.0 %) connections"},
		"one was":               {connections(100, 1), Pass, "1 of 100 (1.0 %)"},
		"many were":             {connections(100, 20), Fail, "packets are lost: a SYN had to be sent again for 20 of 100 (20.0 %) connections"},
		"one path loses them":   {slices.Concat(path("pod/b", 80, 1000, 0), path("pod/a", 81, 1000, 0), path("pod/a", 80, 40, 13)), Fail, "for 13 of 40 (32.5 %) connections from pod/a to web clusterIP:80/TCP"},
		"all follow late":       {behind(nodes(7*time.Second, 8*time.Second), nodes(8*time.Second, 7*time.Second)), Pass, "the last node followed the objects after 8s (b)"},
		"one follows late":      {behind(nodes(time.Second, 8*time.Second), nodes(0, 6*time.Second), nodes(0, 0), nodes(0, 0)), Fail, "kube-proxy on b followed the objects late: in 2 of 2 steps at least 6s after"},
		"one of three":          {behind(three(0, 6*time.Second, 0), three(0, 7*time.Second, time.Second)), Fail, "kube-proxy on b followed the objects late: in 2 of 2 steps at least 6s after the mean"},
		"busy, two of three":    {behind(three(time.Second, 8*time.Second, 4*time.Second), three(0, 6*time.Second, 5*time.Second)), Pass, "after 8s (b)"},
		"late in one step":      {behind(nodes(0, 8*time.Second)), Pass, "after 8s (b)"},
		"all are chosen":        {chosen(500, 510), Pass, "a (1000), b (1020)"},
		"one is preferred":      {chosen(600, 400), Fail, "connections to demo/web do not spread evenly over all cells: a (1200), b (800)"},
		"one is late once":      {behind(nodes(time.Second, 7*time.Second), nodes(0, time.Second)), Pass, "after 7s (b)"},
		"now one, now another":  {behind(nodes(0, 7*time.Second), nodes(7*time.Second, 0)), Pass, "after 7s"},
		"seldom late":           {behind(nodes(0, 7*time.Second), nodes(0, 7*time.Second), nodes(0, 1), nodes(0, 1), nodes(1, 0)), Pass, "after 7s"},
		"there is one node":     {behind(map[string]time.Duration{"b": 7 * time.Second}), "", ""},
		"nothing was connected": {connections(0, 0), "", ""},
	} {
		got, ok := Overall(c.steps, 5*time.Second)
		if ok != (c.result != "") || ok && (got.Result != c.result || !strings.Contains(got.Why+strings.Join(got.Lines, ";"), c.says)) {
			t.Errorf("%s: %+v, want %s and %q", name, got, c.result, c.says)
		}
	}
	if got, _ := Overall(behind(nodes(0, time.Minute), nodes(0, time.Minute)), 0); got.Result != Pass {
		t.Errorf("delay is not judged, and yet: %+v", got)
	}
}
