package runner

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// The chance to miss a backend is worked out here by inclusion and exclusion, not by the bound MaxProbes uses.
func missOne(k, n int) float64 {
	sum, binomial := 0.0, 1.0
	for j := 1; j < k; j++ {
		binomial *= float64(k-j+1) / float64(j)
		term := binomial * math.Pow(1-float64(j)/float64(k), float64(n))
		if j%2 == 0 {
			term = -term
		}
		sum += term
	}
	return sum
}

func TestMaxProbes(t *testing.T) {
	for k, want := range map[int]int{0: 8, 1: 8, 2: 31, 3: 54, 10: 219} {
		if got := MaxProbes(k); got != want {
			t.Errorf("%d backends: %d probes, want %d", k, got, want)
		}
	}
	for k := 2; k <= 12; k++ {
		n := MaxProbes(k)
		if chance := missOne(k, n); chance > missChance {
			t.Errorf("%d backends, %d probes: one is missed with chance %g", k, n, chance)
		}
		if chance := missOne(k, n-3); chance < missChance/10 {
			t.Errorf("%d backends: %d probes are far more than needed", k, n)
		}
	}
}

func TestRequest(t *testing.T) {
	timeouts := Timeouts{Answered: 3 * time.Second, Denied: 4 * time.Second, Silent: time.Second}
	reached := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{"a", "b"}}
	refused := reach.Prediction{Outcomes: []reach.Outcome{reach.Refused}}
	silent := reach.Prediction{Outcomes: []reach.Outcome{reach.TimedOut}}
	sticky := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{"a", "b"}, Sticky: true}
	for name, c := range map[string]struct {
		oracle, written reach.Prediction
		quick           bool
		min, max, until int
		timeout         time.Duration
	}{
		"answered":                 {reached, reached, false, 8, 31, 2, 3 * time.Second},
		"answered, quickly":        {reached, reached, true, 1, 31, 2, 3 * time.Second},
		"denied":                   {refused, refused, false, 2, 2, 0, 4 * time.Second},
		"denied, quickly":          {refused, refused, true, 1, 1, 0, 4 * time.Second},
		"silence":                  {silent, silent, false, 2, 2, 0, time.Second},
		"silence, says one":        {refused, silent, false, 2, 2, 0, 4 * time.Second},
		"sticky":                   {sticky, sticky, false, 8, 8, 0, 3 * time.Second},
		"sticky, converging":       {sticky, sticky, true, 31, 31, 0, 3 * time.Second},
		"only the table wants one": {refused, reached, false, 8, 31, 2, 3 * time.Second},
	} {
		r := forecast{oracle: c.oracle, written: c.written}.request(c.quick, timeouts)
		if r.Min != c.min || r.Max != c.max || len(r.Until) != c.until || r.Timeout != c.timeout {
			t.Errorf("%s: min %d, max %d, until %v, timeout %s", name, r.Min, r.Max, r.Until, r.Timeout)
		}
	}
}

func TestChiSquareTail(t *testing.T) {
	for _, c := range []struct {
		x    float64
		df   int
		want float64
	}{{3.841459, 1, 0.05}, {6.634897, 1, 0.01}, {5.991465, 2, 0.05}, {16.918978, 9, 0.05}, {27.877165, 9, 0.001}, {0, 3, 1}, {1.386294, 2, 0.5}} {
		if got := chiSquareTail(c.x, c.df); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("chi-square %g with %d degrees: %g, want %g", c.x, c.df, got, c.want)
		}
	}
}

func TestJudgeSpread(t *testing.T) {
	if lines, err := judgeSpread(map[string]int{"a": 98, "b": 102}, 1e-6); err != nil || len(lines) != 1 {
		t.Errorf("even: %v", err)
	}
	if _, err := judgeSpread(map[string]int{"a": 150, "b": 50}, 1e-6); resultOf(err) != reach.Fail {
		t.Errorf("three to one of 200: %v", err)
	}
}

func TestInBlock(t *testing.T) {
	for _, c := range []struct {
		block, addr string
		want        bool
	}{{"172.18.255.0/28", "172.18.255.3", true}, {"172.18.255.0/28", "172.18.255.16", false},
		{"172.18.0.10-172.18.0.20", "172.18.0.20", true}, {"172.18.0.10 - 172.18.0.20", "172.18.0.9", false},
		{"fc00::10-fc00::20", "172.18.0.12", false}, {"fc00::10-fc00::20", "fc00::1f", true}, {"nonsense", "172.18.0.1", false}} {
		if got := inBlock(netip.MustParseAddr(c.addr), c.block); got != c.want {
			t.Errorf("%s in %q: %t", c.addr, c.block, got)
		}
	}
}
