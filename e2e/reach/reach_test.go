package reach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	client = netip.MustParseAddr("10.244.1.7")
	other  = netip.MustParseAddr("172.18.0.3")
)

func reached(backend string, source netip.Addr) Observation {
	return Observation{Outcome: Reached, Backend: backend, Source: source}
}

func want(backends ...string) Prediction {
	return Prediction{Outcomes: []Outcome{Reached}, Backends: backends, Reason: "two ready endpoints"}
}

func TestCompare(t *testing.T) {
	sourced := want("a", "b")
	sourced.Sources = []netip.Prefix{netip.PrefixFrom(client, 32)}
	sticky := want("a", "b")
	sticky.Sticky = true
	anyOf := want("a", "b")
	anyOf.AnyBackend = true
	alias := want("web")
	alias.CNAME, alias.HostSeen = "example.com", "my-service"
	denied := Prediction{Outcomes: []Outcome{Refused, TimedOut}}
	nobody := Prediction{Outcomes: []Outcome{Reached}, Backends: []string{}}
	either := sourced
	either.Outcomes, either.Backends, either.HostSeen = []Outcome{Reached, Refused}, []string{"a"}, ""
	even := want("a", "b")
	even.Even = true
	partly := Prediction{Outcomes: []Outcome{Reached, TimedOut}, Backends: []string{"a", "b"}, AnyBackend: true, Certain: []string{"a"}}
	chosen := func(backend string, times int) []Observation {
		return slices.Repeat([]Observation{reached(backend, client)}, times)
	}
	refusedAlias := Prediction{Outcomes: []Outcome{Refused}, CNAME: "example.com"}
	stickyDenied := sticky
	stickyDenied.Outcomes = []Outcome{Reached, Refused}
	v4, v4b, v6 := netip.MustParseAddr("10.244.1.8"), netip.MustParseAddr("10.244.2.8"), netip.MustParseAddr("fd00::8")
	named := want("a")
	named.Addresses = []netip.Addr{v4, v4b, v6}
	resolvesTo := func(addrs ...netip.Addr) []Observation {
		return []Observation{{Outcome: Reached, Backend: "a", Addresses: addrs}}
	}

	for _, tc := range []struct {
		name string
		want Prediction
		seen []Observation
		diff []string // fields, sorted
	}{
		{"both answered", want("a", "b"), []Observation{reached("a", client), reached("b", client)}, nil},
		{"one never answers", want("a", "b"), []Observation{reached("a", client), reached("a", client)}, []string{"missing backend"}},
		{"a stranger answers", want("a"), []Observation{reached("a", client), reached("x", client)}, []string{"backend"}},
		{"an empty name is a stranger", want("a"), []Observation{reached("", client), reached("a", client)}, []string{"backend"}},
		{"each as often", even, slices.Concat(chosen("a", 40), chosen("b", 30)), nil},
		{"one is favoured", even, slices.Concat(chosen("a", 81), chosen("b", 9)), []string{"spread"}},
		{"one is favoured, which was not ruled out", want("a", "b"), slices.Concat(chosen("a", 81), chosen("b", 9)), nil},
		{"the one that is certain answers", partly, slices.Concat(chosen("a", 2), slices.Repeat([]Observation{{Outcome: TimedOut}}, 30)), nil},
		{"the one that is certain does not", partly, slices.Concat(chosen("b", 2), slices.Repeat([]Observation{{Outcome: TimedOut}}, 30)), []string{"missing backend"}},
		{"none answers, one would for certain", partly, slices.Repeat([]Observation{{Outcome: TimedOut}}, 31), []string{"missing backend"}},
		{"one of many is refused", want("a"), []Observation{reached("a", client), {Outcome: Refused}}, []string{"outcome"}},
		{"nothing answers", want("a"), []Observation{{Outcome: TimedOut}}, []string{"outcome"}},
		{"a wrong answer is no answer", want("a"), []Observation{{Outcome: WrongAnswer}}, []string{"outcome"}},
		{"source kept", sourced, []Observation{reached("a", client), reached("b", client)}, nil},
		{"source kept, seen as mapped IPv6", sourced, []Observation{reached("a", netip.AddrFrom16(client.As16())), reached("b", client)}, nil},
		{"source rewritten once", sourced, []Observation{reached("a", client), reached("b", other)}, []string{"source"}},
		{"source not reported", sourced, []Observation{reached("a", netip.Addr{}), reached("b", client)}, []string{"source"}},
		{"sticky", sticky, []Observation{reached("b", client), reached("b", client)}, nil},
		{"not sticky", sticky, []Observation{reached("a", client), reached("b", client)}, []string{"affinity"}},
		{"a difference after an outcome that is not allowed", sourced, []Observation{{Outcome: TimedOut}, reached("x", client), reached("a", client), reached("b", client)}, []string{"backend", "outcome"}},
		{"a difference after a probe that was not sent", want("a"), []Observation{{Outcome: Unprobed}, reached("x", client)}, []string{"backend"}},
		{"any one will do", anyOf, []Observation{reached("b", client)}, nil},
		{"any one, but of these", anyOf, []Observation{reached("c", client)}, []string{"backend"}},
		{"denied one way or the other", denied, []Observation{{Outcome: Refused}, {Outcome: TimedOut}}, nil},
		{"denied, yet reached", denied, []Observation{{Outcome: Refused}, reached("a", client)}, []string{"outcome"}},
		{"alias", alias, []Observation{{Outcome: Reached, Backend: "web", CNAME: "example.com", HostSeen: "my-service"}}, nil},
		{"name resolves as it should", named, resolvesTo(v6, v4b, v4), nil},
		{"name resolved in one family", named, resolvesTo(v4b, v4), nil},
		{"an address is missing from the name", named, resolvesTo(v4, v6), []string{"addresses"}},
		{"the name has an address too many", named, resolvesTo(v4, v4b, v6, other), []string{"addresses"}},
		{"no name, no addresses", named, resolvesTo(), nil},
		{"what could not be probed does not differ", want("a"), []Observation{reached("a", client), {Outcome: ProbeFailed}, {Outcome: Unprobed}}, nil},
		{"any backend may answer", want(), []Observation{reached("x", client)}, nil},
		{"no backend may answer", nobody, []Observation{reached("x", client)}, []string{"backend"}},
		{"an alias and a Host header that are not predicted", want("a"), []Observation{{Outcome: Reached, Backend: "a", CNAME: "example.org", HostSeen: "example.com"}}, nil},
		{"addresses that are not predicted", want("a"), resolvesTo(v4), nil},
		{"a denial has no source, no backend and no Host header", either, []Observation{{Outcome: Refused}, reached("a", client)}, nil},
		{"a denial has an alias", refusedAlias, []Observation{{Outcome: Refused, CNAME: "example.org"}}, []string{"cname"}},
		{"denied to a client that is to be kept", stickyDenied, []Observation{{Outcome: Refused}}, nil},
		{"alias to elsewhere", alias, []Observation{{Outcome: Reached, Backend: "web", CNAME: "example.org", HostSeen: "example.com"}}, []string{"cname", "host header"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			diffs := Compare(tc.want, Cell{Observations: tc.seen})
			var fields []string
			for _, d := range diffs {
				fields = append(fields, d.Field)
				if d.Of != len(tc.seen) || d.Count < 1 {
					t.Errorf("%s: count %d of %d", d.Field, d.Count, d.Of)
				}
			}
			if !slices.Equal(fields, tc.diff) {
				t.Errorf("got %v, want %v", diffs, tc.diff)
			}
		})
	}
}

