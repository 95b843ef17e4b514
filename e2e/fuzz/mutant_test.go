package fuzz

import (
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
)

func mutantsOfHistories(t *testing.T) []Mutant {
	list, err := LoadMutants(os.DirFS("../../manifests"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

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
	others, err := mutants.Load(os.DirFS("../../manifests"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range others { // svclab mutants takes both by their names
		names[m.Name] = true
	}
	for _, m := range mutantsOfHistories(t) {
		if names[m.Name] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`).MatchString(m.Name) || m.Effect == "" || len(m.Breaks) == 0 {
			t.Errorf("mutant %q: its name is there twice or is no words joined by dashes, or it lacks an effect or rules", m.Name)
		}
		names[m.Name] = true
		for _, rule := range slices.Concat(m.Breaks, m.Also) {
			if !known[rule] {
				t.Errorf("%s: there is no rule %s", m.Name, rule)
			}
		}
		for _, rule := range m.Breaks {
			covered[rule] = true
		}
		for _, text := range []string{m.Fault.NAT, m.Fault.Filter, m.Fault.Run} {
			rule, err := template.New("").Parse(text)
			if err == nil {
				err = rule.Execute(&strings.Builder{}, faultScene{})
			}
			if err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
		if m.Fault.NAT+m.Fault.Filter+m.Fault.Run == "" && !m.Fault.FreezeProxy || m.Fault.First > len(m.Operations) {
			t.Errorf("%s: its fault does nothing, or begins after the last operation", m.Name)
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
		scene, err := sceneOf(model.now, testNamespace)
		if err != nil || scene.Stranger == "" || scene.Other == "" || scene.TCP == "" || scene.UDP == "" || scene.Stranger == scene.UDP {
			t.Errorf("%s: %+v, %v", m.Name, scene, err)
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
	s, _ := on(t, 1, nil)
	exec := &scripts{}
	s.cluster = exec
	a := &affliction{Fault: Fault{NAT: "ip daddr {{.VIP}} dnat to {{.UDP}}", First: 2}, session: s, scene: faultScene{Family: "ip", VIP: "10.96.0.1", UDP: "10.244.0.1:53"}}
	a.Lasts.Duration = time.Millisecond
	for range 2 {
		if len(exec.said) != 0 {
			t.Fatalf("before its operation: %v", exec.said)
		}
		if err := a.operated(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	nodes := len(s.vantages)/2 - 1
	if len(exec.said) != 2*nodes || !strings.Contains(exec.said[0], "chain output { type nat hook output priority -160; ip daddr 10.96.0.1 dnat to 10.244.0.1:53; }") || !strings.Contains(exec.said[nodes], "delete table") {
		t.Errorf("%d on %d nodes: %q", len(exec.said), nodes, exec.said)
	}
	var none *affliction
	if err := none.operated(context.Background()); err != nil {
		t.Error(err)
	}
}

// scripts is a cluster that keeps the shell commands that are to be run on its nodes.
type scripts struct {
	Cluster
	said []string
}

func (s *scripts) Exec(_ context.Context, _ reach.Vantage, argv []string, _ io.Reader, _, _ io.Writer) error {
	s.said = append(s.said, argv[len(argv)-1])
	return nil
}
