package trace

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// walkOf is the walk from a vantage to a target, as a user names them.
func walkOf(t *testing.T, w world.World, from, to string) oracle.Walk {
	t.Helper()
	v, err := VantageOf(w, vantages(), from)
	if err != nil {
		t.Fatal(err)
	}
	target, err := TargetOf(w, to, Choice{})
	if err != nil {
		t.Fatal(err)
	}
	return oracle.New(w).Walk(v, target)
}

var watched = []string{"lab-one", "lab-two"}

// What healthy kernels see is as predicted, whichever of the ways the connection takes.
func TestHealthyPathsAreAsPredicted(t *testing.T) {
	for _, mode := range []string{world.ModeNFTables, world.ModeIPTables} {
		for _, from := range []string{"pod/one", "node/one", "outside", "demo/client-two"} {
			for _, to := range []string{"demo/web", "demo/web:81", "two:30080", "two:30081", "10.244.2.10:8080", "10.244.2.10:81"} {
				w := walkOf(t, lab(mode), from, to)
				for _, way := range w.Ways {
					visits, seen := path(way)
					got := Compared(w, seen, visits, watched)
					if got.Result != reach.Pass || got.Way.Endpoint != way.Endpoint {
						t.Errorf("%s, %s to %s by %s: %s, by %s", mode, from, to, way.Endpoint, Summary(got), got.Way.Endpoint)
					}
				}
			}
		}
	}
}

// A fault is named at the hop where it is.
func TestFaultsAreNamedAtTheirHop(t *testing.T) {
	w := walkOf(t, lab(world.ModeNFTables), "pod/one", "demo/web")
	i := slices.IndexFunc(w.Ways, func(way oracle.Way) bool { return way.Backend == "b" })
	way := w.Ways[i]
	index := func(list []Visit, node string, reply bool) int {
		return slices.IndexFunc(list, func(v Visit) bool { return v.Node == node && v.Reply == reply })
	}
	for name, c := range map[string]struct {
		fault func(list []Visit, seen *reach.Observation) []Visit
		kind  oracle.HopKind
		at    string
		says  string
	}{
		"dropped before kube-proxy": {func(list []Visit, _ *reach.Observation) []Visit { return drops(list, "lab-one", false) },
			oracle.HopMatch, "lab-one", "dropped by lab-one's table inet mutant, chain raw, rule handle 7, in prerouting, before kube-proxy's DNAT"},
		"dropped by the second node": {func(list []Visit, _ *reach.Observation) []Visit { return drops(list, "lab-two", false) },
			oracle.HopRoute, "lab-two", "dropped by lab-two's table inet mutant, chain raw, rule handle 7, in prerouting"},
		"the answer is dropped": {func(list []Visit, _ *reach.Observation) []Visit { return drops(list, "lab-two", true) },
			oracle.HopEnter, "lab-one", "the answer was dropped by lab-two's table inet mutant"},
		"lost between the nodes": {func(list []Visit, _ *reach.Observation) []Visit { return list[:1] },
			oracle.HopEnter, "lab-two", "the packet left lab-one by eth0 for 10.244.2.10:8080, and lab-two did not see it"},
		"no rule for it": {func(list []Visit, _ *reach.Observation) []Visit {
			list[0].Rules, list[0].Stations = nil, list[0].Stations[:1]
			return list[:1]
		}, oracle.HopMatch, "lab-one", "lab-one's kube-proxy did not handle it: no rule of table ip kube-proxy led to chain services"},
		"rewritten by others": {func(list []Visit, _ *reach.Observation) []Visit {
			list[0].Rules = []Rule{{Hook: "prerouting", Table: "inet mutant", Chain: "arriving", Handle: 3, Verdict: "accept"}}
			list[0].Stations[1].Dst = netip.MustParseAddrPort("10.244.2.10:8081")
			return list[:1]
		}, oracle.HopMatch, "lab-one", "the destination was rewritten to 10.244.2.10:8081 by lab-one's table inet mutant, chain arriving, rule handle 3, in prerouting, before kube-proxy's rules"},
		"source rewritten": {func(list []Visit, _ *reach.Observation) []Visit {
			list[0].Rules = append(list[0].Rules, Rule{Hook: "postrouting", Table: "inet mutant", Chain: "leaving", Handle: 4, Verdict: "accept"})
			last := &list[0].Stations[len(list[0].Stations)-1]
			last.Src = netip.MustParseAddrPort("172.18.0.2:5")
			return list
		}, oracle.HopLeave, "lab-one", "from 172.18.0.2, not from 10.244.1.11: rewritten by lab-one's table inet mutant, chain leaving"},
		"nothing arrives": {func([]Visit, *reach.Observation) []Visit { return nil }, oracle.HopEnter, "lab-one", "no node saw the packet"},
		"refused by the pod": {func(list []Visit, _ *reach.Observation) []Visit {
			for k := range list {
				if list[k].Reply {
					list[k].Flags = "RA"
				}
			}
			return list
		}, oracle.HopPod, "b", "b refused the packet"},
		"another answers": {func(list []Visit, seen *reach.Observation) []Visit {
			seen.Outcome, seen.Backend = reach.Reached, "stranger"
			return list
		}, oracle.HopPod, "b", "stranger answered, not b"},
	} {
		visits, seen := path(way)
		seen = reach.Observation{Outcome: reach.TimedOut, Backend: "", Source: seen.Source}
		if strings.HasPrefix(name, "refused") {
			seen.Outcome = reach.Refused
		}
		if index(visits, "lab-two", true) < 0 {
			t.Fatal("the way leads not through lab-two")
		}
		got := Compared(oracle.Walk{Vantage: w.Vantage, Target: w.Target, Prediction: w.Prediction, Mode: w.Mode, Ways: []oracle.Way{way}}, seen, c.fault(visits, &seen), watched)
		// fault may have changed what was seen
		got = Compared(oracle.Walk{Vantage: w.Vantage, Target: w.Target, Prediction: w.Prediction, Mode: w.Mode, Ways: []oracle.Way{way}}, seen, got.Visits, watched)
		k := slices.IndexFunc(got.Steps, func(s Step) bool { return s.Mark == Differs })
		switch {
		case got.Result != reach.Fail || k < 0:
			t.Errorf("%s: %s", name, Summary(got))
		case got.Steps[k].Kind != c.kind || got.Steps[k].At != c.at || !strings.Contains(got.Lost, c.says):
			t.Errorf("%s: at %s of %s: %s", name, got.Steps[k].Kind, got.Steps[k].At, got.Lost)
		}
	}
}

