package upstream

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/scenario"
)

func TestSpecs(t *testing.T) {
	known := map[string]scenario.Behaviour{}
	for _, b := range scenario.Behaviours() {
		known[b.ID] = b
	}
	area := regexp.MustCompile(`^\[sig-network\] .*Service.* \[Conformance\]$`)
	for _, minor := range []string{"1.34", "1.35", "1.36", "1.37"} {
		specs, err := Specs(minor)
		if err != nil {
			t.Fatal(err)
		}
		if len(specs) != 24 {
			t.Errorf("%s: %d specs, want 24", minor, len(specs))
		}
		for i, s := range specs {
			if i > 0 && specs[i-1].Name == s.Name {
				t.Errorf("%s: %s is there twice", minor, s.Name)
			}
			if !area.MatchString(s.Name) && s.Name != "[sig-network] Services should provide secure master service [Conformance]" {
				t.Errorf("%s: %s is not a conformance spec of Services", minor, s.Name)
			}
			if (len(s.Behaviours) == 0) == (s.Else == "") {
				t.Errorf("%s: %s wants either behaviours or what else it is about", minor, s.Name)
			}
			for _, id := range s.Behaviours {
				if b, ok := known[id]; !ok || !b.Upstream {
					t.Errorf("%s: %s is about %q, which svclab does not know as a behaviour that upstream has", minor, s.Name, id)
				}
			}
		}
	}
	if _, err := Specs("1.12"); err == nil || !strings.Contains(err.Error(), "1.12") {
		t.Errorf("Kubernetes 1.12: got %v", err)
	}
}

func TestFocusMatchesTheSpecsAndNoOther(t *testing.T) {
	specs, err := Specs("1.37")
	if err != nil {
		t.Fatal(err)
	}
	focus := regexp.MustCompile(Focus(specs))
	for _, s := range specs {
		// Ginkgo matches the suite's name and the spec's text
		if !focus.MatchString("Kubernetes e2e suite " + s.Name) {
			t.Errorf("%s is not in focus", s.Name)
		}
	}
	for _, name := range []string{
		"[sig-network] Services should serve a basic endpoint from pods",
		"[sig-network] Services should serve a basic endpoint from pods [Conformance] [Slow]",
		"[sig-network] DNS should provide DNS for services [Conformance]",
	} {
		if focus.MatchString("Kubernetes e2e suite " + name) {
			t.Errorf("%s is in focus", name)
		}
	}
	if !slices.IsSortedFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the specs are not in order")
	}
}
