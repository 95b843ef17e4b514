package explain

import (
	"fmt"
	"net/netip"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fixture is a healthy cluster in which a case spoils something: nodes cp, one and two; pods a (on one) and b (on
// two) of Deployment web behind demo/web, 80 to 8080, of type ClusterIP. MetalLB runs, with one pool.
type fixture struct {
	Case
	// observed overrules what the oracle predicts for a cell; "": as predicted.
	observed func(reach.Vantage, reach.Target) reach.Outcome
}

const lbAddr = "172.18.255.1"

func newFixture() *fixture {
	f := &fixture{}
	f.Service = "demo/web"
	f.World.Namespaces = []string{"demo"}
	f.World.Facts = world.Facts{
		ProxyMode:    world.ModeNFTables,
		PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		LoadBalancer: true, DropsStrays: true, NodesUseClusterDNS: true, PodToNode: world.EgressNode, PodToOutside: world.EgressNode,
		Externals: []world.External{{Name: "example.com", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.9")}, Backend: "outside", TCP: []uint16{80, 443}}},
	}
	for i, name := range []string{"cp", "one", "two"} {
		f.World.Nodes = append(f.World.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.18.0.%d", i+2)}},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
		proxy := runningPod("kube-proxy-"+name, name, "", nil)
		proxy.Namespace = metav1.NamespaceSystem
		f.Proxies = append(f.Proxies, proxy)
	}
	f.World.Pods = []corev1.Pod{webPod("a", "one", "10.244.1.11"), webPod("b", "two", "10.244.2.12")}
	f.World.Services = []corev1.Service{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}}},
	}}
	f.World.Slices = []discoveryv1.EndpointSlice{{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "demo", Name: "web-x", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(8080)), Protocol: ptr(corev1.ProtocolTCP)}},
		Endpoints:   []discoveryv1.Endpoint{endpoint("a", "one", "10.244.1.11"), endpoint("b", "two", "10.244.2.12")},
	}}
	f.World.Deployments = []appsv1.Deployment{deployment("web", 2)}
	f.World.Announcers = map[netip.Addr]string{}
	f.Balancer = &Balancer{Pools: []world.Pool{{Name: "lab", Blocks: []string{"172.18.255.1-172.18.255.9"}}},
		Advertisements: []Advertisement{{Kind: "L2Advertisement", Name: "lab", Pools: []string{"lab"}}}}
	return f
}

func deployment(name string, replicas int32) appsv1.Deployment {
	return appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name},
		Spec:   appsv1.DeploymentSpec{Replicas: ptr(replicas), Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}}},
		Status: appsv1.DeploymentStatus{Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas}}
}

func runningPod(name, node, ip string, labels map[string]string) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: labels}, Spec: corev1.PodSpec{NodeName: node,
		Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, Image: "shop/web:1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}}
	if ip != "" {
		pod.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	}
	return pod
}

func webPod(name, node, ip string) corev1.Pod {
	pod := runningPod(name, node, ip, map[string]string{"app": "web", "pod-template-hash": "1f"})
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-1f", Controller: ptr(true)}}
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}
	return pod
}

func endpoint(pod, node, ip string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{ip}, NodeName: &node, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod},
		Conditions: discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(true), Terminating: ptr(false)}}
}

// web is the Service that cases spoil.
func (f *fixture) web() *corev1.Service { return &f.World.Services[0] }

// empty leaves the Service without pods' addresses.
func (f *fixture) empty() { f.World.Slices = nil }

// unready makes both pods and their endpoints not ready.
func (f *fixture) unready(change func(*corev1.Pod)) {
	for i := range f.World.Pods {
		pod := &f.World.Pods[i]
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
		pod.Status.ContainerStatuses[0].Ready = false
		if change != nil {
			change(pod)
		}
		for s := range f.World.Slices {
			if i < len(f.World.Slices[s].Endpoints) {
				f.World.Slices[s].Endpoints[i].Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(false)}
			}
		}
	}
}

// waiting has the pods' container wait for a reason.
func (f *fixture) waiting(reason, message string) {
	f.unready(func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// nodePort makes it a NodePort Service at 30080.
func (f *fixture) nodePort() {
	f.web().Spec.Type, f.web().Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30080
}

// balanced makes it a LoadBalancer Service, with an address unless it is pending, which node one announces.
func (f *fixture) balanced(pending bool) {
	f.nodePort()
	f.web().Spec.Type = corev1.ServiceTypeLoadBalancer
	if !pending {
		f.web().Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: lbAddr}}
		f.World.Announcers = map[netip.Addr]string{netip.MustParseAddr(lbAddr): "one"}
	}
}

func (f *fixture) headless() {
	f.web().Spec.ClusterIP, f.web().Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
}

func (f *fixture) externalName(name string) {
	f.web().Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: name}
	f.empty()
}

func (f *fixture) event(kind, name, reason, message string) {
	f.Events = append(f.Events, corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name}, Type: corev1.EventTypeWarning,
		Reason: reason, Message: message, LastTimestamp: metav1.NewTime(time.Unix(int64(len(f.Events)), 0))})
}

// table makes the judged table: every cell is as the oracle predicts, but for what the case says was observed.
func (f *fixture) table() reach.Table {
	t := reach.Table{Title: f.Service, Targets: f.World.Targets(f.Service)}
	model := oracle.New(f.World)
	addr := netip.MustParseAddr
	for i, slot := range []string{"cp", "one", "two"} {
		t.Vantages = append(t.Vantages,
			reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: slot, Namespace: "clients", PodName: "client-" + slot, Addrs: []netip.Addr{addr(fmt.Sprintf("10.244.%d.9", i))}},
			reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: slot, Addrs: []netip.Addr{addr(fmt.Sprintf("172.18.0.%d", i+2))}})
	}
	t.Vantages = append(t.Vantages, reach.Vantage{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{addr("172.18.0.9")}})
	for _, v := range t.Vantages {
		for _, target := range t.Targets {
			if !world.Applicable(v, target) {
				continue
			}
			p := model.Predict(v, target)
			cell := reach.Cell{Vantage: v, Target: target, Repeat: "curl " + target.Host}
			outcome := reach.Outcome("")
			if f.observed != nil {
				outcome = f.observed(v, target)
			}
			switch {
			case outcome != "":
				cell.Observations = []reach.Observation{{Outcome: outcome}}
			case p.Wants():
				for _, backend := range p.Backends {
					o := reach.Observation{Outcome: reach.Reached, Backend: backend, CNAME: p.CNAME, HostSeen: p.HostSeen, Addresses: p.Addresses}
					if len(p.Sources) > 0 {
						o.Source = p.Sources[0].Addr()
					}
					cell.Observations = append(cell.Observations, o)
					if p.Sticky {
						break
					}
				}
			default:
				cell.Observations = []reach.Observation{{Outcome: p.Outcomes[0]}}
			}
			t.Cells = append(t.Cells, reach.Judge(cell, p, nil))
		}
	}
	return t
}

// explain builds the table and finds the causes.
func (f *fixture) explain() Finding {
	f.World = f.World.Sorted()
	f.Table = f.table()
	return Explain(f.Case)
}

func ptr[T any](v T) *T { return &v }