// A rule of another table is named where it rewrites what nothing should rewrite, and where it keeps kube-proxy from doing so.
func TestRulesOfOthersAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		fault    func(*Visit)
		kind     oracle.HopKind
		says     string
	}{
		"an endpoint's own address": {"pod/one", "10.244.2.10:8080", func(v *Visit) { rewritten(v, "10.244.2.10:8081") }, oracle.HopLeave,
			"for 10.244.2.10:8081, not for 10.244.2.10:8080: the destination was rewritten to 10.244.2.10:8081 by lab-one's table inet mutant, chain arriving"},
		"a port where nothing listens": {"pod/one", "one:30081", func(v *Visit) {
			rewritten(v, "10.244.1.10:8080")
			v.Stations = append(v.Stations[:2], Station{Hook: "forward", Src: v.Stations[1].Src, Dst: v.Stations[1].Dst})
		}, oracle.HopRoute, "the destination was rewritten to 10.244.1.10:8080 by lab-one's table inet mutant, chain arriving"},
		"to an address of no pod": {"pod/one", "demo/web", func(v *Visit) {
			rewritten(v, "10.244.1.99:8080")
			r := Rule{Hook: "postrouting", Table: "inet svclab", Chain: "guard", Handle: 9, Verdict: "drop"}
			v.Rules, v.Drop = append(v.Rules[:1], r), &r
		}, oracle.HopMatch, "the destination was rewritten to 10.244.1.99:8080 by lab-one's table inet mutant, chain arriving, rule handle 3, in prerouting, before"},
		"a source that is kept": {"outside", "one:30080", func(v *Visit) {
			v.Stations[len(v.Stations)-1].Src = v.entered().Src
			v.Rules = append(v.Rules, Rule{Hook: "postrouting", Table: "inet mutant", Chain: "leaving", Handle: 4, Verdict: "accept"})
		}, oracle.HopLeave, "not from 172.18.0.2 or 10.244.1.1: left as it is by lab-one's table inet mutant, chain leaving, rule handle 4"},
		"an address that leads nowhere": {"pod/one", "10.96.0.99:80", func(v *Visit) { rewritten(v, "10.244.1.10:8080") }, oracle.HopEnd,
			"the destination was rewritten to 10.244.1.10:8080 by lab-one's table inet mutant, chain arriving"},
	} {
		open := lab(world.ModeIPTables)
		open.Facts.DropsStrays = false
		w := walkOf(t, open, c.from, c.to)
		w.Ways = w.Ways[:1]
		visits, seen := path(w.Ways[0])
		i := slices.IndexFunc(visits, func(v Visit) bool { return v.Node == "lab-one" && !v.Reply })
		c.fault(&visits[i])
		if w.Prediction.Allows(seen.Outcome) && !w.Prediction.Allows(reach.Reached) {
			seen.Outcome = reach.Reached
		}
		got := Compared(w, seen, visits, watched)
		k := slices.IndexFunc(got.Steps, func(s Step) bool { return s.Mark == Differs })
		if k < 0 || got.Steps[k].Kind != c.kind || !strings.Contains(got.Lost, c.says) {
			t.Errorf("%s: %s", name, Summary(got))
		}
	}
}

