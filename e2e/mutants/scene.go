package mutants

import (
	"cmp"
	"context"
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
	scene.Domain, scene.Services = facts.ClusterDomain(), first4(facts.ServiceCIDRs, netip.Prefix.Addr)
	scene.Outside = first4(lab.OutsideAddrs(), func(a netip.Addr) netip.Addr { return a })
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
		scene.Nodes[slot] = Node{Name: name, Addr: addr, Pods: first4(ranges, netip.Prefix.Addr)}
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
		if addr, ok := ready4(&dns.Items[i]); ok {
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
	s.VIP, s.LoadBalancer = virtual4(s.Service), balancer4(s.Service)
	return nil
}

func (s *Scene) lookAtPods(ctx context.Context, client kubernetes.Interface, slots map[string]string) error {
	pods, err := client.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at the pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		s.Pods[pod.Name] = first4(world.PodAddrs(pod), func(a netip.Addr) netip.Addr { return a })
		s.Pods6[pod.Name] = first6(world.PodAddrs(pod))
		if addr, ok := ready4(pod); ok && pod.Labels[appLabel] == appName {
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

// nodePort is the first node port of my-service.
func (s Scene) nodePort() (int32, error) {
	if len(s.Service.Spec.Ports) == 0 || s.Service.Spec.Ports[0].NodePort == 0 {
		return 0, fmt.Errorf("service %s has no node port", serviceName)
	}
	return s.Service.Spec.Ports[0].NodePort, nil
}

// toPod is a rule's end that sends what it matches to port 8080 of a pod by name.
func (s Scene) toPod(name string) (string, error) {
	addr := s.Pods[name]
	if !addr.IsValid() {
		return "", fmt.Errorf("the scenario has no pod %s with an IPv4 address", name)
	}
	return fmt.Sprintf("dnat ip to %s:8080", addr), nil
}

// virtual4 is a Service's ClusterIP, balancer4 its load balancer's address; the zero value where it has none of IPv4.
func virtual4(service corev1.Service) netip.Addr {
	return first4(world.ClusterIPs(&service), func(a netip.Addr) netip.Addr { return a })
}

func balancer4(service corev1.Service) netip.Addr {
	return first4(world.Ingresses(&service), func(i world.Ingress) netip.Addr { return i.Addr }).Addr
}

// virtual6 and balancer6 are those of IPv6.
func virtual6(service corev1.Service) netip.Addr { return first6(world.ClusterIPs(&service)) }

func balancer6(service corev1.Service) netip.Addr {
	var addrs []netip.Addr
	for _, ingress := range world.Ingresses(&service) {
		addrs = append(addrs, ingress.Addr)
	}
	return first6(addrs)
}

// ready4 is the IPv4 address of a pod that is ready and stays.
func ready4(pod *corev1.Pod) (netip.Addr, bool) {
	if !world.Ready(pod) || pod.DeletionTimestamp != nil {
		return netip.Addr{}, false
	}
	for _, ip := range pod.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil && addr.Is4() {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// first4 is the first of list whose address is of IPv4; the zero value where there is none.
func first4[T any](list []T, addr func(T) netip.Addr) T {
	var none T
	for _, item := range list {
		if addr(item).Is4() {
			return item
		}
	}
	return none
}

// first6 is the first IPv6 address of list; the zero value where there is none.
func first6(list []netip.Addr) netip.Addr {
	for _, addr := range list {
		if addr.Is6() {
			return addr
		}
	}
	return netip.Addr{}
}
