package mutants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Lab is what mutants need of the cluster; *cluster.Cluster is one.
type Lab interface {
	Client() kubernetes.Interface
	// Resources is e2e-framework's client, for its conditions.
	Resources() *resources.Resources
	Facts(ctx context.Context) (world.Facts, error)
	Vantages(ctx context.Context) ([]reach.Vantage, error)
	// Exec runs a program at a vantage, Prober gives the path of the prober there; see probe.Exec.
	Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
	Prober(ctx context.Context, v reach.Vantage) (string, error)
	// OutsideAddrs are those of the world outside, IPv4 first.
	OutsideAddrs() []netip.Addr
	// FreezeProxy and ThawProxy stop a node's kube-proxy where it is, and let it go on.
	FreezeProxy(ctx context.Context, node string) error
	ThawProxy(ctx context.Context, node string) error
	// StartProxyIn starts a node's kube-proxy again in a mode, and Facts do not say so.
	StartProxyIn(ctx context.Context, node, mode string) error
	// OnRestore has the lab undo something when it is closed, unless it is undone before by calling now.
	OnRestore(what string, undo func(context.Context) error) (now func(context.Context) error)
}

// The scenarios' Service and its pods.
const (
	serviceName       = "my-service"
	appLabel, appName = "app", "my-app"
)

// Scene is what a fault is injected into. Faults are about IPv4, in dual-stack clusters too, except those of Family IPv6.
type Scene struct {
	Namespace string
	// All are the scenario's Services by name, Pods the addresses of its pods by name, whatever state these are in.
	All  map[string]corev1.Service
	Pods map[string]netip.Addr
	// Pods6 are the pods' IPv6 addresses, where they have any.
	Pods6 map[string]netip.Addr
	// Service is my-service, where there is one.
	Service corev1.Service
	// VIP is its ClusterIP and LoadBalancer its load balancer's address, where it has them.
	VIP, LoadBalancer netip.Addr
	// Backends are its ready pods, sorted by node; Image is what they run.
	Backends []Backend
	Image    string
	// Nodes are the nodes by slot.
	Nodes map[string]Node
	// Services is the cluster's range of ClusterIPs.
	Services netip.Prefix
	// Domain is the cluster's DNS domain.
	Domain string
	// Outside is the address of the world outside.
	Outside netip.Addr
	// DNS are the addresses of CoreDNS's pods: something that answers HTTP on 8080 and is no sample app.
	DNS []netip.Addr

	// These are of histories only, whose Service is their first. Family is that of the Service's first ClusterIP, as nft names it. Other is the
	// ClusterIP of another Service, TCP and UDP are one of the Service's endpoints for each, and Stranger is one for UDP of a pod that is no endpoint.
	Family             string
	Other              netip.Addr
	TCP, UDP, Stranger netip.AddrPort
}

// Backend is a pod of the sample app.
type Backend struct {
	Name, Slot string
	Addr       netip.Addr
}

// Node is a node's address and its pods' range.
type Node struct {
	Name string
	Addr netip.Addr
	Pods netip.Prefix
}

// Look finds out what there is in the scenario's namespace and around it.
func Look(ctx context.Context, lab Lab, namespace string) (Scene, error) {
	scene := Scene{Namespace: namespace, Nodes: map[string]Node{}, All: map[string]corev1.Service{},
		Pods: map[string]netip.Addr{}, Pods6: map[string]netip.Addr{}}
	facts, err := lab.Facts(ctx)
	if err != nil {
		return scene, fmt.Errorf("look at the scene: %w", err)
	}
	is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
	scene.Domain, scene.Services = facts.ClusterDomain(), first(facts.ServiceCIDRs, is4)
	scene.Outside = first4(lab.OutsideAddrs())
	nodes, err := lab.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return scene, fmt.Errorf("look at the nodes: %w", err)
	}
	slots := map[string]string{}
	for slot, name := range facts.Slots {
		slots[name] = slot
		i := slices.IndexFunc(nodes.Items, func(n corev1.Node) bool { return n.Name == name })
		if i < 0 {
			return scene, fmt.Errorf("look at the nodes: there is no node %s", name)
		}
		addr, ok := world.PrimaryAddr(&nodes.Items[i], corev1.IPv4Protocol)
		if !ok {
			return scene, fmt.Errorf("look at the nodes: %s has no IPv4 address", name)
		}
		var ranges []netip.Prefix
		for _, text := range nodes.Items[i].Spec.PodCIDRs {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				ranges = append(ranges, prefix)
			}
		}
		scene.Nodes[slot] = Node{Name: name, Addr: addr, Pods: first(ranges, is4)}
	}
	if err := scene.lookAtServices(ctx, lab.Client()); err != nil {
		return scene, err
	}
	if err := scene.lookAtPods(ctx, lab.Client(), slots); err != nil {
		return scene, err
	}
	dns, err := lab.Client().CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return scene, fmt.Errorf("look at CoreDNS: %w", err)
	}
	for i := range dns.Items {
		if addr := ready4(&dns.Items[i]); addr.IsValid() {
			scene.DNS = append(scene.DNS, addr)
		}
	}
	return scene, nil
}

