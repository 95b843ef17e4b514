package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// foreignCluster is an API server of a cluster with 5,000 nodes and the Service shop/web, whose only pod runs on n4711. It returns
// its kubeconfig and the writes that it got.
func foreignCluster(t *testing.T, may func(a authorizationv1.ResourceAttributes) bool) (kubeconfig string, writes func() []string) {
	t.Helper()
	var (
		mu    sync.Mutex
		wrote []string
	)
	node := func(i int) string {
		return fmt.Sprintf(`{"metadata":{"name":"n%04d","labels":{"kubernetes.io/hostname":"n%04d"}},"status":{"conditions":[{"type":"Ready","status":"True"}],
"addresses":[{"type":"InternalIP","address":"192.0.2.%d"}],"nodeInfo":{"architecture":%q,"containerRuntimeVersion":"containerd://2"}}}`, i, i, i%250+1, runtime.GOARCH)
	}
	all := make([]string, 5000)
	for i := range all {
		all[i] = node(i)
	}
	lists := map[string]string{
		"/version":      `{"gitVersion":"v1.37.2"}`,
		"/apis":         `{"kind":"APIGroupList","groups":[]}`,
		"/api/v1/nodes": `{"items":[` + strings.Join(all, ",") + `]}`,
		"/api/v1/services": `{"items":[{"metadata":{"namespace":"shop","name":"web"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1"],
"ipFamilies":["IPv4"],"selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080,"protocol":"TCP"}]}}]}`,
		"/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices": `{"items":[{"metadata":{"namespace":"shop","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},
"addressType":"IPv4","ports":[{"name":"","port":8080,"protocol":"TCP"}],"endpoints":[{"addresses":["10.244.1.1"],"nodeName":"n4711","conditions":{"ready":true,"serving":true}}]}]}`,
		"/api/v1/namespaces/shop/pods": `{"items":[{"metadata":{"namespace":"shop","name":"web-0","labels":{"app":"web"}},"spec":{"nodeName":"n4711","containers":[{"name":"web"}]},
"status":{"phase":"Running","podIPs":[{"ip":"10.244.1.1"}],"conditions":[{"type":"Ready","status":"True"}]}}]}`,
		"/api/v1/namespaces/kube-system/configmaps/kube-proxy": `{"data":{"config.conf":"mode: iptables\nclusterCIDR: 10.244.0.0/16"}}`,
	}
	lists["/api/v1/namespaces/shop/services"] = lists["/api/v1/services"]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, known := lists[r.URL.Path]
		name, isNode := strings.CutPrefix(r.URL.Path, "/api/v1/nodes/n")
		switch {
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			review := &authorizationv1.SelfSubjectAccessReview{}
			if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, review); err != nil {
				t.Error(err)
			}
			review.Status.Allowed = may(*review.Spec.ResourceAttributes)
			if err := json.NewEncoder(w).Encode(review); err != nil {
				t.Error(err)
			}
			return
		case r.Method != http.MethodGet:
			mu.Lock()
			wrote = append(wrote, r.Method+" "+r.URL.Path)
			mu.Unlock()
			w.WriteHeader(http.StatusForbidden)
			return
		case isNode:
			var i int
			if _, err := fmt.Sscanf(name, "%d", &i); err != nil {
				t.Error(err)
			}
			answer = node(i)
		case !known && strings.Contains(r.URL.Path, "configmaps/"):
			w.WriteHeader(http.StatusNotFound)
		case !known:
			answer = `{"kind":"List","apiVersion":"v1","items":[]}`
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return kubeconfigOf(t, server.URL), func() []string { mu.Lock(); defer mu.Unlock(); return wrote }
}

// kubeconfigOf writes a kubeconfig for the user of an API server.
func kubeconfigOf(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {token: t}}]\n", server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A dry run, and a prediction, create nothing, need no engine, and are about a sample of the nodes with those of the Service's pods.
func TestExplainSaysBeforeItCreates(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	t.Setenv("SVCLAB_ROOT", "/nowhere")
	anything := func(authorizationv1.ResourceAttributes) bool { return true }
	reading := func(a authorizationv1.ResourceAttributes) bool { return a.Verb == "list" || a.Verb == "get" }
	for name, tc := range map[string]struct {
		flag string
		may  func(authorizationv1.ResourceAttributes) bool
		want []string
	}{
		"dry run": {"--dry-run", anything, []string{"namespace svclab-clients with 12 pods", "namespace svclab-lock with a Lease", "tolerate every taint", "6 of 5000, a sample",
			"n4711", "clusterIP     12 pairs", "in proxy mode iptables", "endpoint      12 pairs"}},
		"prediction": {"--no-probe", reading, []string{"pod/n4711", "nothing was probed"}},
	} {
		kubeconfig, writes := foreignCluster(t, tc.may)
		out, err, code := call(t, "explain", "shop/web", "--kubeconfig", kubeconfig, tc.flag, "--verbose")
		if code != 0 || len(writes()) > 0 {
			t.Errorf("%s: exit code %d, %s; it wrote %v", name, code, err, writes())
		}
		for _, want := range tc.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing from\n%s", name, want, out)
			}
		}
	}
}

// Missing permissions are named before anything is created.
func TestExplainWithoutPermission(t *testing.T) {
	kubeconfig, writes := foreignCluster(t, func(a authorizationv1.ResourceAttributes) bool { return a.Namespace == "shop" })
	out, err, code := call(t, "explain", "shop/web", "--kubeconfig", kubeconfig)
	if code != 2 || out != "" || len(writes()) > 0 {
		t.Errorf("exit code %d, %q, %v", code, out, writes())
	}
	for _, want := range []string{"get, list nodes\n", "get, create pods/exec in namespace svclab-clients\n", "get, update leases conformance (coordination.k8s.io) in namespace svclab-lock"} {
		if !strings.Contains(err, want) {
			t.Errorf("%q is missing from %s", want, err)
		}
	}
	if strings.Contains(err, "endpointslices") {
		t.Errorf("it may list EndpointSlices: %s", err)
	}
}
