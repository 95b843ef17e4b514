package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// A cluster that exists and runs another version than requested is refused, in words that name the fix.
func TestAttachRefusesAnotherVersion(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]any{
			"/api":    metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}},
			"/apis":   metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}},
			"/api/v1": metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node"}}},
			"/api/v1/nodes": corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: []corev1.Node{{
				ObjectMeta: metav1.ObjectMeta{Name: "svclab-worker"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3"}}}}},
		}
		answer, served := answers[r.URL.Path]
		if !served {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s := testSettings(t)
	s.Output, s.Workers, s.Version = t.TempDir(), 0, "1.37"
	kubeconfig := api.NewConfig()
	kubeconfig.Clusters["a"] = &api.Cluster{Server: server.URL}
	kubeconfig.Contexts["kind-"+s.Name] = &api.Context{Cluster: "a"}
	if err := clientcmd.WriteToFile(*kubeconfig, s.Kubeconfig()); err != nil {
		t.Fatal(err)
	}
	s.Engine = docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		return running(s, c)
	}))
	_, err := Attach(t.Context(), s, Free)
	var p *Problem
	if !errors.Is(err, ErrVersion) || !errors.As(err, &p) || p.ExitCode() != 2 {
		t.Fatal(err)
	}
	for _, want := range []string{"svclab-worker runs Kubernetes v1.36.3, and 1.37 was requested", s.Images.Node, "svclab down", "or request Kubernetes v1.36.3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	s.Version = "1.36"
	if _, err := Attach(t.Context(), s, Free); errors.Is(err, ErrVersion) {
		t.Errorf("the right version: %v", err)
	}
	if _, err := os.Stat(s.Kubeconfig()); err != nil {
		t.Errorf("the cluster was touched: %v", err)
	}
}

// running answers the docker command as an engine does that has the cluster of the settings, with one node.
func running(s Settings, c docker.Command) error {
	_, want, err := prepare(s)
	if err != nil {
		return err
	}
	switch strings.Join(c.Argv[1:3], " ") {
	case "version --format":
		_, err = io.WriteString(c.Stdout, serverText)
	case "info --format":
		_, err = io.WriteString(c.Stdout, infoText)
	case "context inspect":
	case "ps --all", "network ls":
		_, err = io.WriteString(c.Stdout, "1")
	case "container inspect":
		err = json.NewEncoder(c.Stdout).Encode([]map[string]any{{"Name": "/" + s.Name + "-control-plane", "State": map[string]string{"Status": "running"},
			"NetworkSettings": map[string]any{"Networks": map[string]any{s.Name: map[string]string{}}}}})
	case "network inspect":
		err = json.NewEncoder(c.Stdout).Encode([]map[string]any{{"Name": s.Name, "Labels": map[string]string{ownerLabel: s.Name}}})
	default: // cp: the marker
		err = tarOf(c.Stdout, want.marker)
	}
	return err
}

func tarOf(w io.Writer, m marker) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	if err := archive.WriteHeader(&tar.Header{Name: "cluster.json", Size: int64(len(text)), Mode: 0o644}); err != nil {
		return err
	}
	_, err = archive.Write(text)
	return errors.Join(err, archive.Close())
}
