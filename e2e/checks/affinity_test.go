package checks

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// lineUp answers each request with one connection to each of its backends, in order, and records the requests.
type lineUp struct {
	backends []string
	sent     []probe.Request
}

func (l *lineUp) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	l.sent = append(l.sent, requests...)
	cell := reach.Cell{Vantage: requests[0].Vantage, Target: requests[0].Target}
	for _, backend := range l.backends {
		cell.Observations = append(cell.Observations, reach.Observation{Outcome: reach.Reached, Backend: backend})
	}
	return []reach.Cell{cell}, nil
}

func TestAffinityExpires(t *testing.T) {
	remembering := func(seconds *int32) *corev1.SessionAffinityConfig {
		return &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: seconds}}
	}
	one, hours := int32(1), int32(10800)
	for name, tc := range map[string]struct {
		config  *corev1.SessionAffinityConfig
		answers []string
		want    reach.Result
		why     string
	}{
		"forgotten":    {remembering(&one), []string{"a", "a", "b"}, reach.Pass, ""},
		"remembered":   {remembering(&one), []string{"a", "a", "a"}, reach.Fail, "the client was not forgotten after 1s"},
		"a stranger":   {remembering(&one), []string{"a", "x"}, reach.Fail, `by "x"`},
		"far too long": {remembering(&hours), nil, reach.Inconclusive, "too long to wait for"},
		"no affinity":  {nil, nil, reach.Inconclusive, "no session affinity"},
	} {
		t.Run(name, func(t *testing.T) {
			where := small()
			prober := &lineUp{backends: tc.answers}
			service := corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "my-service", Namespace: "ns"}, Spec: corev1.ServiceSpec{
				ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9"}, Ports: []corev1.ServicePort{{Port: 80}}}}
			if service.Spec.SessionAffinityConfig = tc.config; tc.config != nil {
				service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			}
			where.World.Services = []corev1.Service{service}
			_, err := affinityExpires(context.Background(), Env{Namespace: "ns", World: where.World, Vantages: []reach.Vantage{onPod}, Prober: prober},
				affinityArgs{Service: "my-service", Pods: "app=my-app", From: scenario.Strings{"pod/worker"}, To: scenario.To{Kind: scenario.Kinds{reach.ClusterIP}}})
			if reach.ResultOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.why) {
				t.Fatalf("got %v (%v), want %s: %s", reach.ResultOf(err), err, tc.want, tc.why)
			}
			for _, r := range prober.sent {
				if r.Interval <= time.Second || r.Max != observe.MaxProbes(2) || strings.Join(r.Until, " ") != "a b" {
					t.Errorf("sent every %s, %d times at most, until %v", r.Interval, r.Max, r.Until)
				}
			}
		})
	}
}

// forEach answers each request by a function of it.
type forEach struct {
	answer func(probe.Request) []reach.Observation
	sent   []probe.Request
}

func (f *forEach) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	f.sent = append(f.sent, requests...)
	var cells []reach.Cell
	for _, r := range requests {
		cells = append(cells, reach.Cell{Vantage: r.Vantage, Target: r.Target, Observations: f.answer(r)})
	}
	return cells, nil
}

// envWith is an Env with one Service, three vantages, and the prober.
func envWith(prober Prober) Env {
	where := addressed()
	where.World.Services[0].Spec.Ports = []corev1.ServicePort{{Port: 80}}
	second := onPod
	second.Name = "pod/worker2"
	return Env{Namespace: "ns", World: where.World, Vantages: []reach.Vantage{onPod, second, onOutside}, Prober: prober,
		Timeouts: observe.Timeouts{Answered: time.Second}}
}

