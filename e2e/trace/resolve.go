package trace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Choice narrows what a target may mean. Zero values choose: the Service's first port, its protocol, IPv4 before IPv6.
type Choice struct {
	Protocol reach.Protocol
	Family   int // 4 or 6
}

// TargetOf returns the target that a text means: NAMESPACE/SERVICE[:PORT], NODE:PORT, localhost:PORT, ADDRESS[:PORT] or
// NAME[:PORT]. PORT may be the name of a Service's port.
func TargetOf(w world.World, text string, c Choice) (reach.Target, error) {
	if namespaced, port, ok := serviceText(text); ok {
		return ofService(w, namespaced, port, c)
	}
	host, port := text, ""
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if host == "" {
		return reach.Target{}, fmt.Errorf("%q is no target; use NAMESPACE/SERVICE[:PORT], NODE:PORT, ADDRESS[:PORT] or NAME[:PORT]", text)
	}
	t := reach.Target{Host: host, Protocol: c.Protocol, Family: c.Family}
	if t.Protocol == "" {
		t.Protocol = reach.TCP
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return t, fmt.Errorf("%q is no port; use a number from 1 to 65535", port)
		}
		t.Port = uint16(n)
	}
	if node := nodeNamed(w, host); node != nil {
		return ofNode(w, node, t, c)
	}
	if host == "localhost" {
		if t.Port == 0 {
			return t, errors.New("localhost needs a port: localhost:30080")
		}
		t.Kind, t.Host, t.Family = reach.Localhost, "127.0.0.1", 0
		if c.Family == 6 {
			t.Host = "::1"
		}
		return t, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		t.Kind = reach.DNSName
		if t.Port == 0 {
			t.Port = 80
		}
		return t, nil
	}
	t.Host, t.Family = addr.Unmap().String(), 0
	return ofAddress(w, addr.Unmap(), t, c)
}

// serviceText splits NAMESPACE/SERVICE[:PORT].
func serviceText(text string) (service, port string, ok bool) {
	if strings.Count(text, "/") != 1 {
		return "", "", false
	}
	service, port, _ = strings.Cut(text, ":")
	return service, port, true
}

