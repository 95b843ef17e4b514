package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

const objects = `
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web}}, spec: {nodeName: n1, containers: [{name: a, ports: [{containerPort: 8080}]}]},
  status: {phase: Running, podIP: 10.244.0.5, podIPs: [{ip: 10.244.0.5}], conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ipFamilies: [IPv4],
  selector: {app: web}, ports: [{port: 80, targetPort: 8080, protocol: TCP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4,
  ports: [{port: 8080, protocol: TCP, name: ""}], endpoints: [{addresses: [10.244.0.5], conditions: {ready: true}, nodeName: n1, targetRef: {kind: Pod, name: web-1}}]}
`

// lab is a cluster without any process: what a probe meets is set by the test.
type lab struct {
	typed   kubernetes.Interface
	dynamic *dynamicfake.FakeDynamicClient

	mu      sync.Mutex
	outcome reach.Outcome
	probes  int
}

func (l *lab) Client() kubernetes.Interface { return l.typed }
func (l *lab) Dynamic() dynamic.Interface   { return l.dynamic }
func (l *lab) Facts(context.Context) (world.Facts, error) {
	return world.Facts{ProxyMode: "nftables", Slots: map[string]string{"n1": "n1"}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, nil
}
func (l *lab) Vantages(context.Context) ([]reach.Vantage, error) {
	return []reach.Vantage{{Name: "pod/n1", Kind: reach.Pod, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.244.0.7")}},
		{Name: "host", Kind: reach.Host, Unusable: "it is elsewhere"}}, nil
}

// Observe answers at once, or, where nothing answers, after the request's timeout.
func (l *lab) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	l.mu.Lock()
	outcome := l.outcome
	l.probes += len(requests)
	l.mu.Unlock()
	o := reach.Observation{Outcome: outcome, At: time.Now()}
	if outcome == reach.Reached {
		o.Backend = "web-1"
	}
	if outcome == reach.TimedOut {
		select {
		case <-ctx.Done():
		case <-time.After(requests[0].Timeout):
		}
	}
	var cells []reach.Cell
	for _, r := range requests {
		cells = append(cells, reach.Cell{Vantage: r.Vantage, Target: r.Target, Observations: []reach.Observation{o}})
	}
	return cells, nil
}

func (l *lab) meets(o reach.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcome = o
}

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

func newLab(t *testing.T) *lab {
	t.Helper()
	var all []runtime.Object
	for _, text := range strings.Split(objects, "---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	kinds := map[schema.GroupVersionResource]string{services: "ServiceList"}
	for kind, at := range map[string]schema.GroupVersionResource{"Node": {Version: "v1", Resource: "nodes"}, "Pod": {Version: "v1", Resource: "pods"},
		"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"}, "StatefulSet": {Group: "apps", Version: "v1", Resource: "statefulsets"},
		"DaemonSet":     {Group: "apps", Version: "v1", Resource: "daemonsets"},
		"EndpointSlice": {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}} {
		kinds[at] = kind + "List"
	}
	return &lab{typed: fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}), outcome: reach.Reached,
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, all...)}
}

// stream is what an open page gets.
type stream struct {
	t      *testing.T
	events chan [2]string
}

// shown serves a page of the lab and opens it.
func shown(t *testing.T, o Options) (*server, *stream) {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	s, err := newServer(o, web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = s
	web.Start()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.follow(ctx) }()
	t.Cleanup(func() { stop(); <-done; web.Close() })
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/"+s.token+"/events?lang=en", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got := &stream{t: t, events: make(chan [2]string, 1000)}
	go func() {
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		topic := ""
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				topic = name
			} else if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				got.events <- [2]string{topic, data}
			}
		}
	}()
	return s, got
}

// until waits for a message of a topic that has a text, and returns it with how long that took.
func (s *stream) until(topic, text string) (string, time.Duration) {
	s.t.Helper()
	began := time.Now()
	end := time.After(10 * time.Second)
	for last := ""; ; {
		select {
		case e := <-s.events:
			if e[0] != topic {
				continue
			}
			if last = e[1]; strings.Contains(last, text) {
				return last, time.Since(began)
			}
		case <-end:
			s.t.Fatalf("%s never had %s; last: %s", topic, text, last)
		}
	}
}

const bound = 300 * time.Millisecond

