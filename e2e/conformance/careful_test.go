package conformance

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// tape is a prober that notes when it was asked what.
type tape struct {
	runner.Prober
	mu    sync.Mutex
	asked []probe.Request
	at    []time.Time
}

func (p *tape) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cells := make([]reach.Cell, len(requests))
	for i, r := range requests {
		p.asked, p.at = append(p.asked, r), append(p.at, time.Now())
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target}
	}
	return cells, nil
}

func refusal(vantage string, kind reach.VantageKind, target reach.TargetKind, protocol reach.Protocol) probe.Request {
	return probe.Request{Vantage: reach.Vantage{Name: vantage, Kind: kind}, Timeout: deniedIn, Min: 2, Max: 2,
		Target: reach.Target{Kind: target, Host: "10.96.0.9", Port: 81, Protocol: protocol, Undeclared: true}}
}

func TestRefusalsAreAskedNoFasterThanNodesTell(t *testing.T) {
	to := &tape{}
	c := careful{Prober: to, mode: world.ModeNFTables, pace: &pacer{every: 50 * time.Millisecond, burst: 2}}
	var requests []probe.Request
	for range 6 {
		requests = append(requests, refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP))
	}
	free := refusal("node/worker", reach.Node, reach.ClusterIP, reach.TCP)
	requests = append(requests, free)
	began := time.Now()
	cells, err := c.Observe(t.Context(), requests)
	if err != nil || len(cells) != 7 || len(to.asked) != 7 {
		t.Fatalf("%d cells of %d probes, %v", len(cells), len(to.asked), err)
	}
	for i, r := range to.asked {
		switch since := to.at[i].Sub(began); {
		case r.Vantage.Kind == reach.Node && (r.Min != 2 || since > 150*time.Millisecond):
			t.Errorf("a node's own probes are held up: %d of them after %s", r.Min, since)
		case r.Vantage.Kind == reach.Pod && r.Max != 1:
			t.Errorf("a paced cell gets %d probes", r.Max)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond { // two at once, then four, one each 50 ms
		t.Errorf("six were asked in %s", took)
	}
	for i, cell := range cells {
		if cell.Vantage.Name != requests[i].Vantage.Name {
			t.Errorf("cell %d is of %s", i, cell.Vantage.Name)
		}
	}
}

func TestPaced(t *testing.T) {
	unusable := refusal("host", reach.Host, reach.ClusterIP, reach.TCP)
	unusable.Vantage.Unusable = "no"
	answered := refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP)
	answered.Timeout = answeredIn
	ownPort, otherPort := refusal("node/worker", reach.Node, reach.NodePort, reach.UDP), refusal("node/worker", reach.Node, reach.NodePort, reach.UDP)
	ownPort.Vantage.Node, ownPort.Target.Node = "w", "w"
	otherPort.Vantage.Node, otherPort.Target.Node = "w", "w2"
	for name, c := range map[string]struct {
		request probe.Request
		want    bool
	}{
		"a node's own UDP port":        {ownPort, false},
		"another node's UDP port":      {otherPort, true},
		"refused by the packet filter": {refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP), true},
		"a closed UDP port":            {refusal("pod/worker", reach.Pod, reach.NodePort, reach.UDP), true},
		"a closed TCP port":            {refusal("pod/worker", reach.Pod, reach.NodePort, reach.TCP), false},
		"a node's own packets":         {refusal("node/worker", reach.Node, reach.ClusterIP, reach.TCP), false},
		"not asked":                    {unusable, false},
		"to be answered":               {answered, false},
	} {
		if got := paced(c.request); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestWhatCouldLeaveTheClusterIsNotAsked(t *testing.T) {
	for mode, asked := range map[string]bool{world.ModeNFTables: true, world.ModeIPTables: false, world.ModeUnknown: false} {
		to := &tape{}
		c := careful{Prober: to, mode: mode, pace: &pacer{burst: 1}}
		cells, err := c.Observe(t.Context(), []probe.Request{refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP)})
		if err != nil {
			t.Fatal(err)
		}
		why := to.asked[0].Vantage.Unusable
		if (why == "") != asked || !asked && !strings.Contains(why, "could leave the cluster") {
			t.Errorf("in mode %s: %q", mode, why)
		}
		if cells[0].Vantage.Unusable != "" {
			t.Errorf("in mode %s the vantage is unusable for all else", mode)
		}
	}
}

// A pod and its node are one client to other nodes: the pod's packets leave with the node's address.
func TestPodAndNodeAreOneClient(t *testing.T) {
	to := &tape{}
	c := careful{Prober: to, mode: world.ModeNFTables, pace: &pacer{every: 50 * time.Millisecond, burst: 1}}
	var requests []probe.Request
	for _, v := range []reach.Vantage{{Name: "pod/worker", Kind: reach.Pod, Node: "w"}, {Name: "node/worker", Kind: reach.Node, Node: "w"}} {
		r := refusal("", v.Kind, reach.NodePort, reach.UDP)
		r.Vantage, r.Target.Node = v, "w2"
		requests = append(requests, r, r)
	}
	if _, err := c.Observe(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	if took := to.at[3].Sub(to.at[0]); took < 140*time.Millisecond {
		t.Errorf("four datagrams to one node went out in %s", took)
	}
}

func TestPacerCatchesUp(t *testing.T) {
	p, now := &pacer{every: time.Second, burst: 4}, time.Now()
	for _, c := range []struct {
		after time.Duration
		n     int
		want  time.Duration
	}{{0, 4, 0}, {0, 1, time.Second}, {10 * time.Second, 4, 0}, {10 * time.Second, 2, 2 * time.Second}} {
		if got := p.reserve(now.Add(c.after), "a", c.n); got != c.want {
			t.Errorf("%d after %s wait %s, want %s", c.n, c.after, got, c.want)
		}
	}
	if got := p.reserve(now, "b", 4); got != 0 {
		t.Errorf("another client waits %s", got)
	}
}
