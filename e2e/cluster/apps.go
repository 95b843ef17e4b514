package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/svclab/svclab/e2e/wait"
)

// AppProber is where a container of the sample app waits for the prober, to serve with it: "sh -c SCRIPT AppProber serve …".
const AppProber = "/tmp/svclab-app"

// carriedIn bounds how long it may take to put the prober into one container.
const carriedIn = time.Minute

// ServeApps puts the prober into each container that waits for it, in pods that carry svclab's label in any namespace, until
// ctx ends. A container that was restarted gets it again. What fails is logged and tried again.
func (c *Cluster) ServeApps(ctx context.Context) error {
	watch, err := wait.Follow(ctx, c.dynamic, wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Labels: managedLabel + "=svclab"})
	if err != nil {
		return err
	}
	var (
		mu   sync.Mutex
		said = map[string]string{} // the last error, by pod and container
	)
	serve := func(ctx context.Context) (bool, string, error) {
		objects, err := watch.List()
		if err != nil {
			return false, "", err
		}
		var group errgroup.Group // one that fails does not cut the others off
		group.SetLimit(8)
		for _, object := range objects {
			var pod corev1.Pod
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod); err != nil {
				return false, "", fmt.Errorf("read pod %s/%s: %w", object.GetNamespace(), object.GetName(), err)
			}
			for _, container := range waitingContainers(&pod) {
				group.Go(func() error {
					carrying, cancel := context.WithTimeoutCause(ctx, carriedIn, fmt.Errorf("not done in %s", carriedIn))
					defer cancel()
					err := c.PutProber(carrying, &pod, container, AppProber)
					mu.Lock()
					defer mu.Unlock()
					key := pod.Namespace + "/" + pod.Name + " " + container
					if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && said[key] != err.Error() {
						said[key] = err.Error()
						c.logf("the app of pod %s/%s cannot start yet: %s", pod.Namespace, pod.Name, shortened(err.Error()))
					}
					return nil
				})
			}
		}
		return false, "", group.Wait()
	}
	err = wait.For(ctx, "the run to end", serve)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// waitingContainers returns the containers of a pod that run the script which waits for the prober.
func waitingContainers(pod *corev1.Pod) []string {
	var names []string
	for _, status := range pod.Status.ContainerStatuses {
		i := slices.IndexFunc(pod.Spec.Containers, func(container corev1.Container) bool { return container.Name == status.Name })
		if i < 0 || !slices.Contains(pod.Spec.Containers[i].Command, AppProber) || pod.DeletionTimestamp != nil {
			continue
		}
		if status.State.Running != nil && (status.Started == nil || !*status.Started) { // its startup probe fails
			names = append(names, status.Name)
		}
	}
	return names
}