func nodeNamed(w world.World, name string) *corev1.Node {
	if full := w.Facts.Slots[name]; full != "" {
		name = full
	}
	i := slices.IndexFunc(w.Nodes, func(n corev1.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &w.Nodes[i]
}

func ofService(w world.World, name, port string, c Choice) (reach.Target, error) {
	s, ok := w.Service(name)
	if !ok {
		return reach.Target{}, fmt.Errorf("there is no Service %s in the cluster; kubectl get services --all-namespaces lists them", name)
	}
	t := reach.Target{Service: name, Protocol: c.Protocol}
	declared, err := portOf(s.Spec.Ports, port, c.Protocol)
	switch {
	case err != nil && port == "" && s.Spec.Type == corev1.ServiceTypeExternalName:
		t.Port = 80
	case err == nil:
		t.Port, t.Protocol = uint16(declared.Port), protocolOf(declared.Protocol)
	default:
		n, parsed := strconv.ParseUint(port, 10, 16)
		if parsed != nil || n == 0 {
			return t, fmt.Errorf("service %s: %w", name, err)
		}
		t.Port, t.Undeclared = uint16(n), true
	}
	if t.Protocol == "" {
		t.Protocol = reach.TCP
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName || world.Headless(&s) {
		t.Kind, t.Host, t.Family = reach.DNSName, s.Name+"."+s.Namespace+".svc."+w.Facts.ClusterDomain(), c.Family
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			t.Kind = reach.ExternalName
		}
		return t, nil
	}
	for _, addr := range world.ClusterIPs(&s) {
		if c.Family == 0 || c.Family == 4 == addr.Is4() {
			t.Kind, t.Host = reach.ClusterIP, addr.String()
			return t, nil
		}
	}
	return t, fmt.Errorf("service %s has no ClusterIP of IPv%d", name, c.Family)
}

// portOf finds a Service's port by its number or name; the first one if text is empty.
func portOf(ports []corev1.ServicePort, text string, protocol reach.Protocol) (corev1.ServicePort, error) {
	for _, p := range ports {
		if (protocol == "" || protocolOf(p.Protocol) == protocol) && (text == "" || text == p.Name || text == strconv.Itoa(int(p.Port))) {
			return p, nil
		}
	}
	if text == "" {
		return corev1.ServicePort{}, fmt.Errorf("it has no port of %s; name one as NAMESPACE/SERVICE:PORT", protocol)
	}
	return corev1.ServicePort{}, fmt.Errorf("it has no port %s, and that is no number", text)
}

func protocolOf(p corev1.Protocol) reach.Protocol {
	if p == "" {
		return reach.TCP
	}
	return reach.Protocol(p)
}

func ofNode(w world.World, node *corev1.Node, t reach.Target, c Choice) (reach.Target, error) {
	family := corev1.IPv4Protocol
	if c.Family == 6 {
		family = corev1.IPv6Protocol
	}
	addr, ok := world.PrimaryAddr(node, family)
	if !ok && c.Family == 0 {
		addr, ok = world.PrimaryAddr(node, corev1.IPv6Protocol)
	}
	switch {
	case !ok:
		return t, fmt.Errorf("node %s has no %s address", node.Name, family)
	case t.Port == 0:
		return t, fmt.Errorf("a node needs a port: %s:30080", t.Host)
	}
	return ofAddress(w, addr, reach.Target{Host: addr.String(), Port: t.Port, Protocol: t.Protocol}, c)
}

// ofAddress finds out what an address is, which decides what is requested there.
func ofAddress(w world.World, addr netip.Addr, t reach.Target, c Choice) (reach.Target, error) {
	for i := range w.Services {
		s := &w.Services[i]
		if slices.ContainsFunc(world.ClusterIPs(s), func(a netip.Addr) bool { return a == addr }) {
			t.Kind, t.Service = reach.ClusterIP, world.Name(s)
		} else if slices.ContainsFunc(world.Ingresses(s), func(i world.Ingress) bool { return i.Addr == addr }) {
			t.Kind, t.Service = reach.LoadBalancer, world.Name(s)
		} else if slices.Contains(world.ExternalIPs(s), addr) {
			t.Kind, t.Service = reach.ExternalIP, world.Name(s)
		} else {
			continue
		}
		text := ""
		if t.Port != 0 {
			text = strconv.Itoa(int(t.Port))
		}
		p, err := portOf(s.Spec.Ports, text, c.Protocol)
		switch {
		case err == nil:
			t.Port, t.Protocol = uint16(p.Port), protocolOf(p.Protocol)
			return t, nil
		case t.Port != 0:
			t.Undeclared = true
			continue // another Service may share the address
		}
		return t, fmt.Errorf("service %s: %w", t.Service, err)
	}
	if t.Service != "" {
		return t, nil
	}
	if t.Port == 0 {
		return t, fmt.Errorf("%s is no Service's address, so it needs a port", addr)
	}
	t.Kind = reach.Endpoint
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if !slices.Contains(world.NodeAddrs(n), addr) {
			continue
		}
		t.Kind, t.Node, t.Slot = reach.NodePort, n.Name, w.Slot(n.Name)
		for k := range w.Services {
			s := &w.Services[k]
			if world.HealthCheckPort(s) == t.Port && t.Protocol == reach.TCP {
				t.Kind, t.Service = reach.HealthCheck, world.Name(s)
			}
			for _, p := range s.Spec.Ports {
				// a Service of type LoadBalancer may have one node port for both protocols
				if fits := p.NodePort == int32(t.Port) && (c.Protocol == "" || protocolOf(p.Protocol) == c.Protocol); fits && t.Service == "" {
					t.Service, t.Protocol = world.Name(s), protocolOf(p.Protocol)
				}
			}
		}
		return t, nil
	}
	for i := range w.Pods {
		if p := &w.Pods[i]; slices.Contains(world.PodAddrs(p), addr) && !p.Spec.HostNetwork {
			t.Pod, t.Node, t.Slot = p.Name, p.Spec.NodeName, w.Slot(p.Spec.NodeName)
		}
	}
	return t, nil
}

// Nodes are the names of the nodes that a packet may pass: the client's, the one that has the target's address, and those of the
// endpoints, in this order.
func Nodes(w world.World, walk oracle.Walk) []string {
	names := []string{walk.Vantage.Node, walk.Target.Node}
	for _, way := range walk.Ways {
		for _, hop := range way.Hops {
			names = append(names, hop.At)
		}
	}
	var nodes []string
	for _, name := range names {
		known := slices.ContainsFunc(w.Nodes, func(n corev1.Node) bool { return n.Name == name })
		if known && !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	return nodes
}

// Leaves is why a packet to a target may leave the cluster; empty: it does not.
func Leaves(t reach.Target) string {
	switch {
	case t.Kind == reach.ExternalName, t.Kind == reach.DNSName && t.Service == "":
		return "what its name stands for may be outside the cluster"
	case t.Kind == reach.Endpoint && t.Pod == "" && t.Service == "":
		return "no node, pod or Service of the cluster has the address"
	}
	return ""
}

// VantageOf returns the vantage that a text means: one of the vantages by name, or NAMESPACE/POD.
func VantageOf(w world.World, vantages []reach.Vantage, text string) (reach.Vantage, error) {
	var names []string
	for _, v := range vantages {
		if v.Name == text || v.Node != "" && string(v.Kind)+"/"+v.Node == text {
			return v, nil
		}
		names = append(names, v.Name)
	}
	for i := range w.Pods {
		p := &w.Pods[i]
		if world.Name(p) != text {
			continue
		}
		if p.Spec.NodeName == "" || p.Status.Phase != corev1.PodRunning {
			return reach.Vantage{}, fmt.Errorf("pod %s does not run: it is %s", text, strings.ToLower(string(p.Status.Phase)))
		}
		if p.Spec.HostNetwork {
			return reach.Vantage{Name: text, Kind: reach.Node, Node: p.Spec.NodeName, Addrs: world.PodAddrs(p)}, nil
		}
		return reach.Vantage{Name: text, Kind: reach.Pod, Node: p.Spec.NodeName, Namespace: p.Namespace, PodName: p.Name,
			Labels: p.Labels, Addrs: world.PodAddrs(p)}, nil
	}
	return reach.Vantage{}, fmt.Errorf("%s is no vantage and no pod; use one of %s, or NAMESPACE/POD", text, strings.Join(names, ", "))
}
