package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	"github.com/svclab/svclab/e2e/scenario"
)

// Noted is what a reference named at some time: an object, or none; with the name "*" all objects of a kind.
type Noted struct {
	Ref     scenario.Ref                 `json:"ref"`
	Objects []*unstructured.Unstructured `json:"objects"`
}

// Look returns the objects that the references name in a place, as they are now. Slots stand for nodes' names.
func (r *Runner) Look(ctx context.Context, at Place, refs []scenario.Ref) ([]Noted, error) {
	s, err := r.visit(ctx, at)
	if err != nil {
		return nil, err
	}
	noted := make([]Noted, len(refs))
	for i, ref := range refs {
		noted[i].Ref = ref
		if noted[i].Objects, err = s.look(ctx, ref); err != nil {
			return nil, err
		}
	}
	return noted, nil
}

// PutBack makes what was noted what it was: what is gone is made again, what changed gets back its labels, annotations
// and spec, and of a reference to all objects of a kind those that were not noted are deleted, but nodes never.
func (r *Runner) PutBack(ctx context.Context, at Place, noted []Noted) error {
	s, err := r.visit(ctx, at)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.StepTimeout, errTimeout)
	defer cancel()
	var errs []error
	for _, n := range noted {
		errs = append(errs, s.putBackAll(bounded, n))
	}
	return errors.Join(errs...)
}

// Vacate removes namespaces, what others may want of theirs (node ports, load-balancer addresses) first; with wait it
// returns when they are gone.
func (r *Runner) Vacate(ctx context.Context, namespaces []string, wait bool) error {
	bounded, cancel := context.WithTimeoutCause(ctx, r.settings.Cleanup, errTimeout)
	defer cancel()
	s := &session{runner: r, progress: &progress{}}
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
	s := &session{runner: r, progress: &progress{}, journal: &journal{}, namespace: at.Namespace, also: at.Also}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(r.cluster.Client().Discovery()))
	facts, err := r.cluster.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("learn the cluster's facts: %w", err)
	}
	s.facts = facts
	return s, nil
}

// look returns what a reference names; nothing where there is none.
func (s *session) look(ctx context.Context, ref scenario.Ref) ([]*unstructured.Unstructured, error) {
	at, err := s.resolve(ref)
	if err != nil {
		return nil, err
	}
	if ref.Name != "*" {
		object, err := s.in(at).Get(ctx, at.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", ref, err)
		}
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := s.in(at).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", ref, err)
	}
	objects := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		objects[i] = &list.Items[i]
	}
	return objects, nil
}

// putBackAll deletes what was not there first: it may stand in the way of what was, as two pools with the same addresses do.
func (s *session) putBackAll(ctx context.Context, noted Noted) error {
	at, err := s.resolve(noted.Ref)
	if err != nil {
		return err
	}
	var errs []error
	if noted.Ref.Name == "*" && at.mapping.Resource.Resource != "nodes" {
		errs = append(errs, s.removeOthers(ctx, at, noted))
	}
	for _, before := range noted.Objects {
		place := at
		place.name = before.GetName()
		errs = append(errs, s.putBackSoon(ctx, entry{at: place, before: before}))
	}
	return errors.Join(errs...)
}

// removeOthers deletes the objects of a kind that were not noted.
func (s *session) removeOthers(ctx context.Context, at address, noted Noted) error {
	now, err := s.look(ctx, noted.Ref)
	if err != nil {
		return err
	}
	var errs []error
	for _, object := range now {
		if slices.ContainsFunc(noted.Objects, func(o *unstructured.Unstructured) bool { return o.GetName() == object.GetName() }) {
			continue
		}
		other := at
		other.name = object.GetName()
		err := s.admitted(ctx, other.String(), func(ctx context.Context) error {
			return s.in(other).Delete(ctx, other.name, metav1.DeleteOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s, which was not there: %w", other, err))
		}
	}
	return errors.Join(errs...)
}

// seen is how long a webhook may take to see that what was deleted is gone: it looks at its own copy of the objects.
const seen = 5 * time.Second

// putBackSoon puts back what was admitted once and must be again, also by a webhook that denies it at first.
func (s *session) putBackSoon(ctx context.Context, e entry) error {
	for bound := time.Now().Add(seen); ; {
		err := s.putBack(ctx, e)
		if err == nil || !strings.Contains(err.Error(), "denied the request") || time.Now().After(bound) || !pause(ctx, relook/20) {
			return err
		}
	}
}

// Lacks says what the cluster does not have of what is needed; empty: it has all.
func (r *Runner) Lacks(ctx context.Context, needs scenario.Needs) (string, error) {
	return r.lacks(ctx, needs)
}