// A packet that was to end before any node is rewritten by one that sees it all the same.
func TestRuleBeyondTheEndIsNamed(t *testing.T) {
	w := walkOf(t, lab(world.ModeNFTables), "outside", "10.96.0.99:80")
	station := Station{Hook: "prerouting", Src: netip.MustParseAddrPort("172.18.0.9:40000"), Dst: w.Ways[0].Hops[0].Packet.Dst}
	v := Visit{Node: "lab-one", Protocol: "TCP", Flags: "S", In: "eth0", Stations: []Station{station, station}}
	rewritten(&v, "10.244.1.10:8080")
	got := Compared(w, reach.Observation{Outcome: reach.Reached, Backend: "a"}, []Visit{v}, watched)
	if want := "the destination was rewritten to 10.244.1.10:8080 by lab-one's table inet mutant, chain arriving"; !strings.Contains(got.Lost, want) {
		t.Errorf("got %q, want in it %q", got.Lost, want)
	}
}

// rewritten has a rule of another table rewrite the destination of a packet before kube-proxy's.
func rewritten(v *Visit, to string) {
	v.Rules = append([]Rule{{Hook: v.entered().Hook, Table: "inet mutant", Chain: "arriving", Handle: 3, Verdict: "accept"}}, v.Rules...)
	for i := range v.Stations[1:] {
		v.Stations[i+1].Dst = netip.MustParseAddrPort(to)
	}
}

// In a cluster that svclab did not create, only the nodes that a packet may pass are read, and no packet may leave it.
func TestNodesOfAWalk(t *testing.T) {
	w := lab(world.ModeNFTables)
	for _, tc := range []struct {
		from, to string
		nodes    []string
		leaves   bool
	}{
		{"pod/one", "demo/web", []string{"lab-one", "lab-two"}, false},
		{"pod/one", "10.244.1.10:8080", []string{"lab-one"}, false},
		{"node/one", "two:30080", []string{"lab-one", "lab-two"}, false},
		{"demo/client-two", "10.244.2.10:8080", []string{"lab-two"}, false},
		{"pod/one", "192.0.2.7:80", []string{"lab-one"}, true},
		{"pod/one", "example.com", []string{"lab-one"}, true},
	} {
		walk := walkOf(t, w, tc.from, tc.to)
		if got := Nodes(w, walk); !slices.Equal(got, tc.nodes) {
			t.Errorf("from %s to %s: nodes %v", tc.from, tc.to, got)
		}
		if why := Leaves(walk.Target); why != "" != tc.leaves {
			t.Errorf("to %s: leaves: %q", tc.to, why)
		}
	}
}

func TestNothingSentIsNoVerdict(t *testing.T) {
	w := walkOf(t, lab(world.ModeNFTables), "pod/one", "demo/web")
	got := Compared(w, reach.Observation{Outcome: reach.ProbeFailed, Detail: "no shell"}, nil, watched)
	if got.Result != reach.Inconclusive || got.Lost != "" || !strings.Contains(Summary(got), "no shell") {
		t.Errorf("%s: %s", got.Result, Summary(got))
	}
}

