package runner

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// onceLooked does something to the objects a moment after the first request whose path ends so: a wait for it is
// then under way. put and drop may be used.
func onceLooked(api *fakeAPI, suffix string, do func(namespace string)) {
	var once sync.Once
	inner := api.server.Config.Handler
	api.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		inner.ServeHTTP(w, q)
		if q.Method == http.MethodGet && strings.HasSuffix(q.URL.Path, suffix) && !q.URL.Query().Has("watch") {
			once.Do(func() {
				namespace := strings.Split(q.URL.Path, "/")[4]
				time.AfterFunc(200*time.Millisecond, func() {
					api.mu.Lock()
					defer api.mu.Unlock()
					do(namespace)
				})
			})
		}
	})
}

// configMap has one entry, a.
func configMap(namespace, a string) map[string]any {
	return object("v1", "ConfigMap", namespace, "late", map[string]any{"data": map[string]any{"a": a}})
}

// withConfigMap has one made with each namespace.
func withConfigMap(c *fakeCluster) {
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		controllers(api, resource, o, deleted)
		if resource == "namespaces" && !deleted {
			api.put("configmaps", configMap((&unstructured.Unstructured{Object: o}).GetName(), "1"))
		}
	}
}

// A wait is woken by what it watches, well before it would look again by itself.
func TestWaitsAreWoken(t *testing.T) {
	for name, c := range map[string]struct {
		step, looked string
		do           func(api *fakeAPI, namespace string)
	}{
		"made": {`object: {ref: configmap/other, want: {data: {a: "2"}}}`, "/configmaps/other", func(api *fakeAPI, namespace string) {
			o := configMap(namespace, "2")
			o["metadata"].(map[string]any)["name"] = "other"
			api.put("configmaps", o)
		}},
		"changed": {`object: {ref: configmap/late, want: {data: {a: "2"}}}`, "/configmaps/late", func(api *fakeAPI, namespace string) {
			api.put("configmaps", configMap(namespace, "2"))
		}},
		"dropped": {`object: {ref: configmap/late, absent: true}`, "/configmaps/late", func(api *fakeAPI, namespace string) {
			api.drop("configmaps/" + namespace + "/late")
		}},
		"told": {`event: {object: configmap/late, reason: Came}`, "/events", func(api *fakeAPI, namespace string) {
			api.put("events", object("v1", "Event", namespace, "e", map[string]any{"type": "Normal", "reason": "Came",
				"involvedObject": map[string]any{"kind": "ConfigMap", "name": "late"}}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, _, r := lab(t)
			withConfigMap(cluster)
			onceLooked(cluster.api, c.looked, func(namespace string) { c.do(cluster.api, namespace) })
			v := one(t, r, loaded(t, "woken", "", "\n  - {name: wait, "+c.step+", timeout: 20s}\n", ""))
			if v.Result != reach.Pass || v.Steps[0].Elapsed > (5*time.Second) {
				t.Errorf("after %s: %s", v.Steps[0].Elapsed, results(v))
			}
		})
	}
}

func TestEventsThatAreNotMeant(t *testing.T) {
	c, _, r := lab(t)
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		controllers(api, resource, o, deleted)
		if resource == "namespaces" && !deleted {
			namespace := (&unstructured.Unstructured{Object: o}).GetName()
			api.put("events", object("v1", "Event", namespace, "e", map[string]any{"type": "Normal", "reason": "Came", "message": "it came",
				"involvedObject": map[string]any{"kind": "ConfigMap", "name": "late"}}))
		}
	}
	v := one(t, r, loaded(t, "events", "", `
  - {name: other type, event: {object: configmap/late, reason: Came, type: Warning}, timeout: 500ms}
  - {name: other text, event: {object: configmap/late, reason: Came, message: it went}, timeout: 500ms}
  - {name: other kind, event: {object: service/late, reason: Came}, timeout: 500ms}
  - {name: other reason, event: {object: configmap/late, reason: Went}, timeout: 500ms}
  - {name: meant, event: {object: configmap/late, reason: Came, message: [it, came]}}
`, ""))
	for i, step := range v.Steps {
		if (step.Result == reach.Pass) != (i == 4) {
			t.Errorf("%s: %s %s", step.Name, step.Result, step.Why)
		}
	}
}

// What must stay so fails as soon as it does not.
func TestHolds(t *testing.T) {
	c, _, r := lab(t)
	onceLooked(c.api, "/configmaps/late", func(namespace string) { c.api.put("configmaps", configMap(namespace, "1")) })
	v := one(t, r, loaded(t, "holds", "", "\n  - {name: absent, object: {ref: configmap/late, absent: true, holds: 10s}, timeout: 20s}\n", ""))
	step := v.Steps[0]
	if step.Result != reach.Fail || !strings.Contains(step.Why, "did not last 10s: it exists") || step.Elapsed > 5*time.Second {
		t.Errorf("after %s: %s: %s", step.Elapsed, step.Result, step.Why)
	}
}

// How objects are applied: by server-side apply, strictly, and again while a webhook cannot be called or the namespace has no ServiceAccount.
func TestApply(t *testing.T) {
	c, _, r := lab(t)
	var (
		mu      sync.Mutex
		queries []string
		refuse  = 2
	)
	inner := c.api.server.Config.Handler
	c.api.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPatch {
			mu.Lock()
			queries = append(queries, q.Header.Get("Content-Type")+" "+q.URL.RawQuery)
			refuse--
			left := refuse
			mu.Unlock()
			switch {
			case left > 0:
				status(w, 500, "InternalError", "Internal error occurred: failed calling webhook \"a\": connection refused")
				return
			case left == 0:
				status(w, 403, "Forbidden", `pods "a" is forbidden: error looking up service account a/default: serviceaccount "default" not found`)
				return
			}
		}
		inner.ServeHTTP(w, q)
	})
	v := one(t, r, loaded(t, "apply", "", "\n  - {name: apply, apply: [service.yaml]}\n  - {name: there, object: {ref: service/my-service, want: {kind: Service}}}\n", ""))
	if v.Result != reach.Pass {
		t.Fatal(results(v))
	}
	const want = "application/apply-patch+yaml fieldManager=svclab&fieldValidation=Strict&force=true"
	if len(queries) != 3 || queries[2] != want {
		t.Errorf("queries %q, want %q three times", queries, want)
	}
}

func TestNodesThatAreNotSchedulableDoNotCount(t *testing.T) {
	c, _, r := lab(t)
	c.api.mu.Lock()
	node := jsonCopy(c.api.objects["nodes//lab-worker2"])
	node["spec"].(map[string]any)["unschedulable"] = true
	c.api.put("nodes", node)
	c.api.mu.Unlock()
	why, err := r.lacks(t.Context(), scenario.Needs{Nodes: 3})
	if err != nil || why != "needs 3 schedulable nodes, the cluster has 2" {
		t.Errorf("%q, %v", why, err)
	}
}
