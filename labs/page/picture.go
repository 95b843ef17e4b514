package page

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

// Picture is the objects of a cluster as the page shows them.
type Picture struct {
	Namespaces []string     `json:"namespaces"`
	Nodes      []NodeShown  `json:"nodes"`
	Pods       []PodShown   `json:"pods"`
	Services   []Shown      `json:"services"`
	Slices     []SliceShown `json:"slices"`
}

// NodeShown is a node.
type NodeShown struct {
	Name  string   `json:"name"`
	Slot  string   `json:"slot"`
	Ready bool     `json:"ready"`
	Addrs []string `json:"addrs"`
}

// PodShown is a pod.
type PodShown struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Node      string            `json:"node,omitempty"`
	Addrs     []string          `json:"addrs,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Phase     string            `json:"phase"`
	Ready     bool              `json:"ready"`
	Ending    bool              `json:"ending,omitempty"`
}

// Shown is a Service.
type Shown struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Addrs     []string          `json:"addrs,omitempty"`
	External  []string          `json:"external,omitempty"`
	Pending   bool              `json:"pending,omitempty"`
	Selector  map[string]string `json:"selector,omitempty"`
	Ports     []string          `json:"ports,omitempty"`
	Notes     []string          `json:"notes,omitempty"`
}

// SliceShown is an EndpointSlice.
type SliceShown struct {
	Namespace string          `json:"namespace"`
	Name      string          `json:"name"`
	Service   string          `json:"service,omitempty"`
	Ports     []string        `json:"ports,omitempty"`
	Endpoints []EndpointShown `json:"endpoints,omitempty"`
}

// EndpointShown is an endpoint of a slice.
type EndpointShown struct {
	Addrs []string `json:"addrs"`
	Pod   string   `json:"pod,omitempty"`
	State string   `json:"state"` // ready, terminating, serving, not ready
}

func picture(w world.World) Picture {
	p := Picture{Namespaces: w.Namespaces}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		p.Nodes = append(p.Nodes, NodeShown{Name: n.Name, Slot: w.Slot(n.Name), Ready: world.NodeReady(n), Addrs: texts(world.NodeAddrs(n))})
	}
	for i := range w.Pods {
		pod := &w.Pods[i]
		if pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		shown := PodShown{Namespace: pod.Namespace, Name: pod.Name, Node: pod.Spec.NodeName, Addrs: texts(world.PodAddrs(pod)), Labels: map[string]string{},
			Phase: string(pod.Status.Phase), Ending: pod.DeletionTimestamp != nil}
		shown.Ready = slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		for name, value := range pod.Labels {
			if name != "pod-template-hash" {
				shown.Labels[name] = value
			}
		}
		p.Pods = append(p.Pods, shown)
	}
	for i := range w.Services {
		p.Services = append(p.Services, service(&w.Services[i]))
	}
	for i := range w.Slices {
		p.Slices = append(p.Slices, slice(&w.Slices[i]))
	}
	return p
}

func service(s *corev1.Service) Shown {
	out := Shown{Namespace: s.Namespace, Name: s.Name, Type: string(s.Spec.Type), Selector: s.Spec.Selector, Addrs: texts(world.ClusterIPs(s))}
	for _, i := range world.Ingresses(s) {
		out.External = append(out.External, i.Addr.String())
	}
	out.External = append(out.External, texts(world.ExternalIPs(s))...)
	out.Pending = s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(world.Ingresses(s)) == 0
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		out.External = append(out.External, s.Spec.ExternalName)
	}
	for _, p := range s.Spec.Ports {
		text := fmt.Sprintf("port %d", p.Port)
		if target := p.TargetPort.String(); target != "0" && target != "" {
			text += " → targetPort " + target
		}
		if p.NodePort != 0 {
			text += fmt.Sprintf(", nodePort %d", p.NodePort)
		}
		out.Ports = append(out.Ports, fmt.Sprintf("%s (%s)", text, p.Protocol))
	}
	if s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		out.Notes = append(out.Notes, "externalTrafficPolicy: Local")
	}
	if p := s.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		out.Notes = append(out.Notes, "internalTrafficPolicy: Local")
	}
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		out.Notes = append(out.Notes, "sessionAffinity: ClientIP")
	}
	if world.Headless(s) {
		out.Notes = append(out.Notes, "clusterIP: None")
	}
	return out
}

func slice(s *discoveryv1.EndpointSlice) SliceShown {
	out := SliceShown{Namespace: s.Namespace, Name: s.Name, Service: s.Labels[discoveryv1.LabelServiceName]}
	for _, p := range s.Ports {
		if p.Port == nil {
			out.Ports = append(out.Ports, "no port")
			continue
		}
		if port := fmt.Sprint(*p.Port); !slices.Contains(out.Ports, port) { // one may be there over TCP and over UDP
			out.Ports = append(out.Ports, port)
		}
	}
	is := func(b *bool) bool { return b != nil && *b }
	for _, e := range s.Endpoints {
		shown := EndpointShown{Addrs: e.Addresses, State: "not ready"}
		switch c := e.Conditions; {
		case c.Ready == nil || *c.Ready:
			shown.State = "ready"
		case is(c.Terminating) && is(c.Serving):
			shown.State = "serving"
		case is(c.Terminating):
			shown.State = "terminating"
		}
		if e.TargetRef != nil {
			shown.Pod = e.TargetRef.Name
		}
		out.Endpoints = append(out.Endpoints, shown)
	}
	return out
}

func texts[T fmt.Stringer](list []T) []string {
	var all []string
	for _, one := range list {
		all = append(all, one.String())
	}
	return all
}
