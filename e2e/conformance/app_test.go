package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/scenario"
)

// Every scenario that may run on a cluster which svclab did not create: no container of it serves with agnhost, every pod ends
// after the time limit, and every Service asks for an internal load balancer.
func TestContain(t *testing.T) {
	pods, templates, servers, services := 0, 0, 0, 0
	for _, s := range all(t) {
		s = adaptObjects(s, "mine:1", cluster.Extras{}, []string{"n1"})
		if err := contain(s, 2*time.Hour, false); err != nil {
			t.Error(err)
		}
		for file, objects := range s.Objects {
			for _, object := range objects {
				where := fmt.Sprintf("%s/%s %s/%s", s.Name, file, object.GetKind(), object.GetName())
				if object.GetKind() == "Service" {
					services++
					if object.GetAnnotations()["networking.gke.io/load-balancer-type"] != "Internal" {
						t.Errorf("%s asks for no internal load balancer", where)
					}
				}
				pod := object.Object
				if object.GetKind() != "Pod" {
					pod, _, _ = unstructured.NestedMap(object.Object, "spec", "template")
				}
				containers, _, _ := unstructured.NestedSlice(pod, "spec", "containers")
				if len(containers) == 0 {
					continue
				}
				if label, _, _ := unstructured.NestedString(pod, "metadata", "labels", "app.kubernetes.io/managed-by"); label != "svclab" {
					t.Errorf("%s: its pods do not carry svclab's label", where)
				}
				deadline, _, _ := unstructured.NestedInt64(pod, "spec", "activeDeadlineSeconds")
				if object.GetKind() == "Pod" {
					pods++
					if deadline != 7200 {
						t.Errorf("%s has the deadline %d", where, deadline)
					}
				} else if templates++; deadline != 0 {
					t.Errorf("%s: the API server refuses the deadline of a template", where)
				}
				for _, one := range containers {
					container := one.(map[string]any)
					args, _, _ := unstructured.NestedStringSlice(container, "args")
					command, _, _ := unstructured.NestedStringSlice(container, "command")
					switch {
					case slices.Equal(args, []string{"pause"}):
					case len(command) == 4 && command[3] == "/tmp/svclab-app" && args[0] == "serve" && slices.Contains(args, "--for=2h0m0s") && container["startupProbe"] != nil:
						servers++
					default:
						t.Errorf("%s: container %s runs %s %s", where, container["name"], command, args)
					}
				}
			}
		}
	}
	if pods == 0 || templates == 0 || servers == 0 || services == 0 {
		t.Errorf("%d pods, %d templates, %d servers, %d Services: the test is no test", pods, templates, servers, services)
	}
}

func TestProberArgs(t *testing.T) {
	for args, want := range map[string]string{
		"--http-port=8080 --udp-port=-1":                       "[serve --for=1m0s --http=:8080]",
		"--http-port=9090 --udp-port=8081 --delay-shutdown=10": "[serve --for=1m0s --http=:9090 --udp=:8081 --linger=10s]",
		"--udp-port=8081":                                      "no --http-port",
		"--http-port=8080 --tls-cert-file=/x":                  "no number",
		"--http-port=8080 --sctp-port=9":                       "no counterpart",
		"--http-port=8080 --delay-shutdown 10":                 "no number",
	} {
		got, _, err := proberArgs(strings.Fields(args), time.Minute)
		if text := fmt.Sprint(got, err); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", args, text, want)
		}
	}
}

func TestPlanSaysWhatItExposes(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Profile = scenario.Core }, "at no load balancer"},
		{func(*Options) {}, "at internal load balancers"},
		{func(o *Options) { o.Features = Declared{scenario.LoadBalancer: false} }, "at no load balancer"},
		{func(o *Options) { o.PublicBalancers = true }, "ON THE INTERNET"},
	} {
		p, _ := planOn(t, 3, 0)
		p.Profile, p.Within = scenario.Extended, time.Hour
		c.change(&p.Options)
		var text strings.Builder
		if err := p.Text(&text); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{c.want, "everyone who can reach a node", "runs no command", "1h0m0s (--time-limit)"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, text.String())
			}
		}
	}
}
