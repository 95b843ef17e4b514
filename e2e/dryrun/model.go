package dryrun

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// model is the state of a cluster as far as steps can change it.
type model struct {
	lab       lab
	namespace string
	// objects are those of the scenario's namespace, and the nodes, by "kind/name".
	objects map[string]metav1.Object
	order   []string                // the keys of objects, oldest first
	former  map[string][]netip.Addr // ClusterIPs of Services that exist or existed, by name
	modes   map[string]string       // of the kube-proxies whose mode was switched, by node
	// poolGone and poolClosed: MetalLB has no address pool; it assigns no address to further Services.
	poolGone, poolClosed bool
	count                int // of the names and addresses assigned so far; none is assigned twice
}

// slots are the nodes of a lab.
var slots = []string{"control-plane", "worker", "worker2"}

// outsideHost is the number of the host outside the cluster on the nodes' network. The nodes have 2 to 4, the machine that
// svclab runs on has 1.
const outsideHost = 9

func nodeName(slot string) string { return "svclab-" + slot }

func newModel(namespace string, l lab) *model {
	m := &model{lab: l, namespace: namespace, objects: map[string]metav1.Object{}, former: map[string][]netip.Addr{}, modes: map[string]string{}}
	for i, slot := range slots {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(slot), Labels: map[string]string{corev1.LabelHostname: nodeName(slot)}}}
		for _, family := range m.families() {
			node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, podRange(i, family))
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: hostAddr(i+2, family)})
		}
		node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
		m.set("node/"+node.Name, node)
	}
	return m
}

// families are the cluster's IP families, the first one first.
func (m *model) families() []corev1.IPFamily {
	if m.lab.dual {
		return []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	}
	return []corev1.IPFamily{corev1.IPv4Protocol}
}

// address makes an address of a family from the two forms of a prefix and a number.
func address(v4, v6 string, n int, family corev1.IPFamily) string {
	if family == corev1.IPv6Protocol {
		return fmt.Sprintf("%s%x", v6, n)
	}
	return fmt.Sprintf("%s%d.%d", v4, n/250, n%250+1)
}

func hostAddr(n int, family corev1.IPFamily) string {
	return address("172.18.", "fc00:f853:ccd:e793::", n-1, family)
}

func podRange(node int, family corev1.IPFamily) string {
	if family == corev1.IPv6Protocol {
		return fmt.Sprintf("fd00:10:244:%x::/64", node)
	}
	return fmt.Sprintf("10.244.%d.0/24", node)
}

func (m *model) podAddr(node int, family corev1.IPFamily) string {
	if family == corev1.IPv6Protocol {
		return fmt.Sprintf("fd00:10:244:%x::%x", node, m.count+2)
	}
	return fmt.Sprintf("10.244.%d.%d", node, m.count%250+2)
}

func (m *model) facts() world.Facts {
	f := world.Facts{ProxyMode: m.lab.mode, NodeModes: maps.Clone(m.modes), Slots: map[string]string{}, LoadBalancer: true, NodesUseClusterDNS: true, DropsStrays: true, PortsDeclared: true,
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}
	if m.lab.dual {
		f.PodCIDRs = append(f.PodCIDRs, netip.MustParsePrefix("fd00:10:244::/56"))
		f.ServiceCIDRs = append(f.ServiceCIDRs, netip.MustParsePrefix("fd00:10:96::/112"))
	}
	for _, slot := range slots {
		f.Slots[slot] = nodeName(slot)
	}
	f.Externals = []world.External{{Name: "example.com", Addrs: m.hostAddrs(outsideHost), Backend: "outside", TCP: []uint16{80, 443}}}
	return f
}

// site is where tables are matched: a snapshot of the model, with the vantages of a lab.
func (m *model) site() table.Site {
	w := world.World{Facts: m.facts(), Namespaces: []string{m.namespace}, Announcers: map[netip.Addr]string{}}
	for _, key := range m.order {
		switch o := m.objects[key].(type) {
		case *corev1.Node:
			w.Nodes = append(w.Nodes, *o)
		case *corev1.Pod:
			w.Pods = append(w.Pods, *o)
		case *discoveryv1.EndpointSlice:
			w.Slices = append(w.Slices, *o)
		case *corev1.Service:
			w.Services = append(w.Services, *o)
			for _, ingress := range world.Ingresses(o) {
				w.Announcers[ingress.Addr] = nodeName("worker")
			}
		}
	}
	var vantages []reach.Vantage
	for i, slot := range slots {
		v := reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: nodeName(slot), Namespace: "svclab-clients", PodName: "client-" + slot}
		for _, family := range m.families() {
			v.Addrs = append(v.Addrs, netip.MustParsePrefix(podRange(i, family)).Addr().Next().Next())
		}
		vantages = append(vantages, v)
	}
	for i, slot := range slots {
		vantages = append(vantages, reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: nodeName(slot), Addrs: m.hostAddrs(i + 2)})
	}
	vantages = append(vantages, reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: m.hostAddrs(outsideHost)},
		reach.Vantage{Name: "host", Kind: reach.Host, Addrs: m.hostAddrs(1)})
	return table.Site{Namespace: m.namespace, World: w.Sorted(), Vantages: vantages, Former: m.former}
}

