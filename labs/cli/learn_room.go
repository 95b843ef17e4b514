package cli

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

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/setup"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// classroom is what the verbs need of a cluster; lesson.Room is one.
type classroom interface {
	Lacks(ctx context.Context, e course.Exercise) (string, error)
	Begin(ctx context.Context, e course.Exercise, namespace string) error
	Check(ctx context.Context, e course.Exercise, namespace string) (coach.Seen, error)
	Look(ctx context.Context, e course.Exercise, namespace string) ([]runner.Noted, error)
	Lost(ctx context.Context, e course.Exercise, namespace string) ([]string, error)
	Leave(ctx context.Context, namespaces []string, wait bool) error
	Begun(ctx context.Context) ([]string, error)
	Missing(ctx context.Context, e course.Exercise, namespace string) (string, error)
	Broken(ctx context.Context) ([]string, error)
	Watch(ctx context.Context, e course.Exercise, namespace string) (*lesson.Watch, error)
}

// room is a classroom, and what else of the cluster a learner comes to see.
type room struct {
	classroom
	values     course.Values
	kubeconfig string
	dynamic    dynamic.Interface
	// copyKubectl is a command that copies the lab's own kubectl to this machine.
	copyKubectl string
}

// entrance finds the cluster.
type entrance func(ctx context.Context) (*room, error)

// enterRoom finds the cluster, once, and offers to bring it up where it is not there. begun are the namespaces of
// exercises that are there.
func (d *desk) enterRoom(ctx context.Context) (begun []string, err error) {
	if d.room == nil {
		err := d.clock.run(coach.Connecting, func() (err error) { d.room, err = d.enter(ctx); return err })
		if err != nil {
			return nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if begun, err = d.room.Begun(bounded); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, d.repair(coach.ClusterHalf, err)
	}
	return begun, nil
}

// repair is the error of a cluster that svclab up mends.
func (d *desk) repair(id coach.ID, err error) error {
	return errors.New(coach.Say(d.Language, id, err) + "\n" + coach.Say(d.Language, coach.BringUp, d.command("up")))
}

// attach is the entrance to the lab's own cluster.
func (d *desk) attach(ctx context.Context) (*room, error) {
	var log bytes.Buffer
	config := d.config
	config.Log = &log // of interest only when it fails
	settings, err := config.Settings(ctx)
	if err != nil {
		_, _ = d.Err.Write(log.Bytes())
		return nil, err
	}
	attached, err := cluster.Attach(ctx, settings)
	if errors.Is(err, cluster.ErrNoCluster) {
		if attached, err = d.raise(ctx, settings, err); err != nil {
			return nil, err
		}
	}
	if err != nil && !errors.Is(err, cluster.ErrNoDNS) { // without it the room tells what is missing, and a reset brings it back
		return nil, err
	}
	values, err := clusterValues(ctx, attached)
	if err != nil {
		return nil, d.repair(coach.ClusterHalf, err)
	}
	lab := setup.Lab{Cluster: attached}
	r := lab.Runner(config.Output, runner.WithReporter(d.clock), runner.WithSettings(runner.Settings{Heartbeat: 2 * time.Second}),
		runner.WithFailed(func(context.Context, string, string) {}))
	copying := settings.Engine.Line("cp", settings.Name+"-control-plane:/usr/bin/kubectl", filepath.Join("~", ".local", "bin", "kubectl"))
	return &room{classroom: lesson.Room{Cluster: lab, Runner: r, Notes: d.folder}, values: values, kubeconfig: attached.Kubeconfig(),
		dynamic: attached.Dynamic(), copyKubectl: copying}, nil
}

// raise brings the cluster up if the learner wants it; why says what is the matter with it.
func (d *desk) raise(ctx context.Context, settings cluster.Settings, why error) (*cluster.Cluster, error) {
	if !d.flags.yes {
		if !d.lively {
			return nil, d.repair(coach.ClusterGone, why)
		}
		d.clock.wipe()
		d.Say(coach.ClusterGone, why)
		d.Say(coach.BringUp, d.command("up"))
		answer, err := d.ask(coach.RaiseAsk)
		if err != nil || answer != "" && !agreed(answer) {
			return nil, d.repair(coach.ClusterGone, why)
		}
	}
	settings.Log = d.Err
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
func (d *desk) here(ctx context.Context) (course.Exercise, error) {
	name, err := d.current()
	if err != nil {
		return course.Exercise{}, err
	}
	e, _, err := d.open(ctx, name)
	if err != nil {
		return e, err
	}
	return e, d.sound(ctx, e)
}

// sound is the error of an exercise, or of a cluster, from which the learner removed what belongs to it.
func (d *desk) sound(ctx context.Context, e course.Exercise) error {
	broken, err := d.room.Broken(ctx)
	if err != nil {
		return err
	}
	if len(broken) > 0 {
		return errors.New(coach.Say(d.Language, coach.Essentials, strings.Join(broken, ", "), d.command("learn reset")))
	}
	missing, err := d.room.Missing(ctx, e, lesson.Namespace(e))
	if err != nil {
		return err
	}
	if missing != "" {
		return errors.New(coach.Say(d.Language, coach.NamespaceGone, missing, d.command("learn reset")))
	}
	return nil
}

// kubeconfigFile is the learner's own: always at one place, so that a shell once wired stays so.
func (d *desk) kubeconfigFile() string { return filepath.Join(d.folder, "kubeconfig") }

// wiring shows how to wire a shell; as code, since a command must not be broken.
func (d *desk) wiring() { d.Markdown("```\n$ export KUBECONFIG=" + d.kubeconfigFile() + "\n```") }

// wire writes the learner's kubeconfig: the lab's, in the exercise's namespace.
func (d *desk) wire(e course.Exercise) error {
	config, err := clientcmd.LoadFromFile(d.room.kubeconfig)
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
	if err := progress.Replace(d.kubeconfigFile(), data); err != nil {
		return fmt.Errorf("wire kubectl to the exercise: %w", err)
	}
	return nil
}

// workFolder is where an exercise's manifests are put for the learner.
func (d *desk) workFolder(e course.Exercise) string { return filepath.Join(d.folder, "work", e.Name) }

// handOut writes the exercise's manifests, anew or only those that are not there, and returns their folder.
func (d *desk) handOut(e course.Exercise, anew bool) error {
	folder := d.workFolder(e)
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
