package observe

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// missOne is the chance to miss a backend, by inclusion and exclusion, not by the bound that MaxProbes uses.
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
		if chance := missOne(k, n); chance > MissChance {
			t.Errorf("%d backends, %d probes: one is missed with chance %g", k, n, chance)
		}
		if chance := missOne(k, n-3); chance < MissChance/10 {
			t.Errorf("%d backends: %d probes are far more than needed", k, n)
		}
	}
}

func TestRequest(t *testing.T) {
	timeouts := Timeouts{Answered: 3 * time.Second, Denied: 4 * time.Second, Silent: time.Second}
	var (
		reached    = answeredBy("a", "b")
		other      = answeredBy("b", "c")
		refused    = outcome(reach.Refused)
		silent     = outcome(reach.TimedOut)
		dropped    = outcome(reach.Unreachable, reach.TimedOut)
		either     = outcome(reach.Refused, reach.TimedOut)
		partly     = reach.Prediction{Outcomes: []reach.Outcome{reach.Reached, reach.TimedOut}, Backends: []string{"a", "b"}, AnyBackend: true, Certain: []string{"a"}}
		sticky     = reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{"a", "b"}, Sticky: true}
		anyBackend = reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{"a", "b"}, AnyBackend: true}
	)
	for name, c := range map[string]struct {
		oracle   reach.Prediction
		expected *reach.Prediction
		change   func(f *Forecast)
		quick    bool
		min, max int
		until    []string
		timeout  time.Duration
		interval time.Duration
		reply    time.Duration
	}{
		"answered":                         {oracle: reached, min: 6, max: 31, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"answered, quickly":                {oracle: reached, quick: true, min: 1, max: 31, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"spread over more endpoints":       {oracle: reached, change: func(f *Forecast) { f.endpoints = 3 }, min: 6, max: 54, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"more backends than endpoints":     {oracle: reached, change: func(f *Forecast) { f.endpoints = 1 }, min: 6, max: 31, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"any backend":                      {oracle: anyBackend, min: 6, max: 6, timeout: 3 * time.Second},
		"any backend, quickly":             {oracle: anyBackend, quick: true, min: 1, max: 1, timeout: 3 * time.Second},
		"sticky":                           {oracle: sticky, min: 6, max: 6, timeout: 3 * time.Second},
		"sticky, converging":               {oracle: sticky, quick: true, min: 1, max: 31, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"sticky, over more endpoints":      {oracle: sticky, quick: true, change: func(f *Forecast) { f.endpoints = 3 }, min: 1, max: 54, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"sticky, a new Service":            {oracle: sticky, quick: true, change: func(f *Forecast) { f.policy = Fuzz() }, min: 1, max: 1, timeout: 3 * time.Second},
		"sticky, given up":                 {oracle: sticky, quick: true, change: func(f *Forecast) { f.unanswered = true }, min: 1, max: 1, timeout: time.Second / 3},
		"answered or refused":              {oracle: reach.Prediction{Outcomes: []reach.Outcome{reach.Reached, reach.Refused}, AnyBackend: true}, min: 6, max: 6, timeout: 3 * time.Second},
		"answered, or no reply":            {oracle: partly, min: 6, max: 8, until: []string{"a"}, timeout: time.Second},
		"answered at a name, or no reply":  {oracle: partly, change: func(f *Forecast) { f.Target = named }, min: 6, max: 8, until: []string{"a"}, timeout: 3 * time.Second, reply: time.Second},
		"denied":                           {oracle: refused, min: 2, max: 2, timeout: 4 * time.Second, interval: betweenRefusals},
		"denied, quickly":                  {oracle: refused, quick: true, min: 1, max: 1, timeout: 4 * time.Second, interval: betweenRefusals},
		"no reply":                         {oracle: silent, min: 2, max: 2, timeout: time.Second},
		"no reply or none possible":        {oracle: dropped, min: 2, max: 2, timeout: time.Second},
		"refused or no reply":              {oracle: either, min: 2, max: 2, timeout: time.Second, interval: betweenRefusals},
		"no reply, quickly":                {oracle: silent, quick: true, min: 1, max: 1, timeout: time.Second / 3},
		"no reply at a name":               {oracle: silent, change: func(f *Forecast) { f.Target = named }, min: 2, max: 2, timeout: 4 * time.Second, reply: time.Second},
		"no reply at a name, given up":     {oracle: silent, change: func(f *Forecast) { f.Target, f.unanswered = named, true }, min: 2, max: 2, timeout: time.Second},
		"no reply, says only the oracle":   {oracle: silent, expected: &refused, min: 2, max: 2, timeout: 4 * time.Second},
		"refused, says only the oracle":    {oracle: refused, expected: &silent, min: 2, max: 2, timeout: 4 * time.Second},
		"only the table expects an answer": {oracle: refused, expected: &reached, min: 6, max: 31, until: []string{"a", "b"}, timeout: 3 * time.Second},
		"only the goal expects an answer":  {oracle: refused, expected: &reached, change: func(f *Forecast) { f.policy = Goal() }, min: 2, max: 2, timeout: 4 * time.Second, interval: betweenRefusals},
		"both expect other backends":       {oracle: reached, expected: &other, min: 6, max: 54, until: []string{"a", "b", "c"}, timeout: 3 * time.Second},
		"given up":                         {oracle: reached, change: func(f *Forecast) { f.unanswered = true }, min: 2, max: 2, timeout: time.Second},
	} {
		f := Forecast{Cell: Cell{Vantage: fromPod, Target: service, Expected: c.expected}, Oracle: c.oracle, dns: clusterDNS}
		if c.change != nil {
			c.change(&f)
		}
		of := first
		if c.quick {
			of = quick
		}
		r := f.request(of, timeouts)
		if r.Min != c.min || r.Max != c.max || !slices.Equal(r.Until, c.until) || r.Timeout != c.timeout || r.Interval != c.interval || r.Reply != c.reply {
			t.Errorf("%s: min %d, max %d, until %v, timeout %s, interval %s", name, r.Min, r.Max, r.Until, r.Timeout, r.Interval)
		}
		if r.Vantage.Name != fromPod.Name || r.Target != f.Target || r.DNSServer != clusterDNS {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The plan gives each cell its forecast: nodes send lookups to the cluster's DNS, endpoints are counted by IP family,
// and where part of the connections may be refused not every backend has to be seen.
func TestPlan(t *testing.T) {
	v4, v6, either, direct := service, service, named, service
	v6.Host, direct.Kind = "fd00::1", reach.Endpoint
	external := reach.Target{Kind: reach.ExternalName, Service: "ns/web", Host: "example.com"}
	predictions := map[string]reach.Prediction{
		v4.Name(): answeredBy("a"), v6.Name(): outcome(reach.Refused, reach.Reached), either.Name(): outcome(reach.TimedOut),
		direct.Name(): answeredBy("a"), external.Name(): outcome(reach.NoSuchHost, reach.Refused)}
	var list Table
	for _, v := range []reach.Vantage{fromPod, fromNode} {
		for _, target := range []reach.Target{v4, v6, either, direct, external} {
			list.Cells = append(list.Cells, Cell{Vantage: v, Target: target})
		}
	}
	b := newBench(t)
	e := b.engine(Suite())
	e.Tables = func(world.World) ([]Table, error) { return []Table{list}, nil }
	e.Predict = func(world.World) func(reach.Vantage, reach.Target) reach.Prediction {
		return func(_ reach.Vantage, t reach.Target) reach.Prediction { return predictions[t.Name()] }
	}
	for _, c := range []struct {
		v4, v6, name int
	}{{2, 5, 5}, {4, 1, 4}} {
		e.Snapshot = snapshotOf(worldWith(c.v4, c.v6))
		p, err := e.plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range p.forecasts {
			want := map[string]int{v4.Name(): c.v4, v6.Name(): c.v6, either.Name(): c.name, direct.Name(): 1, external.Name(): c.name}[f.Target.Name()]
			if f.endpoints != want {
				t.Errorf("%s: %d endpoints, want %d", f.Target.Name(), f.endpoints, want)
			}
			if asks := f.Vantage.Kind == reach.Node && isName(f.Target); asks != (f.dns == clusterDNS) || asks == !f.dns.IsValid() {
				t.Errorf("%s → %s: DNS server %s", f.Vantage.Name, f.Target.Name(), f.dns)
			}
			if once := Once(p.world, f.Vantage, f.Target, time.Second); once.DNSServer != f.dns || once.Min != 1 || once.Max != 1 || once.Timeout != time.Second {
				t.Errorf("one probe: %+v", once)
			}
			if partly := f.Target.Name() == v6.Name(); f.Oracle.AnyBackend != partly {
				t.Errorf("%s: any backend %t", f.Target.Name(), f.Oracle.AnyBackend)
			}
			if f.Target != list.Cells[i].Target || f.policy != e.Policy {
				t.Errorf("cell %d is %s", i, f.Target.Name())
			}
		}
	}
	e.Snapshot = snapshotOf(world.World{})
	p, err := e.plan(t.Context())
	if err != nil || slices.ContainsFunc(p.forecasts, func(f Forecast) bool { return f.dns.IsValid() || f.endpoints > 1 }) {
		t.Errorf("a world without DNS and slices: %+v, %v", p.forecasts, err)
	}
}

// Cells of a node that a scenario has probed too little get as many probes as show a hole there, and those that choose among backends
// as many as show that one is preferred; the next step needs no more of them.
func TestPlenty(t *testing.T) {
	denied := Forecast{Cell: Cell{Vantage: fromPod, Target: closed}, Oracle: outcome(reach.Refused)}
	dropped := Forecast{Cell: Cell{Vantage: fromPod, Target: closed}, Oracle: outcome(reach.TimedOut)}
	even := Forecast{Cell: Cell{Vantage: fromPod, Target: service}, Oracle: answeredBy("a", "b"), proportions: true}
	even.Oracle.Even = true
	var (
		sums  = map[string]int{}
		total = func() (denials, choices int, r probe.Request) {
			forecasts := []Forecast{denied, denied, denied, dropped, even, even}
			plenty(forecasts, sums)
			for i := range forecasts[:3] {
				for _, of := range []pass{first, second} {
					r = forecasts[i].request(of, DefaultTimeouts())
					denials += r.Min
				}
			}
			if got := forecasts[3].request(first, DefaultTimeouts()).Max; got != deniedProbes {
				t.Errorf("%d probes of a silent cell", got)
			}
			for _, f := range forecasts[4:] {
				choices += f.request(first, DefaultTimeouts()).Min
			}
			return denials, choices, r
		}
	)
	denials, choices, r := total()
	if denials < reach.DenialsOfANode || denials > reach.DenialsOfANode+6 || choices < reach.Choices(2) || time.Duration(r.Max)*r.Interval > refusalsTake {
		t.Errorf("%d denials (%d at %s), %d choices", denials, r.Max, r.Interval, choices)
	}
	if denials, choices, _ = total(); denials != 3*2*deniedProbes || choices != 2*(minProbes-heldProbes) {
		t.Errorf("again: %d denials, %d choices", denials, choices)
	}
	plenty([]Forecast{denied}, nil)
}

// A SYN that was lost shows how long at least a cell was not as predicted.
func TestLastLost(t *testing.T) {
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		o       reach.Observation
		matches bool
		want    time.Duration // after start; negative: never
	}{
		"as predicted":         {reach.Observation{Outcome: reach.Reached}, true, -1},
		"refused":              {reach.Observation{Outcome: reach.Refused, Latency: time.Second}, false, 0},
		"after one SYN":        {reach.Observation{Outcome: reach.TimedOut, Latency: time.Second}, false, 0},
		"after three":          {reach.Observation{Outcome: reach.TimedOut, Latency: 5 * time.Second}, false, 3 * time.Second},
		"answered at last":     {reach.Observation{Outcome: reach.Reached, Resent: 2, Latency: 3 * time.Second}, true, time.Second},
		"a denial, as it must": {reach.Observation{Outcome: reach.TimedOut, Latency: 5 * time.Second}, true, -1},
	} {
		c.o.At = start
		got := lastLost(reach.Cell{Target: service, Observations: []reach.Observation{c.o}}, c.matches)
		if c.want < 0 && !got.IsZero() || c.want >= 0 && got.Sub(start) != c.want {
			t.Errorf("%s: %s after the start, want %s", name, got.Sub(start), c.want)
		}
	}
}
