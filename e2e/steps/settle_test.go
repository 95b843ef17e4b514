package steps

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/world"
)

// typed is a Cluster that only has a client.
type typed struct {
	Cluster
	client kubernetes.Interface
}

func (c typed) Client() kubernetes.Interface { return c.client }

// A Service that MetalLB reports of no more is changed and changed back, once, and not before its time.
func TestMetalLBIsReminded(t *testing.T) {
	client := fake.NewClientset(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "my-service"}})
	env := &Env{Cluster: typed{client: client}, Namespace: "ns"}
	for _, step := range []struct {
		bound       time.Duration
		unannounced []string
		want        []string
	}{
		{time.Minute, []string{"my-service"}, nil},
		{-time.Second, nil, nil},
		{-time.Second, []string{"my-service"}, []string{`my-service {"metadata":{"labels":{"svclab.io/remind-metallb":"1"}}}`,
			`my-service {"metadata":{"labels":{"svclab.io/remind-metallb":null}}}`}},
	} {
		client.ClearActions()
		reminder := reminder{bound: time.Now().Add(step.bound)}
		for range 2 {
			if err := reminder.remind(t.Context(), env, step.unannounced); err != nil {
				t.Fatal(err)
			}
		}
		var changes []string
		for _, action := range client.Actions() {
			patch := action.(clienttesting.PatchAction)
			changes = append(changes, fmt.Sprintf("%s %s", patch.GetName(), patch.GetPatch()))
		}
		if !slices.Equal(changes, step.want) {
			t.Errorf("bound in %s, unannounced %v: got %q, want %q", step.bound, step.unannounced, changes, step.want)
		}
	}
	late := reminder{}
	if err := late.remind(t.Context(), env, []string{"gone"}); err == nil {
		t.Error("a Service that is gone was changed")
	}
}

// A report that is lost after the objects have settled is asked for once, after lostAfter: not before, not where the table is
// about a pending address, and not where a learner's objects are taken as they are.
func TestMetalLBIsRemindedAfterTheObjectsSettled(t *testing.T) {
	address := corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "172.18.255.1"}}}
	service := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "my-service"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}, Status: corev1.ServiceStatus{LoadBalancer: address}}
	yes := true
	slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", Labels: map[string]string{discoveryv1.LabelServiceName: "my-service"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}}}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	lost := world.World{Facts: world.Facts{LoadBalancer: true}, Announcers: map[netip.Addr]string{}, Services: []corev1.Service{service},
		Slices: []discoveryv1.EndpointSlice{slice}, Nodes: []corev1.Node{node}}
	if got := lost.Unannounced("ns"); !slices.Equal(got, []string{"my-service"}) {
		t.Fatalf("the world has %v unannounced", got)
	}
	for name, c := range map[string]struct {
		policy observe.Policy
		allow  []string
		want   []int // patches after each snapshot
	}{
		"a scenario":        {observe.Suite(), nil, []int{0, 0, 2, 2}},
		"a pending address": {observe.Suite(), []string{"pending"}, []int{0, 0, 0, 0}},
		"a goal":            {observe.Goal(), nil, []int{0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewClientset(&service)
				env := &Env{Cluster: typed{client: client}, Namespace: "ns", Policy: c.policy, Settings: Settings{StepTimeout: time.Minute}}
				took := func(context.Context) (world.World, error) { return lost, nil }
				snapshot := env.reminding(took, c.allow)
				for i, pause := range []time.Duration{0, lostAfter, time.Millisecond, time.Minute} {
					time.Sleep(pause)
					if _, err := snapshot(t.Context()); err != nil || len(client.Actions()) != c.want[i] {
						t.Errorf("snapshot %d: %d patches, want %d; %v", i, len(client.Actions()), c.want[i], err)
					}
				}
			})
		})
	}
}
