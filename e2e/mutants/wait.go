package mutants

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/svclab/svclab/e2e/world"
)

// mendIn bounds one repair: new pods of CoreDNS and MetalLB take the longest.
const mendIn = 90 * time.Second

// watched lists and watches one kind of object in a namespace, as the client can.
func watched[L runtime.Object](client kubernetes.Interface, list func(context.Context, metav1.ListOptions) (L, error),
	follow func(context.Context, metav1.ListOptions) (watch.Interface, error), labels string) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = labels
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = labels
			return follow(ctx, o)
		},
	}, client)
}

// await watches objects of T's type until judge, which is given all of them, has nothing left to wait for.
func await[T runtime.Object](ctx context.Context, example T, lw cache.ListerWatcher, judge func([]T) (waitingFor string)) error {
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // one is pending
		}
	}
	// its watches end by being cancelled, which client-go would log as errors
	watching, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer stop()
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: lw, ObjectType: example, Handler: cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { notify() }, UpdateFunc: func(any, any) { notify() }, DeleteFunc: func(any) { notify() },
	}})
	go informer.RunWithContext(watching)
	if !cache.WaitForCacheSync(watching.Done(), informer.HasSynced) {
		return fmt.Errorf("list what is waited for: %w", context.Cause(ctx))
	}
	for {
		var objects []T
		for _, object := range store.List() {
			if typed, ok := object.(T); ok {
				objects = append(objects, typed)
			}
		}
		waitingFor := judge(objects)
		if waitingFor == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", waitingFor, context.Cause(ctx))
		case <-changed:
		}
	}
}

// podsGone waits until no pod with the labels is left.
func podsGone(ctx context.Context, client kubernetes.Interface, namespace, labels string) error {
	return endOf(ctx, client, namespace, labels, func(*corev1.Pod) bool { return true })
}

// podsStay waits until none of the pods with the labels is about to end.
func podsStay(ctx context.Context, client kubernetes.Interface, namespace, labels string) error {
	return endOf(ctx, client, namespace, labels, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// endOf waits until no pod with the labels is left that is meant.
func endOf(ctx context.Context, client kubernetes.Interface, namespace, labels string, meant func(*corev1.Pod) bool) error {
	pods := client.CoreV1().Pods(namespace)
	return await(ctx, &corev1.Pod{}, watched(client, pods.List, pods.Watch, labels), func(there []*corev1.Pod) string {
		left := slices.DeleteFunc(there, func(pod *corev1.Pod) bool { return !meant(pod) })
		if len(left) == 0 {
			return ""
		}
		return fmt.Sprintf("%d pods with %s to be gone, first %s", len(left), labels, left[0].Name)
	})
}

// podReady waits until the one pod with the labels is ready.
func podReady(ctx context.Context, client kubernetes.Interface, namespace, labels string) (ready *corev1.Pod, err error) {
	pods := client.CoreV1().Pods(namespace)
	err = await(ctx, &corev1.Pod{}, watched(client, pods.List, pods.Watch, labels), func(there []*corev1.Pod) string {
		for _, pod := range there {
			if world.Ready(pod) && pod.DeletionTimestamp == nil {
				ready = pod
				return ""
			}
		}
		return "a pod with " + labels + " to be ready"
	})
	return ready, err
}

// deploymentRuns waits until a Deployment runs as it is now declared, and nothing older does.
func deploymentRuns(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	deployments := client.AppsV1().Deployments(namespace)
	return await(ctx, &appsv1.Deployment{}, watched(client, deployments.List, deployments.Watch, ""), func(all []*appsv1.Deployment) string {
		for _, d := range all {
			if d.Name != name {
				continue
			}
			wanted := int32(1)
			if d.Spec.Replicas != nil {
				wanted = *d.Spec.Replicas
			}
			if d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == wanted && d.Status.AvailableReplicas == wanted && d.Status.Replicas == wanted {
				return ""
			}
			return fmt.Sprintf("Deployment %s to run: %d of %d pods are available, %d are updated", name, d.Status.AvailableReplicas, wanted, d.Status.UpdatedReplicas)
		}
		return "a Deployment " + name
	})
}

// daemonSetRuns waits until a DaemonSet runs on exactly as many nodes, all ready, as it is now declared; 0: on none.
func daemonSetRuns(ctx context.Context, client kubernetes.Interface, namespace, name string, nodes int) error {
	sets := client.AppsV1().DaemonSets(namespace)
	return await(ctx, &appsv1.DaemonSet{}, watched(client, sets.List, sets.Watch, ""), func(all []*appsv1.DaemonSet) string {
		for _, d := range all {
			if d.Name != name {
				continue
			}
			if d.Status.ObservedGeneration >= d.Generation && int(d.Status.NumberReady) == nodes && int(d.Status.CurrentNumberScheduled) == nodes &&
				(nodes == 0 || int(d.Status.UpdatedNumberScheduled) == nodes) {
				return ""
			}
			return fmt.Sprintf("DaemonSet %s to run on %d nodes: it is ready on %d", name, nodes, d.Status.NumberReady)
		}
		return "a DaemonSet " + name
	})
}
