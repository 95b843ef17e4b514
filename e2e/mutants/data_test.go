package mutants

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

// loaded are the mutants' scenarios by name.
func loaded(t *testing.T) map[string]scenario.Scenario {
	t.Helper()
	var names []string
	for _, m := range All() {
		names = append(names, m.Scenario)
	}
	slices.Sort(names)
	all, err := scenario.Load(manifests.FS(), slices.Compact(names), steps.Kinds(checks.Names()...))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]scenario.Scenario{}
	for _, sc := range all {
		byName[sc.Name] = sc
	}
	return byName
}

func TestMutantsAreWhole(t *testing.T) {
	scenarios := loaded(t)
	seen := map[string]bool{}
	for _, m := range All() {
		if seen[m.Name] || m.Name == "" || strings.ToLower(m.Name) != m.Name || strings.ContainsAny(m.Name, " _/") {
			t.Errorf("mutant %q: its name is empty, taken, or not words joined by dashes", m.Name)
		}
		seen[m.Name] = true
		if m.Effect == "" || strings.HasSuffix(m.Effect, ".") {
			t.Errorf("mutant %s: Effect is %q, want a sentence without its full stop", m.Name, m.Effect)
		}
		if m.Fault.Inject == nil || m.Fault.Revert == nil {
			t.Errorf("mutant %s: it has no Inject or no Revert", m.Name)
		}
		sc, there := scenarios[m.Scenario]
		if !there {
			t.Errorf("mutant %s: there is no scenario %q", m.Name, m.Scenario)
			continue
		}
		if len(m.Behaviours) == 0 {
			t.Errorf("mutant %s: it proves no behaviour", m.Name)
		}
		for _, id := range m.Behaviours {
			if !slices.Contains(sc.Behaviours, id) {
				t.Errorf("mutant %s: scenario %s does not verify %q", m.Name, sc.Name, id)
			}
		}
		if _, err := planFor(sc, []Mutant{m}); err != nil {
			t.Error(err)
		}
		checkNotice(t, m, sc)
	}
}

// checkNotice finds signs that no cell of the steps could ever give.
func checkNotice(t *testing.T, m Mutant, sc scenario.Scenario) {
	t.Helper()
	if len(m.Notice.Signs)+len(m.Notice.Checks) == 0 {
		t.Errorf("mutant %s: nothing is to notice it", m.Name)
	}
	fields := []string{"outcome", "backend", "missing backend", "affinity", "source", "cname", "addresses", "host header", NotProbed}
	vantages := []string{"pod", "node", "outside", "host", "pod/control-plane", "pod/worker", "pod/worker2", "node/control-plane", "node/worker", "node/worker2"}
	for _, sign := range m.Notice.Signs {
		if !slices.Contains(fields, sign.Field) {
			t.Errorf("mutant %s: no difference has the field %q", m.Name, sign.Field)
		}
		if (sign.Field == NotProbed) != (m.Notice.Result == reach.Inconclusive) {
			t.Errorf("mutant %s: a cell that was not asked makes a step Inconclusive, and nothing else does", m.Name)
		}
		if len(sign.From) == 0 {
			t.Errorf("mutant %s: a sign is from nowhere", m.Name)
		}
		for _, from := range slices.Concat(sign.From, sign.Also) {
			if !slices.Contains(vantages, from) {
				t.Errorf("mutant %s: there is no vantage %q", m.Name, from)
			}
		}
	}
	for _, check := range m.Notice.Checks {
		i := slices.IndexFunc(sc.Steps, func(s scenario.Step) bool { return s.Name == check.Step })
		// a table for each IP family is none where the cluster has lost one
		laid := i >= 0 && slices.ContainsFunc(sc.Steps[i].Tables(), func(name string) bool { return !sc.Tables[name].EachFamily })
		if i < 0 || !slices.Contains(m.During, check.Step) || laid || len(check.Why) == 0 || slices.Contains(check.Why, "") {
			t.Errorf("mutant %s: %q is no step of During that has no table", m.Name, check.Step)
		}
	}
}

// Every behaviour is proven to be checked: a fault that is about it makes a scenario fail that verifies it.
func TestEveryBehaviourHasAMutant(t *testing.T) {
	proven := map[string]bool{}
	for _, m := range All() {
		for _, id := range m.Behaviours {
			proven[id] = true
		}
	}
	for _, b := range scenario.Behaviours() {
		if !proven[b.ID] {
			t.Errorf("behaviour %s has no mutant: nothing shows that a cluster without it would be noticed", b.ID)
		}
	}
}

// A scenario is run once for all of its mutants, so they stand together.
func TestMutantsOfOneScenarioStandTogether(t *testing.T) {
	var order []string
	for _, m := range All() {
		if len(order) == 0 || order[len(order)-1] != m.Scenario {
			order = append(order, m.Scenario)
		}
	}
	if sorted := slices.Compact(slices.Sorted(slices.Values(order))); len(sorted) != len(order) {
		t.Errorf("scenarios in the order of their mutants: %v", order)
	}
}

func TestNamed(t *testing.T) {
	all := All()
	found, unknown := Named([]string{all[3].Name, "none-such", all[1].Name})
	if len(found) != 2 || found[0].Name != all[1].Name || found[1].Name != all[3].Name || !slices.Equal(unknown, []string{"none-such"}) {
		t.Errorf("found %d, first %s, unknown %v", len(found), found[0].Name, unknown)
	}
}

// composed are texts of CheckSigns that no string of the code contains, because it prints them of parts.
var composed = map[string]string{
	"got no such record": "what was looked up",
	`want ""`:            "a value that was expected",
	"gave up waiting for traffic outside to be answered": "the name of a flow",
	".status.conditions":                "the path of a field that differs",
	"there is no IPv6":                  "an IP family",
	"the echo of 1800 bytes is missing": "a length",
	"_http._tcp":                        "a name that was looked up",
	"over TCP: TimedOut":                "an outcome",
}

// What a mutant expects a check to say is what some check says: a text that is reworded in one place only would make the
// mutant unnoticed, which otherwise only a run on a cluster shows.
func TestSignsAreSaid(t *testing.T) {
	var said []string
	for _, folder := range []string{"checks", "observe", "steps", "table", "wait", "world"} {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					said = append(said, text)
				}
				return true
			})
		}
	}
	used := map[string]bool{}
	for _, m := range All() {
		for _, sign := range m.Notice.Checks {
			for _, why := range sign.Why {
				isSaid := slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, why) })
				used[why] = used[why] || !isSaid
				if !isSaid && composed[why] == "" {
					t.Errorf("mutant %s expects %q in the reason of step %q, and no code says so", m.Name, why, sign.Step)
				}
			}
		}
	}
	for why := range composed {
		if !used[why] {
			t.Errorf("composed: %q is said by code, or no mutant expects it", why)
		}
	}
}
