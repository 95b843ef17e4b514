package migrate

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/world"
)

var update = flag.Bool("update", false, "overwrite the golden file in testdata")

// shop is the cluster of testdata/shop.yaml.
func shop(t *testing.T) world.World {
	t.Helper()
	file, err := os.Open("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	found, err := Read(file)
	if err != nil || !strings.Contains(found.Config, "mode: iptables") {
		t.Fatalf("%v, configuration %q", err, found.Config)
	}
	w := found.World
	w.Facts.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	return w
}

// modes are the facts of a switch to nftables mode.
func modes(w world.World) (from, to world.Facts) {
	from, to = w.Facts, w.Facts
	from.ProxyMode, to.ProxyMode = world.ModeIPTables, world.ModeNFTables
	return from, to
}

func TestText(t *testing.T) {
	w := shop(t)
	from, to := modes(w)
	from.MasqueradeAll = true
	var got bytes.Buffer
	for _, all := range []bool{false, true} {
		if err := Between(w, from, to).Text(&got, 120, all); err != nil {
			t.Fatal(err)
		}
		got.WriteString("====\n")
	}
	golden(t, "testdata/shop.txt", got.Bytes())
}

// golden compares what was written with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("it differs from %s (update it by -update):\n%s", file, got)
	}
}

// The page has no script and makes no request, and shows every group; what objects say is text in it.
func TestHTML(t *testing.T) {
	w := shop(t)
	from, to := modes(w)
	from.MasqueradeAll = true
	var got bytes.Buffer
	r := Between(w, from, to)
	if err := r.HTML(&got); err != nil {
		t.Fatal(err)
	}
	css, err := report.Styles()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/shop.html", []byte(strings.Replace(got.String(), string(css), "", 1))) // the style sheet is package report's
	if n := strings.Count(got.String(), "<details class=\"scenario cause\""); n != len(r.Groups) {
		t.Errorf("%d groups are shown, there are %d", n, len(r.Groups))
	}
	r.Groups[0].Title, r.Groups[0].Doc, r.Nodes = "<script>alert(1)</script>", "javascript:alert(1)", []Finding{{What: "a<b", Why: "x"}}
	got.Reset()
	if err := r.HTML(&got); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<script", "javascript:", "a<b"} {
		if strings.Contains(got.String(), part) {
			t.Errorf("the page has %q", part)
		}
	}
	for len(r.Groups[0].Changes) <= mostRows {
		r.Groups[0].Changes = append(r.Groups[0].Changes, r.Groups[0].Changes[0])
	}
	got.Reset()
	if err := r.HTML(&got); err != nil || !strings.Contains(got.String(), "the first 200 are shown") {
		t.Errorf("%v: it does not say that not all cells are shown", err)
	}
}

// ids are the causes of a report's declared changes, each with its effect and Services.
func ids(r Report) []string {
	var list []string
	for _, g := range r.Groups {
		if g.Declared {
			list = append(list, fmt.Sprintf("%s: %s: %s", g.ID, g.Effect, strings.Join(g.Services, " ")))
		}
	}
	return list
}

func TestBetween(t *testing.T) {
	localhost, others := "localhost: stops answering: shop/registry", "other-addresses: stops answering: shop/registry"
	ranges := "source-ranges: fails in another way: shop/web"
	for name, c := range map[string]struct {
		change func(w *world.World, from, to *world.Facts)
		want   []string
	}{
		"plain":                           {func(*world.World, *world.Facts, *world.Facts) {}, []string{localhost, others, ranges}},
		"loopback closed before":          {func(_ *world.World, from, _ *world.Facts) { from.NoLocalhostNodePorts = true }, []string{others, ranges}},
		"one address before":              {func(_ *world.World, from, _ *world.Facts) { from.NodePortAddresses = []string{"primary"} }, []string{ranges}},
		"all addresses after":             {func(_ *world.World, _, to *world.Facts) { to.NodePortAddresses = []string{"0.0.0.0/0"} }, []string{localhost, ranges}},
		"the same mode":                   {func(_ *world.World, from, to *world.Facts) { *from = *to }, nil},
		"back":                            {func(_ *world.World, from, to *world.Facts) { *from, *to = *to, *from }, []string{"localhost: starts answering: shop/registry", "other-addresses: starts answering: shop/registry", ranges}},
		"a setting of iptables mode only": {func(_ *world.World, from, _ *world.Facts) { from.MasqueradeAll = true }, []string{localhost, others, "masquerade: another source address is seen: shop/cart shop/registry", ranges}},
		"a slice that names no node":      {func(w *world.World, _, _ *world.Facts) { w.Slices[0].Endpoints[0].NodeName = nil }, []string{localhost, others, "hairpin: may stop answering: shop/cart", ranges}},
		"the same, of an older release": {func(w *world.World, _, to *world.Facts) {
			w.Slices[0].Endpoints[0].NodeName, to.ProxyRelease = nil, "1.35"
		}, []string{localhost, others, ranges}},
		"from an older release to a newer one": {func(w *world.World, from, to *world.Facts) {
			w.Slices[0].Endpoints[0].NodeName = nil
			*from = *to
			from.ProxyRelease = "1.35"
		}, []string{"hairpin: may stop answering: shop/cart"}},
	} {
		w := shop(t)
		from, to := modes(w)
		c.change(&w, &from, &to)
		r := Between(w, from, to)
		if got := ids(r); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if r.Services != 4 || len(c.want) == 0 && len(r.Changed) > 0 || len(c.want) > 0 && len(r.Changed) == 0 {
			t.Errorf("%s: %d Services, changed %v", name, r.Services, r.Changed)
		}
	}
}

