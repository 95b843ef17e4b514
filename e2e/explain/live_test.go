//go:build e2e

// Causes seen on a real cluster, the lab's, which must be up: go test -tags e2e -timeout 15m ./e2e/explain/.
package explain_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/explain/collect"
	"github.com/svclab/svclab/e2e/setup"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/manifests"
)

const metalLBNamespace = "metallb-system"

// live is the lab's cluster with everything that the cases need in it.
type live struct {
	*cluster.Cluster
	namespace string
}

func attach(t *testing.T) *live {
	t.Helper()
	config, err := setup.FromEnv(manifests.FS(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Attach(t.Context(), settings, cluster.Free)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return &live{Cluster: c}
}

// removed deletes something at the end of the test.
func removed(t *testing.T, what string, remove func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := remove(ctx); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("remove %s: %v", what, err)
		}
	})
}

func (l *live) makeNamespace(t *testing.T) {
	t.Helper()
	ctx, namespaces := t.Context(), l.Client().CoreV1().Namespaces()
	made, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "svclab-explain-",
		Labels: map[string]string{"app.kubernetes.io/managed-by": "svclab"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.namespace = made.Name
	removed(t, made.Name, func(ctx context.Context) error {
		err := l.Client().CoreV1().Pods(made.Name).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{})
		if err != nil {
			return err
		}
		return namespaces.Delete(ctx, made.Name, metav1.DeleteOptions{})
	})
	l.watch(t, "the namespace's ServiceAccount", 30*time.Second, func(ctx context.Context) string {
		_, err := l.Client().CoreV1().ServiceAccounts(l.namespace).Get(ctx, "default", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// makePools makes the test's own pools, of addresses just below the lab's, which no container has.
func (l *live) makePools(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	group := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: world.MetalLBGroup, Version: "v1beta1", Resource: resource}
	}
	pools := l.Dynamic().Resource(group("ipaddresspools")).Namespace(metalLBNamespace)
	labs, err := pools.List(ctx, metav1.ListOptions{})
	if err != nil || len(labs.Items) == 0 {
		t.Fatalf("the lab has no pool: %v", err)
	}
	i := slices.IndexFunc(labs.Items, func(o unstructured.Unstructured) bool { return o.GetName() == "svclab" })
	ranges, _, _ := unstructured.NestedStringSlice(labs.Items[max(i, 0)].Object, "spec", "addresses")
	first, _, _ := strings.Cut(ranges[0], "-")
	addr, err := netip.ParseAddr(first)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		addr = addr.Prev()
	}
	object := func(kind, name string, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": world.MetalLBGroup + "/v1beta1", "kind": kind,
			"metadata": map[string]any{"name": name, "namespace": metalLBNamespace, "labels": map[string]any{"app.kubernetes.io/managed-by": "svclab"}}, "spec": spec}}
	}
	for _, name := range []string{mutePool, barredPool} {
		removed(t, name, func(ctx context.Context) error { return pools.Delete(ctx, name, metav1.DeleteOptions{}) })
		if _, err := pools.Create(ctx, object("IPAddressPool", name, map[string]any{"addresses": []any{addr.String() + "/32"}, "autoAssign": false}), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		addr = addr.Prev()
	}
	advertisements := l.Dynamic().Resource(group("l2advertisements")).Namespace(metalLBNamespace)
	removed(t, "the advertisement", func(ctx context.Context) error { return advertisements.Delete(ctx, barredPool, metav1.DeleteOptions{}) })
	if _, err := advertisements.Create(ctx, object("L2Advertisement", barredPool, map[string]any{"ipAddressPools": []any{barredPool},
		"nodeSelectors": []any{map[string]any{"matchLabels": map[string]any{"svclab.io/rack": "none"}}}}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (l *live) makePods(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, d := range deployments() {
		if _, err := l.Client().AppsV1().Deployments(l.namespace).Create(ctx, &d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range ailing() {
		if _, err := l.Client().CoreV1().Pods(l.namespace).Create(ctx, &p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func (l *live) makeServices(t *testing.T, cases []liveCase) {
	t.Helper()
	ctx := t.Context()
	for _, c := range cases {
		if _, err := l.Client().CoreV1().Services(l.namespace).Create(ctx, &c.service, metav1.CreateOptions{}); err != nil {
			t.Fatalf("%s: %v", c.id, err)
		}
		if c.slice == nil {
			continue
		}
		slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: c.service.Name, Labels: map[string]string{discoveryv1.LabelServiceName: c.service.Name}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{*c.slice}, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{c.addr}}}}
		if _, err := l.Client().DiscoveryV1().EndpointSlices(l.namespace).Create(ctx, &slice, metav1.CreateOptions{}); err != nil {
			t.Fatalf("%s: %v", c.id, err)
		}
	}
}

// watch waits until look says "", and looks again whenever something in the namespace changes.
func (l *live) watch(t *testing.T, what string, atMost time.Duration, look func(context.Context) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	changed := make(chan struct{}, 1)
	for _, start := range watches(l.Client(), l.namespace) {
		w, err := start(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		go func() {
			for range w.ResultChan() {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}()
	}
	missing := look(ctx)
	for missing != "" {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s; last: %s", atMost, what, missing)
		case <-changed:
		}
		missing = look(ctx)
	}
}

func watches(client kubernetes.Interface, namespace string) []func(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return []func(context.Context, metav1.ListOptions) (watch.Interface, error){
		client.CoreV1().Pods(namespace).Watch, client.CoreV1().Services(namespace).Watch, client.CoreV1().Events(namespace).Watch,
		client.CoreV1().ServiceAccounts(namespace).Watch, client.DiscoveryV1().EndpointSlices(namespace).Watch,
	}
}

// ailments says which pods are not yet in the state that the cases need.
func (l *live) ailments(ctx context.Context) string {
	pods, err := l.Client().CoreV1().Pods(l.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	events, err := l.Client().CoreV1().Events(l.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	said := func(reason string) bool {
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == reason })
	}
	var waiting []string
	ready := map[string]int{}
	for i := range pods.Items {
		p := &pods.Items[i]
		var status corev1.ContainerStatus
		if len(p.Status.ContainerStatuses) > 0 {
			status = p.Status.ContainerStatuses[0]
		}
		reason := ""
		if status.State.Waiting != nil {
			reason = status.State.Waiting.Reason
		}
		var ok bool
		switch app := p.Labels["app"]; app {
		case "nowhere":
			ok = said("FailedScheduling")
		case "imageless":
			ok = reason == "ErrImageNeverPull"
		case "crashing":
			ok = status.RestartCount > 0
		case "misconfigured":
			ok = reason == "CreateContainerConfigError"
		case "unready":
			ok = status.State.Running != nil && said("Unhealthy")
		case "gated":
			ok = status.Ready
		case "unmade":
			ok = said("FailedMount")
		case "ended":
			ok = p.Status.Phase == corev1.PodSucceeded
		default:
			ok = world.Ready(p)
			if ok {
				ready[app]++
			}
		}
		if !ok {
			waiting = append(waiting, p.Name)
		}
	}
	if ready["web"] != 2 || ready["other"] != 1 || ready["single"] != 1 || !said("FailedCreate") {
		waiting = append(waiting, fmt.Sprintf("deployments: ready are %v", ready))
	}
	return strings.Join(waiting, ", ")
}

// unassigned says which Services still wait for a load balancer's word.
func (l *live) unassigned(ctx context.Context) string {
	services, err := l.Client().CoreV1().Services(l.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	events, err := l.Client().CoreV1().Events(l.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var waiting []string
	for _, s := range services.Items {
		refused := slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.InvolvedObject.Name == s.Name && e.Reason == "AllocationFailed" })
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && len(s.Status.LoadBalancer.Ingress) == 0 && !refused {
			waiting = append(waiting, s.Name)
		}
	}
	return strings.Join(waiting, ", ")
}

// TestLive gives every cause that a shared cluster can show, each first of all, with what it says logged.
func TestLive(t *testing.T) {
	l := attach(t)
	l.makeNamespace(t)
	l.makePools(t)
	l.makePods(t)
	cases := liveCases()
	l.watch(t, "the pods to be ready, or to ail as they should", 2*time.Minute, l.ailments)
	// the one that takes the pool's only address is served before the one that finds none left
	last := slices.IndexFunc(cases, func(c liveCase) bool { return c.id == "lb-pool-exhausted" })
	l.makeServices(t, append(slices.Clone(cases[:last]), cases[last+1:]...))
	l.watch(t, "load-balancer addresses", time.Minute, l.unassigned)
	l.makeServices(t, cases[last:last+1])
	l.watch(t, "load-balancer addresses", time.Minute, l.unassigned)
	if err := l.Client().CoreV1().Pods(l.namespace).Delete(t.Context(), "going", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.watch(t, "the terminating endpoint", 30*time.Second, func(ctx context.Context) string {
		list, err := l.Client().DiscoveryV1().EndpointSlices(l.namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=only-terminating"})
		if err != nil {
			return err.Error()
		}
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
					return ""
				}
			}
		}
		return "it does not terminate"
	})
	// One cluster, and nothing that disturbs others: four at a time.
	t.Run("causes", func(t *testing.T) {
		slots := make(chan struct{}, 4)
		for _, c := range cases {
			t.Run(c.service.Name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				l.check(t, c)
			})
		}
	})
}

func (l *live) check(t *testing.T, c liveCase) {
	name := l.namespace + "/" + c.service.Name
	switch c.wrong {
	case "default": // the right name, in another namespace
		name = "default/" + c.service.Name
	case "letters": // nearly the right name
		name = l.namespace + "/no-such-servcie"
	}
	found, err := collect.About(t.Context(), l, name, c.intent, collect.Options{Probe: true, Outside: true, ReadSockets: true})
	if err != nil {
		t.Fatal(err)
	}
	finding := explain.Explain(found)
	switch {
	case c.id == "" && (len(finding.Causes) > 0 || found.Table.Result() != "Pass"):
		t.Errorf("a healthy Service: %s, causes %+v", found.Table.Result(), finding.Causes)
	case c.id == "":
	case c.note && (len(finding.Causes) > 0 || !slices.ContainsFunc(finding.Notes, func(n explain.Cause) bool { return n.ID == c.id })):
		t.Errorf("want the note %s; causes %+v, notes %+v", c.id, finding.Causes, finding.Notes)
	case c.note:
		t.Logf("%s is noted", c.id)
	case len(finding.Causes) == 0 || finding.Causes[0].ID != c.id:
		t.Errorf("want the cause %s; got %+v, notes %+v, verdict %s", c.id, finding.Causes, finding.Notes, found.Table.Result())
	default:
		t.Logf("%s: %s\n%s", c.id, finding.Causes[0].Sentence, finding.Causes[0].Command)
	}
}