// The text of a difference is what a person reads of a broken cluster.
func TestDifferenceText(t *testing.T) {
	sourced := Prediction{Outcomes: []Outcome{Reached}, Sources: []netip.Prefix{netip.PrefixFrom(client, 32), netip.MustParsePrefix("172.18.0.0/16")}}
	for _, tc := range []struct {
		want Prediction
		seen []Observation
		text string
	}{
		{Prediction{Outcomes: []Outcome{Refused, TimedOut}}, []Observation{reached("a", client), {Outcome: Refused}}, "outcome: want Refused or TimedOut, got Reached (1 of 2 probes)"},
		{sourced, []Observation{reached("a", netip.Addr{})}, "source: want 10.244.1.7 or 172.18.0.0/16, got none (1 of 1 probes)"},
		{sourced, []Observation{reached("a", netip.MustParseAddr("10.244.1.9"))}, "source: want 10.244.1.7 or 172.18.0.0/16, got 10.244.1.9 (1 of 1 probes)"},
		{want("b", "a"), []Observation{reached("c", client), reached("a", client)}, "backend: want b a, got c (1 of 2 probes)"},
		{Prediction{Outcomes: []Outcome{Reached}, Backends: []string{}}, []Observation{reached("", client)}, "backend: want none, got none (1 of 1 probes)"},
	} {
		diffs := Compare(tc.want, Cell{Observations: tc.seen})
		if len(diffs) == 0 || diffs[0].String() != tc.text {
			t.Errorf("got %v, want %s", diffs, tc.text)
		}
	}
}

