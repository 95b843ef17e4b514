package checks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/svclab/svclab/e2e/reach"
)

// answered is an API server whose proxies give these answers one after the other, and then the last one.
type answered struct {
	paths   []string
	answers []int
}

func (a *answered) RoundTrip(r *http.Request) (*http.Response, error) {
	a.paths = append(a.paths, r.URL.Path)
	w := httptest.NewRecorder()
	w.WriteHeader(a.answers[0])
	_, _ = io.WriteString(w, `{"nodeEligible": false}`)
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	return w.Result(), nil
}

func TestAPIProxy(t *testing.T) {
	node := apiProxyArgs{Node: "worker", Port: 10256, Path: "/healthz", Status: 503, Body: []string{"nodeEligible"}}
	for name, test := range map[string]struct {
		args    apiProxyArgs
		answers []int
		path    string
		failed  string
		broken  string
	}{
		"node":      {args: node, answers: []int{503}, path: "/api/v1/nodes/n1:10256/proxy/healthz"},
		"a moment":  {args: node, answers: []int{200, 200, 503}, path: "/api/v1/nodes/n1:10256/proxy/healthz"},
		"never":     {args: node, answers: []int{200}, failed: "want status 503"},
		"wrong":     {args: apiProxyArgs{Node: "worker", Port: 1, Status: 200, Body: []string{"true"}}, answers: []int{200}, failed: `want "true" in the body`},
		"service":   {args: apiProxyArgs{Service: "my-service", Port: 80, Path: "/hostname", Status: 200}, answers: []int{200}, path: "/api/v1/namespaces/ns/services/my-service:80/proxy/hostname"},
		"no slot":   {args: apiProxyArgs{Node: "worker9", Port: 1, Status: 200}, broken: `no node "worker9"`},
		"no status": {args: apiProxyArgs{Node: "worker", Port: 1}, broken: "want service or node"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &answered{answers: test.answers}
				client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api", Transport: server, QPS: -1})
				if err != nil {
					t.Fatal(err)
				}
				_, err = apiProxy(t.Context(), Env{Namespace: "ns", World: addressed().World, Client: client}, test.args)
				text := ""
				if err != nil {
					text = err.Error()
				}
				wanted := test.failed + test.broken
				if !strings.Contains(text, wanted) || (wanted == "") != (err == nil) || (reach.ResultOf(err) == reach.Fail) != (test.failed != "") {
					t.Errorf("got %v, want %q", err, wanted)
				}
				if test.path != "" && (len(server.paths) == 0 || server.paths[0] != test.path) {
					t.Errorf("requested %v, want %s", server.paths, test.path)
				}
			})
		})
	}
}
