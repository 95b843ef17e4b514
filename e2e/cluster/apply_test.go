package cluster

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
)

// Objects are applied by the server, with strict field validation, as svclab's own fields, and namespaces come first. The
// server's answer does not change the objects: they are applied again when the first attempt fails.
func TestApply(t *testing.T) {
	var (
		mu       sync.Mutex
		requests []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var answer any
		switch r.URL.Path {
		case "/api":
			answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
		case "/apis":
			answer = metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		case "/api/v1":
			answer = metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{
				{Name: "namespaces", Kind: "Namespace"}, {Name: "configmaps", Kind: "ConfigMap", Namespaced: true}}}
		default:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			requests = append(requests, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
			mu.Unlock()
			answer = corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
				ObjectMeta: metav1.ObjectMeta{Name: "answer", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "svclab"}}}}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	objects, err := resources.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{objects: objects}
	list, err := decode([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: a}\ndatum: {}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"))
	if err != nil {
		t.Fatal(err)
	}
	const options = "?fieldManager=svclab&fieldValidation=Strict&force=true application/apply-patch+yaml "
	want := []string{
		"PATCH /api/v1/namespaces/a" + options + `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}` + "\n",
		// a field that no ConfigMap has reaches the server, which refuses it
		"PATCH /api/v1/namespaces/a/configmaps/b" + options + `{"apiVersion":"v1","datum":{},"kind":"ConfigMap","metadata":{"name":"b","namespace":"a"}}` + "\n",
	}
	for range 2 {
		requests = nil
		if err := c.apply(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(requests, want) {
			t.Errorf("%q\nwant %q", requests, want)
		}
	}
}