func TestCounts(t *testing.T) {
	if got := Counts(map[string]int{"b": 2, "a": 11}); got != "a (11), b (2)" {
		t.Errorf("got %q", got)
	}
	if got := Counts(nil); got != "no backend" {
		t.Errorf("nothing answered: %q", got)
	}
}

func TestResultOf(t *testing.T) {
	failed := Failf("want %d replies, got %d", 2, 1)
	for _, tc := range []struct {
		err  error
		want Result
	}{
		{nil, Pass}, {failed, Fail}, {fmt.Errorf("step 2: %w", failed), Fail}, {errors.Join(errors.New("timeout"), failed), Fail},
		{errors.New("timeout"), Inconclusive},
	} {
		if got := ResultOf(tc.err); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.err, got, tc.want)
		}
	}
	if failed.Error() != "want 2 replies, got 1" {
		t.Errorf("the text is %q", failed)
	}
}

func TestWants(t *testing.T) {
	for _, tc := range []struct {
		outcomes []Outcome
		wants    bool
	}{{[]Outcome{Reached}, true}, {[]Outcome{Reached, Refused}, false}, {[]Outcome{Refused}, false}, {nil, false}} {
		if got := (Prediction{Outcomes: tc.outcomes}).Wants(); got != tc.wants {
			t.Errorf("%v: got %v, want %v", tc.outcomes, got, tc.wants)
		}
	}
}

// A name that leads to a closed port is refused, and so is a question to a DNS server that is down: only the first is
// what was expected.
func TestRefusedBeforeTheNameWasResolved(t *testing.T) {
	closed := Prediction{Outcomes: []Outcome{Refused}, Addresses: []netip.Addr{other}}
	for _, tc := range []struct {
		host string
		seen []netip.Addr
		diff bool
	}{{"my-service", []netip.Addr{other}, false}, {"my-service", nil, true}, {other.String(), nil, false}} {
		cell := Cell{Target: Target{Host: tc.host}, Observations: []Observation{{Outcome: Refused, Addresses: tc.seen}}}
		if diffs := Compare(closed, cell); (len(diffs) == 1 && diffs[0].Field == "addresses" && diffs[0].Got == "none") != tc.diff || !tc.diff && len(diffs) > 0 {
			t.Errorf("%s, resolved to %v: got %v", tc.host, tc.seen, diffs)
		}
		if diffs := Compare(Prediction{Outcomes: closed.Outcomes}, cell); len(diffs) > 0 {
			t.Errorf("%s, no address predicted: got %v", tc.host, diffs)
		}
	}
}

