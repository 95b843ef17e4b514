package steps

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Run is a kubectl command, with the lab's kubeconfig and the scenario's namespace.
type Run struct {
	// Command is split into words as a shell does, but no shell runs it: no pipes, variables or globs.
	Command string `json:"command"`
	// Exit is the exit code it must end with.
	Exit int `json:"exit,omitempty"`
	// Stdout and Stderr are texts that must be printed there. Runs of blanks count as one blank.
	Stdout scenario.Strings `json:"stdout,omitempty"`
	Stderr scenario.Strings `json:"stderr,omitempty"`
}

// Validate wants a kubectl command that stays on the lab's cluster and in the scenario's namespace.
func (r Run) Validate(in scenario.Scenario) error {
	words, err := scenario.Words(r.Command)
	if err != nil {
		return err
	}
	if len(words) < 2 || words[0] != "kubectl" {
		return fmt.Errorf("run %q: want a kubectl command", r.Command)
	}
	for _, w := range words {
		flag, _, _ := strings.Cut(w, "=")
		if slices.Contains([]string{"--kubeconfig", "--context", "--cluster", "--server", "-s", "--user"}, flag) {
			return fmt.Errorf("run: leave out %s: the runner says which cluster is meant", flag)
		}
		if slices.Contains([]string{"--namespace", "-n", "-A", "--all-namespaces"}, flag) && !in.MayDisturb() {
			return fmt.Errorf("run: %s leaves the scenario's namespace, which needs nodeControl and a claim or serial: true", flag)
		}
	}
	return nil
}

// Describe is the command, on one line.
func (r Run) Describe() string {
	return "run " + strings.Join(strings.Fields(strings.ReplaceAll(r.Command, "\\\n", " ")), " ")
}

// ReadOnly is false.
func (Run) ReadOnly() bool { return false }

// Uses has the command as a request, unless it is to fail. What it prints is judged.
func (r Run) Uses(scenario.Scenario) scenario.Uses {
	uses := scenario.Uses{Judges: true}
	if r.Exit == 0 {
		uses.Requests = []string{r.Command}
	}
	return uses
}
