package lab

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// connected returns an existing cluster with one node. Its API server admits namespaces and refuses every other write, so a
// scenario fails as soon as it has its namespace.
func connected(t *testing.T) Cluster {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch node := (corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "alpha"}}); {
		case r.Method == http.MethodPost && r.URL.Path == "/api/v1/namespaces":
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			w.WriteHeader(http.StatusCreated)
			if _, err := io.Copy(w, r.Body); err != nil {
				t.Error(err)
			}
			return
		case r.Method != http.MethodGet:
			http.Error(w, "this cluster is read-only", http.StatusForbidden)
			return
		case r.URL.Path == "/version":
			answer = map[string]string{"gitVersion": "v1.37.2"}
		case r.URL.Path == "/api/v1/nodes":
			answer = corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: []corev1.Node{node}}
		case r.URL.Path == "/api/v1/namespaces":
			answer = corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}}
		case strings.HasSuffix(r.URL.Path, "/pods"):
			answer = corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	config := api.NewConfig()
	config.Clusters["a"], config.Contexts["a"], config.CurrentContext = &api.Cluster{Server: server.URL}, &api.Context{Cluster: "a"}, "a"
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Connect(t.Context(), kubeconfig, "", cluster.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return Cluster{c}
}

func TestLacks(t *testing.T) {
	c := connected(t)
	for feature, want := range map[scenario.Feature]string{
		scenario.Outside:      "no machine on the network",
		scenario.NodeControl:  "does not stop nodes",
		scenario.LoadBalancer: "installs no load balancer",
		scenario.DualStack:    "one IP family only",
		"teleport":            `does not know the feature "teleport"`,
	} {
		if got := c.Lacks(feature); !strings.Contains(got, want) || c.Has(feature) {
			t.Errorf("%s: %q, want %q", feature, got, want)
		}
	}
	if why := c.Lacks(scenario.SingleStack); why != "" || !c.Has(scenario.SingleStack) {
		t.Errorf("single stack: %q", why)
	}
}

func TestControlNode(t *testing.T) {
	c := connected(t)
	for _, at := range []struct{ slot, action, want string }{
		{"beta", "stop", "stop node beta: the cluster has no such node"},
		{"alpha", "paint", "paint node alpha: there is no such action"},
		{"alpha", "start", "svclab does not stop nodes of a cluster that it did not make"},
		{"alpha", "stop", "svclab does not stop nodes of a cluster that it did not make"},
		{"alpha", "restart", "svclab does not stop nodes of a cluster that it did not make"},
		{"alpha", "other-proxy-mode", "svclab does not stop nodes of a cluster that it did not make"},
		{"alpha", "restart-api-server", "svclab does not stop nodes of a cluster that it did not make"},
	} {
		if err := c.ControlNode(t.Context(), at.slot, at.action); err == nil || err.Error() != at.want {
			t.Errorf("%s %s: %v, want %s", at.action, at.slot, err, at.want)
		}
	}
}

// Logs that could not be saved are part of the verdict.
func TestRunnerReportsUnsavedLogs(t *testing.T) {
	c := connected(t)
	output := filepath.Join(t.TempDir(), "output")
	if err := os.WriteFile(output, nil, 0o600); err != nil { // a file, where the runner wants a folder
		t.Fatal(err)
	}
	outcome, err := c.Runner(output).Run(t.Context(), []scenario.Scenario{{Name: "sample", Title: "Sample", Steps: []scenario.Step{
		{Name: "deploy", Action: steps.Scale{Object: scenario.Ref{Kind: "deployment", Name: "none"}}}}}})
	if err != nil || len(outcome.Verdicts) != 1 {
		t.Fatalf("%+v, %v", outcome, err)
	}
	for _, step := range outcome.Verdicts[0].Steps {
		if step.Name == "save the logs" && step.Result == reach.Inconclusive && strings.Contains(step.Why, output) {
			return
		}
	}
	t.Errorf("no step reports the logs: %+v", outcome.Verdicts[0])
}