func TestJudge(t *testing.T) {
	ok := []Observation{reached("a", client)}
	refuse := Prediction{Outcomes: []Outcome{Refused}, Reason: "no endpoint", Rule: "no-endpoints"}
	yes := want("a")
	timeout := Prediction{Outcomes: []Outcome{TimedOut}}
	for _, tc := range []struct {
		name     string
		seen     []Observation
		oracle   Prediction
		expected *Prediction
		result   Result
		alone    string
	}{
		{"all agree", ok, yes, &yes, Pass, ""},
		{"oracle only, agrees", ok, yes, nil, Pass, ""},
		{"oracle only, differs", ok, refuse, nil, Fail, "observation"},
		{"the cluster is wrong", ok, refuse, &refuse, Fail, "observation"},
		{"the oracle is wrong", ok, refuse, &yes, Fail, "oracle"},
		{"the expected table is wrong", ok, yes, &refuse, Fail, "expected table"},
		{"no two agree", ok, refuse, &timeout, Fail, "all three"},
		{"the prober could not run", []Observation{{Outcome: ProbeFailed, Detail: "no shell"}}, yes, &yes, Inconclusive, ""},
		{"some probes failed", append([]Observation{{Outcome: ProbeFailed}}, ok...), yes, &yes, Inconclusive, ""},
		{"nothing came back", nil, yes, &yes, Inconclusive, ""},
		{"left out", []Observation{{Outcome: Unprobed, Detail: "no route"}}, refuse, &refuse, Skipped, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := Judge(Cell{Observations: tc.seen}, tc.oracle, tc.expected)
			if v.Result != tc.result || v.Alone != tc.alone {
				t.Errorf("got %s %q (%s), want %s %q", v.Result, v.Alone, v.Why, tc.result, tc.alone)
			}
			if (v.Result == Fail) != (len(v.Differences) > 0) {
				t.Errorf("%s with differences %v", v.Result, v.Differences)
			}
		})
	}
}

func TestResults(t *testing.T) {
	if Worse(Inconclusive, Fail) != Fail || Worse(Pass, Inconclusive) != Inconclusive || Worse(Skipped, Pass) != Pass {
		t.Error("a graver result was lost")
	}
	if Worse(Fail, Inconclusive) != Fail || Worse(Inconclusive, Pass) != Inconclusive || Worse(Pass, Skipped) != Pass {
		t.Error("a graver result was lost to a later one")
	}
	for result, code := range map[Result]int{Pass: 0, Fail: 1, Inconclusive: 2, Skipped: 2, Result(""): 2} {
		if result.ExitCode() != code {
			t.Errorf("%q exits with %d, want %d", result, result.ExitCode(), code)
		}
	}
	if got := (Table{}).Result(); got != Inconclusive {
		t.Errorf("an empty table is %s", got)
	}
	if got := (Table{Cells: []CellVerdict{{Result: Pass}, {Result: Fail}, {Result: Pass}}}).Result(); got != Fail {
		t.Errorf("a table with a cell that failed is %s", got)
	}
	unprobed := Table{Cells: []CellVerdict{{Result: Skipped}}}
	if got := unprobed.Result(); got != Inconclusive {
		t.Errorf("a table without a probed cell is %s", got)
	}
}

func TestTargetNamesAreUnique(t *testing.T) {
	targets := []Target{
		{Kind: ClusterIP, Service: "n/s", Host: "10.96.0.9", Port: 80, Protocol: TCP},
		{Kind: ClusterIP, Service: "n/s", Host: "fd00::9", Port: 80, Protocol: TCP},
		{Kind: ClusterIP, Service: "n/s", Host: "10.96.0.9", Port: 80, Protocol: UDP},
		{Kind: NodePort, Service: "n/s", Host: "172.18.0.2", Port: 30080, Protocol: TCP, Slot: "worker"},
		{Kind: NodePort, Service: "n/s", Host: "172.18.0.3", Port: 30080, Protocol: TCP, Slot: "worker2"},
		{Kind: DNSName, Service: "n/s", Host: "s.n.svc.cluster.local", Port: 80, Protocol: TCP},
		{Kind: DNSName, Service: "n/s", Host: "s", Port: 80, Protocol: TCP},
		{Kind: Endpoint, Service: "n/s", Host: "10.244.1.2", Port: 8080, Protocol: TCP, Pod: "a"},
		{Kind: Endpoint, Service: "n/s", Host: "10.244.1.3", Port: 8080, Protocol: TCP, Pod: "b", Slot: "worker"},
		{Kind: Endpoint, Service: "n/s", Host: "10.244.1.4", Port: 8080, Protocol: TCP, Pod: "c", Slot: "worker"},
		{Kind: Endpoint, Service: "n/s", Host: "192.0.2.1", Port: 8080, Protocol: TCP},
		{Kind: Endpoint, Service: "n/s", Host: "192.0.2.2", Port: 8080, Protocol: TCP},
		{Kind: ExternalIP, Service: "n/s", Host: "192.0.2.1", Port: 80, Protocol: TCP},
		{Kind: ExternalIP, Service: "n/s", Host: "192.0.2.2", Port: 80, Protocol: TCP},
	}
	seen := map[string]bool{}
	for _, target := range targets {
		name := target.Name()
		if seen[name] {
			t.Errorf("%s stands for two targets", name)
		}
		if !strings.HasPrefix(name, "s ") {
			t.Errorf("%s does not begin with the Service's name", name)
		}
		seen[name] = true
	}
}

