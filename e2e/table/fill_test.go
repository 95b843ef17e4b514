package table

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// addressed is small with addresses for pod a and a Service.
func addressed() Site {
	s := small()
	s.World.Pods[0].Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.7"}}
	s.World.Services = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Name: "my-service", Namespace: "ns"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.9", ClusterIPs: []string{"10.96.0.9"}}}}
	return s
}

func TestFilled(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                  "plain",
		"x.{namespace}.{domain}": "x.ns.cluster.local",
		"{clusterIP:my-service}": "10.96.0.9",
		"{podIP:a}":              "10.244.1.7",
		"{podLabel:a}.x":         "10-244-1-7.x",
		"{nodeIP:worker2}":       "172.18.0.4",
		"{podIP:nobody}":         "error",
		"{podIP:b}":              "error", // it has no address yet
		"{nodeIP:worker9}":       "error",
		"{mistyped:a}":           "error",
		"{formerIP:gone}":        "10.96.0.8",
		"{formerIP:my-service}":  "error", // it is still there
		"{formerIP:never}":       "error",
	} {
		s := addressed()
		s.Former = map[string][]netip.Addr{"gone": {netip.MustParseAddr("10.96.0.8")}, "my-service": {netip.MustParseAddr("10.96.0.9")}}
		got, err := s.Fill(text)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestFilledAllLeavesTheRestAlone(t *testing.T) {
	body := map[string]any{"endpoints": []any{map[string]any{"addresses": []any{"{podIP:a}"}, "n": 3.0}}, "kept": "{x}"}
	if !HasPlaceholder(body) || HasPlaceholder(body["kept"]) {
		t.Error("placeholders are not told from other braces")
	}
	filled, err := addressed().FillValue(body)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := filled.(map[string]any)["endpoints"].([]any)[0].(map[string]any)
	if got := endpoint["addresses"].([]any)[0]; got != "10.244.1.7" || endpoint["n"] != 3.0 || filled.(map[string]any)["kept"] != "{x}" {
		t.Errorf("got %v", filled)
	}
	if _, err := addressed().FillValue([]any{"{podIP:nobody}"}); err == nil {
		t.Error("an address that is not there was filled in")
	}
}

func TestAskers(t *testing.T) {
	s := addressed()
	names := func(vantages []reach.Vantage) string {
		var texts []string
		for _, v := range vantages {
			texts = append(texts, v.Name+"@"+v.Node)
		}
		return strings.Join(texts, " ")
	}
	if got := names(s.clients(scenario.Table{})); got != "host@" {
		t.Errorf("without clients: %s", got)
	}
	if got := names(s.clients(scenario.Table{Clients: "app=my-app"})); got != "pod/a@n1 pod/b@n2" {
		t.Errorf("the ready pods of the namespace: %s", got)
	}
	if v, found := s.Client("pod/a"); !found || v.Namespace != "ns" || len(v.Addrs) != 1 {
		t.Errorf("pod/a: %v, %t", v, found)
	}
	if _, found := s.Client("pod/e"); found {
		t.Error("a pod of another namespace is a client")
	}
}

func TestAddressesOfServicesAndVantages(t *testing.T) {
	where := addressed()
	where.Vantages = append(where.Vantages, onOutside, reach.Vantage{Name: "lost", Unusable: "there is none"})
	where.World.Services[0].Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.7"}}
	for text, want := range map[string]string{
		"{vantageIP:outside}/32":      "172.18.0.9/32",
		"{vantageIP:lost}":            "error",
		"{loadBalancerIP:my-service}": "172.18.255.7",
		"{loadBalancerIP:other}":      "error",
	} {
		got, err := where.Fill(text)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestNodeAddressesOfAFamily(t *testing.T) {
	node := corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "172.18.0.3"}, {Type: corev1.NodeInternalIP, Address: "fd00::3"}}}}
	node.Name = "lab-worker"
	where := Site{World: world.World{Nodes: []corev1.Node{node}, Facts: world.Facts{Slots: map[string]string{"worker": "lab-worker"},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}}}
	for text, want := range map[string]string{"{nodeIP:worker}": "172.18.0.3", "[{nodeIPv6:worker}]": "[fd00::3]", "{nodeIPv6:worker2}": ""} {
		if got, err := where.Fill(text); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestPlaceholdersOfEveryAddress(t *testing.T) {
	for text, want := range map[string]string{
		"{podIP:a}":                    "10.244.1.7",
		"{podIPv6:a}":                  "fd00:1::7",
		"{podIPs:a}":                   "10.244.1.7,fd00:1::7",
		"0 80 {podLabels:a}.x":         "0 80 10-244-1-7.x,0 80 fd00-1--7.x",
		"{loadBalancerIPs:my-service}": "172.18.255.1,fd00::1:1",
		"{clusterIPv6:my-service}":     "fd00:96::9",
		"{podIPs:b}":                   "error", // it has no address yet
		"{nodeIPv6:worker}":            "error",
		"{podIPx:a}":                   "error",
	} {
		got, err := dual().Fill(text)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
	body := map[string]any{"list": []any{"{podIPs:a}", "x"}, "text": "{loadBalancerIPs:my-service}"}
	filled, err := dual().FillValue(body)
	if got := fmt.Sprint(filled); err != nil || got != "map[list:[10.244.1.7 fd00:1::7 x] text:172.18.255.1,fd00::1:1]" {
		t.Errorf("a patch: %s (%v)", got, err)
	}
}
