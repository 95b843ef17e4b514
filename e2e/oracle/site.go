package oracle

import (
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/world"
)

// site is what a world has next to its Services and their EndpointSlices. Worlds that differ in those alone share it.
type site struct {
	facts     world.Facts
	nodes     map[string]*node
	byAddr    map[netip.Addr]*node
	nodeList  []*node // in the world's order
	pods      map[string]*corev1.Pod
	podByAddr map[netip.Addr]*corev1.Pod
	hostPods  map[string][]*corev1.Pod // host-network pods by node
	externals map[netip.Addr]*world.External
	// The Services of namespaces whose endpoints are not known, by name and by ClusterIP, and the names of those that serve an address or node port.
	others     map[string]*service
	clusterIPs map[netip.Addr]*service
	elsewhere  map[dest]string
	foreign    map[nodePortKey]string

	mu        sync.Mutex
	strangers map[string]*node
}

func newSite(w world.World) *site {
	x := &site{
		facts: w.Facts, nodes: map[string]*node{}, byAddr: map[netip.Addr]*node{}, strangers: map[string]*node{},
		pods: map[string]*corev1.Pod{}, podByAddr: map[netip.Addr]*corev1.Pod{},
		hostPods: map[string][]*corev1.Pod{}, externals: map[netip.Addr]*world.External{},
		others: map[string]*service{}, clusterIPs: map[netip.Addr]*service{}, elsewhere: map[dest]string{}, foreign: map[nodePortKey]string{},
	}
	for i := range w.Nodes {
		n := newNode(&w.Nodes[i], w.Facts)
		x.nodes[n.name] = n
		x.nodeList = append(x.nodeList, n)
		for _, addr := range n.addrs {
			x.byAddr[addr] = n
		}
	}
	x.addPods(w.Pods)
	for i := range w.Facts.Externals {
		for _, addr := range w.Facts.Externals[i].Addrs {
			x.externals[addr] = &w.Facts.Externals[i]
		}
	}
	for i := range w.Elsewhere {
		x.addElsewhere(&w.Elsewhere[i])
	}
	return x
}

func (x *site) addPods(pods []corev1.Pod) {
	for i := range pods {
		pod := &pods[i]
		x.pods[world.Name(pod)] = pod
		switch {
		case world.Ended(pod):
		case pod.Spec.HostNetwork:
			x.hostPods[pod.Spec.NodeName] = append(x.hostPods[pod.Spec.NodeName], pod)
		default:
			for _, addr := range world.PodAddrs(pod) {
				if held := x.podByAddr[addr]; held == nil || held.DeletionTimestamp != nil {
					x.podByAddr[addr] = pod
				}
			}
		}
	}
}

func (x *site) addElsewhere(object *corev1.Service) {
	s := newService(object, -1)
	x.others[s.name] = s
	for _, at := range s.fronts {
		x.elsewhere[at.dest] = s.name
		if at.kind == frontClusterIP {
			x.clusterIPs[at.addr] = s
		}
	}
	for _, sp := range s.ports {
		if sp.port.NodePort != 0 {
			x.foreign[nodePortKey{sp.family, uint16(sp.port.NodePort), sp.protocol()}] = s.name
		}
	}
}

// stranger returns a node that a vantage names but the world does not contain: only its name is known.
func (x *site) stranger(name string) *node {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.strangers[name]
	if n == nil {
		n = newNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, x.facts)
		x.strangers[name] = n
	}
	return n
}
