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
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/page"
	"github.com/svclab/svclab/labs/progress"
)

// lessons is the part of a lesson.Environment that the verbs use.
type lessons interface {
	Lacks(ctx context.Context, e course.Exercise) (string, error)
	Begin(ctx context.Context, e course.Exercise, namespace string) error
	Check(ctx context.Context, e course.Exercise, namespace string) (coach.Seen, error)
	Hand(ctx context.Context, e course.Exercise, namespace string) (string, error)
	Look(ctx context.Context, e course.Exercise, namespace string) ([]runner.Snapshot, error)
	Lost(ctx context.Context, e course.Exercise, namespace string) ([]string, error)
	Leave(ctx context.Context, namespaces []string, wait bool) error
	Begun(ctx context.Context) ([]string, error)
	Missing(ctx context.Context, e course.Exercise, namespace string) (string, error)
	Broken(ctx context.Context) ([]string, error)
	Watch(ctx context.Context, e course.Exercise, namespace string) (*lesson.Watch, error)
}

// environment is the cluster on which exercises are done.
type environment struct {
	lessons
	values     course.Values
	kubeconfig string
	// walk traces a connection; nil: nothing can be traced.
	walk    func(ctx context.Context, namespaces []string, from string, to scenario.To) (trace.Trace, error)
	dynamic dynamic.Interface
	// unlock frees the cluster's lock; nil: there is none.
	unlock func() error
	// shown is the cluster as a page shows it.
	shown page.Options
	// copyKubectl is a command that copies the lab's own kubectl to this machine.
	copyKubectl string
}

// connect finds the cluster, and offers to bring it up if it does not exist. A later call only checks that it answers. begun are
// the namespaces of exercises in the cluster.
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

// repair returns the error of a cluster that svclab up repairs.
func (s *session) repair(id coach.Message, err error) error {
	return errors.New(coach.Say(s.Language, id, err) + "\n" + coach.Say(s.Language, coach.BringUp, s.command("up")))
}

// attach connects to the lab's own cluster, which other verbs of learn may use at the same time.
func (s *session) attach(ctx context.Context) (*environment, error) {
	_, env, err := s.attachWith(ctx, cluster.Shared)
	return env, err
}

// attachWith connects to the lab's own cluster.
func (s *session) attachWith(ctx context.Context, access cluster.Access) (*cluster.Cluster, *environment, error) {
	if s.flags.unconfigured != nil {
		return nil, nil, s.flags.unconfigured
	}
	var log bytes.Buffer
	config := s.Config
	config.Log = &log // printed only on failure
	settings, err := config.Settings(ctx)
	if err != nil {
		_, _ = s.Err.Write(log.Bytes())
		return nil, nil, err
	}
	attached, err := cluster.Attach(ctx, settings, access)
	if errors.Is(err, cluster.ErrNoCluster) {
		if err = s.raise(ctx, settings, err); err != nil {
			return nil, nil, err
		}
		attached, err = cluster.Attach(ctx, settings, access)
	}
	if err != nil && !errors.Is(err, cluster.ErrNoDNS) { // a learner may have deleted CoreDNS: sound says so, and a reset restores it
		return nil, nil, err
	}
	s.spinner.Waiting("", "", 0, "the prober to be built") // unless svclab up has built it
	if err := attached.BuildProber(ctx); err != nil {
		return nil, nil, err
	}
	s.spinner.Waiting("", "", 0, "")
	values, err := clusterValues(ctx, attached)
	if err != nil {
		return nil, nil, s.repair(coach.ClusterHalf, err)
	}
	lab := lab.Cluster{Cluster: attached}
	r := lab.Runner(config.Output, runner.WithReporter(s.spinner), runner.WithSettings(runner.Settings{Heartbeat: 2 * time.Second}),
		runner.WithFailed(func(context.Context, string, string) error { return nil }))
	copying := settings.Engine.Line("cp", settings.Name+"-control-plane:/usr/bin/kubectl", filepath.Join("~", ".local", "bin", "kubectl"))
	return attached, &environment{lessons: lesson.Environment{Cluster: lab, Runner: r, Folder: s.folder}, values: values, kubeconfig: attached.Kubeconfig(),
		walk: lab.Walk, dynamic: attached.Dynamic(), unlock: attached.Lock().Release, copyKubectl: copying,
		shown: page.Options{Cluster: attached, Prober: lab.Probes(), Trace: lab.TraceWalk}}, nil
}

// raise brings the cluster up if the learner agrees. why says why that is necessary.
func (s *session) raise(ctx context.Context, settings cluster.Settings, why error) error {
	if !s.flags.yes {
		if !s.interactive {
			return s.repair(coach.ClusterGone, why)
		}
		s.spinner.clear()
		s.Say(coach.ClusterGone, why)
		s.Say(coach.BringUp, s.command("up"))
		answer, err := s.ask(coach.RaiseAsk)
		if err != nil || answer != "" && !agreed(answer) {
			return s.repair(coach.ClusterGone, why)
		}
	}
	settings.Log = s.Err
	up, err := cluster.Up(ctx, settings)
	if err != nil {
		return err
	}
	return up.Close(ctx)
}

// agreed reports whether an answer means yes.
func agreed(answer string) bool {
	switch strings.ToLower(answer) {
	case "y", "yes", "是", "好":
		return true
	}
	return false
}

// here returns the current exercise. It is an error if objects are missing without which it cannot be done.
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

// sound returns an error if the learner deleted objects that every exercise needs, or a namespace of the exercise.
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

// kubeconfigFile is the learner's kubeconfig. Its path never changes, so a shell that was connected once stays connected.
func (s *session) kubeconfigFile() string { return filepath.Join(s.folder, "kubeconfig") }

// wiring prints the command that connects a shell to the exercise.
func (s *session) wiring() {
	s.commandLine("export KUBECONFIG=" + shellescape.Quote(s.kubeconfigFile()))
}

// wire writes the learner's kubeconfig: that of the lab, with the exercise's namespace.
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

// workFolder is the folder of the learner's copies of an exercise's manifests.
func (s *session) workFolder(e course.Exercise) string {
	return filepath.Join(s.folder, "work", e.Name)
}

// handOut writes the exercise's manifests into the work folder. Files that exist are replaced only if replace is set.
func (s *session) handOut(e course.Exercise, replace bool) error {
	folder := s.workFolder(e)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("hand out the exercise's files: %w", err)
	}
	for name, data := range e.Files {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil && !replace {
			continue // the learner may have changed it
		}
		if err := progress.Replace(path, []byte(data)); err != nil {
			return fmt.Errorf("hand out the exercise's files: %w", err)
		}
	}
	return nil
}

// hasKubectl reports whether kubectl is on the PATH.
func hasKubectl() bool {
	_, err := exec.LookPath("kubectl")
	return err == nil
}
