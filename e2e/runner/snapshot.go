package runner

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// Look returns the objects that the references name in a place, as they are now. Slots stand for nodes' names.
func (r *Runner) Look(ctx context.Context, at Place, refs []scenario.Ref) ([]Snapshot, error) {
	s, err := r.visit(ctx, at)
	if err != nil {
		return nil, err
	}
	snapshots := make([]Snapshot, len(refs))
	for i, ref := range refs {
		snapshots[i].Ref = ref
		if snapshots[i].Objects, err = s.Look(ctx, ref); err != nil {
			return nil, err
		}
	}
	return snapshots, nil
}

// Restore restores snapshots. A missing object is created again, a changed one gets back its labels, annotations and spec.
// For a reference to all objects of a kind, objects that are not in the snapshot are deleted, except nodes.
func (r *Runner) Restore(ctx context.Context, at Place, snapshots []Snapshot) error {
	s, err := r.visit(ctx, at)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.StepTimeout, steps.ErrTimeout)
	defer cancel()
	var errs []error
	for _, n := range snapshots {
		errs = append(errs, s.RestoreAll(bounded, n))
	}
	return errors.Join(errs...)
}

// Vacate removes namespaces, what others may want of theirs (node ports, load-balancer addresses) first; with wait it
// returns when they are gone.
func (r *Runner) Vacate(ctx context.Context, namespaces []string, wait bool) error {
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.Cleanup, steps.ErrTimeout)
	defer cancel()
	s := r.session(scenario.Scenario{}, Place{}, observe.Suite())
	for _, namespace := range namespaces {
		if err := s.removeNamespace(bounded, namespace); err != nil {
			return err
		}
	}
	if !wait || len(namespaces) == 0 {
		return nil
	}
	return s.gone(bounded, metav1.ListOptions{}, namespaces...)
}

// visit is a session that only looks at objects.
func (r *Runner) visit(ctx context.Context, at Place) (*session, error) {
	s := r.session(scenario.Scenario{}, at, observe.Suite())
	return s, s.Learn(ctx)
}

// Lacks says what the cluster does not have of what is needed; empty: it has all.
func (r *Runner) Lacks(ctx context.Context, needs scenario.Needs) (string, error) {
	return r.lacks(ctx, needs)
}
