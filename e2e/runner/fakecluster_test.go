package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// fakeCluster has a control plane and two workers over a fakeAPI whose controllers are controllers().
type fakeCluster struct {
	api     *fakeAPI
	client  kubernetes.Interface
	dynamic dynamic.Interface
	lacks   map[scenario.Feature]string
	mode    string

	mu         sync.Mutex
	controlled []string
	answering  []string
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	api := newFakeAPI(t)
	c := &fakeCluster{api: api, lacks: map[scenario.Feature]string{}, mode: world.ModeNFTables}
	var err error
	if c.client, err = kubernetes.NewForConfig(api.config()); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(api.config()); err != nil {
		t.Fatal(err)
	}
	api.react = controllers
	api.mu.Lock()
	defer api.mu.Unlock()
	for i, slot := range []string{"control-plane", "worker", "worker2"} {
		api.put("nodes", object("v1", "Node", "", "lab-"+slot, map[string]any{
			"spec": map[string]any{"podCIDR": fmt.Sprintf("10.244.%d.0/24", i)},
			"status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": fmt.Sprintf("172.18.0.%d", i+2)}},
				"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
		}))
	}
	dns := object("v1", "Service", "kube-system", "kube-dns", map[string]any{"spec": map[string]any{"clusterIP": "10.96.0.10",
		"clusterIPs": []any{"10.96.0.10"}, "type": "ClusterIP", "ports": []any{map[string]any{"port": 53, "protocol": "UDP"}}}})
	dns["metadata"].(map[string]any)["labels"] = map[string]any{"k8s-app": "kube-dns"}
	api.put("services", dns)
	return c
}

func object(apiVersion, kind, namespace, name string, rest map[string]any) map[string]any {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}}
	if namespace != "" {
		o["metadata"].(map[string]any)["namespace"] = namespace
	}
	for key, value := range rest {
		o[key] = value
	}
	return o
}

// controllers stands for Kubernetes: a Deployment gets ready pods on the two workers, a Service an address and
// a slice of the pods it selects, and a namespace takes all in it along.
func controllers(api *fakeAPI, resource string, o map[string]any, deleted bool) {
	u := unstructured.Unstructured{Object: o}
	namespace := u.GetNamespace()
	switch {
	case resource == "namespaces" && deleted:
		for key := range api.objects {
			if strings.Contains(key, "/"+u.GetName()+"/") {
				api.drop(key)
			}
		}
	case resource == "deployments" && !deleted:
		reconcileDeployment(api, u)
	case resource == "pods":
		for _, d := range api.list("deployments", namespace) {
			reconcileDeployment(api, unstructured.Unstructured{Object: d})
		}
		for _, s := range api.list("services", namespace) {
			reconcileSlice(api, unstructured.Unstructured{Object: s})
		}
	case resource == "services" && deleted:
		api.drop("endpointslices/" + namespace + "/" + u.GetName())
	case resource == "services" && namespace != "kube-system":
		if ip, _, _ := unstructured.NestedString(o, "spec", "clusterIP"); ip == "" {
			updated := unstructured.Unstructured{Object: jsonCopy(o)}
			ip = fmt.Sprintf("10.96.1.%d", api.version%250+1)
			spec := updated.Object["spec"].(map[string]any)
			spec["clusterIP"], spec["clusterIPs"] = ip, []any{ip}
			for _, p := range spec["ports"].([]any) {
				p.(map[string]any)["protocol"] = "TCP"
			}
			api.put("services", updated.Object)
			return
		}
		reconcileSlice(api, u)
	}
}

func reconcileDeployment(api *fakeAPI, d unstructured.Unstructured) {
	replicas, found, _ := unstructured.NestedFloat64(d.Object, "spec", "replicas")
	if !found {
		replicas = 1
	}
	pods := api.list("pods", d.GetNamespace())
	// Changing a pod comes back here, until there are as many as wanted.
	if len(pods) < int(replicas) {
		node := []string{"worker", "worker2"}[len(pods)%2]
		api.put("pods", podNamed(fmt.Sprintf("%s-%d", d.GetName(), api.version), d.GetNamespace(), node, api.version, "True"))
		return
	}
	if len(pods) > int(replicas) {
		u := unstructured.Unstructured{Object: pods[len(pods)-1]}
		api.drop("pods/" + u.GetNamespace() + "/" + u.GetName())
		return
	}
	rolled := map[string]any{"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
		"availableReplicas": replicas, "observedGeneration": float64(d.GetGeneration())}
	if fmt.Sprint(d.Object["status"]) != fmt.Sprint(rolled) {
		updated := jsonCopy(d.Object)
		updated["status"] = rolled
		api.put("deployments", updated)
	}
}

