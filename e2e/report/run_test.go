package report

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func TestResult(t *testing.T) {
	pass, fail := single("a", reach.Refused, true), single("b", reach.Refused, false)
	lost := runOf(pass)
	lost.Plan.Planned = append(lost.Plan.Planned, "never-ran")
	lostAndFailed := runOf(pass, fail)
	lostAndFailed.Plan.Planned = append(lostAndFailed.Plan.Planned, "never-ran")
	for name, c := range map[string]struct {
		run  Run
		want reach.Result
	}{
		"all passed":                {runOf(pass), reach.Pass},
		"one skipped":               {runOf(pass, skipped()), reach.Pass},
		"one failed":                {runOf(pass, fail, unsure()), reach.Fail},
		"one inconclusive":          {runOf(pass, unsure()), reach.Inconclusive},
		"nothing planned":           {runOf(), reach.Inconclusive},
		"all skipped":               {runOf(skipped()), reach.Inconclusive},
		"one lost":                  {lost, reach.Inconclusive},
		"one lost, another failed":  {lostAndFailed, reach.Fail},
		"planned, but nothing came": {Run{Plan: Plan{Planned: []string{"x"}}}, reach.Inconclusive},
	} {
		if got := c.run.Result(); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestPlanAccountsForEveryScenario(t *testing.T) {
	run := mixed()
	if want := []string{"clusterip-basic", "nodeport-every-node", "external-name", "loadbalancer", "dual-stack"}; !slices.Equal(run.Plan.Run, want) {
		t.Errorf("run: got %v, want %v", run.Plan.Run, want)
	}
	if skips := run.Skips(); len(skips) != 1 || skips[0].Scenario != "sctp" || !strings.Contains(skips[0].Reason, "no SCTP") {
		t.Errorf("the skip and its reason are to be told once: %v", skips)
	}
	if lost := run.Lost(); !slices.Equal(lost, []string{"rollout"}) {
		t.Errorf("lost: got %v, want rollout", lost)
	}
}

func TestTotals(t *testing.T) {
	got := mixed().Totals()
	want := Totals{Planned: 7, Run: 5, Passed: 2, Failed: 2, Inconclusive: 1, Skipped: 1, Lost: 1,
		// clusterip-basic 8×3, nodeport 3×3, external 2, loadbalancer 7, dual-stack 4×4.
		Cells: CellTotals{Cells: 58, AsExpected: 23 + 5 + 12, Differ: 9 + 2, Unknown: 1, Unprobed: 1 + 1 + 4},
		// 12 cells of 8 answers, 10 of 3 failures, one name lookup; 6 of 8, one of 8 + 2 and 2 + 2 refusals of 3, ...
		Probes: 12*8 + 10*3 + 1 + (5*8 + 10 + 3*3) + 2*8 + 5*8 + 12*8,
		Unprobed: []ReasonCount{{"no IPv6 outside", 4}, {"no local route leads to 172.18.200.1: a probe would leave the machine", 1},
			{"the machine does not use the cluster's DNS", 1}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSlowest(t *testing.T) {
	var names []string
	for _, v := range mixed().Slowest(2) {
		names = append(names, v.Scenario)
	}
	if want := []string{"loadbalancer", "nodeport-every-node"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestJSONReadsBack(t *testing.T) {
	want := mixed()
	var file bytes.Buffer
	if err := JSON(&file, want); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	want.APIVersion, want.Kind, want.Powers = APIVersion, Kind, reach.Powers(want.Verdicts)
	if !reflect.DeepEqual(got, want) {
		t.Error("the run that was read is not the one that was written")
	}
}

func TestDecodeIsStrict(t *testing.T) {
	var file bytes.Buffer
	if err := JSON(&file, passing()); err != nil {
		t.Fatal(err)
	}
	good := file.String()
	for name, c := range map[string]struct{ text, want string }{
		"unknown field":      {strings.Replace(good, `"tool":`, `"tol": "x", "tool":`, 1), `unknown field "tol"`},
		"unknown deep field": {strings.Replace(good, `"latencyNs":`, `"latency": 1, "latencyNs":`, 1), `unknown field "latency"`},
		"other version":      {strings.Replace(good, APIVersion, "svclab.dev/v9", 1), `"svclab.dev/v9"`},
		"other kind":         {strings.Replace(good, `"kind": "Run"`, `"kind": "Walk"`, 1), `"Walk"`},
		"no version":         {`{"tool": "svclab"}`, "run svclab again"},
		"unknown result":     {strings.Replace(good, `"result": "Pass"`, `"result": "Passed"`, 1), `unknown result "Passed"`},
		"two documents":      {good + good, "something follows"},
		"cut off":            {good[:len(good)/2], "unexpected EOF"},
		"empty":              {"", "EOF"},
		"not JSON":           {"apiVersion: x", "invalid character"},
	} {
		_, err := Decode(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestLatency(t *testing.T) {
	ms := func(list ...int) []reach.Observation {
		var out []reach.Observation
		for _, n := range list {
			out = append(out, reach.Observation{Outcome: reach.Reached, Latency: time.Duration(n) * time.Millisecond})
		}
		return out
	}
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	waiting := reach.Observation{Outcome: reach.TimedOut, Latency: time.Hour}
	for name, c := range map[string]struct {
		of   []reach.Observation
		want latency
		ok   bool
	}{
		"none":                          {nil, latency{}, false},
		"only waits":                    {[]reach.Observation{waiting}, latency{}, false},
		"one":                           {ms(7), latency{7 * time.Millisecond, 7 * time.Millisecond}, true},
		"two":                           {ms(9, 1), latency{time.Millisecond, 9 * time.Millisecond}, true},
		"twenty, the slowest is no p95": {ms(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 999), latency{10 * time.Millisecond, 19 * time.Millisecond}, true},
		"a hundred":                     {ms(hundred...), latency{50 * time.Millisecond, 95 * time.Millisecond}, true},
		"waits do not count":            {append(ms(3), waiting), latency{3 * time.Millisecond, 3 * time.Millisecond}, true},
	} {
		if got, ok := latencyOf(c.of); got != c.want || ok != c.ok {
			t.Errorf("%s: got %v %t, want %v %t", name, got, ok, c.want, c.ok)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.000 ms", 4 * time.Microsecond: "0.004 ms", 310 * time.Microsecond: "0.31 ms", 999 * time.Microsecond: "1.0 ms",
		9940 * time.Microsecond: "9.9 ms", 12 * time.Millisecond: "12 ms", 999600 * time.Microsecond: "1.0 s",
		4200 * time.Millisecond: "4.2 s", 59960 * time.Millisecond: "1m0s", 83412 * time.Millisecond: "1m23s", -time.Second: "-1.0 s",
	} {
		if got := short(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}
