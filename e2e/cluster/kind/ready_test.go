package kind

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestHasVersion(t *testing.T) {
	for _, c := range []struct {
		version, wanted string
		want            bool
	}{
		{"v1.37.2", "", true}, {"v1.37.2", "1.37", true}, {"v1.37.2", "v1.37.2", true}, {"v1.37.2", "1.37.2", true},
		{"v1.37.2", "1.3", false}, {"v1.37.2", "v1.37.20", false}, {"v1.37.20", "v1.37.2", false}, {"v1.36.3", "1.37", false},
	} {
		if got := hasVersion(c.version, c.wanted); got != c.want {
			t.Errorf("%s as %s: %v", c.version, c.wanted, got)
		}
	}
}

func TestReady(t *testing.T) {
	node := func(name string, status corev1.ConditionStatus) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: status, Message: "cni plugin not initialized"}}}}
	}
	for _, c := range []struct {
		nodes []corev1.Node
		seen  string
	}{
		{[]corev1.Node{node("a", corev1.ConditionTrue), node("b", corev1.ConditionTrue)}, ""},
		{[]corev1.Node{node("b", corev1.ConditionFalse)}, "a has not joined; b is not Ready: cni plugin not initialized"},
		{[]corev1.Node{node("a", corev1.ConditionTrue), {ObjectMeta: metav1.ObjectMeta{Name: "b"}}}, "b is not Ready"},
	} {
		if done, seen := Ready(c.nodes, []string{"a", "b"}); seen != c.seen || done != (c.seen == "") {
			t.Errorf("%q %v, want %q", seen, done, c.seen)
		}
	}
}

// serving returns a provider of a cluster with the nodes "a" and "b", and a client of an API server whose n-th list of nodes
// is lists[n]; the last one is repeated.
func serving(t *testing.T, lists ...[]corev1.Node) (*Provider, klient.Client) {
	t.Helper()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var answer any
		switch r.URL.Path {
		case "/api":
			answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
		case "/apis":
			answer = metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		case "/api/v1":
			answer = metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node"}}}
		case "/api/v1/nodes":
			answer = corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: lists[min(asked, len(lists)-1)]}
			asked++
		default:
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	client, err := klient.New(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		answer := "1 2"
		if c.Argv[1] == "container" {
			answer = `[{"Name":"/a"},{"Name":"/b"}]`
		}
		_, err := io.WriteString(c.Stdout, answer)
		return err
	}))
	return New(engine, "x", "x", "", io.Discard), client
}

func TestWaitForControlPlane(t *testing.T) {
	node := func(name, version string, status corev1.ConditionStatus) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: version}, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}}}
	}
	a, b := node("a", "v1.37.2", corev1.ConditionTrue), node("b", "v1.37.2", corev1.ConditionTrue)
	unready, old := node("b", "", corev1.ConditionFalse), node("b", "v1.36.3", corev1.ConditionFalse)

	p, client := serving(t, []corev1.Node{a}, []corev1.Node{a, unready}, []corev1.Node{a, b})
	p.WithVersion("1.37")
	if err := p.WaitForControlPlane(t.Context(), client); err != nil {
		t.Error(err)
	}
	// it need not become Ready: it is the wrong one
	p, client = serving(t, []corev1.Node{a, old})
	p.WithVersion("1.37")
	for name, check := range map[string]func(context.Context, klient.Client) error{"wait": p.WaitForControlPlane, "check": p.CheckVersion} {
		var wrong *VersionError
		if err := check(t.Context(), client); !errors.As(err, &wrong) || *wrong != (VersionError{Node: "b", Has: "v1.36.3", Wanted: "1.37"}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, client = serving(t, []corev1.Node{a})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	cancel(why)
	err := p.WaitForControlPlane(ctx, client)
	if !errors.Is(err, why) {
		t.Error(err)
	}
}
