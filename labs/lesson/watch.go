package lesson

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// syncsIn bounds the first list of the watched objects.
const syncsIn = 20 * time.Second

// Watched are objects whose changes are reported.
type Watched = wait.Objects

// Watch reports changes in a cluster. It ends with the context that it was made with.
type Watch struct {
	wait.Watch
	home string
}

// Follow watches objects and returns when all of them have been listed. home is the namespace that a Print does not name.
func Follow(ctx context.Context, client dynamic.Interface, home string, objects []Watched) (*Watch, error) {
	watch, err := wait.Follow(ctx, client, objects...)
	if err != nil {
		return nil, fmt.Errorf("watch the exercise: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, syncsIn)
	defer cancel()
	if err := watch.Listed(bounded); err != nil {
		return nil, fmt.Errorf("watch the exercise: %w", err)
	}
	return &Watch{Watch: *watch, home: home}, nil
}

// Print returns the fingerprint of the watched objects as they are now.
func (w *Watch) Print() (Print, error) {
	objects, err := w.List()
	if err != nil {
		return nil, fmt.Errorf("watch the exercise: %w", err)
	}
	p := Print{}
	for _, object := range objects {
		if err := p.add(object, w.home); err != nil {
			return nil, fmt.Errorf("watch the exercise: %w", err)
		}
	}
	return p, nil
}

// Watch watches all objects that a check of the exercise depends on, until ctx ends.
func (r Environment) Watch(ctx context.Context, e course.Exercise, namespace string) (*Watch, error) {
	objects, err := r.watched(e, namespace)
	if err != nil {
		return nil, err
	}
	return Follow(ctx, r.Cluster.Dynamic(), namespace, objects)
}

// watched returns the objects that a check depends on: the kinds that a learner works with in the exercise's namespaces, the
// objects that its conditions, its goal and its field cluster name, the namespaces themselves, and the essentials.
func (r Environment) watched(e course.Exercise, namespace string) ([]Watched, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(r.Cluster.Client().Discovery()))
	var objects []Watched
	for _, ref := range depends(e, namespace) {
		resource, namespaced, err := resource(mapper, ref.Kind)
		if err != nil {
			return nil, err
		}
		w := Watched{Resource: resource, Namespace: ref.Namespace, Name: ref.Name}
		if w.Name == "*" {
			w.Name = ""
		}
		if namespaced && w.Namespace == "" {
			w.Namespace = namespace
		}
		if !slices.Contains(objects, w) {
			objects = append(objects, w)
		}
	}
	return objects, nil
}

// depends returns references to the objects that a check depends on: see watched. An object may be in several of them.
func depends(e course.Exercise, namespace string) []scenario.Ref {
	refs := slices.Concat(coach.Refs(e), e.Cluster)
	for _, step := range e.Goal.Steps {
		if object, is := step.Action.(steps.Object); is {
			refs = append(refs, object.Ref)
		}
	}
	for _, space := range e.Spaces(namespace) {
		for _, kind := range []string{"pods", "services", "configmaps", "endpointslices.discovery.k8s.io", "deployments.apps",
			"statefulsets.apps", "daemonsets.apps", "networkpolicies.networking.k8s.io"} {
			refs = append(refs, scenario.Ref{Namespace: space, Kind: kind})
		}
	}
	for i := range refs {
		refs[i].Name = "*" // all of the kind: the learner may create another one
	}
	refs = append(refs, essentials()...)
	for _, space := range e.Spaces(namespace) {
		refs = append(refs, scenario.Ref{Kind: "namespaces", Name: space})
	}
	return refs
}

// fingerprint returns the Print of all objects that a check depends on.
func (r Environment) fingerprint(ctx context.Context, e course.Exercise, namespace string) (Print, error) {
	snapshots, err := r.Runner.Look(ctx, place(e, namespace), depends(e, namespace))
	if err != nil {
		return nil, err
	}
	p, known := Print{}, map[[3]string]bool{}
	for _, s := range snapshots {
		for _, o := range s.Objects {
			key := [3]string{o.GetKind(), o.GetNamespace(), o.GetName()}
			if known[key] {
				continue
			}
			known[key] = true
			if err := p.add(o, namespace); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// resource returns the resource of a reference's kind, and whether it is namespaced.
func resource(mapper meta.RESTMapper, kind string) (schema.GroupVersionResource, bool, error) {
	gvk, err := mapper.KindFor(schema.ParseGroupResource(kind).WithVersion(""))
	if err != nil {
		return schema.GroupVersionResource{}, false, fmt.Errorf("watch %s: %w", kind, err)
	}
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return schema.GroupVersionResource{}, false, fmt.Errorf("watch %s: %w", kind, err)
	}
	return mapping.Resource, mapping.Scope.Name() == meta.RESTScopeNameNamespace, nil
}
