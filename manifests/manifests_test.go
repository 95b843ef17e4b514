package manifests_test

import (
	"io/fs"
	"testing"

	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func TestScenariosAreSound(t *testing.T) {
	if err := scenario.Lint(manifests.FS(), steps.Kinds(runner.CheckNames()...)); err != nil {
		t.Fatal(err)
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
