package cli

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

// A run that skipped every scenario, such as dual-stack on a cluster with IPv4 only, has no verdict: exit code 2.
func TestNothingRan(t *testing.T) {
	for result, want := range map[reach.Result]int{reach.Pass: 0, reach.Fail: 1, reach.Inconclusive: 2, reach.Skipped: 2} {
		a := &app{console.App{Streams: console.Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}}}
		a.Config.Output = t.TempDir()
		verdicts := []reach.Verdict{{Scenario: "dual-stack", Title: "t", Result: result, Steps: []reach.Step{{Name: "look", Result: result}}}}
		run := report.Run{Tool: "svclab", Plan: report.PlanFor([]string{"dual-stack"}, verdicts), Verdicts: verdicts}
		root := &cobra.Command{Use: "verify", RunE: func(*cobra.Command, []string) error { return a.publish(run, false, true) }}
		if code := a.Run(t.Context(), root, []string{}); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", result, code, want, a.Out, a.Err)
		}
	}
}
