package mutants

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestInverse(t *testing.T) {
	for name, c := range map[string]struct{ object, patch, want string }{
		"changed":       {`{"spec":{"type":"NodePort","a":1}}`, `{"spec":{"type":"ClusterIP"}}`, `{"spec":{"type":"NodePort"}}`},
		"added":         {`{"spec":{}}`, `{"spec":{"affinity":"ClientIP"}}`, `{"spec":{"affinity":null}}`},
		"taken out":     {`{"spec":{"ranges":["a"]}}`, `{"spec":{"ranges":null}}`, `{"spec":{"ranges":["a"]}}`},
		"a whole added": {`{}`, `{"status":{"conditions":[1]}}`, `{"status":null}`},
		"a list":        {`{"spec":{"ports":[{"port":80}]}}`, `{"spec":{"ports":[{"port":81}]}}`, `{"spec":{"ports":[{"port":80}]}}`},
		// a map that the patch merges into is left with what it had
		"merged": {`{"spec":{"selector":{"app":"a"}}}`, `{"spec":{"selector":{"app":"b","x":"y"}}}`, `{"spec":{"selector":{"app":"a","x":null}}}`},
	} {
		var object, patch, want map[string]any
		for _, part := range []struct {
			text string
			into *map[string]any
		}{{c.object, &object}, {c.patch, &patch}, {c.want, &want}} {
			if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
				t.Fatal(err)
			}
		}
		if got := inverse(object, patch); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestEditedIsPutBack(t *testing.T) {
	lab := newFakeLab(t)
	services := lab.client.CoreV1().Services("ns")
	before, err := services.Get(t.Context(), serviceName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	b := edited(Edit{Service: serviceName, Patch: []byte(`{"spec":{"sessionAffinity":"ClientIP","clusterIP":"10.96.0.10"}}`)})
	if err := b.Inject(t.Context(), lab, scene); err != nil {
		t.Fatal(err)
	}
	if now, err := services.Get(t.Context(), serviceName, metav1.GetOptions{}); err != nil || now.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || now.Spec.ClusterIP != "10.96.0.10" {
		t.Errorf("edited, it is %+v (%v)", now, err)
	}
	for range 2 {
		if err := b.Revert(t.Context(), lab); err != nil {
			t.Fatal(err)
		}
		if now, err := services.Get(t.Context(), serviceName, metav1.GetOptions{}); err != nil || !reflect.DeepEqual(now.Spec, before.Spec) || len(now.Annotations) > 0 {
			t.Errorf("reverted, it is %+v (%v)", now, err)
		}
	}
	if err := edited(Edit{Service: "none-such", Patch: []byte("{}")}).Inject(t.Context(), lab, scene); err == nil {
		t.Error("a Service that there is not was edited")
	}
}

func TestStraysAreRemoved(t *testing.T) {
	lab := newFakeLab(t)
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	addr := &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: "10.96.0.9"}}
	addresses := lab.client.NetworkingV1().IPAddresses()
	if _, err := addresses.Create(t.Context(), addr, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []Fault{sliceAdded(serviceName), addressForgotten()} {
		if err := b.Inject(t.Context(), lab, scene); err != nil {
			t.Fatal(err)
		}
	}
	list, err := lab.client.DiscoveryV1().EndpointSlices("ns").List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + serviceName})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("slices %v (%v)", list.Items, err)
	}
	if _, err := addresses.Get(t.Context(), "10.96.0.9", metav1.GetOptions{}); err == nil {
		t.Error("the IPAddress is still there")
	}
	for _, b := range []Fault{sliceAdded(serviceName), addressForgotten()} {
		if err := b.Revert(t.Context(), lab); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := lab.client.DiscoveryV1().EndpointSlices("ns").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("reverted, slices are %v (%v)", list.Items, err)
	}
	made, err := addresses.Get(t.Context(), "10.96.0.9", metav1.GetOptions{})
	if err != nil || made.Spec.ParentRef.Name != serviceName || made.Labels[networkingv1.LabelIPAddressFamily] != "IPv4" {
		t.Errorf("reverted, the IPAddress is %+v (%v)", made, err)
	}
}

// Every rule that can be written of a scene can be told from one about an address that is not there.
func TestRulesNeedTheirAddresses(t *testing.T) {
	lab := newFakeLab(t)
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	redirected := func(service, pod string) Fault {
		return filter(Filter{Nodes: []string{"worker"}, EveryClient: []string{fmt.Sprintf("ip daddr {{.ClusterIP %q}} dnat ip to {{.Pod %q}}", service, pod)}})
	}
	if err := redirected("none-such", "a").Inject(t.Context(), lab, scene); err == nil || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("a rule about no address: %v", err)
	}
	if err := redirected(serviceName, "c").Inject(t.Context(), lab, scene); err != nil {
		t.Errorf("a pod that is not ready: %v", err)
	}
	if want := "node/worker: nft -f -"; !slices.Contains(lab.ran, want) {
		t.Errorf("ran %q, want %q", lab.ran, want)
	}
	for template, want := range map[string]string{
		"{{.NthBackend 2}}":       "10.244.2.5",
		"{{.NthBackend 3}}":       "2 pods of the app are ready, want 3",
		`{{.Backend "worker"}}`:   "10.244.1.5",
		`{{.Backend "gone"}}`:     "no pod of the app is ready on gone",
		`{{.Pod "gone"}}`:         "no pod gone with an IPv4 address",
		"{{.NodePort}}":           "has no node port",
		"{{.LoadBalancer}}":       "does not have",
		`{{.UnusedPod "worker"}}`: "10.244.1.254",
		"{{.DNSPod}}":             "10.244.0.2",
		"{{.Nodes.worker9.Addr}}": "no entry for key",
		"{{.Nonsense}}":           "can't evaluate field Nonsense",
	} {
		got, err := scene.fill(template)
		if got += fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", template, got, want)
		}
	}
}
