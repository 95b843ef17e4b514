package fuzz

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// sandbox is where cases are tried.
type sandbox interface {
	// apply makes the cases the only Services of the sandbox, with selectors that find the pods for which in returns
	// true (nil: all), and returns when the objects agree. unsettled says what did not settle in time although the rest
	// can be probed; empty: everything settled.
	apply(ctx context.Context, cases []Case, in func(pod string) bool) (unsettled string, err error)
	// snapshot reads the sandbox.
	snapshot(ctx context.Context) (world.World, error)
}

// busy is how many requests to the API server are under way at once.
const busy = 8

// pulling is how many times longer the backends may take to run than a batch to settle: a dozen containers start at once,
// on a node that may have to pull their image first.
const pulling = 3

// scenarioName is the scenario label of fuzz's namespaces.
const scenarioName = "fuzz"

// namespace is a sandbox on a cluster.
type namespace struct {
	cluster Cluster
	name    string
	seed    uint64
	facts   world.Facts
	pods    []corev1.Pod // as planned
	bound   time.Duration
	watched []wait.Objects // what the cases' behaviour depends on
}

func (n *namespace) client() kubernetes.Interface { return n.cluster.Client() }

// open makes the namespace and its pods, and waits until they are as planned. What an earlier run of the same name left
// behind is removed first.
func (n *namespace) open(ctx context.Context) error {
	if err := n.close(ctx); err != nil {
		return fmt.Errorf("remove what an earlier run left behind: %w", err)
	}
	_, err := n.client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.name,
		Labels:      map[string]string{runner.ManagedByLabel: runner.ManagedBy, runner.ScenarioLabel: scenarioName},
		Annotations: map[string]string{"svclab.io/seed": strconv.FormatUint(n.seed, 10)}}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", n.name, err)
	}
	if err := each(len(n.pods), func(i int) error {
		_, err := n.client().CoreV1().Pods(n.name).Create(ctx, &n.pods[i], metav1.CreateOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("create the backends: %w", err)
	}
	n.watch()
	_, err = n.settle(ctx, pulling*n.bound)
	return err
}

// watch sets what to watch. A resource that is not served is not watched; snapshots show that it is not there.
func (n *namespace) watch() {
	for _, resource := range []string{"pods", "services"} {
		n.watched = append(n.watched, wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource(resource), Namespace: n.name})
	}
	n.watched = append(n.watched, wait.Objects{Resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), Namespace: n.name})
	status := world.L2StatusResource()
	if list, err := n.client().Discovery().ServerResourcesForGroupVersion(status.GroupVersion().String()); err == nil &&
		slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == status.Resource }) {
		n.watched = append(n.watched, wait.Objects{Resource: status})
	}
}

// close removes the namespace, Services first because they hold node ports and load-balancer addresses, and waits until it
// is gone.
func (n *namespace) close(ctx context.Context) error {
	got, err := n.client().CoreV1().Namespaces().Get(ctx, n.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("look for namespace %s: %w", n.name, err)
	case got.Labels[runner.ManagedByLabel] != runner.ManagedBy || got.Labels[runner.ScenarioLabel] != scenarioName:
		return fmt.Errorf("namespace %s is there and svclab did not make it; choose another seed", n.name)
	}
	if err := n.clear(ctx, nil); err != nil {
		return err
	}
	if err := n.client().CoreV1().Namespaces().Delete(ctx, n.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s: %w", n.name, err)
	}
	namespaces := wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource("namespaces"), Name: n.name}
	return wait.For(ctx, "namespace "+n.name+" to be gone", wait.Gone(n.client(), n.name), wait.On(n.cluster.Dynamic(), namespaces))
}

