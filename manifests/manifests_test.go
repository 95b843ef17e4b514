package manifests_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/dryrun"
	"github.com/svclab/svclab/e2e/releases"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func TestScenariosAreSound(t *testing.T) {
	kinds := steps.Kinds(checks.Names()...)
	cases, err := releases.Load(manifests.FS(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	var shown []scenario.Scenario
	for _, c := range cases {
		if c.Scenario != nil {
			shown = append(shown, *c.Scenario)
		}
		if _, err := scenario.Load(manifests.FS(), c.Scenarios, kinds); err != nil {
			t.Errorf("releases/%s: scenarios: %v", c.Name, err)
		}
	}
	if err := scenario.Lint(manifests.FS(), kinds, shown...); err != nil {
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

var durations = flag.String("durations", "", "write durations.yaml again, from this result.json")

// Each scenario has a duration, and only scenarios have one. One that did not run keeps the one that it has.
func TestDurations(t *testing.T) {
	scenarios, err := scenario.LoadAll(manifests.FS(), steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	took, err := scenario.Durations(manifests.FS())
	if err != nil {
		t.Fatal(err)
	}
	if *durations != "" {
		measure(t, scenarios, took)
		return
	}
	for _, s := range scenarios {
		if took[s.Name] <= 0 {
			t.Errorf("%s has no scenario %s; see how it is written in its first lines, or add how many seconds the scenario takes", scenario.DurationsFile, s.Name)
		}
	}
	for index := 1; index <= 4; index++ {
		part, err := scenario.Shard{Index: index, Of: 4}.Take(scenarios, took)
		if err != nil {
			t.Fatal(err)
		}
		all, own := time.Duration(0), time.Duration(0)
		for _, s := range scenarios {
			all += took[s.Name]
		}
		for _, s := range part {
			own += took[s.Name]
		}
		if own < all/8 || own > all/3 { // serial scenarios count more, so it is not a quarter
			t.Errorf("shard %d/4 takes %s of %s", index, own, all)
		}
	}
	if len(took) != len(scenarios) {
		t.Errorf("%s has %d scenarios, and there are %d", scenario.DurationsFile, len(took), len(scenarios))
	}
}

// measure writes durations.yaml again.
func measure(t *testing.T, scenarios []scenario.Scenario, took map[string]time.Duration) {
	file, err := os.Open(*durations)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	run, err := report.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range run.Verdicts {
		if v.Elapsed > 0 {
			took[v.Scenario] = v.Elapsed
		}
	}
	old, err := fs.ReadFile(manifests.FS(), scenario.DurationsFile)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
	}
	for _, s := range scenarios {
		fmt.Fprintf(&text, "%s: %.0f\n", s.Name, max(1, took[s.Name].Seconds()))
	}
	if err := os.WriteFile(scenario.DurationsFile, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
