package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/e2e-framework/klient/decoder"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"

	"github.com/svclab/svclab/e2e/world"
)

// MetalLB keeps a certificate that it finds only if these hold; otherwise it makes its own, a minute later.
func TestWebhookCertificate(t *testing.T) {
	const server = "metallb-webhook-service.metallb-system.svc"
	now := time.Now()
	data, err := webhookCertificate(server, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data["ca.crt"]) {
		t.Fatal("ca.crt is no certificate")
	}
	for name, pair := range map[string][2]string{"cert": {"ca.crt", "ca.key"}, server: {"tls.crt", "tls.key"}} {
		keyed, err := tls.X509KeyPair(data[pair[0]], data[pair[1]])
		if err != nil {
			t.Fatalf("%s: %v", pair[0], err)
		}
		// 90 days ahead is where the controller looks
		if _, err := keyed.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now.Add(90 * 24 * time.Hour)}); err != nil {
			t.Errorf("%s as %s: %v", pair[0], name, err)
		}
	}
}

func TestDecode(t *testing.T) {
	objects, err := decode([]byte("# only a comment\n---\nkind: A\nmetadata:\n  name: x\n  creationTimestamp: null\n---\n---\nkind: B\n"))
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	if _, there, _ := unstructured.NestedFieldNoCopy(objects[0].Object, "metadata", "creationTimestamp"); there || objects[0].GetName() != "x" {
		t.Errorf("%v", objects[0])
	}
	for _, text := range []string{"a: [", "a: b", "kind: A\n---\n- kind: B\n"} {
		if _, err := decode([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestProbeSooner(t *testing.T) {
	objects, err := decode([]byte(`kind: Deployment
metadata: {name: controller}
spec:
  template:
    spec:
      containers:
      - name: a
        readinessProbe: {initialDelaySeconds: 10, periodSeconds: 10, httpGet: {path: /metrics}}
        livenessProbe: {initialDelaySeconds: 10}
      - name: b
`), decoder.MutateOption(probeSooner))
	if err != nil {
		t.Fatal(err)
	}
	containers, _, err := unstructured.NestedSlice(objects[0].Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	first := containers[0].(map[string]any)
	readiness, liveness := first["readinessProbe"].(map[string]any), first["livenessProbe"].(map[string]any)
	if readiness["initialDelaySeconds"] != int64(1) || readiness["periodSeconds"] != int64(2) || readiness["httpGet"] == nil || liveness["initialDelaySeconds"] != int64(10) {
		t.Errorf("%v", first)
	}
}

func TestLater(t *testing.T) {
	resource := schema.GroupResource{Group: "metallb.io", Resource: "ipaddresspools"}
	for err, want := range map[error]bool{
		errors.New("connection refused"):                                        true,
		apierrors.NewInternalError(errors.New("failed calling webhook")):        true,
		apierrors.NewForbidden(resource, "x", errors.New("serviceaccount")):     true,
		apierrors.NewNotFound(resource, "x"):                                    true,
		apierrors.NewInvalid(schema.GroupKind{Kind: "IPAddressPool"}, "x", nil): false,
		apierrors.NewBadRequest("overlaps with another pool"):                   false,
	} {
		if got := later(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestClientPods(t *testing.T) {
	c := &Cluster{settings: testSettings(t), engine: docker.New("")}
	text, err := kind.Render(c.settings.Manifests, "cluster/clients.yaml.tmpl", map[string]any{
		"Namespace": ClientsNamespace, "Image": "agnhost:1", "Lab": true, "LabPods": true, "Privileged": true, "Seconds": 7200,
		"Pods": []clientPod{{Name: c.podOf("svclab-worker2"), Node: "svclab-worker2", App: clientApp}, {Name: "node-x", Node: "x", App: "svclab-node-client", HostNetwork: true}}})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(text)
	if err != nil || len(objects) != 3 {
		t.Fatalf("%d objects, %v\n%s", len(objects), err, text)
	}
	pod := objects[1]
	node, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName")
	if pod.GetName() != "client-worker2" || pod.GetNamespace() != "svclab-clients" || node != "svclab-worker2" ||
		pod.GetLabels()["app.kubernetes.io/name"] != "svclab-client" || pod.GetLabels()[labLabel] != "true" {
		t.Errorf("%v", pod)
	}
	if seconds, _, _ := unstructured.NestedInt64(pod.Object, "spec", "activeDeadlineSeconds"); seconds != 7200 {
		t.Errorf("the pod's bound is %d s", seconds)
	}
	if host, _, _ := unstructured.NestedBool(objects[2].Object, "spec", "hostNetwork"); !host {
		t.Error("a pod that stands in for a node needs its network")
	}
	for i, want := range map[int]bool{1: false, 2: true} {
		processes, _, _ := unstructured.NestedBool(objects[i].Object, "spec", "hostPID")
		containers, _, _ := unstructured.NestedSlice(objects[i].Object, "spec", "containers")
		privileged, _, _ := unstructured.NestedBool(containers[0].(map[string]any), "securityContext", "privileged")
		if processes != want || privileged != want {
			t.Errorf("%s: privileged %t, sees the node's processes %t", objects[i].GetName(), privileged, processes)
		}
	}
}

func TestCommand(t *testing.T) {
	own := &Cluster{settings: testSettings(t), engine: docker.New("unix:///run/x.sock"), kubeconfig: "_output/kubeconfig", context: "kind-svclab"}
	other := &Cluster{settings: testSettings(t), kubeconfig: "/home/me/config", context: "prod"}
	argv := []string{"curl", "-s", "http://10.0.0.1/a?b"}
	for want, c := range map[string]struct {
		cluster *Cluster
		at      reach.Vantage
	}{
		"kubectl --kubeconfig _output/kubeconfig --context kind-svclab exec -n svclab-clients client-worker -- curl -s 'http://10.0.0.1/a?b'": {
			own, reach.Vantage{Kind: reach.Pod, Namespace: ClientsNamespace, PodName: "client-worker"}},
		"DOCKER_HOST=unix:///run/x.sock docker exec svclab-worker curl -s 'http://10.0.0.1/a?b'": {
			own, reach.Vantage{Kind: reach.Node, Node: "svclab-worker"}},
		"DOCKER_HOST=unix:///run/x.sock docker exec svclab-outside curl -s 'http://10.0.0.1/a?b'": {own, reach.Vantage{Kind: reach.Outside}},
		"curl -s 'http://10.0.0.1/a?b'": {own, reach.Vantage{Kind: reach.Host}},
		"kubectl --kubeconfig /home/me/config --context prod exec -n svclab-clients node-n1 -c client -- curl -s 'http://10.0.0.1/a?b'": {
			other, reach.Vantage{Kind: reach.Node, Node: "n1"}},
	} {
		if got := c.cluster.Command(c.at, argv); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestLacks(t *testing.T) {
	own := &Cluster{settings: testSettings(t), engine: docker.New("")}
	other := &Cluster{settings: testSettings(t)}
	for _, f := range []scenario.Feature{scenario.Outside, scenario.LoadBalancer, scenario.NodeControl} {
		if !own.Has(f) || other.Has(f) || other.Lacks(f) == "" {
			t.Errorf("%s: own %q, other %q", f, own.Lacks(f), other.Lacks(f))
		}
	}
	if own.Has(scenario.DualStack) || !own.Has(scenario.SingleStack) || own.Has("other") {
		t.Error("an IPv4 cluster has one IP family, and no feature that is not known")
	}
	dual := testSettings(t)
	dual.Family = Dual
	if both := (&Cluster{settings: dual}); !both.Has(scenario.DualStack) || both.Has(scenario.SingleStack) {
		t.Error("a dual-stack cluster has both IP families")
	}
	if err := other.StopNode(t.Context(), "n1"); err == nil {
		t.Error("a node of a cluster that svclab did not make was stopped")
	}
	if err := own.StopNode(t.Context(), "somebody-elses-container"); err == nil {
		t.Error("a container that is no node was stopped")
	}
}

func TestReadProxyConfig(t *testing.T) {
	for _, c := range []struct {
		text string
		want world.Facts
	}{
		{"mode: nftables\nclusterCIDR: 10.244.0.0/16,fd00:10:244::/56\n", world.Facts{ProxyMode: "nftables", PodCIDRs: prefixes("10.244.0.0/16", "fd00:10:244::/56")}},
		{"mode: \"\"\nclusterCIDR: \"\"\n", world.Facts{ProxyMode: "iptables"}},
		{"mode: nftables\nnodePortAddresses: [primary, localhost]\nfeatureGates: {KubeProxyNFTablesLocalhostNodePorts: true}\n",
			world.Facts{ProxyMode: "nftables", NodePortAddresses: []string{"primary", "localhost"}, LoopbackProxy: true}},
		{"mode: userspace\n", world.Facts{ProxyMode: "unknown"}},
		{"iptables: {masqueradeAll: true, localhostNodePorts: false}\nnodePortAddresses: [primary]\ndetectLocalMode: NodeCIDR\n",
			world.Facts{ProxyMode: "iptables", MasqueradeAll: true, NoLocalhostNodePorts: true, NodePortAddresses: []string{"primary"}, Detection: world.DetectNodeCIDR}},
		{"mode: nftables\niptables: {masqueradeAll: true}\ndetectLocalMode: InterfaceNamePrefix\n", world.Facts{ProxyMode: "nftables", Detection: world.DetectUnknown}},
	} {
		got, err := ReadProxyConfig(c.text, "")
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v %v", c.text, got, err)
		}
	}
	if _, err := ReadProxyConfig("clusterCIDR: x", ""); err == nil {
		t.Error("nonsense was read")
	}
}

func TestRestoreAllUndoesTheLastFirst(t *testing.T) {
	c := &Cluster{}
	var undone []string
	undo := func(what string, err error) func() error {
		now := c.OnRestore(what, func(context.Context) error { undone = append(undone, what); return err })
		return func() error { return now(t.Context()) }
	}
	undo("a", nil)
	b := undo("b", nil)
	undo("c", errors.New("broken"))
	if err := b(); err != nil {
		t.Fatal(err)
	}
	err := c.RestoreAll(t.Context())
	if err == nil || !strings.Contains(err.Error(), "restore c: broken") || !slices.Equal(undone, []string{"b", "c", "a"}) {
		t.Errorf("%q, %v", undone, err)
	}
	if pending := c.undo.pending(); !slices.Equal(pending, []string{"c"}) {
		t.Errorf("still to be undone: %q", pending)
	}
}