func podNamed(name, namespace, slot string, number int, ready string) map[string]any {
	ip := fmt.Sprintf("10.244.%d.%d", map[string]int{"control-plane": 0, "worker": 1, "worker2": 2}[slot], number%250+2)
	pod := object("v1", "Pod", namespace, name, map[string]any{
		"spec": map[string]any{"nodeName": "lab-" + slot, "containers": []any{map[string]any{"name": "app", "ports": []any{
			map[string]any{"containerPort": 8080}}}}},
		"status": map[string]any{"phase": "Running", "podIP": ip, "podIPs": []any{map[string]any{"ip": ip}},
			"conditions": []any{map[string]any{"type": "Ready", "status": ready}}},
	})
	pod["metadata"].(map[string]any)["labels"] = map[string]any{"app": "my-app"}
	return pod
}

func reconcileSlice(api *fakeAPI, s unstructured.Unstructured) {
	selector, _, _ := unstructured.NestedStringMap(s.Object, "spec", "selector")
	endpoints := []any{}
	for _, p := range api.list("pods", s.GetNamespace()) {
		pod := unstructured.Unstructured{Object: p}
		if pod.GetLabels()["app"] != selector["app"] {
			continue
		}
		ip, _, _ := unstructured.NestedString(p, "status", "podIP")
		node, _, _ := unstructured.NestedString(p, "spec", "nodeName")
		ready := strings.Contains(fmt.Sprint(p["status"]), "status:True")
		endpoints = append(endpoints, map[string]any{"addresses": []any{ip}, "nodeName": node,
			"conditions": map[string]any{"ready": ready, "serving": ready, "terminating": false},
			"targetRef":  map[string]any{"kind": "Pod", "name": pod.GetName(), "namespace": s.GetNamespace(), "uid": string(pod.GetUID())}})
	}
	slice := object("discovery.k8s.io/v1", "EndpointSlice", s.GetNamespace(), s.GetName(), map[string]any{
		"addressType": "IPv4", "endpoints": endpoints,
		"ports": []any{map[string]any{"name": "", "port": 8080, "protocol": "TCP"}}})
	slice["metadata"].(map[string]any)["labels"] = map[string]any{"kubernetes.io/service-name": s.GetName()}
	old := api.objects["endpointslices/"+s.GetNamespace()+"/"+s.GetName()]
	if old == nil || fmt.Sprint(old["endpoints"]) != fmt.Sprint(jsonCopy(slice)["endpoints"]) {
		api.put("endpointslices", slice)
	}
}

func (c *fakeCluster) Client() kubernetes.Interface    { return c.client }
func (c *fakeCluster) Dynamic() dynamic.Interface      { return c.dynamic }
func (c *fakeCluster) Kubeconfig() string              { return "/no/such/kubeconfig" }
func (c *fakeCluster) Context() string                 { return "" }
func (c *fakeCluster) Lacks(f scenario.Feature) string { return c.lacks[f] }

func (c *fakeCluster) Vantages(context.Context) ([]reach.Vantage, error) {
	var vantages []reach.Vantage
	for i, slot := range []string{"control-plane", "worker", "worker2"} {
		vantages = append(vantages, reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: "lab-" + slot, Namespace: "svclab-clients",
			PodName: "client-" + slot, Addrs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.244.%d.200", i))}})
	}
	for i, slot := range []string{"control-plane", "worker", "worker2"} {
		vantages = append(vantages, reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: "lab-" + slot,
			Addrs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("172.18.0.%d", i+2))}})
	}
	return append(vantages, reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}}), nil
}

func (c *fakeCluster) Facts(context.Context) (world.Facts, error) {
	return world.Facts{ProxyMode: c.mode, Slots: map[string]string{"control-plane": "lab-control-plane", "worker": "lab-worker", "worker2": "lab-worker2"},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		DropsStrays: true, PodToNode: world.EgressNode, PodToOutside: world.EgressNode, PortsDeclared: true}, nil
}

func (c *fakeCluster) ControlNode(_ context.Context, slot, action string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.controlled = append(c.controlled, action+" "+slot)
	return nil
}