// Only undeclared ports change where no Service has a node port and nodes are new enough: that does not count.
func TestNothingChanges(t *testing.T) {
	w := shop(t)
	w.Services = slices.DeleteFunc(w.Services, func(s corev1.Service) bool { return s.Name != "cart" })
	w.Nodes[1].Status.NodeInfo.KernelVersion = "5.13.0"
	from, to := modes(w)
	r := Between(w, from, to)
	if r.Differs() || len(r.Groups) != 2 || len(r.Nodes) != 0 {
		t.Errorf("%+v", r)
	}
	for _, g := range r.Groups {
		if g.Declared || g.Effect != Fails {
			t.Errorf("%+v", g)
		}
	}
}

func TestNodes(t *testing.T) {
	for text, want := range map[[2]string]string{
		{"6.1.0-18-amd64", "v1.36.3"}: "", {"5.13.0", "v1.31.0"}: "", {"6.12.0+", ""}: "",
		{"5.12.19", "v1.36.3"}: "does not start on kernels before 5.13", {"4.18.0-553.el8", "v1.36.3"}: "does not start",
		{"", "v1.36.3"}: "does not report its kernel", {"6.1.0", "v1.30.14"}: "alpha", {"6.1.0", "v1.28.1"}: "has no nftables mode",
	} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KernelVersion: text[0], KubeletVersion: text[1]}}}
		found := nodeFindings(n)
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0].Why, want)) {
			t.Errorf("%q: %+v, want %q", text, found, want)
		}
	}
}

func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		"": "it has no Service", "kind: Service": "it has no Node", "{]": "", "kind: Node\n---\nkind: Service": "it has no EndpointSlice",
	} {
		_, err := Read(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestJSON(t *testing.T) {
	w := shop(t)
	from, to := modes(w)
	text, err := json.Marshal(Between(w, from, to))
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Version int
		Changed []string
		Groups  []struct{ ID, Effect string }
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Version != 1 || len(read.Changed) != 2 || read.Groups[0].ID != "localhost" || read.Groups[0].Effect != "stops answering" {
		t.Errorf("%+v, %v", read, err)
	}
}

// Every cause has a title, and advice for a switch to nftables mode.
func TestCauses(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range causes() {
		if seen[c.id] || c.title == "" || c.applies == nil || c.id != other && c.do[world.ModeNFTables] == "" {
			t.Errorf("%+v", c)
		}
		seen[c.id] = true
	}
	if last := causes()[len(causes())-1]; last.id != other || !last.applies(Change{}) {
		t.Error("the last cause does not apply to every change")
	}
}

// large is a cluster of Services: four of five inside the cluster only, the others with node ports, half of those with a load
// balancer; three pods each.
func large(services, nodes int) world.World {
	var w world.World
	w.Facts.PodCIDRs, w.Facts.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}, []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	for i := range nodes {
		w.Nodes = append(w.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%02d", i), Labels: map[string]string{corev1.LabelTopologyZone: fmt.Sprint(i % 3)}},
			Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.%d.0.0/16", 128+i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)}},
				NodeInfo: corev1.NodeSystemInfo{KernelVersion: "6.1.0", KubeletVersion: "v1.37.2"}}})
	}
	number, name, protocol, yes, no := int32(8080), "http", corev1.ProtocolTCP, true, false
	for i := range services {
		s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", i%40), Name: fmt.Sprintf("app-%d", i)},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: fmt.Sprintf("10.96.%d.%d", 1+i/250, 1+i%250), IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
				Ports: []corev1.ServicePort{{Name: name, Port: 80, Protocol: protocol, TargetPort: intstr.FromInt32(number)}}}}
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
		if i%5 == 0 {
			s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, int32(30000+i/5)
		}
		if i%10 == 0 {
			s.Spec.Type = corev1.ServiceTypeLoadBalancer
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("172.19.%d.%d", i/2500, 1+i/10%250)}}
		}
		slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-a", Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &protocol}}}
		for j := range 3 {
			node := &w.Nodes[(i*3+j)%nodes]
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: fmt.Sprintf("%s-%d", s.Name, j)},
				Spec: corev1.PodSpec{NodeName: node.Name, Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: number}}}}}}
			n := (i*3 + j) / nodes // of the node's pods
			pod.Status.PodIPs = []corev1.PodIP{{IP: fmt.Sprintf("10.%d.%d.%d", 128+(i*3+j)%nodes, n/200, 10+n%200)}}
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIPs[0].IP}, NodeName: &node.Name,
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name},
				Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}})
			w.Pods = append(w.Pods, pod)
		}
		w.Services, w.Slices = append(w.Services, s), append(w.Slices, slice)
	}
	return w.Sorted()
}

// BenchmarkBetween predicts 5,000 Services in both modes.
func BenchmarkBetween(b *testing.B) {
	for _, nodes := range []int{3, 50} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			w := large(5000, nodes)
			from, to := modes(w)
			b.ReportAllocs()
			for b.Loop() {
				r := Between(w, from, to)
				if len(r.Changed) != 1000 {
					b.Fatalf("%d of %d Services change", len(r.Changed), r.Services)
				}
				b.ReportMetric(float64(r.Cells), "cells/op")
			}
		})
	}
}

// The Services of a large cluster are predicted for a few nodes and clients each, however many nodes there are.
func TestShares(t *testing.T) {
	w := large(500, 50)
	from, to := modes(w)
	r := Between(w, from, to)
	if per := r.Cells / r.Services; per > 100 {
		t.Errorf("%d cells for each Service", per)
	}
	if got := ids(r); len(got) != 1 || len(r.Changed) != 100 || r.Groups[0].ID != "localhost" || r.Groups[0].Changes[0].Target.Kind != reach.Localhost {
		t.Errorf("%d Services change: %.200q", len(r.Changed), got)
	}
}
