package report

import (
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func TestMatrix(t *testing.T) {
	verdict := func(name string, result reach.Result, why string) reach.Verdict {
		return reach.Verdict{Scenario: name, Title: name, Result: result, Elapsed: 1500 * time.Millisecond,
			Steps: []reach.Step{{Name: "look", Result: result, Why: why}}}
	}
	run := func(verdicts ...reach.Verdict) Run {
		return Run{Plan: PlanFor([]string{"beta", "alpha", "gamma"}, verdicts), Verdicts: verdicts}
	}
	columns := []Column{
		{"nftables ipv4", run(verdict("alpha", reach.Pass, ""), verdict("beta", reach.Pass, ""), verdict("gamma", reach.Skipped, "needs two families"))},
		{"iptables dual", run(verdict("alpha", reach.Fail, "no pod answered"), verdict("gamma", reach.Pass, ""))},
	}
	var out strings.Builder
	if err := Matrix(&out, columns, Style{Plain: true}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for row, want := range map[int][]string{
		0: {"scenario", "nftables ipv4", "iptables dual"},
		2: {"alpha", "+ 1.5 s", "X 1.5 s"},
		3: {"beta", "+ 1.5 s", "? lost"},
		4: {"gamma", "- skipped", "+ 1.5 s"},
	} {
		rest := lines[row]
		for _, w := range want {
			i := strings.Index(rest, w)
			if i < 0 {
				t.Fatalf("%q is missing, in its place, from line %d:\n%s", w, row, out.String())
			}
			rest = rest[i+len(w):]
		}
	}
	for _, want := range []string{"no pod answered (iptables dual)", "gamma: needs two families (nftables ipv4)", "FAIL  iptables dual: 3 planned"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is missing from\n%s", want, out.String())
		}
	}
	if got := MatrixResult(columns); got != reach.Fail {
		t.Errorf("the matrix's result is %s, want the worst of its runs", got)
	}
	if got := MatrixResult(nil); got == reach.Pass {
		t.Error("no run at all is no pass")
	}
}
