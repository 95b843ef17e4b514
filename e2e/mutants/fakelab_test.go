package mutants

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fakeLab is a lab of three nodes in memory that notes what is run in it.
type fakeLab struct {
	client *fake.Clientset
	api    *resources.Resources
	mu     sync.Mutex
	ran    []string // "node/worker: nft -f -"
	undo   []string
}

const corefileText = ".:53 {\n    errors\n    kubernetes cluster.local\n}\n"

func newFakeLab(t *testing.T) *fakeLab {
	t.Helper()
	node := func(name, addr, pods string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods, PodCIDRs: []string{"fd00::/64", pods}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr}}}}
	}
	pod := func(namespace, name, node, addr string, labels map[string]string, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
			Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Image: "agnhost"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: addr, PodIPs: []corev1.PodIP{{IP: addr}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	app, dns := map[string]string{"app": "my-app"}, map[string]string{"k8s-app": "kube-dns"}
	leaving := pod("ns", "leaving", "lab-worker", "10.244.1.6", app, corev1.ConditionTrue)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{"svclab.io/test"}
	two := int32(2)
	client := fake.NewClientset(
		node("lab-control-plane", "172.18.0.2", "10.244.0.0/24"), node("lab-worker", "172.18.0.3", "10.244.1.0/24"), node("lab-worker2", "172.18.0.4", "10.244.2.0/24"),
		pod("ns", "a", "lab-worker2", "10.244.2.5", app, corev1.ConditionTrue), pod("ns", "b", "lab-worker", "10.244.1.5", app, corev1.ConditionTrue),
		pod("ns", "c", "lab-worker", "10.244.1.7", app, corev1.ConditionFalse), leaving,
		pod("kube-system", "coredns-1", "lab-control-plane", "10.244.0.2", dns, corev1.ConditionTrue),
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "my-service"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9"}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Data: map[string]string{"Corefile": corefileText}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Spec: appsv1.DeploymentSpec{Replicas: &two},
			Status: appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "controller"},
			Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: "speaker"},
			Status: appsv1.DaemonSetStatus{NumberReady: 3, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3}},
	)
	return &fakeLab{client: client, api: frameworkClient(t, client)}
}

// frameworkClient makes e2e-framework's client of a fake one. It can only be made of a server, so one serves the objects read here.
func frameworkClient(t *testing.T, client *fake.Clientset) *resources.Resources {
	t.Helper()
	serve := http.NewServeMux()
	answer := func(pattern string, get func(*http.Request) (runtime.Object, error)) {
		serve.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			object, err := get(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(object); err != nil {
				t.Error(err)
			}
		})
	}
	fixed := func(object runtime.Object) func(*http.Request) (runtime.Object, error) {
		return func(*http.Request) (runtime.Object, error) { return object, nil }
	}
	apps := metav1.GroupVersionForDiscovery{GroupVersion: "apps/v1", Version: "v1"}
	answer("/api", fixed(&metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}))
	answer("/apis", fixed(&metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"},
		Groups: []metav1.APIGroup{{Name: "apps", Versions: []metav1.GroupVersionForDiscovery{apps}, PreferredVersion: apps}}}))
	answer("/api/v1", fixed(&metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1",
		APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod", Namespaced: true}}}))
	answer("/apis/apps/v1", fixed(&metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "apps/v1",
		APIResources: []metav1.APIResource{{Name: "deployments", Kind: "Deployment", Namespaced: true}, {Name: "daemonsets", Kind: "DaemonSet", Namespaced: true}}}))
	answer("/apis/apps/v1/namespaces/{namespace}/deployments/{name}", func(r *http.Request) (runtime.Object, error) {
		d, err := client.AppsV1().Deployments(r.PathValue("namespace")).Get(r.Context(), r.PathValue("name"), metav1.GetOptions{})
		if err == nil {
			d.Kind, d.APIVersion = "Deployment", "apps/v1"
		}
		return d, err
	})
	answer("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}", func(r *http.Request) (runtime.Object, error) {
		d, err := client.AppsV1().DaemonSets(r.PathValue("namespace")).Get(r.Context(), r.PathValue("name"), metav1.GetOptions{})
		if err == nil {
			d.Kind, d.APIVersion = "DaemonSet", "apps/v1"
		}
		return d, err
	})
	answer("/api/v1/namespaces/{namespace}/pods", func(r *http.Request) (runtime.Object, error) {
		list, err := client.CoreV1().Pods(r.PathValue("namespace")).List(r.Context(), metav1.ListOptions{LabelSelector: r.FormValue("labelSelector")})
		if err == nil {
			list.Kind, list.APIVersion = "PodList", "v1"
		}
		return list, err
	})
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	made, err := resources.New(&rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (l *fakeLab) Client() kubernetes.Interface    { return l.client }
func (l *fakeLab) Resources() *resources.Resources { return l.api }
func (l *fakeLab) Facts(context.Context) (world.Facts, error) {
	return world.Facts{Slots: map[string]string{"control-plane": "lab-control-plane", "worker": "lab-worker", "worker2": "lab-worker2"},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00:10::/112"), netip.MustParsePrefix("10.96.0.0/16")}}, nil
}
func (l *fakeLab) Vantages(context.Context) ([]reach.Vantage, error) {
	list := []reach.Vantage{{Name: "outside", Kind: reach.Outside}}
	for _, slot := range []string{"control-plane", "worker", "worker2"} {
		list = append(list, reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: "lab-" + slot}, reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: "lab-" + slot})
	}
	return list, nil
}
func (l *fakeLab) Exec(_ context.Context, v reach.Vantage, argv []string, _ io.Reader, _, _ io.Writer) error {
	l.note(v.Name + ": " + strings.Join(argv, " "))
	return nil
}
func (l *fakeLab) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran = append(l.ran, what)
}
func (l *fakeLab) Prober(context.Context, reach.Vantage) (string, error) {
	return "/kind/svclab/prober-1", nil
}
func (l *fakeLab) OutsideAddrs() []netip.Addr { return []netip.Addr{netip.MustParseAddr("172.18.0.9")} }
func (l *fakeLab) FreezeProxy(_ context.Context, node string) error {
	l.note(node + ": freeze kube-proxy")
	return nil
}
func (l *fakeLab) ThawProxy(_ context.Context, node string) error {
	l.note(node + ": thaw kube-proxy")
	return nil
}
func (l *fakeLab) StartProxyIn(_ context.Context, node, mode string) error {
	l.note(node + ": kube-proxy in " + mode + " mode")
	return nil
}
func (l *fakeLab) OnRestore(what string, undo func(context.Context) error) func(context.Context) error {
	l.undo = append(l.undo, what)
	return func(ctx context.Context) error {
		l.undo = slices.DeleteFunc(l.undo, func(w string) bool { return w == what })
		return undo(ctx)
	}
}
func (l *fakeLab) pending() []string { return l.undo }
