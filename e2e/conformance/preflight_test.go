package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/manifests"
)

// allocating is an API server with a range of node ports, some of which are taken.
func allocating(low, high int32, taken ...int32) *fake.Clientset {
	client, next := fake.NewClientset(), high
	client.PrependReactor("create", "services", func(action clienttesting.Action) (bool, runtime.Object, error) {
		service := action.(clienttesting.CreateAction).GetObject().(*corev1.Service)
		port := &service.Spec.Ports[0].NodePort
		refuse := func(why string) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "", field.ErrorList{field.Invalid(field.NewPath("spec.ports[0].nodePort"), *port, why)})
		}
		switch {
		case *port == 0:
			*port, next = next, next-1
		case *port < low || *port > high:
			return refuse(fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", low, high))
		case slices.Contains(taken, *port):
			return refuse("provided port is already allocated")
		}
		service.Name = fmt.Sprintf("port-%d", *port)
		return false, nil, nil
	})
	return client
}

func TestFreePorts(t *testing.T) {
	for _, c := range []struct {
		client  *fake.Clientset
		instead string
		rangeOf string
	}{
		{allocating(30000, 32767), "map[]", "30000-32767"},
		{allocating(30000, 32767, 30080), "map[30080:32767]", "30000-32767"},
		{allocating(20000, 20100, 20080), "map[30010:20100 30080:20099]", "20000-20100"},
	} {
		instead, rangeOf, err := freePorts(t.Context(), c.client, "n", []string{"30010", "30080"})
		if err != nil || fmt.Sprint(instead) != c.instead || rangeOf != c.rangeOf {
			t.Errorf("%v, %s, %v; want %s, %s", instead, rangeOf, err, c.instead, c.rangeOf)
		}
		if left, err := c.client.CoreV1().Services("n").List(t.Context(), metav1.ListOptions{}); err != nil || len(left.Items) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// Every place of a scenario that names a node port gets the other one.
func TestRenumber(t *testing.T) {
	p := Plan{Options: Options{Profile: "extended", Manifests: manifests.FS(), Log: &bytes.Buffer{}},
		scenarios: []scenario.Scenario{{Name: "nodeport"}, {Name: "expose"}}} // as in a shard; the others stay out
	if err := p.renumber(map[string]string{"30080": "31999"}); err != nil {
		t.Fatal(err)
	}
	if ports := claimedPorts(p.scenarios); !slices.Contains(ports, "31999") || slices.Contains(ports, "30080") {
		t.Errorf("claimed: %v", ports)
	}
	if len(p.scenarios) != 2 {
		t.Errorf("%d scenarios of 2", len(p.scenarios))
	}
	for _, s := range p.scenarios {
		text := fmt.Sprintf("%+v %+v", s.Claims, s.Tables)
		for _, step := range s.Steps {
			text += fmt.Sprintf(" %s %+v", step.Name, step.Action)
		}
		for _, objects := range s.Objects {
			for _, object := range objects {
				text += fmt.Sprint(object.Object)
			}
		}
		if strings.Contains(text, "30080") {
			t.Errorf("%s still names 30080", s.Name)
		}
	}
	if said := p.Log.(*bytes.Buffer).String(); said != "svclab: node port 30080 is taken or out of range; scenarios use 31999 instead\n" {
		t.Errorf("said %q", said)
	}
}

// A range of node ports that is not the usual one is no failure of the steps about the usual one.
func TestAdaptOtherRange(t *testing.T) {
	f := adapt(one(t, "nodeport"), environment{nodePorts: "20000-20100"})
	if len(f.left) != 3 || f.skip != "" {
		t.Errorf("left out %v, %q", f.left, f.skip)
	}
	if f := adapt(one(t, "nodeport"), environment{nodePorts: "30000-32767"}); len(f.left) != 0 {
		t.Errorf("left out %v", f.left)
	}
}

func TestPoliciesMakeFailuresInconclusive(t *testing.T) {
	deny := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "svclab-b-xyz", Name: "default-deny"},
		Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}
	allow := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "svclab-a-xyz", Name: "allow-all"}, Spec: networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}}
	p := policies{client: fake.NewClientset(deny, allow)}
	verdicts := []reach.Verdict{}
	for _, name := range []string{"a", "b"} {
		if err := p.look(t.Context(), name, "svclab-"+name+"-xyz"); err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, reach.Verdict{Scenario: name, Result: reach.Fail, Steps: []reach.Step{{Name: "apply", Result: reach.Pass}, {Name: "look", Result: reach.Fail, Why: "it timed out"}}})
	}
	p.excuse(verdicts)
	if verdicts[0].Result != reach.Fail || verdicts[1].Result != reach.Inconclusive || verdicts[1].Steps[0].Result != reach.Pass {
		t.Errorf("%+v", verdicts)
	}
	for _, want := range []string{"svclab-b-xyz/default-deny (ingress of all pods)", "it timed out"} {
		if why := verdicts[1].Steps[1].Why; !strings.Contains(why, want) {
			t.Errorf("%q is not in %q", want, why)
		}
	}
}

func TestExamples(t *testing.T) {
	p := Plan{Options: Options{Profile: "extended"}, scenarios: all(t), Clients: Clients{Image: Image{Name: "mine:1"}, Sample: Sample{Slots: map[string]string{"worker": "n1"}}}}
	examples, err := p.examples()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range examples {
		kinds = append(kinds, object.GetKind()+" "+object.GetName())
	}
	if want := "Deployment my-app,Pod my-app,Service clusterip,Service nodeport,Service externalname,Service loadbalancer"; strings.Join(kinds, ",") != want {
		t.Errorf("got %v, want %s", kinds, want)
	}
}

// A node that is full is replaced as one that executes no command is, and said to be so.
func TestDeployClientsReplacesFullNodes(t *testing.T) {
	p, s := planOn(t, 12, 1)
	s.full = map[string]bool{"n001": true, "n002": true, "n003": true}
	if err := deploy(t, &p, s); err != nil {
		t.Fatal(err)
	}
	if len(s.stood) != 6 || slices.ContainsFunc(s.stood, func(name string) bool { return s.full[name] }) || p.Sample.Left[noStart] == 0 {
		t.Errorf("the clients run on %v; left out %v", s.stood, p.Sample.Left)
	}
}
