package fuzz

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/svclab/svclab/e2e/world"
)

const (
	// coalesce is the least time between two looks: objects change in bursts.
	coalesce = 100 * time.Millisecond
	// relook is the longest.
	relook = 5 * time.Second
)

// watcher hears of changes of what a namespace's Services depend on.
type watcher struct{ changed chan struct{} }

// watch starts to watch, until ctx ends.
func watch(ctx context.Context, c Cluster, namespace string) (*watcher, error) {
	w := &watcher{changed: make(chan struct{}, 1)}
	signal := func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	sources := map[schema.GroupVersionResource]string{
		corev1.SchemeGroupVersion.WithResource("pods"):                namespace,
		corev1.SchemeGroupVersion.WithResource("services"):            namespace,
		discoveryv1.SchemeGroupVersion.WithResource("endpointslices"): namespace,
	}
	// A resource that is not served is not watched; snapshots show that it is not there.
	status := world.L2StatusResource()
	if list, err := c.Client().Discovery().ServerResourcesForGroupVersion(status.GroupVersion().String()); err == nil &&
		slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == status.Resource }) {
		sources[status] = metav1.NamespaceAll
	}
	for resource, in := range sources {
		informer := dynamicinformer.NewFilteredDynamicInformer(c.Dynamic(), resource, in, 0, cache.Indexers{}, nil).Informer()
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { signal() }, UpdateFunc: func(any, any) { signal() }, DeleteFunc: func(any) { signal() }}); err != nil {
			return nil, fmt.Errorf("watch %s: %w", resource.Resource, err)
		}
		go informer.RunWithContext(ctx)
	}
	return w, nil
}

// await looks, and again whenever something changed, until look is done or ctx ends. seen is what was last waited for. An
// error of look is only seen: the next look may do better.
func (w *watcher) await(ctx context.Context, look func(context.Context) (done bool, waitingFor string, err error)) (seen string, err error) {
	again := time.NewTicker(relook)
	defer again.Stop()
	for {
		done, waitingFor, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return seen, context.Cause(ctx)
		case err != nil:
			seen = err.Error()
		case done:
			return "", nil
		default:
			seen = waitingFor
		}
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-again.C:
		case <-w.changed:
			burst := time.NewTimer(coalesce)
			select {
			case <-ctx.Done():
				burst.Stop()
			case <-burst.C:
			}
		}
	}
}
