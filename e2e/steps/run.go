package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/tether"
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

// ReadOnly reports whether it is a kubectl get.
func (r Run) ReadOnly() bool {
	words, err := scenario.Words(r.Command)
	return err == nil && len(words) > 1 && words[1] == "get"
}

// Uses has the command as a request, unless it is to fail. What it prints is judged.
func (r Run) Uses(scenario.Scenario) scenario.Uses {
	uses := scenario.Uses{Judges: true}
	if r.Exit == 0 {
		uses.Requests = []string{r.Command}
	}
	return uses
}

// Do runs the command as a reader would type it, on the lab's cluster and in the scenario's namespace, and
// compares its exit code and what it printed. No shell is involved. kubectl keeps HOME and PATH, where credential plugins
// find what they need, but not the user's kuberc and cache.
func (r Run) Do(ctx context.Context, env *Env) (Report, error) {
	words, err := scenario.Words(r.Command)
	if err != nil {
		return Report{}, err
	}
	for i := range words {
		if words[i], err = renamedText(words[i], env.Facts.Slots); err != nil {
			return Report{}, err
		}
		filled, err := env.fillIn(ctx, words[i])
		if err != nil {
			return Report{}, err
		}
		words[i] = filled.(string) // as it was
	}
	cache, err := os.MkdirTemp("", "svclab-kubectl-")
	if err != nil {
		return Report{}, fmt.Errorf("make a cache folder for kubectl: %w", err)
	}
	defer func() { _ = os.RemoveAll(cache) }() // nothing of ours is in it; a rest in the temporary folder does no harm
	argv := []string{"--kubeconfig", env.Cluster.Kubeconfig(), "--namespace", env.Namespace}
	if name := env.Cluster.Context(); name != "" {
		argv = append(argv, "--context", name)
	}
	argv = append(argv, words[1:]...)
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, env.Settings.Kubectl, argv...)
	tether.Bind(command)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = append(os.Environ(), "KUBECACHEDIR="+cache, "KUBECONFIG="+env.Cluster.Kubeconfig(), "KUBECTL_KUBERC=false", "LC_ALL=C")
	// A credential plugin that kubectl started may hold the pipes open after kubectl was killed; Wait would wait for it.
	command.WaitDelay = 5 * time.Second

	line := strings.Join(strings.Fields(strings.ReplaceAll(r.Command, "\\\n", " ")), " ")
	env.Progress.Say("the end of "+line, "")
	defer env.Progress.Say("", "")
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Report{}, env.ranOut(ctx, "the end of "+line, stdout.String()+stderr.String())
	case err != nil && !errors.As(err, &exit):
		return Report{}, fmt.Errorf("run %s (kubectl is %q; put it on PATH or name another): %w", line, env.Settings.Kubectl, err)
	}
	report := Report{Lines: []string{"$ " + line}}
	logged := tooEarly.ReplaceAllString(stderr.String(), "")
	for out := range strings.Lines(stdout.String() + logged) {
		report.Lines = append(report.Lines, strings.TrimRight(out, "\n"))
	}
	err = r.compare(command.ProcessState.ExitCode(), stdout.String(), logged)
	if why := notServed.FindString(logged); err != nil && why != "" {
		return report, fmt.Errorf("kubectl got no answer to judge from the API server; check the kubeconfig's server and user: %s", why)
	}
	if why := tooEarly.FindString(stderr.String()); err != nil && why != "" {
		return report, fmt.Errorf("kubectl may have lost what the command printed: %s", strings.TrimSpace(why))
	}
	return report, err
}

// notServed finds the line with which kubectl says that it did not reach the API server, was not logged in or not allowed, or
// that the server did not serve the request. None of this is about Services.
var notServed = regexp.MustCompile(`(?m)^(error: )?(Unable to connect to the server|The connection to the server|You must be logged in to the server|` +
	`unable to upgrade connection|.*getting credentials: |Error from server: error dialing backend|` +
	`Error from server \((Forbidden|InternalError|ServerTimeout|ServiceUnavailable|Timeout|TooManyRequests|Unauthorized)\)).*$`)

// tooEarly finds the line that kubectl exec logs when a message comes before it has made the stream for it, which a busy machine
// shows. It drops that message. The first one of each stream is empty, so that as a rule nothing is lost.
var tooEarly = regexp.MustCompile(`(?m)^E[0-9]{4} .*\.go:[0-9]+\] "?Unknown stream.*\n?`)

// compare compares what a command did with what it was to do.
func (r Run) compare(exit int, stdout, stderr string) error {
	if exit != r.Exit {
		return reach.Failf("it ended with exit code %d, want %d; it printed %q", exit, r.Exit, strings.TrimSpace(stdout+stderr))
	}
	for _, stream := range []struct {
		name, text string
		want       []string
	}{{"stdout", stdout, r.Stdout}, {"stderr", stderr, r.Stderr}} {
		text := strings.Join(strings.Fields(stream.text), " ")
		for _, part := range stream.want {
			if !strings.Contains(text, strings.Join(strings.Fields(part), " ")) {
				return reach.Failf("%s does not have %q: it is %q", stream.name, part, strings.TrimSpace(stream.text))
			}
		}
	}
	return nil
}
