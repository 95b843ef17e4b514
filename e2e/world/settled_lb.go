package world

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// loadBalancers says which Service waits for its address, or for a node to announce it.
func (s settling) loadBalancers() string {
	for i := range s.w.Services {
		service := &s.w.Services[i]
		if !s.in[service.Namespace] {
			continue
		}
		if waitingFor := s.assignment(service); waitingFor != "" {
			return waitingFor
		}
		if s.w.Announcers == nil || s.allow.Pending {
			continue
		}
		if waitingFor := s.announcement(service); waitingFor != "" {
			return waitingFor
		}
	}
	return ""
}

func (s settling) assignment(service *corev1.Service) string {
	ingresses := Ingresses(service)
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		if len(ingresses) > 0 {
			return fmt.Sprintf("service %s, no load balancer any more, to give up %s", Name(service), ingresses[0].Addr)
		}
		return ""
	}
	if s.allow.Pending || !s.w.Facts.Serves(service.Spec.LoadBalancerClass) {
		return ""
	}
	wanted := 1
	if policy := service.Spec.IPFamilyPolicy; policy != nil && *policy == corev1.IPFamilyPolicyRequireDualStack {
		wanted = 2
	}
	if len(ingresses) < wanted {
		return fmt.Sprintf("service %s to get %d load-balancer address(es), it has %d", Name(service), wanted, len(ingresses))
	}
	return ""
}

// announcement follows MetalLB's layer-2 election: one node announces as long as any endpoint is ready or
// serving, and with externalTrafficPolicy Local one that has such an endpoint.
func (s settling) announcement(service *corev1.Service) string {
	nodes := s.w.announcedBy(Name(service))
	eligible := s.eligible(service)
	switch {
	case len(nodes) > 1:
		return fmt.Sprintf("one node to announce service %s; %s do", Name(service), strings.Join(nodes, " and "))
	case len(nodes) == 0 && len(eligible) > 0:
		return fmt.Sprintf("a node to announce service %s", Name(service))
	case len(nodes) == 1 && len(eligible) == 0:
		return fmt.Sprintf("%s to stop announcing service %s", nodes[0], Name(service))
	case len(nodes) == 1 && !slices.Contains(eligible, nodes[0]):
		return fmt.Sprintf("service %s to be announced by one of %s, not by %s", Name(service), strings.Join(eligible, ", "), nodes[0])
	}
	return ""
}

// Unannounced are the names of a namespace's Services that a node should announce while none says that it does.
func (w World) Unannounced(namespace string) []string {
	if w.Announcers == nil {
		return nil
	}
	var names []string
	s := settling{w: w}
	for i := range w.Services {
		service := &w.Services[i]
		if service.Namespace == namespace && len(w.announcedBy(Name(service))) == 0 && len(s.eligible(service)) > 0 {
			names = append(names, service.Name)
		}
	}
	return names
}

// eligible are the nodes that may announce a Service.
func (s settling) eligible(service *corev1.Service) []string {
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || len(Ingresses(service)) == 0 ||
		!s.w.Facts.Serves(service.Spec.LoadBalancerClass) {
		return nil
	}
	var (
		serving bool
		with    = map[string]bool{}
	)
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		for _, slice := range s.w.SlicesOf(Name(service), family) {
			for _, e := range slice.Endpoints {
				endpoint, ok := readEndpoint(e, 0)
				if ok && (endpoint.Ready || endpoint.Serving && e.Conditions.Serving != nil) {
					serving = true
					with[endpoint.Node] = true
				}
			}
		}
	}
	if !serving {
		return nil
	}
	var nodes []string
	for i := range s.w.Nodes {
		node := &s.w.Nodes[i]
		_, excluded := node.Labels[corev1.LabelNodeExcludeBalancers]
		if excluded || !NodeReady(node) || ExternalLocal(service) && !with[node.Name] {
			continue
		}
		nodes = append(nodes, node.Name)
	}
	return nodes
}
