package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func all(t *testing.T) []scenario.Scenario {
	t.Helper()
	list, err := scenario.LoadAll(manifests.FS(), steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func one(t *testing.T, name string) scenario.Scenario {
	t.Helper()
	list, err := scenario.Load(manifests.FS(), []string{name}, steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

var foreign = environment{outside: "no machine outside"}

// Every scenario that runs on a foreign cluster must be one in which nothing is probed from outside only, nothing waits
// for the world outside, and no step is about a flow that was never started.
func TestFitLeavesNothingThatCannotBeAsked(t *testing.T) {
	whole, narrowed, skipped := 0, 0, 0
	for _, s := range all(t) {
		f := adapt(s, foreign)
		if f.skip != "" {
			skipped++
			continue
		}
		if len(f.left) == 0 {
			whole++
		} else {
			narrowed++
		}
		started := map[string]bool{}
		for _, step := range f.scenario.Steps {
			for _, table := range step.Tables() {
				if why := foreign.lacksTable(f.scenario.Tables[table]); why != "" {
					t.Errorf("%s: table %s stays: %s", s.Name, table, why)
				}
			}
			switch action := step.Action.(type) {
			case steps.Check:
				if foreign.lacks(vantagesOf(action.Args)) != "" {
					t.Errorf("%s: check %s stays, and no vantage can run it", s.Name, action.Name)
				}
			case steps.Traffic:
				if action.Start != nil {
					started[action.Name()] = true
					if action.Start.From == "outside" {
						t.Errorf("%s: traffic %s starts outside", s.Name, action.Name())
					}
				} else if !started[action.Name()] {
					t.Errorf("%s: traffic %s is judged and was never started", s.Name, action.Name())
				}
			}
		}
		if slices.Contains(f.scenario.Needs.Features, scenario.Outside) {
			t.Errorf("%s still needs outside", s.Name)
		}
	}
	if whole < 5 || narrowed < 5 || skipped < 3 {
		t.Errorf("%d scenarios whole, %d narrowed, %d skipped: the rule does nothing", whole, narrowed, skipped)
	}
}

func TestFitOfWhatIsThereChangesNothing(t *testing.T) {
	for _, s := range all(t) {
		f := adapt(s, environment{metalLB: true})
		if f.skip != "" || len(f.left) > 0 || len(f.scenario.Steps) != len(s.Steps) {
			t.Errorf("%s: %q, left out %v", s.Name, f.skip, f.left)
		}
	}
}

func TestFitScenarios(t *testing.T) {
	for _, c := range []struct {
		name string
		on   environment
		left []string
		skip string
	}{
		{"terminating", foreign, []string{"it is left out, but where it is the only one (one-going-local-outside)", "both are used while they still answer (all-going-local-outside)"}, ""},
		{"spread", foreign, []string{"those that come to a node from outside"}, ""},
		{"nodeport", foreign, nil, ""},
		{"nodeport", environment{outside: "no machine outside", host: "it runs in a pod"}, []string{"connections from outside carry much, last, and are many at once"}, ""},
		{"source-ranges", foreign, nil, "names the address of a client outside"},
		{"shared-address", foreign, nil, "about MetalLB"},
		{"externalname", foreign, nil, "none of its traffic can be sent here"},
		{"expose", environment{kubectl: "kubectl is missing"}, nil, "runs kubectl"},
		{"nodeport", environment{kubectl: "kubectl is missing"}, []string{"kubectl get service shows both ports"}, ""},
	} {
		f := adapt(one(t, c.name), c.on)
		if c.skip != "" {
			if !strings.Contains(f.skip, c.skip) {
				t.Errorf("%s: skipped for %q, want %q", c.name, f.skip, c.skip)
			}
			continue
		}
		for _, name := range c.left {
			if f.left[name] == "" || !slices.Contains(f.order, name) {
				t.Errorf("%s: %q is not left out: %v", c.name, name, f.left)
			}
		}
		if f.skip != "" || len(f.left) != len(c.left) {
			t.Errorf("%s: skip %q, left out %v, want %v", c.name, f.skip, f.left, c.left)
		}
	}
}

func TestToldPutsWhatWasLeftOutInItsPlace(t *testing.T) {
	f := adapt(one(t, "spread"), foreign)
	v := reach.Verdict{Scenario: "spread", Result: reach.Fail}
	for _, step := range f.scenario.Steps {
		v.Steps = append(v.Steps, reach.Step{Name: step.Name, Result: reach.Pass})
	}
	v.Steps = append(v.Steps, reach.Step{Name: "clean up", Result: reach.Fail})
	got := f.told(v)
	var names []string
	for _, step := range got.Steps {
		names = append(names, step.Name)
		if (step.Result == reach.Skipped) != (step.Name == "those that come to a node from outside") {
			t.Errorf("%s is %s: %s", step.Name, step.Result, step.Why)
		}
	}
	if last := len(names) - 1; names[last] != "clean up" || names[last-1] != "those that come to a node from outside" {
		t.Errorf("the steps are %q", names)
	}
	if got.Result != reach.Fail {
		t.Errorf("the result became %s", got.Result)
	}
}

// Every core behaviour but the alias, whose other end only svclab's own clusters have, is verified without any feature.
func TestCoreNeedsNoFeature(t *testing.T) {
	core := Options{Profile: scenario.Core}
	verified := map[string]bool{}
	for _, s := range all(t) {
		if f := adapt(s, foreign); f.skip == "" && core.about(s) {
			for _, id := range s.Behaviours {
				verified[id] = true
			}
		}
	}
	for _, b := range scenario.Behaviours() {
		if b.Profile != scenario.Core && b.Profile != scenario.Extended {
			t.Errorf("%s is of no profile", b.ID)
		}
		if b.Profile == scenario.Core && !verified[b.ID] && b.ID != "external.cname" {
			t.Errorf("%s is core, but no scenario verifies it on a cluster without features", b.ID)
		}
	}
}
