package fuzz

import (
	"context"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// TestMutants: each rule over time has a mutant, and each mutant's history can be played.
func TestMutants(t *testing.T) {
	// No operation does what these need: see manifests/histories/mutants.yaml.
	covered := map[string]bool{oracle.RuleOverSwitch: true, "over-time-forgotten": true}
	known := map[string]bool{}
	for _, r := range oracle.RulesOverTime() {
		known[r.ID] = true
	}
	plan := Generate(mutantSeed, testScene(false), 0)
	plan.Pods = gated(plan.Pods)
	all, err := mutants.Load(os.DirFS("../../manifests"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := MutantsOf(all)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, m := range all {
		names[m.Name]++
	}
	for _, m := range list {
		if names[m.Name] > 1 || !regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`).MatchString(m.Name) || m.Effect == "" || len(m.Breaks) == 0 {
			t.Errorf("mutant %q: its name is there twice or is no words joined by dashes, or it lacks an effect or rules", m.Name)
		}
		for _, rule := range slices.Concat(m.Breaks, m.Also) {
			if !known[rule] {
				t.Errorf("%s: there is no rule %s", m.Name, rule)
			}
		}
		for _, rule := range m.Breaks {
			covered[rule] = true
		}
		if m.Fault.Inject == nil || m.First > len(m.Operations) {
			t.Errorf("%s: it has no fault, or its fault begins after the last operation", m.Name)
		}
		h, err := m.history(testScene(false), plan.Pods)
		if err != nil {
			t.Error(err)
			continue
		}
		state, model := h.Start, newModel(plan, false)
		for _, c := range h.Start.Cases {
			if problem := invalidNow(c); problem != "" {
				t.Errorf("%s: %s: %s", m.Name, c.Name(), problem)
			}
		}
		if _, err := model.move(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		scene, err := sceneOf(model.now, world.Facts{Slots: map[string]string{"worker2": "lab-worker2"}}, testNamespace)
		if err != nil || !scene.Stranger.IsValid() || !scene.Other.IsValid() || !scene.TCP.IsValid() || !scene.UDP.IsValid() || scene.Stranger == scene.UDP {
			t.Errorf("%s: %+v, %v", m.Name, scene, err)
		}
		lab := &scripts{}
		if err := m.Fault.Inject(t.Context(), lab, scene); err != nil || len(lab.said) == 0 {
			t.Errorf("%s: the fault does %q: %v", m.Name, lab.said, err)
		}
		for _, o := range h.Operations {
			through := o.states(state)
			if len(through) == 0 {
				t.Errorf("%s: there is nothing to do for %s", m.Name, o)
				break
			}
			state = through[len(through)-1]
		}
	}
	for rule := range known {
		if !covered[rule] {
			t.Errorf("no mutant breaks rule %s", rule)
		}
	}
}

// TestMutantIsNoticed: by the rules that it names, and by no others.
func TestMutantIsNoticed(t *testing.T) {
	m := Mutant{Breaks: []string{"one", "two"}, Also: []string{"three"}}
	flow := func(rule string, result reach.Result) reach.FlowVerdict {
		return reach.FlowVerdict{Fate: reach.Fate{Rule: rule}, Result: result, Difference: "lost"}
	}
	for name, tc := range map[string]struct {
		flows []reach.FlowVerdict
		more  int
		wrong string
	}{
		"noticed":        {[]reach.FlowVerdict{flow("one", reach.Fail), flow("two", reach.Fail), flow("three", reach.Fail), flow("four", reach.Pass)}, 1, ""},
		"one is missing": {[]reach.FlowVerdict{flow("one", reach.Fail), flow("two", reach.Inconclusive)}, 0, "no flow breaks rule two"},
		"another":        {[]reach.FlowVerdict{flow("one", reach.Fail), flow("two", reach.Fail), flow("four", reach.Fail)}, 1, "rule four is broken too"},
	} {
		by, more, wrong := m.read(played{flows: tc.flows})
		if !strings.HasPrefix(by, "one: ") || more != tc.more || !strings.HasPrefix(wrong, tc.wrong) || (wrong == "") != (tc.wrong == "") {
			t.Errorf("%s: by %q and %d more: %q", name, by, more, wrong)
		}
	}
}

// TestFaultIsInjected: on every node, from its operation on, and removed.
func TestFaultIsInjected(t *testing.T) {
	exec := &scripts{}
	m := Mutant{First: 2, Lasts: metav1.Duration{Duration: time.Millisecond}}
	if err := m.Fault.UnmarshalJSON([]byte(`{"filter": {"everyClient": ["ip daddr {{.VIP}} dnat ip to {{.UDP}}"]}}`)); err != nil {
		t.Fatal(err)
	}
	a := &affliction{Mutant: &m, lab: exec, scene: mutants.Scene{VIP: netip.MustParseAddr("10.96.0.1"), UDP: netip.MustParseAddrPort("10.244.0.1:53")}}
	for range 2 {
		if len(exec.said) != 0 {
			t.Fatalf("before its operation: %v", exec.said)
		}
		if err := a.operated(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rule := "type nat hook output priority -120; policy accept;\n    ip daddr 10.96.0.1 dnat ip to 10.244.0.1:53\n"
	if len(exec.said) != 4 || !strings.Contains(exec.said[1], rule) || strings.Contains(exec.said[2], rule) || !strings.Contains(exec.said[2], "delete table") {
		t.Errorf("on two nodes: %q", exec.said)
	}
	var none *affliction
	if err := none.operated(context.Background()); err != nil {
		t.Error(err)
	}
}

// scripts is a cluster of two nodes that keeps what faults do to them.
type scripts struct {
	mutants.Lab
	said []string
}

func (s *scripts) Vantages(context.Context) ([]reach.Vantage, error) {
	return []reach.Vantage{{Name: "node/worker", Kind: reach.Node}, {Name: "outside", Kind: reach.Outside}, {Name: "node/worker2", Kind: reach.Node}}, nil
}

func (s *scripts) Exec(_ context.Context, _ reach.Vantage, argv []string, stdin io.Reader, _, _ io.Writer) error {
	text := argv[len(argv)-1]
	if stdin != nil {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		text = string(data)
	}
	s.said = append(s.said, text)
	return nil
}

func (s *scripts) FreezeProxy(_ context.Context, node string) error {
	s.said = append(s.said, "freeze "+node)
	return nil
}