// The page shows a change of an object, and the outcome of a probe, within 300 ms. On a busy machine one of several must be: a delay
// of the page's own would be in each.
func TestChangesAreShownInTime(t *testing.T) {
	l := newLab(t)
	s, page := shown(t, Options{Cluster: l, Prober: l, View: View{Namespaces: []string{"shop"}, Traffic: true, Reasons: true}})
	page.until("world", "port 80 → targetPort 8080")
	text, _ := page.until("reach", `"Reached"`)
	var r Reach
	if err := json.Unmarshal([]byte(text), &r); err != nil || !r.Shown || len(r.Vantages) != 1 || len(r.Rows) == 0 || r.Rows[0].Cells[0].Differs || r.Rows[0].Cells[0].Why == "" {
		t.Errorf("%s, %v", text, err)
	}
	change := func(port int64) {
		t.Helper()
		o, err := l.dynamic.Resource(services).Namespace("shop").Get(t.Context(), "web", metav1.GetOptions{})
		if err == nil {
			err = unstructured.SetNestedSlice(o.Object, []any{map[string]any{"port": port, "targetPort": int64(8080), "protocol": "TCP"}}, "spec", "ports")
		}
		if err == nil {
			_, err = l.dynamic.Resource(services).Namespace("shop").Update(t.Context(), o, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l.meets(reach.Refused)
	shown, probed := time.Hour, time.Hour
	for port := int64(81); port < 90 && (shown > bound || probed > bound); port++ {
		change(port)
		_, took := page.until("world", fmt.Sprintf("port %d ", port))
		shown = min(shown, took)
		text, _ = page.until("reach", fmt.Sprintf(`:%d","cells":[{"outcome":"Refused"`, port))
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		probed = min(probed, time.Since(time.UnixMilli(r.Rows[0].Cells[0].At)))
	}
	if shown > bound || probed > bound || !r.Rows[0].Cells[0].Differs {
		t.Errorf("a changed Service was shown after %s, a probe after %s, %+v", shown, probed, r.Rows[0].Cells[0])
	}
	// A path that falls silent does not delay the others: it gets a lane of its own.
	l.meets(reach.TimedOut)
	page.until("reach", `"TimedOut"`)
	l.meets(reach.Reached)
	page.until("reach", `"Reached"`)
	if got := s.live.scene; got == nil {
		t.Error("there is no scene")
	}
}

// What may not be shown is not probed and not sent; what may not be explained has no prediction.
func TestWhatWouldShowTheAnswerIsHidden(t *testing.T) {
	l := newLab(t)
	s, page := shown(t, Options{Cluster: l, Prober: l, View: View{Namespaces: []string{"shop"}}})
	if text, _ := page.until("reach", "shown"); text != `{"shown":false}` {
		t.Errorf("got %s", text)
	}
	page.until("world", "web-1")
	if _, _, found := s.live.walk(walkRequest{From: "pod/n1", To: "web clusterIP:80/TCP"}); found {
		t.Error("a walk shows it")
	}
	l.mu.Lock()
	if l.probes > 0 {
		t.Errorf("%d probes were sent", l.probes)
	}
	l.mu.Unlock()
	s.live.allow(View{Namespaces: []string{"shop"}, Traffic: true})
	text, _ := page.until("reach", `"Reached"`)
	if strings.Contains(text, "why") || strings.Contains(text, "predicted") {
		t.Errorf("it explains: %s", text)
	}
	s.live.allow(View{Namespaces: []string{"shop"}, Traffic: true, Reasons: true})
	page.until("reach", `"why"`)
	if _, walk, found := s.live.walk(walkRequest{From: "pod/n1", To: "web clusterIP:80/TCP"}); !found || len(walk.Ways) == 0 {
		t.Errorf("no walk: %+v", walk)
	}
}

// In a cluster where nothing may be sent the page shows predictions.
func TestPredictionsOnly(t *testing.T) {
	l := newLab(t)
	_, page := shown(t, Options{Cluster: l, View: View{Namespaces: []string{"shop"}, Traffic: true, Reasons: true}})
	text, _ := page.until("reach", `"predicted"`)
	if strings.Contains(text, "outcome") || l.probes > 0 {
		t.Errorf("got %s after %d probes", text, l.probes)
	}
}

// Two rows of a table never look the same.
func TestPlace(t *testing.T) {
	name := reach.Target{Kind: reach.DNSName, Host: "web.shop.svc.cluster.local", Port: 80, Protocol: reach.TCP}
	v4, v6, udp := name, name, name
	v4.Family, v6.Family, udp.Protocol = 4, 6, reach.UDP
	for want, target := range map[string]reach.Target{
		" web.shop.svc.cluster.local:80":     name,
		" web.shop.svc.cluster.local:80 v4":  v4,
		" web.shop.svc.cluster.local:80 v6":  v6,
		" web.shop.svc.cluster.local:80/UDP": udp,
		" [fd00::9]:80":                      {Kind: reach.ClusterIP, Host: "fd00::9", Port: 80, Protocol: reach.TCP},
		"worker 172.18.0.3:30080":            {Kind: reach.NodePort, Host: "172.18.0.3", Slot: "worker", Port: 30080, Protocol: reach.TCP},
	} {
		if got := place(target); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
