package fuzz

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/reach"
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
	// move changes the sandbox to another state, and returns commands that do the same by hand. It does not wait until the objects agree.
	move(ctx context.Context, to State) (commands []string, err error)
	// settle waits until the objects agree. unsettled is as in apply.
	settle(ctx context.Context) (unsettled string, err error)
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

	now State // what was applied last
	// given are Services as the API server completed them, by name: what is created again gets the same addresses and node ports.
	given map[string]corev1.Service
	// programs are the paths of the prober on the nodes, by node; nil: the backends are agnhost.
	programs map[string]string
	vantages []reach.Vantage
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
	if err := each(len(n.pods), func(i int) error { return n.create(ctx, &n.pods[i]) }); err != nil {
		return fmt.Errorf("create the backends: %w", err)
	}
	n.watch()
	_, err = n.settleIn(ctx, pulling*n.bound)
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
	if err := n.clear(ctx); err != nil {
		return err
	}
	// one that is being deleted has a grace that outlasts the namespace
	if err := n.client().CoreV1().Pods(n.name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("delete the backends: %w", err)
	}
	if err := n.client().CoreV1().Namespaces().Delete(ctx, n.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s: %w", n.name, err)
	}
	namespaces := wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource("namespaces"), Name: n.name}
	return wait.For(ctx, "namespace "+n.name+" to be gone", wait.Gone(n.client(), n.name), wait.On(n.cluster.Dynamic(), namespaces))
}

// apply implements sandbox.
func (n *namespace) apply(ctx context.Context, cases []Case, in func(pod string) bool) (string, error) {
	to := State{Pods: map[string]PodState{}}
	for i := range n.pods {
		if name := n.pods[i].Name; in != nil && !in(name) {
			to.Pods[name] = PodState{Apart: true}
		}
	}
	if err := n.clear(ctx); err != nil {
		return "", err
	}
	n.now.Cases, n.given = nil, map[string]corev1.Service{}
	to.Cases = cases
	if _, err := n.move(ctx, to); err != nil {
		return "", err
	}
	return n.settle(ctx)
}

// clear deletes all Services, and the slices that only svclab deletes.
func (n *namespace) clear(ctx context.Context) error {
	services, err := n.client().CoreV1().Services(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the Services: %w", err)
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

// snapshot implements sandbox.
func (n *namespace) snapshot(ctx context.Context) (world.World, error) {
	facts := n.facts
	facts.NodeModes = n.cluster.NodeModes()
	w, err := world.Take(ctx, n.client(), n.client().Discovery(), n.cluster.Dynamic(), facts, n.name)
	if err != nil {
		return world.World{}, fmt.Errorf("take a snapshot: %w", err)
	}
	return w, nil
}

// settle implements sandbox. When only load balancers do not settle in time, as when other users use up the pool of addresses,
// it says so and the rest can be probed.
func (n *namespace) settle(ctx context.Context) (unsettled string, err error) {
	return n.settleIn(ctx, n.bound)
}

func (n *namespace) settleIn(ctx context.Context, bound time.Duration) (unsettled string, err error) {
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
		done, waitingFor := world.SettledBut(w, world.Allow{Unready: true, Terminating: true}, n.name)
		return done, waitingFor, nil
	}), wait.On(n.cluster.Dynamic(), n.watched...), wait.Timeout(bound))
	if err == nil || ctx.Err() != nil {
		return "", err
	}
	if done, _ := world.SettledBut(last, world.Allow{Unready: true, Terminating: true, Pending: true}, n.name); done && n.unready(last) == "" {
		return err.Error(), nil
	}
	return "", err
}

// unready says which of the pods is not in the state that it is to be in.
func (n *namespace) unready(w world.World) string {
	for i := range n.pods {
		pod, state := &n.pods[i], n.now.Pods[n.pods[i].Name]
		at := slices.IndexFunc(w.Pods, func(p corev1.Pod) bool { return p.Name == pod.Name })
		switch {
		case state.Gone && at >= 0:
			return fmt.Sprintf("pod %s to be gone", pod.Name)
		case state.Gone:
			continue
		case at < 0:
			return fmt.Sprintf("pod %s to be there", pod.Name)
		}
		is := &w.Pods[at]
		switch running := len(is.Status.ContainerStatuses) > 0 && is.Status.ContainerStatuses[0].State.Running != nil; {
		case state.Leaving != (is.DeletionTimestamp != nil):
			return fmt.Sprintf("pod %s to be on its way out: %t", pod.Name, state.Leaving)
		case !running: // those that are not ready serve all the same, once they run
			return fmt.Sprintf("pod %s to run", pod.Name)
		case world.Ready(is) == (never(pod) || state.Unready):
			return fmt.Sprintf("pod %s to be ready: %t", pod.Name, !world.Ready(is))
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
