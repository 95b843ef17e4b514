package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// kubectl runs a command as a reader would type it, on the lab's cluster and in the scenario's namespace, and
// compares its exit code and what it printed. No shell is involved, and the user's own kubectl settings are not:
// kubectl's home is a folder made for the call.
func (s *session) kubectl(ctx context.Context, run steps.Run) (stepReport, error) {
	words, err := scenario.Words(run.Command)
	if err != nil {
		return stepReport{}, err
	}
	for i := range words {
		if words[i], err = renamedText(words[i], s.facts.Slots); err != nil {
			return stepReport{}, err
		}
	}
	home, err := os.MkdirTemp("", "svclab-kubectl-")
	if err != nil {
		return stepReport{}, fmt.Errorf("make a home for kubectl: %w", err)
	}
	defer func() { _ = os.RemoveAll(home) }() // nothing of ours is in it; a rest in the temporary folder does no harm
	argv := []string{"--kubeconfig", s.runner.cluster.Kubeconfig(), "--namespace", s.namespace}
	if name := s.runner.cluster.Context(); name != "" {
		argv = append(argv, "--context", name)
	}
	argv = append(argv, words[1:]...)
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, s.runner.settings.Kubectl, argv...)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+s.runner.cluster.Kubeconfig(), "KUBECTL_KUBERC=false", "LC_ALL=C")
	command.WaitDelay = 5 * time.Second

	line := strings.Join(strings.Fields(strings.ReplaceAll(run.Command, "\\\n", " ")), " ")
	s.progress.say("the end of "+line, "")
	defer s.progress.say("", "")
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return stepReport{}, s.ranOut(ctx, "the end of "+line, stdout.String()+stderr.String())
	case err != nil && !errors.As(err, &exit):
		return stepReport{}, fmt.Errorf("run %s (kubectl is %q; put it on PATH or name another): %w", line, s.runner.settings.Kubectl, err)
	}
	report := stepReport{lines: []string{"$ " + line}}
	for out := range strings.Lines(stdout.String() + stderr.String()) {
		report.lines = append(report.lines, strings.TrimRight(out, "\n"))
	}
	return report, asPrinted(run, command.ProcessState.ExitCode(), stdout.String(), stderr.String())
}

// asPrinted compares what a command did with what it was to do.
func asPrinted(run steps.Run, exit int, stdout, stderr string) error {
	if exit != run.Exit {
		return failf("it ended with exit code %d, want %d; it printed %q", exit, run.Exit, strings.TrimSpace(stdout+stderr))
	}
	for _, stream := range []struct {
		name, text string
		want       []string
	}{{"stdout", stdout, run.Stdout}, {"stderr", stderr, run.Stderr}} {
		text := strings.Join(strings.Fields(stream.text), " ")
		for _, part := range stream.want {
			if !strings.Contains(text, strings.Join(strings.Fields(part), " ")) {
				return failf("%s does not have %q: it is %q", stream.name, part, strings.TrimSpace(stream.text))
			}
		}
	}
	return nil
}
