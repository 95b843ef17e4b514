package wait

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Services returns a function that lists the Services of all namespaces as one watch reports them, without annotations. A big cluster
// is then asked for them once, and not at each snapshot. The watch begins with the first call and ends with ctx.
func Services(ctx context.Context, client kubernetes.Interface) func(context.Context) ([]corev1.Service, error) {
	ctx = klog.NewContext(ctx, logr.Discard()) // client-go logs the end of every cancelled watch as an error
	services := client.CoreV1().Services(metav1.NamespaceAll)
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return services.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return services.Watch(ctx, o)
		},
	}, client), &corev1.Service{}, 0, cache.Indexers{})
	begin := sync.OnceValue(func() error {
		err := informer.SetTransform(func(object any) (any, error) {
			if service, is := object.(*corev1.Service); is {
				service.Annotations, service.ManagedFields = nil, nil
			}
			return object, nil
		})
		go informer.RunWithContext(ctx)
		return err
	})
	return func(ctx context.Context) ([]corev1.Service, error) {
		if err := begin(); err != nil {
			return nil, fmt.Errorf("watch services: %w", err)
		}
		select {
		case <-informer.HasSyncedChecker().Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("list services of all namespaces: %w", context.Cause(ctx))
		}
		known := informer.GetStore().List()
		all := make([]corev1.Service, 0, len(known))
		for _, object := range known {
			if service, is := object.(*corev1.Service); is {
				all = append(all, *service)
			}
		}
		return all, nil
	}
}
