package proof

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/labs/course"
)

// A path fits a trace if it has all its hops in that order, at the right nodes, with the source kept or changed as it says.
func TestMisses(t *testing.T) {
	client, node := netip.MustParsePrefix("10.244.1.2/32"), netip.MustParsePrefix("172.18.0.3/32")
	step := func(kind oracle.HopKind, at string, reply bool, src netip.Prefix) trace.Step {
		return trace.Step{Hop: oracle.Hop{Kind: kind, At: at, Reply: reply, Packet: oracle.Packet{Src: []netip.Prefix{src}}}}
	}
	seen := trace.Trace{From: reach.Vantage{Name: "pod/worker", Node: "lab-worker", Addrs: []netip.Addr{client.Addr()}}, To: reach.Target{Node: "lab-worker2"},
		Steps: []trace.Step{step(oracle.HopSend, "pod/worker", false, client), step(oracle.HopDNAT, "lab-worker", false, client), step(oracle.HopLeave, "lab-worker", false, client),
			step(oracle.HopEnter, "lab-worker2", false, client), step(oracle.HopLeave, "lab-worker2", false, node), step(oracle.HopPod, "my-app", false, node)}}
	for name, tc := range map[string]struct {
		hops []course.Hop
		fits bool
	}{
		"as it is":         {[]course.Hop{{Kind: "dnat", At: "own"}, {Kind: "leave", At: "own", Source: "kept"}, {Kind: "leave", At: "target", Source: "changed"}, {Kind: "endpoint"}}, true},
		"another order":    {[]course.Hop{{Kind: "endpoint"}, {Kind: "dnat"}}, false},
		"another node":     {[]course.Hop{{Kind: "dnat", At: "target"}}, false},
		"by slot":          {[]course.Hop{{Kind: "enter", At: "worker2"}}, true},
		"changed too soon": {[]course.Hop{{Kind: "leave", At: "own", Source: "changed"}}, false},
		"one too many":     {[]course.Hop{{Kind: "dnat"}, {Kind: "dnat"}}, false},
		"never, and it is": {[]course.Hop{{Kind: "enter", Never: true}}, false},
		"never, nor is it": {[]course.Hop{{Kind: "end", Never: true}, {Kind: "dnat"}}, true},
		"only the answer":  {[]course.Hop{{Kind: "leave", Reply: true}}, false},
		"another verdict":  {[]course.Hop{{Kind: "send", Verdict: "dropped"}}, false},
		"nowhere else":     {[]course.Hop{{Kind: "enter", At: "other"}}, false},
	} {
		if missing := Misses(seen, tc.hops); (missing == "") != tc.fits {
			t.Errorf("%s: %q", name, missing)
		}
	}
}
