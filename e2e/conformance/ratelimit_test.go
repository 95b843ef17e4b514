package conformance

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// recorder is a prober that records its requests and their times.
type recorder struct {
	runner.Prober
	mu       sync.Mutex
	requests []probe.Request
	at       []time.Time
}

func (p *recorder) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cells := make([]reach.Cell, len(requests))
	for i, r := range requests {
		p.requests, p.at = append(p.requests, r), append(p.at, time.Now())
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target}
	}
	return cells, nil
}

func refusal(vantage string, kind reach.VantageKind, target reach.TargetKind, protocol reach.Protocol) probe.Request {
	return probe.Request{Vantage: reach.Vantage{Name: vantage, Kind: kind}, Timeout: deniedIn, Min: 2, Max: 2,
		Target: reach.Target{Kind: target, Host: "10.96.0.9", Port: 81, Protocol: protocol, Undeclared: true}}
}

func TestRejectionsAreLimitedForEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &recorder{}
		l := rateLimited{Prober: to, mode: world.ModeNFTables, limiters: &limiters{every: time.Minute, burst: 2}}
		var requests []probe.Request
		for range 6 {
			requests = append(requests, refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP))
		}
		requests = append(requests, refusal("node/worker", reach.Node, reach.ClusterIP, reach.TCP))
		began := time.Now()
		cells, err := l.Observe(t.Context(), requests)
		if err != nil || len(cells) != 7 || len(to.requests) != 7 {
			t.Fatalf("%d cells of %d probes, %v", len(cells), len(to.requests), err)
		}
		for i, r := range to.requests {
			switch since := to.at[i].Sub(began); {
			case r.Vantage.Kind == reach.Node && (r.Min != 2 || since != 0):
				t.Errorf("a node's own probes are limited: %d of them after %s", r.Min, since)
			case r.Vantage.Kind == reach.Pod && r.Max != 1:
				t.Errorf("a limited cell gets %d probes", r.Max)
			}
		}
		if took := time.Since(began); took != 4*time.Minute { // two at once, then four, one each minute
			t.Errorf("six took %s", took)
		}
		for i, cell := range cells {
			if cell.Vantage.Name != requests[i].Vantage.Name {
				t.Errorf("cell %d is of %s", i, cell.Vantage.Name)
			}
		}
	})
}

// A batch whose turn would come after the deadline is never sent early.
func TestLimitHoldsUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &recorder{}
		l := rateLimited{Prober: to, mode: world.ModeNFTables, limiters: &limiters{every: time.Hour, burst: 1}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		r := refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP)
		if _, err := l.Observe(ctx, []probe.Request{r, r}); err != nil {
			t.Fatal(err)
		}
		if len(to.at) != 2 || to.at[0] != began || to.at[1].Sub(began) < time.Minute {
			t.Errorf("probes at %v, began at %v", to.at, began)
		}
	})
}

func TestLimited(t *testing.T) {
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
		"not probed":                   {unusable, false},
		"to be answered":               {answered, false},
	} {
		if got := limited(c.request); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPacketsThatCouldLeaveTheClusterAreNotSent(t *testing.T) {
	for mode, probed := range map[string]bool{world.ModeNFTables: true, world.ModeIPTables: false, world.ModeUnknown: false} {
		to := &recorder{}
		c := rateLimited{Prober: to, mode: mode, limiters: &limiters{burst: 1}}
		cells, err := c.Observe(t.Context(), []probe.Request{refusal("pod/worker", reach.Pod, reach.ClusterIP, reach.TCP)})
		if err != nil {
			t.Fatal(err)
		}
		why := to.requests[0].Vantage.Unusable
		if (why == "") != probed || !probed && !strings.Contains(why, "could leave the cluster") {
			t.Errorf("in mode %s: %q", mode, why)
		}
		if cells[0].Vantage.Unusable != "" {
			t.Errorf("in mode %s the vantage is unusable for all else", mode)
		}
	}
}

// A pod and its node are one client to other nodes: the pod's packets leave with the node's address.
func TestPodAndNodeAreOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &recorder{}
		l := rateLimited{Prober: to, mode: world.ModeNFTables, limiters: &limiters{every: time.Minute, burst: 1}}
		var requests []probe.Request
		for _, v := range []reach.Vantage{{Name: "pod/worker", Kind: reach.Pod, Node: "w"}, {Name: "node/worker", Kind: reach.Node, Node: "w"}} {
			r := refusal("", v.Kind, reach.NodePort, reach.UDP)
			r.Vantage, r.Target.Node = v, "w2"
			requests = append(requests, r, r)
		}
		if _, err := l.Observe(t.Context(), requests); err != nil {
			t.Fatal(err)
		}
		if took := to.at[3].Sub(to.at[0]); took != 3*time.Minute {
			t.Errorf("four datagrams to one node took %s", took)
		}
	})
}

// The limit of a client holds over several calls. A client that pauses gets its burst back, and others are not affected.
func TestLimitIsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limiters{every: time.Second, burst: 4}
		for _, c := range []struct {
			client string
			after  time.Duration
			n      int
			want   time.Duration
		}{{"a", 0, 4, 0}, {"a", 0, 1, time.Second}, {"b", 0, 4, 0}, {"a", 10 * time.Second, 4, 0}, {"a", 0, 2, 2 * time.Second}} {
			time.Sleep(c.after)
			began := time.Now()
			if err := l.of(c.client).WaitN(t.Context(), c.n); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); waited != c.want {
				t.Errorf("%d probes of %s waited %s, want %s", c.n, c.client, waited, c.want)
			}
		}
	})
}
