package kind_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/cluster/kind"
)

var update = flag.Bool("update", false, "write the golden files again")

const manifests = "../../../manifests"

func TestRenderGolden(t *testing.T) {
	ipv4 := kind.Config{Name: "svclab", Family: "ipv4", ProxyMode: "nftables", PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/16",
		Image: "svclab/node:v1.37.2-0123", Offline: true, Workers: 2, HostPort: 30080}
	dual := ipv4
	dual.Family, dual.ProxyMode, dual.Offline, dual.HostPort, dual.Workers = "dual", "iptables", false, 0, 1
	dual.PodSubnet, dual.ServiceSubnet = "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"
	for name, config := range map[string]kind.Config{"offline-ipv4.yaml": ipv4, "pulled-dual.yaml": dual} {
		got, err := config.Render(os.DirFS(manifests))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile("testdata/"+name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs (go test -update writes it again):\n%s", name, got)
		}
		var parsed v1alpha4.Cluster
		if err := yaml.UnmarshalStrict(got, &parsed); err != nil {
			t.Errorf("%s is not what kind reads: %v", name, err)
		}
		if len(parsed.Nodes) != config.Workers+1 || parsed.Networking.DisableDefaultCNI != config.Offline {
			t.Errorf("%s: %+v", name, parsed)
		}
	}
}

func TestNodes(t *testing.T) {
	got := kind.Config{Name: "a", Workers: 3}.Nodes()
	if want := []string{"a-control-plane", "a-worker", "a-worker2", "a-worker3"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestRenderRefusesUnknownFields(t *testing.T) {
	files := fstest.MapFS{"a.tmpl": {Data: []byte("{{.Nom}}")}}
	if _, err := kind.Render(files, "a.tmpl", struct{ Name string }{"x"}); err == nil || !strings.Contains(err.Error(), "manifests/a.tmpl") {
		t.Error(err)
	}
	if _, err := kind.Render(files, "b.tmpl", nil); err == nil {
		t.Error("a template that is not there must be an error")
	}
}