// apply implements sandbox.
func (n *namespace) apply(ctx context.Context, cases []Case, in func(pod string) bool) (string, error) {
	if err := n.clear(ctx, cases); err != nil {
		return "", err
	}
	if err := n.label(ctx, in); err != nil {
		return "", err
	}
	pods, err := n.client().CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list the backends: %w", err)
	}
	if err := each(len(cases), func(i int) error {
		request, done := grace.Context(ctx)
		defer done()
		made, err := n.client().CoreV1().Services(n.name).Create(request, &cases[i].Service, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		for _, slice := range cases[i].Slices(made, pods.Items) {
			if _, err := n.client().DiscoveryV1().EndpointSlices(n.name).Create(ctx, &slice, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return "", fmt.Errorf("create the Services: %w", err)
	}
	return n.settle(ctx, n.bound)
}

// clear deletes all Services, and the slices that only svclab deletes, and waits until the Services are gone.
func (n *namespace) clear(ctx context.Context, before []Case) error {
	services, err := n.client().CoreV1().Services(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the Services: %w", err)
	}
	for _, c := range before {
		if slices.ContainsFunc(services.Items, func(s corev1.Service) bool { return s.Name == c.Name() }) {
			return fmt.Errorf("service %s is there already", c.Name())
		}
	}
	if err := each(len(services.Items), func(i int) error {
		err := n.client().CoreV1().Services(n.name).Delete(ctx, services.Items[i].Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}); err != nil {
		return fmt.Errorf("delete the Services: %w", err)
	}
	err = n.client().DiscoveryV1().EndpointSlices(n.name).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: discoveryv1.LabelManagedBy + "=" + manualBy})
	if err != nil {
		return fmt.Errorf("delete the EndpointSlices: %w", err)
	}
	return nil
}

// label gives the pods that are in the labels they were planned with, and takes them from the others.
func (n *namespace) label(ctx context.Context, in func(pod string) bool) error {
	return each(len(n.pods), func(i int) error {
		pod := &n.pods[i]
		labels := map[string]any{}
		for key, value := range pod.Labels {
			labels[key] = value
			if in != nil && !in(pod.Name) {
				labels[key] = nil
			}
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
		if err != nil {
			return err
		}
		if _, err = n.client().CoreV1().Pods(n.name).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("label pod %s: %w", pod.Name, err)
		}
		return nil
	})
}

// snapshot implements sandbox.
func (n *namespace) snapshot(ctx context.Context) (world.World, error) {
	w, err := world.Take(ctx, n.client(), n.client().Discovery(), n.cluster.Dynamic(), n.facts, n.name)
	if err != nil {
		return world.World{}, fmt.Errorf("take a snapshot: %w", err)
	}
	return w, nil
}

// settle waits until the objects agree. When only load balancers do not settle in time, as when other users use up the
// pool of addresses, it says so and the rest can be probed.
func (n *namespace) settle(ctx context.Context, bound time.Duration) (unsettled string, err error) {
	var last world.World
	err = wait.For(ctx, "the objects to settle", wait.Retry(func(ctx context.Context) (bool, string, error) {
		w, err := n.snapshot(ctx)
		if err != nil {
			return false, "", err
		}
		last = w
		if waitingFor := n.unready(w); waitingFor != "" {
			return false, waitingFor, nil
		}
		done, waitingFor := world.SettledBut(w, world.Allow{Unready: true}, n.name)
		return done, waitingFor, nil
	}), wait.On(n.cluster.Dynamic(), n.watched...), wait.Timeout(bound))
	if err == nil || ctx.Err() != nil {
		return "", err
	}
	if done, _ := world.SettledBut(last, world.Allow{Unready: true, Pending: true}, n.name); done && n.unready(last) == "" {
		return err.Error(), nil
	}
	return "", err
}

// unready says which of the pods that are to be ready is not.
func (n *namespace) unready(w world.World) string {
	for i := range n.pods {
		if never(&n.pods[i]) {
			continue
		}
		at := slices.IndexFunc(w.Pods, func(p corev1.Pod) bool { return p.Name == n.pods[i].Name })
		if at < 0 || !world.Ready(&w.Pods[at]) {
			return fmt.Sprintf("pod %s to be ready", n.pods[i].Name)
		}
	}
	for i := range w.Pods { // those never ready serve all the same, once they run
		if len(w.Pods[i].Status.ContainerStatuses) == 0 || w.Pods[i].Status.ContainerStatuses[0].State.Running == nil {
			return fmt.Sprintf("pod %s to run", w.Pods[i].Name)
		}
	}
	return ""
}

// each calls do for 0 to count-1, several at once, and returns the first error.
func each(count int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(busy)
	for i := range count {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
