package manifests_test

import (
	"io/fs"
	"testing"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/dryrun"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func TestScenariosAreSound(t *testing.T) {
	if err := scenario.Lint(manifests.FS(), steps.Kinds(checks.Names()...)); err != nil {
		t.Fatal(err)
	}
}

// unmodelled are the steps that only a cluster can follow, by scenario, with the reason. The tables of such a scenario are
// checked up to that step.
var unmodelled = map[string]string{}

// Each cell of each expected table must be covered by exactly one row, and each row must cover a cell.
func TestTablesCoverEveryCell(t *testing.T) {
	scenarios, err := scenario.LoadAll(manifests.FS(), steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, sc := range scenarios {
		for _, finding := range dryrun.Check(sc) {
			if unmodelled[sc.Name] != "" && finding.Table == "" {
				used[sc.Name] = true
				continue
			}
			t.Errorf("%s: %s", sc.Name, finding)
		}
	}
	for name := range unmodelled {
		if !used[name] {
			t.Errorf("%s can be followed: remove it from unmodelled", name)
		}
	}
}

func TestTheFourTypesAreThere(t *testing.T) {
	want := []string{"clusterip", "nodeport", "loadbalancer", "externalname"}
	scenarios, err := scenario.Load(manifests.FS(), want, steps.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range []string{"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"} {
		service := scenarios[i].Objects["service.yaml"][0]
		spec, _ := service.Object["spec"].(map[string]any)
		if service.GetName() != "my-service" || spec["type"] != kind {
			t.Errorf("%s/service.yaml: %s of type %v, want the article's my-service of type %s", want[i], service.GetName(), spec["type"], kind)
		}
	}
}

func TestEveryFolderIsEmbedded(t *testing.T) {
	for _, dir := range []string{"app", "scenarios", "cluster", "metallb", "outside"} {
		if _, err := fs.Stat(manifests.FS(), dir); err != nil {
			t.Error(err)
		}
	}
}
