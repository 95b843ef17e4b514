package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/svclab/svclab/manifests"
)

// granted are the rights of manifests/migrate/rbac.yaml, as "list /nodes" and "get /configmaps/kube-proxy in kube-system".
func granted(t *testing.T) []string {
	t.Helper()
	text, err := fs.ReadFile(manifests.FS(), "migrate/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rights []string
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var role rbacv1.Role // of a ClusterRole the same fields count
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				right := strings.Join(rule.Verbs, ",") + " " + rule.APIGroups[0] + "/" + resource
				if role.Namespace != "" {
					right += "/" + rule.ResourceNames[0] + " in " + role.Namespace
				}
				rights = append(rights, right)
			}
		}
	}
	slices.Sort(rights)
	return rights
}

// A prediction for a cluster makes exactly the requests that manifests/migrate/rbac.yaml allows, and writes nothing.
func TestMigrateAsksForNoMore(t *testing.T) {
	var (
		mu    sync.Mutex
		asked []string
	)
	ask := func(right string) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(asked, right) {
			asked = append(asked, right)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		answer := `{"kind":"List","apiVersion":"v1","items":[]}`
		switch {
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"): // every user may ask that
			answer = `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`
		case r.Method != http.MethodGet || r.URL.Query().Get("watch") != "":
			ask(r.Method + " " + r.URL.String())
		case r.URL.Path == "/version":
			answer = `{"gitVersion":"v1.37.2"}`
		case r.URL.Path == "/api":
			answer = `{"kind":"APIVersions","versions":["v1"]}`
		case r.URL.Path == "/apis":
			answer = `{"kind":"APIGroupList","groups":[{"name":"metallb.io","versions":[{"groupVersion":"metallb.io/v1beta1","version":"v1beta1"}]}]}`
		case len(parts) == 3:
			ask("list /" + parts[2])
		case len(parts) == 4:
			ask("list " + parts[1] + "/" + parts[3])
		default: // /api/v1/namespaces/NAMESPACE/RESOURCE/NAME
			ask(fmt.Sprintf("get /%s in %s", strings.Join(parts[4:], "/"), parts[3]))
			answer = `{"data":{"config.conf":"mode: iptables\nclusterCIDR: 10.244.0.0/16"}}`
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	out, err, code := call(t, "migrate", "--kubeconfig", kubeconfigOf(t, server.URL))
	if code != 0 || !strings.Contains(out, "from iptables mode to nftables mode: nothing changes") {
		t.Errorf("exit code %d: %s%s", code, out, err)
	}
	slices.Sort(asked)
	if want := granted(t); !slices.Equal(asked, want) {
		t.Errorf("it asked for\n%s\nand manifests/migrate/rbac.yaml allows\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
	for _, p := range migratePermissions() { // those that are checked first
		if right := fmt.Sprintf("%s %s/%s", strings.Join(p.Verbs, ","), p.Group, p.Resource); !slices.Contains(asked, right) {
			t.Errorf("it wants to be allowed to %s, and does not ask for it", right)
		}
	}
}

// A right that is missing is named, with exit code 2, and nothing is printed as if it were a prediction.
func TestMigrateWithoutPermission(t *testing.T) {
	kubeconfig, writes := foreignCluster(t, func(a authorizationv1.ResourceAttributes) bool { return a.Resource != "pods" && a.Verb == "list" })
	out, err, code := call(t, "migrate", "--kubeconfig", kubeconfig)
	if code != 2 || out != "" || len(writes()) > 0 || !strings.Contains(err, "may not list pods in all namespaces") || strings.Contains(err, "services;") {
		t.Errorf("exit code %d, %q, %v: %s", code, out, writes(), err)
	}
}

// A report of a cluster is one of its Services, as JSON too.
func TestMigrateKubeconfig(t *testing.T) {
	kubeconfig, _ := foreignCluster(t, func(a authorizationv1.ResourceAttributes) bool { return a.Verb == "list" || a.Verb == "get" })
	out, err, code := call(t, "migrate", "--kubeconfig", kubeconfig, "--format", "json")
	var report struct{ Services, Cells int }
	if failed := json.Unmarshal([]byte(out), &report); failed != nil || code != 0 || report.Services != 1 || report.Cells == 0 {
		t.Errorf("exit code %d, %v, %+v: %s", code, failed, report, err)
	}
}