func TestTargetsAsUsersNameThem(t *testing.T) {
	w := lab(world.ModeNFTables)
	for text, want := range map[string]string{
		"demo/web": "web clusterIP:80/TCP", "demo/web:http": "web clusterIP:80/TCP", "demo/web:81": "web clusterIP:81/TCP",
		"one:30080": "web nodePort@one:30080/TCP", "lab-two:30080": "web nodePort@two:30080/TCP", "172.18.0.2:22": " nodePort@one:22/TCP",
		"10.96.0.10": "web clusterIP:80/TCP", "10.244.1.10:8080": " endpoint@a:8080/TCP", "web.demo": " dns(web.demo):80/TCP",
		"localhost:30080": " localhost:30080/TCP",
	} {
		if got, err := TargetOf(w, text, Choice{}); err != nil || got.Name() != want {
			t.Errorf("%s: %q, %v; want %q", text, got.Name(), err, want)
		}
	}
	for text, want := range map[string]string{
		"demo/nothing": "there is no Service demo/nothing", "demo/web:nope": "no port nope", "one": "needs a port", "10.9.9.9": "needs a port",
		"web:99999": "is no port", "localhost": "needs a port",
	} {
		if got, err := TargetOf(w, text, Choice{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", text, got, err, want)
		}
	}
	if _, err := VantageOf(w, vantages(), "pod/three"); err == nil || !strings.Contains(err.Error(), "pod/one, node/one, outside") {
		t.Errorf("a vantage that is not there: %v", err)
	}
}

func TestTracesAreCompared(t *testing.T) {
	a, b := Predicted(walkOf(t, lab(world.ModeNFTables), "pod/one", "demo/web")), Predicted(walkOf(t, lab(world.ModeIPTables), "pod/one", "demo/web"))
	var out bytes.Buffer
	if alike, err := Diff(&out, a, a); !alike || err != nil || out.String() != "the paths are alike\n" {
		t.Errorf("with itself: %v, %v, %s", alike, err, out.String())
	}
	out.Reset()
	if alike, err := Diff(&out, a, b); alike || err != nil || !strings.Contains(out.String(), "table ip kube-proxy  |  ip nat") {
		t.Errorf("of two modes: %v, %v, %s", alike, err, out.String())
	}
}

// The kernel tells everybody who traces of all traced packets. Those of others are not part of the connection, even if they
// have the number of one of its packets, whose memory is used again.
func TestPacketsOfOthersAreLeftOut(t *testing.T) {
	const class = 43
	var (
		mine   = wire.TraceHeader{Protocol: "TCP", Flags: "S", Class: class, Src: netip.MustParseAddrPort("10.244.1.11:40000"), Dst: netip.MustParseAddrPort("10.96.0.10:80")}
		answer = wire.TraceHeader{Protocol: "TCP", Flags: "SA", Src: mine.Dst, Dst: mine.Src}
		other  = wire.TraceHeader{Protocol: "TCP", Flags: "S", Class: 7, Src: netip.MustParseAddrPort("10.244.9.9:40000"), Dst: netip.MustParseAddrPort("10.96.0.99:80")}
		event  = func(packet uint32, class, chain, hook string, handle uint64, h *wire.TraceHeader) wire.TraceEvent {
			return wire.TraceEvent{Packet: packet, Family: "inet", Table: wire.TraceTable + class, Own: class == "43", Chain: chain, Hook: hook, Handle: handle, Type: "rule", Verdict: "continue", Header: h}
		}
	)
	got := visits("lab-one", class, wire.Trace{Events: []wire.TraceEvent{
		event(1, "43", "first-prerouting", "prerouting", 5, &mine), event(1, "43", "last-prerouting", "prerouting", 0, &mine),
		event(1, "7", "first-prerouting", "prerouting", 5, &other), event(1, "43", "answers-prerouting", "prerouting", 0, &other),
		event(1, "43", "last-forward", "forward", 0, &other), event(2, "43", "answers-prerouting", "prerouting", 6, &answer),
	}})
	if len(got) != 2 || got[0].Reply || !got[1].Reply || len(got[0].Stations) != 2 || got[0].last().Dst != mine.Dst {
		t.Errorf("got %+v", got)
	}
}
