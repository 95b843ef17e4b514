package collect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// A command runs in a user's pod only if that is allowed. Otherwise the result says what was not read, and how to read it.
func TestNoCommandInAPodWithoutLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(false)
		c.files = map[string]string{"a tcp": tcp}
		p := &asPredicted{cluster: c, bent: func(r probe.Request, o *reach.Observation) {
			if r.Target.Kind == reach.Endpoint {
				*o = reach.Observation{Outcome: reach.Refused}
			}
		}}
		found, err := about(t.Context(), c, "demo/web", Options{Probe: true, Prober: p})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(c.ran, func(command string) bool { return strings.HasPrefix(command, "pod ") }) || found.Sockets != nil {
			t.Errorf("ran %q", c.ran)
		}
		var out strings.Builder
		if err := explain.Text(&out, explain.Explain(found), 200, found.Table.Result()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"what pods a and b, which refuse, listen on was not read", "--read-sockets", "try kubectl -n demo exec a -- cat /proc/net/tcp"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing from\n%s", want, out.String())
			}
		}
	})
}

// What an ExternalName names is probed only if it is known to be in the cluster, or if the user allows the rest.
func TestExternalNamesOutsideAreNotProbed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		port   int32
		inside bool
	}{
		{"web.demo.svc.cluster.local", 80, true},
		{"web.demo.svc.cluster.local.", 80, true},
		{"kube-dns.kube-system.svc.cluster.local", 53, true},
		{"web.demo.svc.cluster.local", 81, false},   // a port that is not declared may leave by the default route
		{"other.demo.svc.cluster.local", 80, false}, // itself an ExternalName
		{"gone.demo.svc.cluster.local", 80, false},
		{"a.web.demo.svc.cluster.local", 80, false},
		{"web.demo.svc", 80, false},
		{"web.demo.svc.cluster.local.example.com", 80, false},
		{"db.example.com", 80, false},
		{"169.254.169.254", 80, false},
	} {
		for _, allowed := range []bool{false, true} {
			c := newFakeCluster(false)
			for name, target := range map[string]string{"alias": tc.name, "other": "db.example.com"} {
				service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Spec: corev1.ServiceSpec{
					Type: corev1.ServiceTypeExternalName, ExternalName: target, Ports: []corev1.ServicePort{{Port: tc.port}}}}
				if err := c.client.Tracker().Add(service); err != nil {
					t.Fatal(err)
				}
			}
			found, err := about(t.Context(), c, "demo/alias", Options{Outside: allowed})
			if err != nil || len(found.Table.Cells) == 0 {
				t.Fatalf("%+v, %v", found.Table, err)
			}
			for _, cell := range found.Table.Cells {
				if probed := cell.Cell.Vantage.Unusable == ""; probed != (tc.inside || allowed) {
					t.Errorf("%s:%d, allowed %v: %q", tc.name, tc.port, allowed, cell.Cell.Vantage.Unusable)
				}
			}
		}
	}
}

// A Service of hundreds of pods gets no more requests than one of ten.
func TestManyEndpoints(t *testing.T) {
	const pods, most = 300, 10
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(false)
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web-y", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new(""), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}}
		for i := range pods {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: fmt.Sprintf("p%03d", i)}, Spec: corev1.PodSpec{NodeName: "far"},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.244.%d.%d", 4+i/100, 1+i%100)}}}}
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: new("far"),
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "demo", Name: pod.Name},
				Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)}})
			if err := c.client.Tracker().Add(pod); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.client.Tracker().Add(slice); err != nil {
			t.Fatal(err)
		}
		p := &asPredicted{cluster: c}
		found, err := about(t.Context(), c, "demo/web", Options{Probe: true, Prober: p, Most: most})
		if err != nil || found.Table.Result() != reach.Pass {
			t.Fatalf("%s, %v", found.Table.Result(), err)
		}
		hosts := map[string]bool{}
		for _, r := range p.requests {
			if r.Max > 8 || len(r.Until) > 1 {
				t.Errorf("%s → %s: up to %d connections", r.Vantage.Name, r.Target.Name(), r.Max)
			}
			if r.Target.Kind == reach.Endpoint {
				hosts[r.Target.Host] = true
			}
		}
		if len(hosts) != most || !hosts["10.244.0.11"] { // the latter is on the vantages' node
			t.Errorf("the endpoints probed are %v", hosts)
		}
		if !strings.HasPrefix(found.Unprobed, "292 of the 302 endpoints were not probed") {
			t.Errorf("%q", found.Unprobed)
		}
	})
}

func TestNodes(t *testing.T) {
	if nodes, err := Nodes(t.Context(), newFakeCluster(false).client, "demo/web"); err != nil || fmt.Sprint(nodes) != "[one two]" {
		t.Errorf("%v, %v", nodes, err)
	}
	if nodes, err := Nodes(t.Context(), newFakeCluster(false).client, "demo/other"); err != nil || len(nodes) != 0 {
		t.Errorf("%v, %v", nodes, err)
	}
}