// Exec is the prober's whohas and links: a node's hardware address is 02:00:00:00:00:XX for 172.18.0.XX.
func (c *fakeCluster) Exec(_ context.Context, v reach.Vantage, argv []string, _ io.Reader, stdout, _ io.Writer) error {
	if slices.Contains(argv, "synced") {
		_, err := io.WriteString(stdout, `{"done":true}`)
		return err
	}
	macs := c.answering
	if argv[1] == "links" {
		b := v.Addrs[0].As4()
		macs = []string{fmt.Sprintf("02:00:00:00:00:%02x", b[3])}
	}
	return json.NewEncoder(stdout).Encode(map[string]any{"macs": macs})
}

func (c *fakeCluster) Prober(context.Context, reach.Vantage) (string, error) { return "/prober", nil }

// fakeProber observes what the oracle predicts in the world of the moment, but for what is broken.
type fakeProber struct {
	cluster *fakeCluster
	// broken changes what is observed; nil: nothing is broken. round counts calls of Observe from 1.
	broken func(round int, r probe.Request, o *reach.Observation)

	mu        sync.Mutex
	rounds    int
	deadlines int // how many rounds had one
	requests  [][]probe.Request
	flows     []*fakeFlow
}

func (p *fakeProber) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	p.rounds++
	if _, bounded := ctx.Deadline(); bounded {
		p.deadlines++
	}
	round := p.rounds
	p.requests = append(p.requests, requests)
	p.mu.Unlock()
	if len(requests) == 0 {
		return nil, nil
	}
	facts, err := p.cluster.Facts(ctx)
	if err != nil {
		return nil, err
	}
	facts.NodesUseClusterDNS = true
	var namespaces []string
	for _, r := range requests {
		namespace, _, _ := strings.Cut(r.Target.Service, "/")
		namespaces = append(namespaces, namespace)
	}
	w, err := world.Take(ctx, p.cluster.client, p.cluster.client.Discovery(), p.cluster.dynamic, facts, namespaces...)
	if err != nil {
		return nil, err
	}
	cells := make([]reach.Cell, len(requests))
	for i, r := range requests {
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target, Observations: p.observe(w, round, r)}
	}
	return cells, nil
}

func (p *fakeProber) observe(w world.World, round int, r probe.Request) []reach.Observation {
	truth := oracle.Predict(w, r.Vantage, r.Target)
	var list []reach.Observation
	missing := map[string]bool{}
	for _, name := range r.Until {
		missing[name] = true
	}
	for n := 0; n < r.Min || len(missing) > 0 && n < r.Max; n++ {
		o := reach.Observation{Outcome: truth.Outcomes[0], CNAME: truth.CNAME, HostSeen: truth.HostSeen}
		if r.Vantage.Unusable != "" {
			o = reach.Observation{Outcome: reach.Unprobed, Detail: r.Vantage.Unusable}
		}
		if o.Outcome == reach.Reached && len(truth.Backends) > 0 {
			o.Backend = truth.Backends[n%len(truth.Backends)]
			if len(truth.Sources) > 0 {
				o.Source = truth.Sources[0].Addr()
			}
		}
		if p.broken != nil {
			p.broken(round, r, &o)
		}
		delete(missing, o.Backend)
		list = append(list, o)
	}
	return list
}

type fakeFlow struct {
	request probe.FlowRequest
	report  probe.FlowReport
	stopped bool
	// seen are what Snapshot returns, one after the other, the last for good; the report where there are none.
	seen []probe.FlowReport
}

func (f *fakeFlow) Snapshot() probe.FlowReport {
	if len(f.seen) == 0 {
		return f.report
	}
	first := f.seen[0]
	if len(f.seen) > 1 {
		f.seen = f.seen[1:]
	}
	return first
}

func (f *fakeFlow) Stop() (probe.FlowReport, error) {
	if f.stopped {
		return f.report, errors.New("stopped twice")
	}
	f.stopped = true
	return f.report, nil
}

func (p *fakeProber) Flow(_ context.Context, r probe.FlowRequest) (Flow, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &fakeFlow{request: r, report: probe.FlowReport{Sent: 100, Answered: 97, LongestGap: 300 * time.Millisecond,
		Backends: map[string]int{"a": 97}}}
	p.flows = append(p.flows, f)
	return f, nil
}
