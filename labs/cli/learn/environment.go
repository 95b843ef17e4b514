package learn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// lessons is what the verbs need of a cluster; lesson.Environment implements it.
type lessons interface {
	Lacks(ctx context.Context, e course.Exercise) (string, error)
	Begin(ctx context.Context, e course.Exercise, namespace string) error
	Check(ctx context.Context, e course.Exercise, namespace string) (coach.Seen, error)
	Look(ctx context.Context, e course.Exercise, namespace string) ([]runner.Snapshot, error)
	Lost(ctx context.Context, e course.Exercise, namespace string) ([]string, error)
	Leave(ctx context.Context, namespaces []string, wait bool) error
	Begun(ctx context.Context) ([]string, error)
	Missing(ctx context.Context, e course.Exercise, namespace string) (string, error)
	Broken(ctx context.Context) ([]string, error)
	Watch(ctx context.Context, e course.Exercise, namespace string) (*lesson.Watch, error)
}

// environment is where exercises are done, and what else of the cluster a learner gets to see.
type environment struct {
	lessons
	values     course.Values
	kubeconfig string
	dynamic    dynamic.Interface
	// copyKubectl is a command that copies the lab's own kubectl to this machine.
	copyKubectl string
}

// connect finds the cluster, once, and offers to bring it up where it is not there. begun are the namespaces of
// exercises that are there.
func (s *session) connect(ctx context.Context) (begun []string, err error) {
	if s.env == nil {
		err := s.spinner.run(coach.Connecting, func() (err error) { s.env, err = s.find(ctx); return err })
		if err != nil {
			return nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if begun, err = s.env.Begun(bounded); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, s.repair(coach.ClusterHalf, err)
	}
	return begun, nil
}

// repair is the error of a cluster that svclab up mends.
func (s *session) repair(id coach.Message, err error) error {
	return errors.New(coach.Say(s.Language, id, err) + "\n" + coach.Say(s.Language, coach.BringUp, s.command("up")))
}

// attach is the entrance to the lab's own cluster.
func (s *session) attach(ctx context.Context) (*environment, error) {
	var log bytes.Buffer
	config := s.Config
	config.Log = &log // of interest only when it fails
	settings, err := config.Settings(ctx)
	if err != nil {
		_, _ = s.Err.Write(log.Bytes())
		return nil, err
	}
	attached, err := cluster.Attach(ctx, settings)
	if errors.Is(err, cluster.ErrNoCluster) {
		if attached, err = s.raise(ctx, settings, err); err != nil {
			return nil, err
		}
	}
	if err != nil && !errors.Is(err, cluster.ErrNoDNS) { // without it the room tells what is missing, and a reset brings it back
		return nil, err
	}
	values, err := clusterValues(ctx, attached)
	if err != nil {
		return nil, s.repair(coach.ClusterHalf, err)
	}
	lab := lab.Cluster{Cluster: attached}
	r := lab.Runner(config.Output, runner.WithReporter(s.spinner), runner.WithSettings(runner.Settings{Heartbeat: 2 * time.Second}),
		runner.WithFailed(func(context.Context, string, string) error { return nil }))
	copying := settings.Engine.Line("cp", settings.Name+"-control-plane:/usr/bin/kubectl", filepath.Join("~", ".local", "bin", "kubectl"))
	return &environment{lessons: lesson.Environment{Cluster: lab, Runner: r, Folder: s.folder}, values: values, kubeconfig: attached.Kubeconfig(),
		dynamic: attached.Dynamic(), copyKubectl: copying}, nil
}

// raise brings the cluster up if the learner wants it; why says what is the matter with it.
func (s *session) raise(ctx context.Context, settings cluster.Settings, why error) (*cluster.Cluster, error) {
	if !s.flags.yes {
		if !s.interactive {
			return nil, s.repair(coach.ClusterGone, why)
		}
		s.spinner.clear()
		s.Say(coach.ClusterGone, why)
		s.Say(coach.BringUp, s.command("up"))
		answer, err := s.ask(coach.RaiseAsk)
		if err != nil || answer != "" && !agreed(answer) {
			return nil, s.repair(coach.ClusterGone, why)
		}
	}
	settings.Log = s.Err
	up, err := cluster.Up(ctx, settings)
	if err != nil {
		return nil, err
	}
	return up, up.Close(ctx)
}

// agreed reports whether an answer means yes.
func agreed(answer string) bool {
	switch strings.ToLower(answer) {
	case "y", "yes", "是", "好":
		return true
	}
	return false
}

// here finds the exercise under way in the room, and makes sure that it can be worked on.
func (s *session) here(ctx context.Context) (course.Exercise, error) {
	name, err := s.current()
	if err != nil {
		return course.Exercise{}, err
	}
	e, _, err := s.open(ctx, name)
	if err != nil {
		return e, err
	}
	return e, s.sound(ctx, e)
}

// sound is the error of an exercise, or of a cluster, from which the learner removed what belongs to it.
func (s *session) sound(ctx context.Context, e course.Exercise) error {
	broken, err := s.env.Broken(ctx)
	if err != nil {
		return err
	}
	if len(broken) > 0 {
		return errors.New(coach.Say(s.Language, coach.Essentials, strings.Join(broken, ", "), s.command("learn reset")))
	}
	missing, err := s.env.Missing(ctx, e, lesson.Namespace(e))
	if err != nil {
		return err
	}
	if missing != "" {
		return errors.New(coach.Say(s.Language, coach.NamespaceGone, missing, s.command("learn reset")))
	}
	return nil
}

// kubeconfigFile is the learner's own: always at one place, so that a shell once wired stays so.
func (s *session) kubeconfigFile() string { return filepath.Join(s.folder, "kubeconfig") }

// wiring shows how to connect a shell to the exercise.
func (s *session) wiring() {
	s.commandLine("export KUBECONFIG=" + shellescape.Quote(s.kubeconfigFile()))
}

// wire writes the learner's kubeconfig: the lab's, in the exercise's namespace.
func (s *session) wire(e course.Exercise) error {
	config, err := clientcmd.LoadFromFile(s.env.kubeconfig)
	if err != nil {
		return fmt.Errorf("wire kubectl to the exercise: %w", err)
	}
	for _, at := range config.Contexts {
		at.Namespace = lesson.Namespace(e)
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("wire kubectl to the exercise: %w", err)
	}
	if err := progress.Replace(s.kubeconfigFile(), data); err != nil {
		return fmt.Errorf("wire kubectl to the exercise: %w", err)
	}
	return nil
}

// workFolder is where an exercise's manifests are put for the learner.
func (s *session) workFolder(e course.Exercise) string {
	return filepath.Join(s.folder, "work", e.Name)
}

// handOut writes the exercise's manifests, anew or only those that are not there, and returns their folder.
func (s *session) handOut(e course.Exercise, anew bool) error {
	folder := s.workFolder(e)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("hand out the exercise's files: %w", err)
	}
	for name, data := range e.Files {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil && !anew {
			continue // the learner may have changed it
		}
		if err := progress.Replace(path, []byte(data)); err != nil {
			return fmt.Errorf("hand out the exercise's files: %w", err)
		}
	}
	return nil
}

// hasKubectl reports whether a learner can call kubectl.
func hasKubectl() bool {
	_, err := exec.LookPath("kubectl")
	return err == nil
}
