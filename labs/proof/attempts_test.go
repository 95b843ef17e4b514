package proof

import (
	"fmt"
	"slices"
	"testing"

	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

// Every answer of every exercise is tried once, each under the exercise's claims, and one of them shows the rest.
func TestEveryAnswerIsTriedOnce(t *testing.T) {
	source := course.Source{Exercises: exercises.FS(), Manifests: manifests.FS(), Kinds: steps.Kinds()}
	names, err := source.Names()
	if err != nil || len(names) == 0 {
		t.Fatalf("%v, %d exercises", err, len(names))
	}
	attempts, err := Prover{Source: source}.attempts(names)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]int{}
	for _, a := range attempts {
		tried[fmt.Sprintf("%s %d%s", a.name, a.solution, a.wrong)]++
	}
	wanted := 0
	for _, name := range names {
		e, err := source.Load(name, course.Sample())
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.Solutions {
			wanted++
			if n := tried[fmt.Sprintf("%s %d", name, i)]; n != 1 {
				t.Errorf("%s: solution %d is tried %d times", name, i, n)
			}
		}
		for _, w := range e.Wrong {
			wanted++
			if n := tried[fmt.Sprintf("%s -1%s", name, w.Name)]; n != 1 {
				t.Errorf("%s: wrong answer %s is tried %d times", name, w.Name, n)
			}
		}
		for _, a := range attempts {
			if a.name == name && (!slices.Equal(a.plan.Claims, e.Claims) || !slices.Equal(a.plan.Shares, e.Shares)) {
				t.Errorf("%s: an attempt claims %v and shares %v", name, a.plan.Claims, a.plan.Shares)
			}
		}
	}
	if len(attempts) != wanted {
		t.Errorf("%d attempts at %d answers", len(attempts), wanted)
	}
}