func (m *model) hostAddrs(n int) []netip.Addr {
	var addrs []netip.Addr
	for _, family := range m.families() {
		addrs = append(addrs, netip.MustParseAddr(hostAddr(n, family)))
	}
	return addrs
}

// kindOf is a kind as keys of objects have it: "services", "svc" and "Service" are one.
func kindOf(text string) string {
	kind, _, _ := strings.Cut(strings.ToLower(text), ".")
	short := map[string]string{"svc": "service", "po": "pod", "deploy": "deployment", "no": "node", "sts": "statefulset", "rs": "replicaset", "cm": "configmap"}
	return cmp.Or(short[kind], strings.TrimSuffix(kind, "s"))
}

// newObject makes an empty object of a kind. Kinds that no table can depend on, such as ConfigMap, are not typed.
func newObject(kind string) (metav1.Object, error) {
	switch kind {
	case "service":
		return &corev1.Service{}, nil
	case "pod":
		return &corev1.Pod{}, nil
	case "node":
		return &corev1.Node{}, nil
	case "endpointslice":
		return &discoveryv1.EndpointSlice{}, nil
	case "endpoint":
		return &corev1.Endpoints{}, nil //nolint:staticcheck // deprecated, and mirrored all the same
	case "deployment":
		return &appsv1.Deployment{}, nil
	case "statefulset":
		return &appsv1.StatefulSet{}, nil
	case "configmap", "secret", "serviceaccount", "role", "rolebinding", "networkpolicy", "poddisruptionbudget":
		return &unstructured.Unstructured{}, nil
	default: // it may make pods or addresses that the model does not know of
		return nil, fmt.Errorf("the kind %s is not modelled", kind)
	}
}

// set stores an object in place of the one of the same key.
func (m *model) set(key string, o metav1.Object) {
	if _, exists := m.objects[key]; !exists {
		m.order = append(m.order, key)
	}
	m.objects[key] = o
}

// remove deletes an object, and all that it owns.
func (m *model) remove(key string) {
	gone, exists := m.objects[key]
	if !exists {
		return
	}
	delete(m.objects, key)
	m.order = slices.DeleteFunc(m.order, func(k string) bool { return k == key })
	for _, owned := range slices.Collect(maps.Keys(m.objects)) {
		if ownedBy(m.objects[owned], key, gone.GetName()) {
			m.remove(owned)
		}
	}
}

func ownedBy(o metav1.Object, key, name string) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool {
		return kindOf(r.Kind)+"/"+r.Name == key && r.Name == name
	})
}

// all returns the objects of one type, the oldest first.
func all[T metav1.Object](m *model) []T {
	var list []T
	for _, key := range m.order {
		if o, is := m.objects[key].(T); is {
			list = append(list, o)
		}
	}
	return list
}

// apply does what server-side apply does with one manifest.
func (m *model) apply(manifest *unstructured.Unstructured) error {
	key := kindOf(manifest.GetKind()) + "/" + manifest.GetName()
	body, err := manifest.MarshalJSON()
	if err != nil {
		return err
	}
	if _, exists := m.objects[key]; exists {
		return m.patch(key, "strategic", "", body)
	}
	o, err := newObject(kindOf(manifest.GetKind()))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, o); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	o.SetNamespace(m.namespace)
	m.set(key, o)
	return nil
}

// patch changes an object. As in the API server, a patch of the subresource status changes nothing but the status of a
// Service or a pod, and any other patch everything but that.
func (m *model) patch(key, how, subresource string, body []byte) error {
	o, exists := m.objects[key]
	if !exists {
		return fmt.Errorf("%s does not exist", key)
	}
	before, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var after []byte
	switch how {
	case "json":
		patch, decodeErr := jsonpatch.DecodePatch(body)
		if decodeErr != nil {
			return fmt.Errorf("patch %s: %w", key, decodeErr)
		}
		after, err = patch.Apply(before)
	case "strategic":
		if _, untyped := o.(*unstructured.Unstructured); untyped {
			after, err = jsonpatch.MergePatch(before, body)
		} else {
			after, err = strategicpatch.StrategicMergePatch(before, body, o)
		}
	default:
		after, err = jsonpatch.MergePatch(before, body)
	}
	if err != nil {
		return fmt.Errorf("patch %s: %w", key, err)
	}
	kind, _, _ := strings.Cut(key, "/")
	changed, err := newObject(kind)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(after, changed); err != nil {
		return fmt.Errorf("patch %s: %w", key, err)
	}
	switch was := o.(type) {
	case *corev1.Service:
		now := changed.(*corev1.Service)
		if subresource == "status" {
			now.Spec = was.Spec
		} else {
			now.Status = was.Status
		}
	case *corev1.Pod:
		now := changed.(*corev1.Pod)
		if subresource == "status" {
			now.Spec = was.Spec
		} else {
			now.Status = was.Status
		}
	}
	m.set(key, changed)
	if _, isPod := changed.(*corev1.Pod); !isPod && changed.GetDeletionTimestamp() != nil && len(changed.GetFinalizers()) == 0 {
		m.remove(key)
	}
	return nil
}
