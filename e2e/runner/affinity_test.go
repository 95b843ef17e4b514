package runner

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// lineUp answers each request with one connection to each of its backends, in order, and notes what it was asked.
type lineUp struct {
	backends []string
	asked    []probe.Request
}

func (l *lineUp) Observe(_ context.Context, requests []probe.Request) ([]reach.Cell, error) {
	l.asked = append(l.asked, requests...)
	cell := reach.Cell{Vantage: requests[0].Vantage, Target: requests[0].Target}
	for _, backend := range l.backends {
		cell.Observations = append(cell.Observations, reach.Observation{Outcome: reach.Reached, Backend: backend})
	}
	return []reach.Cell{cell}, nil
}

func (l *lineUp) Flow(context.Context, probe.FlowRequest) (Flow, error) { panic("not asked for") }

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
			where.world.Services = []corev1.Service{service}
			_, err := affinityExpires(context.Background(), Env{Namespace: "ns", World: where.world, Vantages: []reach.Vantage{onPod}, Prober: prober},
				affinityArgs{Service: "my-service", Pods: "app=my-app", From: "pod/worker", To: scenario.To{Kind: scenario.Kinds{reach.ClusterIP}}})
			if resultOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.why) {
				t.Fatalf("got %v (%v), want %s: %s", resultOf(err), err, tc.want, tc.why)
			}
			for _, r := range prober.asked {
				if r.Interval <= time.Second || r.Max != MaxProbes(2) || strings.Join(r.Until, " ") != "a b" {
					t.Errorf("asked every %s, %d times at most, until %v", r.Interval, r.Max, r.Until)
				}
			}
		})
	}
}

func TestAddressesOfServicesAndVantages(t *testing.T) {
	where := addressed()
	where.vantages = append(where.vantages, onOutside, reach.Vantage{Name: "lost", Unusable: "there is none"})
	where.world.Services[0].Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.7"}}
	for text, want := range map[string]string{
		"{vantageIP:outside}/32":      "172.18.0.9/32",
		"{vantageIP:lost}":            "error",
		"{loadBalancerIP:my-service}": "172.18.255.7",
		"{loadBalancerIP:other}":      "error",
	} {
		got, err := where.filled(text)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
}