func (s *Scene) lookAtServices(ctx context.Context, client kubernetes.Interface) error {
	services, err := client.CoreV1().Services(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at the Services: %w", err)
	}
	for _, service := range services.Items {
		s.All[service.Name] = service
	}
	s.Service = s.All[serviceName]
	s.VIP, s.LoadBalancer = s.ClusterIP(serviceName), s.Balancer(serviceName)
	return nil
}

func (s *Scene) lookAtPods(ctx context.Context, client kubernetes.Interface, slots map[string]string) error {
	pods, err := client.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at the pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		s.Pods[pod.Name], s.Pods6[pod.Name] = first4(world.PodAddrs(pod)), first6(world.PodAddrs(pod))
		if addr := ready4(pod); addr.IsValid() && pod.Labels[appLabel] == appName {
			s.Image = pod.Spec.Containers[0].Image
			s.Backends = append(s.Backends, Backend{Name: pod.Name, Slot: slots[pod.Spec.NodeName], Addr: addr})
		}
	}
	slices.SortFunc(s.Backends, func(a, b Backend) int { return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Name, b.Name)) })
	return nil
}

// service is one of the scenario's by name.
func (s Scene) service(name string) (corev1.Service, error) {
	service, there := s.All[name]
	if !there {
		return service, fmt.Errorf("the scenario has no service %s", name)
	}
	return service, nil
}

// The methods from here on are for the templates of faults.

// NodePort is the first node port of the Service, or the first of a protocol.
func (s Scene) NodePort(protocol ...corev1.Protocol) (int32, error) {
	for _, p := range s.Service.Spec.Ports {
		if p.NodePort != 0 && (len(protocol) == 0 || slices.Contains(protocol, p.Protocol)) {
			return p.NodePort, nil
		}
	}
	return 0, fmt.Errorf("service %s has no node port", s.Service.Name)
}

// Backend is the address of the ready pod of my-service on the node of a slot.
func (s Scene) Backend(slot string) (netip.Addr, error) {
	for _, b := range s.Backends {
		if b.Slot == slot {
			return b.Addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no pod of the app is ready on %s", slot)
}

// NthBackend is the address of the n-th ready pod of my-service; the first is 1.
func (s Scene) NthBackend(n int) (netip.Addr, error) {
	if len(s.Backends) < n {
		return netip.Addr{}, fmt.Errorf("%d pods of the app are ready, want %d", len(s.Backends), n)
	}
	return s.Backends[n-1].Addr, nil
}

// DNSPod is the address of a pod of CoreDNS.
func (s Scene) DNSPod() (netip.Addr, error) {
	if len(s.DNS) == 0 {
		return netip.Addr{}, errors.New("no pod of CoreDNS is ready")
	}
	return s.DNS[0], nil
}

// UnusedPod is an address of the pods' range on a node that no pod has: addresses are assigned from the lower end.
func (s Scene) UnusedPod(slot string) netip.Addr {
	bytes := s.Nodes[slot].Pods.Addr().As4()
	bytes[3] |= 0xfe
	return netip.AddrFrom4(bytes)
}

// Pod is a pod's address by the pod's name.
func (s Scene) Pod(name string) (netip.Addr, error) {
	if addr := s.Pods[name]; addr.IsValid() {
		return addr, nil
	}
	return netip.Addr{}, fmt.Errorf("the scenario has no pod %s with an IPv4 address", name)
}

// ClusterIP is the address of a Service by its name, as ClusterIP6, Balancer and Balancer6 are. All return the zero value, which
// fill refuses, where the Service does not have that address.
func (s Scene) ClusterIP(service string) netip.Addr {
	of := s.All[service]
	return first4(world.ClusterIPs(&of))
}

// ClusterIP6 is described at ClusterIP.
func (s Scene) ClusterIP6(service string) netip.Addr {
	of := s.All[service]
	return first6(world.ClusterIPs(&of))
}

// Balancer is described at ClusterIP.
func (s Scene) Balancer(service string) netip.Addr { return first4(s.balancers(service)) }

// Balancer6 is described at ClusterIP.
func (s Scene) Balancer6(service string) netip.Addr { return first6(s.balancers(service)) }

func (s Scene) balancers(service string) []netip.Addr {
	of := s.All[service]
	return world.BalancerAddrs(&of)
}

// ready4 is the IPv4 address of a pod that is ready and not terminating, or the zero value.
func ready4(pod *corev1.Pod) netip.Addr {
	if !world.Ready(pod) || pod.DeletionTimestamp != nil {
		return netip.Addr{}
	}
	return first4(world.PodAddrs(pod))
}

// first4 and first6 are the first address of a family, or the zero value.
func first4(list []netip.Addr) netip.Addr { return first(list, netip.Addr.Is4) }
func first6(list []netip.Addr) netip.Addr { return first(list, netip.Addr.Is6) }

func first[T any](list []T, is func(T) bool) (found T) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		found = list[i]
	}
	return found
}
