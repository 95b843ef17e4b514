package wait

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
	"sigs.k8s.io/e2e-framework/klient/wait/conditions"
)

// api serves objects by path.
type api struct {
	mu      sync.Mutex
	objects map[string][]any // each request takes one; the last stays
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch list := a.objects[r.URL.Path]; len(list) {
	case 0:
		w.WriteHeader(http.StatusNotFound)
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Message: "not found", Reason: metav1.StatusReasonNotFound, Code: 404}
	case 1:
		answer = list[0]
	default:
		answer, a.objects[r.URL.Path] = list[0], list[1:]
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}

func served(t *testing.T, objects map[string][]any) *resources.Resources {
	t.Helper()
	objects["/apis/apps/v1"] = []any{metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "apps/v1",
		APIResources: []metav1.APIResource{{Name: "deployments", Kind: "Deployment", Namespaced: true}, {Name: "daemonsets", Kind: "DaemonSet", Namespaced: true}}}}
	objects["/api/v1"] = []any{metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1",
		APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod", Namespaced: true}}}}
	objects["/api"] = []any{metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}}
	version := metav1.GroupVersionForDiscovery{GroupVersion: "apps/v1", Version: "v1"}
	objects["/apis"] = []any{metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"},
		Groups: []metav1.APIGroup{{Name: "apps", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}}}
	server := httptest.NewServer(&api{objects: objects})
	t.Cleanup(server.Close)
	r, err := resources.New(&rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deployment is a Deployment whose controller has observed generation 2.
func deployment(generation int64, available, updated, all int32) *appsv1.Deployment {
	return &appsv1.Deployment{TypeMeta: metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "d", Generation: generation}, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, AvailableReplicas: available, UpdatedReplicas: updated, Replicas: all}}
}

// daemonSet is a DaemonSet whose controller has observed generation 2.
func daemonSet(generation int64, ready, scheduled, updated int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{Kind: "DaemonSet", APIVersion: "apps/v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "d", Generation: generation},
		Status:     appsv1.DaemonSetStatus{ObservedGeneration: 2, NumberReady: ready, CurrentNumberScheduled: scheduled, UpdatedNumberScheduled: updated}}
}

func TestDeploymentAndDaemonSet(t *testing.T) {
	for name, c := range map[string]struct {
		object any
		nodes  int
		done   bool
		seen   string
	}{
		"rolled out":       {deployment(2, 2, 2, 2), 0, true, "2 of 2 pods updated, 2 available, 2 in all"},
		"not observed":     {deployment(3, 2, 2, 2), 0, false, "2 of 2 pods updated, 2 available, 2 in all; the controller has not observed the last change"},
		"not available":    {deployment(2, 1, 2, 2), 0, false, "2 of 2 pods updated, 1 available, 2 in all"},
		"not updated":      {deployment(2, 2, 1, 2), 0, false, "1 of 2 pods updated, 2 available, 2 in all"},
		"an old pod left":  {deployment(2, 2, 2, 3), 0, false, "2 of 2 pods updated, 2 available, 3 in all"},
		"no Deployment":    {nil, 0, false, "the API server does not return it"},
		"on every node":    {daemonSet(2, 3, 3, 3), 3, true, "3 of 3 pods ready, 3 updated, 3 in all"},
		"on none":          {daemonSet(2, 0, 0, 3), 0, true, "0 of 0 pods ready, 3 updated, 0 in all"},
		"DaemonSet unseen": {daemonSet(3, 3, 3, 3), 3, false, "3 of 3 pods ready, 3 updated, 3 in all; the controller has not observed the last change"},
		"not ready":        {daemonSet(2, 2, 3, 3), 3, false, "2 of 3 pods ready, 3 updated, 3 in all"},
		"not yet updated":  {daemonSet(2, 3, 3, 2), 3, false, "3 of 3 pods ready, 2 updated, 3 in all"},
		"one too many":     {daemonSet(2, 3, 4, 3), 3, false, "3 of 3 pods ready, 3 updated, 4 in all"},
	} {
		objects := map[string][]any{}
		if c.object != nil {
			objects["/apis/apps/v1/namespaces/n/deployments/d"], objects["/apis/apps/v1/namespaces/n/daemonsets/d"] = []any{c.object}, []any{c.object}
		}
		r := served(t, objects)
		condition := Deployment(r, "n", "d")
		if _, ok := c.object.(*appsv1.DaemonSet); ok {
			condition = DaemonSet(r, "n", "d", c.nodes)
		}
		if done, seen, err := condition(t.Context()); done != c.done || seen != c.seen || err != nil {
			t.Errorf("%s: %t, %q, %v; want %t, %q", name, done, seen, err, c.done, c.seen)
		}
	}
}

