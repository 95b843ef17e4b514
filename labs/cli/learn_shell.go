package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/lesson"
)

// shell opens the learner's shell in the exercise's folder: kubectl goes to the lab and the exercise's namespace, and
// svclab is on PATH.
func (d *desk) shell(ctx context.Context) error {
	e, err := d.here(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(d.wire(e), d.handOut(e, false)); err != nil {
		return err
	}
	d.Say(coach.ShellIn, e.ID, lesson.Namespace(e))
	if !hasKubectl() {
		d.Say(coach.NoKubectl, d.room.copyKubectl)
	}
	program := os.Getenv("SHELL")
	if program == "" {
		program = "/bin/sh"
	}
	command := exec.CommandContext(ctx, program)
	command.Dir = d.workFolder(e)
	command.Stdin, command.Stdout, command.Stderr = d.In, d.Out, d.Err
	if command.Env, err = d.environment(); err != nil {
		return err
	}
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // the exit code is that of the learner's last command
		return fmt.Errorf("open the shell %s: %w; name another with SHELL", program, err)
	}
	d.Say(coach.ShellOut)
	return d.Done()
}

// environment is what a learner's shell is given.
func (d *desk) environment() ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find svclab itself: %w", err)
	}
	path := filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH")
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KUBECONFIG=") && !strings.HasPrefix(variable, "PATH=") && !strings.HasPrefix(variable, "SVCLAB_") {
			env = append(env, variable)
		}
	}
	env = append(env, "KUBECONFIG="+d.kubeconfigFile(), "PATH="+path)
	return append(env, d.config.Environ()...), nil
}
