package runner

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

func TestOutageMustBeThere(t *testing.T) {
	_, _, r := lab(t)
	v := one(t, r, loaded(t, "outage", "", `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: start, traffic: {start: {name: a, from: pod/worker, to: {kind: clusterIP, service: my-service}, perSecond: 5}}}
  - {name: stop, traffic: {stop: {name: a, minLost: 4, maxLost: 5}}}
`, ""))
	if want := "stop: Fail: traffic a: 3 of 100 requests were lost, want 4 at least"; !strings.Contains(results(v), want) {
		t.Errorf("got %s\nwant %s", results(v), want)
	}
}

const stopWorker = `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: stop, node: {slot: worker, action: stop}}
  - {name: fails, scale: {object: deployment/none, replicas: 1}}
  - {name: start, node: {slot: worker, action: start}}
  - {name: look, object: {ref: service/my-service, want: {}}}
`

const disturbing = "serial: true\nneeds: {features: [nodeControl]}"

func TestStoppedNodeIsStartedAgain(t *testing.T) {
	want := []string{"stop worker", "start worker"}
	t.Run("after a failure", func(t *testing.T) {
		c, _, r := lab(t)
		v := one(t, r, loaded(t, "stops", disturbing, stopWorker, ""))
		if v.Result == reach.Pass || !slices.Equal(c.controlled, want) {
			t.Errorf("%s; controlled %v", v.Result, c.controlled)
		}
	})
	t.Run("after an interruption", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		interrupt := func(_ context.Context, _ string, step scenario.Step, _ string) error {
			if step.Name == "fails" {
				cancel()
			}
			return nil
		}
		c, _, r := lab(t, WithBefore(interrupt))
		if _, err := r.Run(ctx, []scenario.Scenario{loaded(t, "stops", disturbing, stopWorker, "")}); err == nil || !slices.Equal(c.controlled, want) {
			t.Errorf("error %v; controlled %v", err, c.controlled)
		}
	})
	t.Run("after logs that took all of their time", func(t *testing.T) {
		settings := quickly()
		settings.Cleanup = time.Second
		saving := func(ctx context.Context, _, _ string) error { <-ctx.Done(); return nil }
		c, _, r := lab(t, WithSettings(settings), WithFailed(saving))
		one(t, r, loaded(t, "stops", disturbing, stopWorker, ""))
		if left := namespacesLeft(c); !slices.Equal(c.controlled, want) || len(left) > 0 {
			t.Errorf("controlled %v, namespaces %v are left", c.controlled, left)
		}
	})
	t.Run("once", func(t *testing.T) {
		c, _, r := lab(t)
		one(t, r, loaded(t, "stops", disturbing, strings.ReplaceAll(stopWorker, "deployment/none", "deployment/my-app"), ""))
		if !slices.Equal(c.controlled, want) {
			t.Errorf("controlled %v", c.controlled)
		}
	})
}

func TestAnnouncerIsStoppedAndStarted(t *testing.T) {
	c, _, r := lab(t)
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		u := unstructured.Unstructured{Object: jsonCopy(o)}
		if resource == "services" && !deleted && u.GetName() == "my-service" && o["status"] == nil {
			u.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "172.18.255.3"}}}}
			api.put("services", u.Object)
			api.put("servicel2statuses", object("metallb.io/v1beta1", "ServiceL2Status", "metallb-system", "one", map[string]any{
				"status": map[string]any{"node": "lab-worker2", "serviceName": "my-service", "serviceNamespace": u.GetNamespace()}}))
			return
		}
		controllers(api, resource, o, deleted)
	}
	v := one(t, r, loaded(t, "announcer", disturbing, `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: stop, node: {slot: announcer, service: my-service, action: stop}}
  - {name: start, node: {slot: announcer, action: start}}
  - {name: look, object: {ref: service/my-service, want: {}}}
`, ""))
	if v.Result != reach.Pass || !slices.Equal(c.controlled, []string{"stop worker2", "start worker2"}) {
		t.Errorf("%s\ncontrolled %v", results(v), c.controlled)
	}
	v = one(t, r, loaded(t, "announcer", disturbing, `
  - {name: stop, node: {slot: announcer, service: other, action: stop}}
  - {name: start, node: {slot: announcer, action: start}}
  - {name: look, object: {ref: service/my-service, want: {}}}
`, ""))
	if want := `stop: Inconclusive: there is no service "other"`; !strings.HasPrefix(results(v), want) {
		t.Errorf("got %s\nwant %s", results(v), want)
	}
}
