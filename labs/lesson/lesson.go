// Package lesson sets an exercise up on a cluster, judges it there, and restores the cluster. Its only state is one file: a
// snapshot of the cluster-wide objects from before an exercise changed them.
package lesson

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// ExerciseLabel is on every namespace of an exercise; its value is the exercise's ID.
const ExerciseLabel = "svclab.io/exercise"

// dnsRunsIn bounds the wait for a DNS that was brought back.
const dnsRunsIn = 2 * time.Minute

// Environment is a cluster on which learners do exercises, one at a time in each namespace.
type Environment struct {
	Cluster runner.Cluster
	Runner  Runner
	// Folder has the file with the snapshots of cluster-wide objects.
	Folder string
}

// Runner is the part of a runner.Runner that an Environment uses.
type Runner interface {
	Lacks(ctx context.Context, needs scenario.Needs) (string, error)
	In(ctx context.Context, at runner.Place, steps scenario.Scenario) reach.Verdict
	Goal(ctx context.Context, at runner.Place, steps scenario.Scenario) reach.Verdict
	Rest(ctx context.Context, at runner.Place) error
	Look(ctx context.Context, at runner.Place, refs []scenario.Ref) ([]runner.Snapshot, error)
	Restore(ctx context.Context, at runner.Place, snapshots []runner.Snapshot) error
	Vacate(ctx context.Context, namespaces []string, wait bool) error
}

var _ Runner = (*runner.Runner)(nil)

// Prefix begins the names of the namespaces in which learners do exercises.
const Prefix = "learn-"

// Namespace is the namespace in which a learner does an exercise.
func Namespace(e course.Exercise) string { return Prefix + e.ID }

// place is the place of the exercise's namespaces.
func place(e course.Exercise, namespace string) runner.Place {
	return runner.Place{Namespace: namespace, Also: e.Spaces(namespace)[1:]}
}

// Lacks says what the exercise needs and the cluster does not have. Empty: the cluster has everything.
func (r Environment) Lacks(ctx context.Context, e course.Exercise) (string, error) {
	return r.Runner.Lacks(ctx, e.Needs)
}

// Begin creates the exercise's namespaces, sets the exercise up in them, and returns when they are idle. It is an error if one
// of the namespaces exists: see Leave.
func (r Environment) Begin(ctx context.Context, e course.Exercise, namespace string) error {
	if err := r.snapshot(ctx, e.Cluster, e.Undo); err != nil {
		return err
	}
	at := place(e, namespace)
	for _, name := range e.Spaces(namespace) {
		_, err := r.Cluster.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name,
			Labels: map[string]string{runner.ManagedByLabel: runner.ManagedBy, ExerciseLabel: e.ID}}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	if err := Done(r.Runner.In(ctx, at, e.Setup)); err != nil {
		return err
	}
	return r.Runner.Rest(ctx, at)
}

// Do runs the steps of an answer in the namespaces of the exercise, after Begin.
func (r Environment) Do(ctx context.Context, e course.Exercise, namespace string, steps course.Part) error {
	return Done(r.Runner.In(ctx, place(e, namespace), steps))
}

// StepError says which step of an exercise's setup or of an answer did not pass.
type StepError struct {
	Result reach.Result
	text   string
}

func (e *StepError) Error() string { return e.text }

// Done returns a StepError for the first step that did not pass, or nil if all steps did.
func Done(v reach.Verdict) error {
	if v.Result == reach.Pass {
		return nil
	}
	for _, step := range v.Steps {
		if step.Result != reach.Pass {
			return &StepError{step.Result, fmt.Sprintf("%s: step %q: %s: %s", v.Title, step.Name, step.Result, step.Why)}
		}
	}
	return &StepError{v.Result, fmt.Sprintf("%s: %s", v.Title, v.Result)}
}

// checksAtMost bounds how often Check judges because objects changed meanwhile, as during a rollout.
const checksAtMost = 2

// Check judges the exercise's goal and takes snapshots of the objects that its conditions refer to. The verdict and the objects
// belong together: if objects changed during the probes, it judges once more.
func (r Environment) Check(ctx context.Context, e course.Exercise, namespace string) (coach.Seen, error) {
	at := place(e, namespace)
	before, err := r.fingerprint(ctx, e, namespace)
	if err != nil {
		return coach.Seen{}, err
	}
	for n := 1; ; n++ {
		seen := coach.Seen{Verdict: r.Runner.Goal(ctx, at, e.Goal)}
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		if seen.Objects, err = r.Runner.Look(ctx, at, coach.Refs(e)); err != nil {
			return seen, err
		}
		after, err := r.fingerprint(ctx, e, namespace)
		if err != nil {
			return seen, err
		}
		if change := after.Since(before); n == checksAtMost || change.None() || !change.Hand && Stirred(e.Goal, seen.Verdict) {
			seen.Hand = after.Hand()
			return seen, nil
		}
		before = after
	}
}

// Hand returns the fingerprint of everything that people change in the exercise: see coach.Seen.
func (r Environment) Hand(ctx context.Context, e course.Exercise, namespace string) (string, error) {
	p, err := r.fingerprint(ctx, e, namespace)
	return p.Hand(), err
}

