package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
)

// shell opens the learner's shell in the exercise's folder. There kubectl uses the lab's cluster and the exercise's namespace, and
// svclab is on the PATH.
func (s *session) shell(ctx context.Context) error {
	e, err := s.here(ctx)
	if err != nil {
		return err
	}
	command, err := s.shellOf(ctx, e)
	if err != nil {
		return err
	}
	s.Say(coach.ShellIn, e.ID, lesson.Namespace(e))
	if !hasKubectl() {
		s.Say(coach.NoKubectl, s.env.copyKubectl)
	}
	command.Stdin, command.Stdout, command.Stderr = s.In, s.Out, s.Err
	if s.env.unlock != nil { // a shell may stay open for days, and the cluster be brought up again from it
		if err := s.env.unlock(); err != nil {
			return err
		}
	}
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // an exit code is that of the learner's last command, and no error of svclab
		return fmt.Errorf("open the shell %s: %w; name another with SHELL", command.Path, err)
	}
	s.Say(coach.ShellOut)
	return s.Done()
}

// shellOf returns the learner's shell, which runs in the exercise's folder and ends with ctx.
func (s *session) shellOf(ctx context.Context, e course.Exercise) (*exec.Cmd, error) {
	if err := errors.Join(s.wire(e), s.handOut(e, false)); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, cmp.Or(os.Getenv("SHELL"), "/bin/sh"))
	command.Dir = s.workFolder(e)
	var err error
	command.Env, err = s.environment()
	return command, err
}

// environment returns the environment variables of the learner's shell.
func (s *session) environment() ([]string, error) {
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
	env = append(env, "KUBECONFIG="+s.kubeconfigFile(), "PATH="+path)
	return append(env, s.Config.Environ()...), nil
}
