package wait

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Objects names objects of one kind.
type Objects struct {
	Resource schema.GroupVersionResource
	// Namespace is empty for those of all namespaces and for cluster-scoped ones. Name is empty for all.
	Namespace, Name string
	// Labels is a selector; empty for all.
	Labels string
}

// Watch reports changes of objects until the context that it was made with ends.
type Watch struct {
	stores  []cache.Store
	listed  []cache.DoneChecker
	changed chan struct{}
	lost    chan error
}

// Follow begins to watch objects and does not wait for the first list of them: see Listed.
func Follow(ctx context.Context, client dynamic.Interface, objects ...Objects) (*Watch, error) {
	ctx = klog.NewContext(ctx, logr.Discard()) // client-go logs the end of every cancelled watch as an error
	w := &Watch{changed: make(chan struct{}, 1), lost: make(chan error, 1)}
	signal := func(any) {
		select {
		case w.changed <- struct{}{}:
		default: // a change is pending already
		}
	}
	for _, o := range objects {
		informer := dynamicinformer.NewFilteredDynamicInformer(client, o.Resource, o.Namespace, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
			options.LabelSelector = o.Labels
			if o.Name != "" {
				options.FieldSelector = "metadata.name=" + o.Name
			}
		}).Informer()
		if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.broke(err) }); err != nil {
			return nil, fmt.Errorf("watch %s: %w", o.Resource.Resource, err)
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: signal, UpdateFunc: func(_, o any) { signal(o) }, DeleteFunc: signal}); err != nil {
			return nil, fmt.Errorf("watch %s: %w", o.Resource.Resource, err)
		}
		listed := informer.HasSyncedChecker()
		w.stores, w.listed = append(w.stores, informer.GetStore()), append(w.listed, listed)
		go informer.RunWithContext(ctx)
		// An object that is deleted before the first list causes no event, so the list itself is a change.
		go func() {
			select {
			case <-listed.Done():
				signal(nil)
			case <-ctx.Done():
			}
		}()
	}
	return w, nil
}

// broke keeps the error of a watch that broke off, unless that is how watches end: the API server ends each one after some
// minutes, and after a restart it no longer knows the version that a watch begins with.
func (w *Watch) broke(err error) {
	if errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	select {
	case w.lost <- err:
	default: // one is pending already
	}
}

// Changed gets a value when something may have changed since the last one was taken.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Lost gets the error when the API server does not answer. The watch is tried again all the same.
func (w *Watch) Lost() <-chan error { return w.lost }

// Listed returns when all objects have been listed once.
func (w *Watch) Listed(ctx context.Context) error {
	for _, listed := range w.listed {
		select {
		case <-listed.Done():
		case <-ctx.Done():
			select {
			case err := <-w.lost:
				return err
			default:
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// List gives the objects as they are known now.
func (w *Watch) List() ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, store := range w.stores {
		for _, item := range store.List() {
			object, ok := item.(*unstructured.Unstructured)
			if !ok {
				return nil, fmt.Errorf("list what is watched: %T is no object", item)
			}
			all = append(all, object)
		}
	}
	return all, nil
}
