package lesson

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/course"
)

const (
	aService = `{apiVersion: v1, kind: Service, metadata: {name: my-service, namespace: learn-04, resourceVersion: "1"},
  spec: {type: LoadBalancer, ports: [{port: 80, targetPort: 8081}]}}`
	aDeployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: my-app, namespace: learn-04, generation: 1,
  annotations: {deployment.kubernetes.io/revision: "1"}}, spec: {replicas: 2, template: {metadata: {labels: {app: my-app}}}}, status: {readyReplicas: 2, observedGeneration: 1}}`
	aPod = `{apiVersion: v1, kind: Pod, metadata: {name: my-app-b, namespace: learn-04, labels: {app: my-app}}, spec: {nodeName: ""},
  status: {phase: Pending}}`
	madePod = `{apiVersion: v1, kind: Pod, metadata: {name: my-app-5d5f-x, namespace: learn-04, labels: {app: my-app, pod-template-hash: 5d5f},
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: my-app-5d5f, uid: u, controller: true}]},
  status: {podIP: 10.244.1.2, conditions: [{type: Ready, status: "True"}]}}`
	aSlice = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: my-service-x, namespace: learn-04,
  labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io},
  ownerReferences: [{apiVersion: v1, kind: Service, name: my-service, uid: u, controller: true}]}, endpoints: [{addresses: [10.0.0.1]}]}`
	byHand = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: by-hand, namespace: learn-04,
  labels: {kubernetes.io/service-name: my-service}}, endpoints: [{addresses: [10.0.0.1]}]}`
	mirrored = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: mirrored, namespace: learn-04,
  labels: {endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io},
  ownerReferences: [{apiVersion: v1, kind: Endpoints, name: e, uid: u, controller: true}]}, endpoints: [{addresses: [10.0.0.1]}]}`
	aPool = `{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: lab, namespace: metallb-system},
  spec: {addresses: [172.18.255.200-172.18.255.219]}, status: {assignedIPv4: 0}}`
	aMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: client, namespace: learn-04}, data: {url: a}}`
)

func parsed(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func printOf(t *testing.T, objects ...*unstructured.Unstructured) Print {
	t.Helper()
	p := Print{}
	for _, o := range objects {
		if err := p.add(o, "learn-04"); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// with is a copy with a field, dotted, set to a value; nil removes it.
func with(o *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	o = o.DeepCopy()
	if value == nil {
		unstructured.RemoveNestedField(o.Object, path...)
	} else if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		panic(err)
	}
	return o
}

func TestPrint(t *testing.T) {
	ports := []any{map[string]any{"port": int64(80), "targetPort": int64(8080)}}
	address := []any{map[string]any{"ip": "172.18.255.200"}}
	ready := func(is string) []any { return []any{map[string]any{"type": "Ready", "status": is}} }
	for _, tc := range []struct {
		name, object string
		change       func(o *unstructured.Unstructured) *unstructured.Unstructured
		want         []string
		hand         bool
	}{
		{"a spec", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured { return with(o, ports, "spec", "ports") }, []string{"service/my-service"}, true},
		{"a label", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "x", "metadata", "labels", "l")
		}, []string{"service/my-service"}, true},
		{"an annotation", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "x", "metadata", "annotations", "a")
		}, []string{"service/my-service"}, true},
		{"MetalLB's note", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "lab", "metadata", "annotations", "metallb.io/ip-allocated-from-pool")
		}, nil, false},
		{"a version alone", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "2", "metadata", "resourceVersion")
		}, nil, false},
		{"an address assigned", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, address, "status", "loadBalancer", "ingress")
		}, []string{"service/my-service"}, false},
		{"a Service that ends", aService, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "2026-11-23T07:00:00Z", "metadata", "deletionTimestamp")
		}, []string{"service/my-service"}, true},
		{"data", aMap, func(o *unstructured.Unstructured) *unstructured.Unstructured { return with(o, "b", "data", "url") }, []string{"configmap/client"}, true},
		{"replicas", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, int64(3), "spec", "replicas")
		}, []string{"deployment/my-app"}, true},
		{"a revision", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "2", "metadata", "annotations", "deployment.kubernetes.io/revision")
		}, nil, false},
		{"a rolling update by a check", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "now", "spec", "template", "metadata", "annotations", steps.ReplacedAnnotation)
		}, nil, false},
		{"a rolling update by hand", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "now", "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
		}, []string{"deployment/my-app"}, true},
		{"a generation seen", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, int64(2), "status", "observedGeneration")
		}, nil, false},
		{"replicas ready", aDeployment, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, int64(1), "status", "readyReplicas")
		}, []string{"deployment/my-app"}, false},
		{"a pod scheduled", aPod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "worker", "spec", "nodeName")
		}, nil, false},
		{"a pod running", aPod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "Running", "status", "phase")
		}, nil, false},
		{"a pod ready", aPod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, ready("True"), "status", "conditions")
		}, []string{"pod/my-app-b"}, false},
		{"a made pod replaced", madePod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(with(with(o, "my-app-9c9c-y", "metadata", "name"), "9c9c", "metadata", "labels", "pod-template-hash"), "10.244.2.7", "status", "podIP")
		}, nil, false},
		{"a made pod unready", madePod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, ready("False"), "status", "conditions")
		}, []string{"pods"}, false},
		{"a made pod's label", madePod, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, "other", "metadata", "labels", "app")
		}, []string{"pods"}, false},
		{"a slice that follows", aSlice, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, []any{}, "endpoints")
		}, nil, false},
		{"a slice by hand", byHand, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, []any{}, "endpoints")
		}, []string{"endpointslice/by-hand"}, true},
		{"a mirrored slice", mirrored, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, []any{}, "endpoints")
		}, []string{"endpointslice/mirrored"}, true},
		{"a pool", aPool, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, []any{"192.0.2.1-192.0.2.9"}, "spec", "addresses")
		}, []string{"metallb-system/ipaddresspool/lab"}, true},
		{"a pool's count", aPool, func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(o, int64(1), "status", "assignedIPv4")
		}, nil, false},
	} {
		before := parsed(t, tc.object)
		change := printOf(t, tc.change(before)).Since(printOf(t, before))
		if !slices.Equal(change.Objects, tc.want) || change.Hand != tc.hand || change.None() != (len(tc.want) == 0) {
			t.Errorf("%s: got %+v, want %v, by hand: %t", tc.name, change, tc.want, tc.hand)
		}
	}
}

// Hand follows what people change, and nothing else.
func TestPrintHand(t *testing.T) {
	start := printOf(t, parsed(t, aService), parsed(t, aDeployment), parsed(t, madePod))
	later := printOf(t, parsed(t, aService), with(parsed(t, aDeployment), int64(1), "status", "readyReplicas"),
		parsed(t, `{kind: ConfigMap, metadata: {name: kube-root-ca.crt, namespace: learn-04}, data: {a: b}}`))
	if start.Hand() != later.Hand() {
		t.Error("the cluster's own changes are taken for a person's")
	}
	if start.Hand() == printOf(t, parsed(t, aService), with(parsed(t, aDeployment), int64(3), "spec", "replicas")).Hand() {
		t.Error("a person's change is not seen")
	}
}

func TestPrintCountsMadePods(t *testing.T) {
	one, other := parsed(t, madePod), with(parsed(t, madePod), "my-app-5d5f-y", "metadata", "name")
	if change := printOf(t, one, other).Since(printOf(t, one)); !slices.Equal(change.Objects, []string{"pods"}) || change.Hand {
		t.Errorf("a second one: %+v", change)
	}
	ending := with(other, "2026-11-23T07:00:00Z", "metadata", "deletionTimestamp")
	if change := printOf(t, one, ending).Since(printOf(t, one)); !change.None() {
		t.Errorf("one that is ending counts: %+v", change)
	}
}

func TestStirred(t *testing.T) {
	goal := course.Part{Steps: []scenario.Step{{Name: "reached", Action: steps.Expect{"reached"}},
		{Name: "pods replaced", Action: steps.ReplacePods{Selector: "app=my-app"}}}}
	verdict := func(replaced reach.Result) reach.Verdict {
		return reach.Verdict{Steps: []reach.Step{{Name: "reached", Result: reach.Pass}, {Name: "pods replaced", Result: replaced}}}
	}
	for result, want := range map[reach.Result]bool{reach.Pass: true, reach.Fail: true, reach.Inconclusive: true, reach.Skipped: false} {
		if got := Stirred(goal, verdict(result)); got != want {
			t.Errorf("replacing pods %s: got %t, want %t", result, got, want)
		}
	}
	if Stirred(goal, reach.Verdict{}) {
		t.Error("nothing was done")
	}
}