func TestTargetTexts(t *testing.T) {
	for _, tc := range []struct {
		target Target
		name   string
		family int
	}{
		{Target{Kind: ClusterIP, Service: "s", Host: "::ffff:10.96.0.9", Port: 80, Protocol: TCP}, "s clusterIP:80/TCP", 4},
		{Target{Kind: ClusterIP, Service: "n/s", Host: "fd00::9", Port: 80, Protocol: TCP}, "s clusterIP:80/TCP/v6", 6},
		{Target{Kind: ExternalName, Service: "n/s", Host: "s.n", Port: 80, Protocol: TCP, Family: 6, Slot: "worker"}, "s externalName(s.n):80/TCP/v6", 6},
		{Target{Kind: DNSName, Service: "n/s", Host: "s", Port: 80, Protocol: UDP}, "s dns(s):80/UDP", 0},
	} {
		if name, family := tc.target.Name(), tc.target.IPFamily(); name != tc.name || family != tc.family {
			t.Errorf("got %q of family %d, want %q of family %d", name, family, tc.name, tc.family)
		}
	}
}

func TestTableCell(t *testing.T) {
	cell := func(vantage string, port uint16, result Result) CellVerdict {
		return CellVerdict{Cell: Cell{Vantage: Vantage{Name: vantage}, Target: Target{Kind: ClusterIP, Service: "n/s", Host: "10.96.0.9", Port: port, Protocol: TCP}}, Result: result}
	}
	table := Table{Cells: []CellVerdict{cell("pod/a", 80, Pass), cell("pod/b", 80, Skipped), cell("pod/b", 81, Fail)}}
	if got, found := table.Cell("pod/b", "s clusterIP:81/TCP"); !found || got.Result != Fail {
		t.Errorf("got %+v, %v", got, found)
	}
	if got, found := table.Cell("pod/a", "s clusterIP:81/TCP"); found {
		t.Errorf("a cell that is not there: got %+v", got)
	}
}

// TestImports keeps the package a leaf: every stage may import it.
func TestImports(t *testing.T) {
	for _, name := range []string{"reach.go", "judge.go", "verdict.go"} {
		for _, path := range importsOf(t, name) {
			if strings.Contains(path, ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// A node that is not Ready may serve nothing, which is Inconclusive. If it serves, all must be as predicted.
func TestDoubt(t *testing.T) {
	doubted := Prediction{Outcomes: []Outcome{Reached}, Backends: []string{"a"}, Doubt: "node two is not Ready"}
	dropped := Prediction{Outcomes: []Outcome{TimedOut}}
	for name, c := range map[string]struct {
		outcomes []Outcome
		expected *Prediction
		want     Result
	}{
		"it serves":                {[]Outcome{Reached, Reached}, nil, Pass},
		"it is off":                {[]Outcome{TimedOut, TimedOut}, nil, Inconclusive},
		"it has no rules":          {[]Outcome{Refused, Refused}, nil, Inconclusive},
		"it serves now and then":   {[]Outcome{Reached, TimedOut}, nil, Fail},
		"a stranger answers":       {[]Outcome{WrongAnswer, WrongAnswer}, nil, Fail},
		"the table says it is off": {[]Outcome{TimedOut, TimedOut}, &dropped, Pass},
	} {
		var cell Cell
		for _, o := range c.outcomes {
			cell.Observations = append(cell.Observations, Observation{Outcome: o, Backend: map[Outcome]string{Reached: "a"}[o]})
		}
		if v := Judge(cell, doubted, c.expected); v.Result != c.want || (v.Result == Inconclusive) != strings.Contains(v.Why, "node two is not Ready") {
			t.Errorf("%s: %s: %s", name, v.Result, v.Why)
		}
	}
}