func TestAffinityLasts(t *testing.T) {
	by := func(names ...string) []reach.Observation {
		var list []reach.Observation
		for _, name := range names {
			list = append(list, reach.Observation{Outcome: reach.Reached, Backend: name})
		}
		return list
	}
	for name, tc := range map[string]struct {
		second []reach.Observation // of the vantage pod/worker2
		want   reach.Result
		why    string
	}{
		"the same pod again": {by("b", "b"), reach.Pass, ""},
		"another pod":        {by("b", "a"), reach.Fail, "1 of 2 clients were given the pod they had 6s before, first from pod/worker2"},
		"no reply":           {[]reach.Observation{{Outcome: reach.Reached, Backend: "b"}, {Outcome: reach.TimedOut}}, reach.Fail, "1 of 4 connections failed"},
		"not sent":           {[]reach.Observation{{Outcome: reach.ProbeFailed, Detail: "oh no"}}, reach.Inconclusive, "oh no"},
		"left out":           {[]reach.Observation{{Outcome: reach.Unprobed, Detail: "no route"}}, reach.Pass, ""},
	} {
		t.Run(name, func(t *testing.T) {
			prober := &forEach{answer: func(r probe.Request) []reach.Observation {
				if r.Vantage.Name == "pod/worker2" {
					return tc.second
				}
				return by("a", "a")
			}}
			args := reconnectArgs{Service: "my-service", From: scenario.Strings{"pod"}, To: scenario.To{Kind: scenario.Kinds{reach.ClusterIP}}, Pause: scenario.Duration(6 * time.Second)}
			_, err := affinityLasts(t.Context(), envWith(prober), args)
			if reach.ResultOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.why) {
				t.Fatalf("got %v (%v), want %s: %s", reach.ResultOf(err), err, tc.want, tc.why)
			}
			if len(prober.sent) != 2 || prober.sent[0].Min != 2 || prober.sent[0].Max != 2 || prober.sent[0].Interval != 6*time.Second {
				t.Errorf("sent %+v", prober.sent)
			}
			args.Pause = 0
			if _, err := affinityLasts(t.Context(), envWith(prober), args); reach.ResultOf(err) != reach.Inconclusive {
				t.Errorf("without a pause: %v", err)
			}
		})
	}
}

func TestJudgeShared(t *testing.T) {
	cell := func(vantage string, kind reach.TargetKind, host, backend string) reach.Cell {
		return reach.Cell{Vantage: reach.Vantage{Name: vantage}, Target: reach.Target{Kind: kind, Host: host, Port: 80},
			Observations: []reach.Observation{{Outcome: reach.Reached, Backend: backend}}}
	}
	same := []reach.Cell{cell("pod/worker", reach.ClusterIP, "10.96.0.9", "a"), cell("pod/worker", reach.LoadBalancer, "172.18.0.200", "a"),
		cell("pod/worker", reach.ClusterIP, "fd00::9", "b"), cell("pod/worker", reach.LoadBalancer, "fc00::9", "b"),
		cell("node/worker", reach.ClusterIP, "10.96.0.9", "b"), cell("node/worker", reach.LoadBalancer, "172.18.0.200", "b")}
	if _, err := judgeShared(same); err != nil {
		t.Errorf("each client has one pod in each family: %v", err)
	}
	same[5].Observations[0].Backend = "a"
	if _, err := judgeShared(same); reach.ResultOf(err) != reach.Fail || !strings.Contains(err.Error(), "1 of 3 clients") {
		t.Errorf("a client has two pods: %v", err)
	}
	if _, err := judgeShared(same[:1]); reach.ResultOf(err) != reach.Inconclusive {
		t.Errorf("one target proves nothing: %v", err)
	}
}

func TestJudgePerPort(t *testing.T) {
	cell := func(vantage string, port uint16, backends ...string) reach.Cell {
		c := reach.Cell{Vantage: reach.Vantage{Name: vantage, Node: strings.TrimPrefix(vantage, "pod/")}, Target: reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: port}}
		for _, b := range backends {
			c.Observations = append(c.Observations, reach.Observation{Outcome: reach.Reached, Backend: b})
		}
		return c
	}
	for name, c := range map[string]struct {
		cells []reach.Cell
		alarm float64
		want  reach.Result
		why   string
	}{
		"apart":         {[]reach.Cell{cell("pod/w", 1, "a", "a"), cell("pod/w", 2, "b", "b"), cell("pod/v", 1, "b", "b"), cell("pod/v", 2, "a", "a")}, 1, reach.Pass, ""},
		"the same":      {[]reach.Cell{cell("pod/w", 1, "a", "a"), cell("pod/w", 2, "a", "a"), cell("pod/v", 1, "b", "b"), cell("pod/v", 2, "a", "a")}, 1, reach.Fail, "the clients on w have"},
		"moved":         {[]reach.Cell{cell("pod/w", 1, "a", "b"), cell("pod/w", 2, "b", "b")}, 1, reach.Fail, "1 connections went to another pod"},
		"too few ports": {[]reach.Cell{cell("pod/w", 1, "a", "a"), cell("pod/w", 2, "b", "b")}, 0.1, reach.Inconclusive, "the chance is 0.5"},
	} {
		_, err := judgePerPort(c.cells, 2, c.alarm)
		if reach.ResultOf(err) != c.want || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
