package mutants

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

// allOf are the mutants of all scenarios; package fuzz tests those of histories.
func allOf(t *testing.T) []Mutant {
	t.Helper()
	all, err := Load(manifests.FS())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(m Mutant) bool { return m.History != nil })
}

// loaded are the mutants' scenarios by name.
func loaded(t *testing.T) map[string]scenario.Scenario {
	t.Helper()
	var names []string
	for _, m := range allOf(t) {
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
	for _, m := range allOf(t) {
		if seen[m.Name] || m.Name == "" || strings.ToLower(m.Name) != m.Name || strings.ContainsAny(m.Name, " _/") {
			t.Errorf("mutant %q: its name is empty, taken, or not words joined by dashes", m.Name)
		}
		seen[m.Name] = true
		if m.Effect == "" || strings.HasSuffix(m.Effect, ".") {
			t.Errorf("mutant %s: Effect is %q, want a sentence without its full stop", m.Name, m.Effect)
		}
		if m.Untraced != "" && m.Fault.Table == "" {
			t.Errorf("mutant %s: Untraced is for faults in packet filters", m.Name)
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
	fields := []string{"outcome", "backend", "missing backend", "affinity", "spread", "source", "cname", "addresses", "host header", NotProbed}
	vantages := []string{"pod", "node", "outside", "host", "pod/control-plane", "pod/worker", "pod/worker2", "node/control-plane", "node/worker", "node/worker2"}
	for _, sign := range m.Notice.Signs {
		if !slices.Contains(fields, sign.Field) {
			t.Errorf("mutant %s: no difference has the field %q", m.Name, sign.Field)
		}
		if (sign.Field == NotProbed) != (m.Notice.Result == reach.Inconclusive) {
			t.Errorf("mutant %s: a cell that was not probed makes a step Inconclusive, and nothing else does", m.Name)
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
		if check.Step == reach.OverallStep {
			continue
		}
		i := slices.IndexFunc(sc.Steps, func(s scenario.Step) bool { return s.Name == check.Step })
		// a table for each IP family is empty where the cluster has lost one
		laid := i >= 0 && slices.ContainsFunc(sc.Steps[i].Tables(), func(name string) bool { return !sc.Tables[name].EachFamily })
		if i < 0 || !slices.Contains(m.During, check.Step) || laid || len(check.Why) == 0 || slices.Contains(check.Why, "") {
			t.Errorf("mutant %s: %q is no step of During that has no table", m.Name, check.Step)
		}
	}
}

// Every behaviour is proven to be checked: a fault that is about it makes a scenario fail that verifies it.
func TestEveryBehaviourHasAMutant(t *testing.T) {
	proven := map[string]bool{}
	for _, m := range allOf(t) {
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

// What is wrong with a file of mutants is an error when it is loaded, with the file's name.
func TestLoadIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"mutants: [{name: a, effects: b}]":                            `unknown field "mutants[0].effects"`,
		"mutants: [{fault: {explode: worker}}]":                       "want one fault of these kinds: addressForgotten, ",
		"mutants: [{fault: {stranger: worker, freezeProxy: worker}}]": "want one fault of these kinds",
		"mutants: [{fault: {}}]":                                      "want one fault of these kinds",
		"mutants: [{fault: {edit: {service: a, path: {}}}}]":          `fault edit: unknown field "path"`,
		"mutants: [{fault: {dnsDown: {slowly: true}}}]":               `fault dnsDown: unknown field "slowly"`,
		"mutants: [{fault: {ownAddress: worker}}]":                    "fault ownAddress: json: cannot unmarshal",
	} {
		_, err := Load(fstest.MapFS{"scenarios/x/mutants.yaml": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "scenarios/x/mutants.yaml") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// Every template of a fault can be filled in, on a cluster that has all that the scenario makes.
func TestTemplatesAreFilledIn(t *testing.T) {
	scene := wholeScene(t, newFakeLab(t))
	for _, name := range slices.Sorted(maps.Keys(loaded(t))) {
		var file struct {
			Mutants []struct {
				Name  string
				Fault map[string]any
			}
		}
		data, err := fs.ReadFile(manifests.FS(), path.Join(scenario.Folder, name, scenario.MutantsFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, m := range file.Mutants {
			delete(m.Fault, "dnsPod") // its template is CoreDNS's
			text, err := yaml.Marshal(m.Fault)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := scene.fill(string(text)); err != nil {
				t.Errorf("mutant %s: %v", m.Name, err)
			}
		}
	}
}

// wholeScene is the lab's scene with every Service and pod that faults are about.
func wholeScene(t *testing.T, lab Lab) Scene {
	t.Helper()
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{serviceName, "forgetful", "same-zone", "anywhere", "first", "router", "required",
		"many-ports", "many-endpoints", "the-longest-name-of-a-service-that-the-api-server-admits-is-63c", "left-alone", "same-node", "without", "elsewhere", "8080-my-service", "mirrored", "several", "narrow", "many"} {
		scene.All[name] = corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
			Spec:   corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.9", "fd00:10:96::9"}, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}}},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "172.18.200.1"}, {IP: "fc00::1"}}}}}
	}
	scene.Service, scene.LoadBalancer = scene.All[serviceName], scene.Balancer(serviceName)
	for _, name := range []string{"my-app-a", "my-app-b", "late", "new", "alpha", "beta"} {
		scene.Pods[name], scene.Pods6[name] = netip.MustParseAddr("10.244.1.9"), netip.MustParseAddr("fd00:244::9")
	}
	return scene
}

func TestNamed(t *testing.T) {
	all := allOf(t)
	found, unknown := Named(all, []string{all[3].Name, "none-such", all[1].Name})
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
	"-worker followed the objects late": "a node",
}

// What a mutant expects a check to say is what some check says: a text that is reworded in one place only would make the
// mutant unnoticed, which only a run on a cluster would show.
func TestSignsAreSaid(t *testing.T) {
	var said []string
	for _, folder := range []string{"checks", "observe", "reach", "steps", "table", "wait", "world"} {
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
	for _, m := range allOf(t) {
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
