package lesson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// syncsIn bounds the first look at what is watched.
const syncsIn = 20 * time.Second

// Watched are objects whose changes are told.
type Watched struct {
	Resource schema.GroupVersionResource
	// Namespace is empty for all, and for cluster-scoped objects; Name for all.
	Namespace, Name string
}

// Watch tells of changes in a cluster. It ends with the context that it was made with.
type Watch struct {
	home    string
	stores  []cache.Store
	changed chan struct{}
	lost    chan error
}

// Follow watches objects and returns when it has seen all that are there. home is the namespace that a Print does not
// name.
func Follow(ctx context.Context, client dynamic.Interface, home string, objects []Watched) (*Watch, error) {
	w := &Watch{home: home, changed: make(chan struct{}, 1), lost: make(chan error, 1)}
	signal := func(any) {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	var synced []cache.InformerSynced
	for _, o := range objects {
		informer := dynamicinformer.NewFilteredDynamicInformer(client, o.Resource, o.Namespace, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
			if o.Name != "" {
				options.FieldSelector = "metadata.name=" + o.Name
			}
		}).Informer()
		err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.broke(err) })
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", o.Resource.Resource, err)
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: signal, UpdateFunc: func(_, o any) { signal(o) }, DeleteFunc: signal}); err != nil {
			return nil, fmt.Errorf("watch %s: %w", o.Resource.Resource, err)
		}
		w.stores = append(w.stores, informer.GetStore())
		synced = append(synced, informer.HasSynced)
		go informer.RunWithContext(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, syncsIn)
	defer cancel()
	if !cache.WaitForCacheSync(bounded.Done(), synced...) {
		select {
		case err := <-w.lost:
			return nil, fmt.Errorf("watch the exercise: %w", err)
		default:
			return nil, fmt.Errorf("watch the exercise: %w", context.Cause(bounded))
		}
	}
	return w, nil
}

// broke tells that a watch broke off, but not when that is how watches end.
func (w *Watch) broke(err error) {
	if errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	select {
	case w.lost <- err:
	default:
	}
}

// Changed tells that something may have changed since the last time.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Lost tells that the cluster did not answer. It is asked again all the same.
func (w *Watch) Lost() <-chan error { return w.lost }

// Print is the fingerprint of what is watched, as it is known now.
func (w *Watch) Print() (Print, error) {
	p := Print{}
	for _, store := range w.stores {
		for _, item := range store.List() {
			object, ok := item.(*unstructured.Unstructured)
			if !ok {
				return nil, fmt.Errorf("watch the exercise: %T is no object", item)
			}
			if err := p.add(object, w.home); err != nil {
				return nil, fmt.Errorf("watch the exercise: %w", err)
			}
		}
	}
	return p, nil
}

// Watch tells of changes to all that a check of the exercise depends on, until ctx ends.
func (r Environment) Watch(ctx context.Context, e course.Exercise, namespace string) (*Watch, error) {
	objects, err := r.watched(e, namespace)
	if err != nil {
		return nil, err
	}
	return Follow(ctx, r.Cluster.Dynamic(), namespace, objects)
}

// watched are the objects that a learner works with in the exercise's namespaces, those that its conditions, its goal and
// its cluster-wide part speak of, the namespaces themselves, and the essentials.
func (r Environment) watched(e course.Exercise, namespace string) ([]Watched, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(r.Cluster.Client().Discovery()))
	refs := slices.Concat(coach.Refs(e), e.Cluster)
	for _, step := range e.Goal.Steps {
		if object, is := step.Action.(steps.Object); is {
			refs = append(refs, object.Ref)
		}
	}
	at := place(e, namespace)
	for _, space := range append([]string{at.Namespace}, at.Also...) {
		for _, kind := range []string{"pods", "services", "configmaps", "endpointslices.discovery.k8s.io", "deployments.apps",
			"statefulsets.apps", "daemonsets.apps", "networkpolicies.networking.k8s.io"} {
			refs = append(refs, scenario.Ref{Namespace: space, Kind: kind})
		}
	}
	var objects []Watched
	add := func(ref scenario.Ref, name string) error {
		resource, namespaced, err := resource(mapper, ref.Kind)
		if err != nil {
			return err
		}
		w := Watched{Resource: resource, Namespace: ref.Namespace, Name: name}
		if namespaced && w.Namespace == "" {
			w.Namespace = namespace
		}
		if !slices.Contains(objects, w) {
			objects = append(objects, w)
		}
		return nil
	}
	for _, ref := range refs {
		if err := add(ref, ""); err != nil {
			return nil, err
		}
	}
	for _, ref := range essentials() {
		if err := add(ref, ref.Name); err != nil {
			return nil, err
		}
	}
	for _, space := range append([]string{at.Namespace}, at.Also...) {
		if err := add(scenario.Ref{Kind: "namespaces"}, space); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// resource is what a reference's kind means, and whether its objects are in namespaces.
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