// Look returns the objects that the exercise's conditions refer to, as they are now.
func (r Environment) Look(ctx context.Context, e course.Exercise, namespace string) ([]runner.Snapshot, error) {
	return r.Runner.Look(ctx, place(e, namespace), coach.Refs(e))
}

// Lost returns the Deployments that the exercise set up in its first namespace and that do not exist any more.
func (r Environment) Lost(ctx context.Context, e course.Exercise, namespace string) ([]string, error) {
	var refs []scenario.Ref
	for _, objects := range e.Setup.Objects {
		for _, object := range objects {
			if object.GetKind() == "Deployment" && (object.GetNamespace() == "" || object.GetNamespace() == namespace) {
				refs = append(refs, scenario.Ref{Kind: "deployment", Name: object.GetName()})
			}
		}
	}
	found, err := r.Runner.Look(ctx, place(e, namespace), refs)
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, n := range found {
		if len(n.Objects) == 0 {
			lost = append(lost, "deployment "+n.Ref.Name)
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// Leave deletes namespaces of exercises and restores the cluster-wide objects from their snapshots. With wait it returns when the
// namespaces are gone and, if essentials were restored, when the cluster's DNS runs again.
func (r Environment) Leave(ctx context.Context, namespaces []string, wait bool) error {
	broken, err := r.Broken(ctx)
	if err != nil {
		return err
	}
	// the nodes come first: one whose kube-proxy hangs or that drops packets may be in the way of the rest
	if err := errors.Join(r.undo(ctx), r.Runner.Vacate(ctx, namespaces, wait), r.restore(ctx)); err != nil || len(broken) == 0 || !wait {
		return err
	}
	return r.waitForDNS(ctx)
}

// waitForDNS returns when CoreDNS runs.
func (r Environment) waitForDNS(ctx context.Context) error {
	err := wait.For(ctx, "CoreDNS to run", wait.Retry(func(ctx context.Context) (bool, string, error) {
		d, err := r.Cluster.Client().AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas > 0,
			fmt.Sprintf("%d of its pods are available", d.Status.AvailableReplicas), nil
	}), wait.Timeout(dnsRunsIn))
	if err != nil {
		return fmt.Errorf("the cluster's DNS does not run again: %w; to create the cluster again: svclab down && svclab up", err)
	}
	return nil
}

// Begun lists the namespaces of exercises in the cluster.
func (r Environment) Begun(ctx context.Context) ([]string, error) {
	list, err := r.Cluster.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{
		LabelSelector: runner.ManagedByLabel + "=" + runner.ManagedBy + "," + ExerciseLabel})
	if err != nil {
		return nil, fmt.Errorf("list the exercises' namespaces: %w", err)
	}
	var names []string
	for _, namespace := range list.Items {
		names = append(names, namespace.Name)
	}
	return names, nil
}

// NoneOpen returns an error if a learner has an exercise open in a cluster, which has that name. What tries Services in the
// whole cluster asks this first: its Services and the exercise's would meet, and the exercise's objects are the learner's.
func NoneOpen(ctx context.Context, client kubernetes.Interface, cluster string) error {
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: ExerciseLabel})
	if err != nil {
		return fmt.Errorf("look for exercises in the cluster: %w", err)
	}
	var open []string
	for _, namespace := range list.Items {
		if strings.HasPrefix(namespace.Name, Prefix) {
			open = append(open, namespace.Name)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return fmt.Errorf("an exercise of svclab learn is open in cluster %s (namespace %s), whose Services and those of this command would meet; leave the exercise: svclab learn stop; or use another cluster: --name",
		cluster, strings.Join(open, ", "))
}

// Missing returns the first of the exercise's namespaces that does not exist, is being deleted, or was not created by svclab.
// Empty: every namespace is there.
func (r Environment) Missing(ctx context.Context, e course.Exercise, namespace string) (string, error) {
	for _, name := range e.Spaces(namespace) {
		found, err := r.Cluster.Client().CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && found.DeletionTimestamp != nil, err == nil && found.Labels[ExerciseLabel] != e.ID:
			return name, nil
		case err != nil:
			return "", fmt.Errorf("look for namespace %s: %w", name, err)
		}
	}
	return "", nil
}

// Broken returns the objects that every exercise needs and that somebody deleted after Begin. Leave restores them.
func (r Environment) Broken(ctx context.Context) ([]string, error) {
	saved, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	var refs []scenario.Ref
	for _, ref := range essentials() {
		if slices.ContainsFunc(saved.Snapshots, func(s runner.Snapshot) bool { return s.Ref == ref && len(s.Objects) > 0 }) {
			refs = append(refs, ref)
		}
	}
	now, err := r.Runner.Look(ctx, runner.Place{}, refs)
	if err != nil {
		return nil, err
	}
	var broken []string
	for _, n := range now {
		if len(n.Objects) == 0 {
			broken = append(broken, strings.ReplaceAll(n.Ref.String(), "/", " "))
		}
	}
	return broken, nil
}