// An evaluation sees the object as it is, not fields of an earlier evaluation that are empty now.
func TestObjectIsReadAgain(t *testing.T) {
	r := served(t, map[string][]any{"/apis/apps/v1/namespaces/n/deployments/d": {deployment(2, 2, 2, 2), deployment(2, 0, 2, 2)}})
	condition := Deployment(r, "n", "d")
	for i, want := range []bool{true, false} {
		if done, seen, err := condition(t.Context()); done != want || err != nil {
			t.Errorf("evaluation %d: %t, %q, %v", i, done, seen, err)
		}
	}
}

func TestList(t *testing.T) {
	pods := func(names ...string) corev1.PodList {
		l := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		for _, n := range names {
			l.Items = append(l.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: n}})
		}
		return l
	}
	r := served(t, map[string][]any{"/api/v1/namespaces/n/pods": {pods("a", "b"), pods("c")}, "/api/v1/pods": {pods()}})
	names := func(list *corev1.PodList) (bool, string) {
		var names []string
		for _, pod := range list.Items {
			names = append(names, pod.Name)
		}
		return len(names) == 1, strings.Join(names, " ")
	}
	// the namespace of one condition is not that of another
	in, everywhere := List(r, "n", &corev1.PodList{}, names), List(r, "", &corev1.PodList{}, names)
	for _, want := range []string{"a b", "c"} {
		if done, seen, err := in(t.Context()); done != (want == "c") || seen != want || err != nil {
			t.Errorf("%t, %q, %v; want %q", done, seen, err, want)
		}
	}
	if done, seen, err := everywhere(t.Context()); done || seen != "" || err != nil {
		t.Errorf("all namespaces: %t, %q, %v", done, seen, err)
	}
	if done, seen, err := List(r, "none", &corev1.PodList{}, names)(t.Context()); done || seen != "" || !errors.As(err, &unseen{}) || !strings.HasPrefix(err.Error(), "list *v1.PodList: ") {
		t.Errorf("a request that fails: %t, %q, %v", done, seen, err)
	}
}

// A condition of klient/wait/conditions ends at the first error of a request; Retry lets it go on.
func TestUpstream(t *testing.T) {
	r := served(t, map[string][]any{})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}}
	ready := Upstream(conditions.New(r).PodReady(pod), func() string { return string(pod.Status.Phase) })
	if _, _, err := ready(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if done, seen, err := Retry(ready)(t.Context()); done || seen != "" || !errors.As(err, &unseen{}) || !apierrors.IsNotFound(err) {
		t.Errorf("%t, %q, %v", done, seen, err)
	}
}

// A namespace is gone when the API server says so, and not when it does not answer.
func TestGone(t *testing.T) {
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}})
	gone := Gone(client, "ns")
	if done, seen, err := gone(t.Context()); done || seen != "it is terminating" || err != nil {
		t.Errorf("it is there: %v, %q, %v", done, seen, err)
	}
	client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if done, _, err := gone(t.Context()); done || !errors.As(err, new(unseen)) {
		t.Errorf("no answer: %v, %v", done, err)
	}
	if done, _, err := Gone(fake.NewClientset(), "ns")(t.Context()); !done || err != nil {
		t.Errorf("it is gone: %v, %v", done, err)
	}
}
