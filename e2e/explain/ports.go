package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// namedPort finds named targetPorts that no selected pod has for that protocol.
func namedPort(v *view) []Cause {
	var causes []Cause
	for i, port := range v.service.Spec.Ports {
		if port.TargetPort.Type != intstr.String {
			continue
		}
		var without, have []string
		for _, pod := range v.living() {
			if _, ok := world.ResolveTargetPort(pod, port); !ok {
				without = append(without, pod.Name)
			}
			for _, c := range pod.Spec.Containers {
				for _, p := range c.Ports {
					if p.Name != "" && protocolOf(&p.Protocol) == protocolOf(&port.Protocol) && !slices.Contains(have, p.Name) {
						have = append(have, p.Name)
					}
				}
			}
		}
		if len(without) == 0 {
			continue
		}
		cause := Cause{
			Sentence: fmt.Sprintf("port %d has the targetPort %q, and %s %s no container port of that name for %s: endpoints exist, but without a port", port.Port, port.TargetPort.StrVal,
				counted("pod", slices.Sorted(slices.Values(without))), verb(len(without), "has", "have"), protocolOf(&port.Protocol)),
			Field:   fmt.Sprintf("spec.ports[%d].targetPort, or containers[].ports[].name of the pods", i),
			Command: v.kubectl("get pod %s -o jsonpath='{.spec.containers[*].ports}'", without[0]),
			Note:    len(without) < len(v.living()),
		}
		if len(have) > 0 {
			meant := cmp.Or(nearest(port.TargetPort.StrVal, have), have[0])
			cause.Sentence += fmt.Sprintf("; the names that exist are: %s", listed(have))
			cause.Command = v.patchPort(i, "targetPort", meant)
		}
		causes = append(causes, cause)
	}
	return causes
}

// portRefusal is a Service port whose ready endpoints refuse connections.
type portRefusal struct {
	id, why string
	index   int
	// meant is a port that the pods listen on; 0: unknown.
	meant int32
	names []string
	some  bool // other endpoints of the port answer
}

// portRule finds ports whose ready endpoints refuse, for one reason.
func portRule(id string) func(*view) []Cause {
	return func(v *view) []Cause {
		var causes []Cause
		for _, d := range v.refusedPorts() {
			if d.id != id {
				continue
			}
			port := v.service.Spec.Ports[d.index]
			cause := Cause{Sentence: d.why, Field: fmt.Sprintf("spec.ports[%d].targetPort", d.index)}
			if d.some {
				cause.Sentence += "; other endpoints answer, so only some connections fail"
			}
			switch {
			case id == "loopback-only":
				cause.Field = "the address that the program listens on, in the pods' command, args, env or configuration: 0.0.0.0 or ::, not 127.0.0.1"
				cause.Command = v.kubectl("exec %s -- cat /proc/net/tcp /proc/net/tcp6", d.names[0])
			case id == "protocol-mismatch":
				cause.Field = fmt.Sprintf("spec.ports[%d].protocol", d.index)
				other := corev1.ProtocolUDP
				if protocolOf(&port.Protocol) == corev1.ProtocolUDP {
					other = corev1.ProtocolTCP
				}
				cause.Command = v.patchPort(d.index, "protocol", other)
			case d.meant != 0:
				cause.Command = v.patchPort(d.index, "targetPort", d.meant)
			default:
				cause.Command = v.kubectl("logs %s", d.names[0])
			}
			causes = append(causes, cause)
		}
		return causes
	}
}

// refusedPorts returns the ports whose ready endpoints refuse connections, each with the reason.
func (v *view) refusedPorts() []portRefusal {
	var list []portRefusal
	for i, port := range v.service.Spec.Ports {
		found := map[string]*portRefusal{}
		answering := false
		for _, e := range v.endpoints(port) {
			if !e.Ready {
				continue
			}
			if !v.refuses(e, port) {
				answering = true
				continue
			}
			pod := v.pod(e.Pod)
			if pod != nil && !world.Ready(pod) {
				continue // it need not listen yet; publish-not-ready reports it
			}
			d := v.whyRefused(e, pod, port)
			if found[d.id] == nil {
				d.index = i
				found[d.id] = &d
			}
			if name := cmp.Or(e.Pod, e.Addr.String()); !slices.Contains(found[d.id].names, name) {
				found[d.id].names = append(found[d.id].names, name)
			}
		}
		for _, id := range []string{"protocol-mismatch", "loopback-only", "target-port-deaf"} {
			if d := found[id]; d != nil {
				d.some = answering
				d.why = strings.Replace(d.why, "{pods}", counted("pod", d.names), 1)
				list = append(list, *d)
			}
		}
	}
	return list
}

// refuses reports whether an endpoint refuses probes to its own address. Without probes, it uses what the pod declares.
func (v *view) refuses(e world.Endpoint, port corev1.ServicePort) bool {
	probed, refused := 0, 0
	for _, c := range v.cells(reach.Endpoint) {
		t := c.Cell.Target
		inside := c.Cell.Vantage.Kind == reach.Pod || c.Cell.Vantage.Kind == reach.Node
		if !inside || t.Host != e.Addr.String() || t.Port != e.Port || t.Protocol != reach.Protocol(protocolOf(&port.Protocol)) {
			continue
		}
		probed++
		if always(c, reach.Refused) {
			refused++
		}
	}
	if probed > 0 {
		return probed == refused
	}
	pod := v.pod(e.Pod)
	if pod == nil {
		return false
	}
	listens, _ := world.ListensOn(pod, e.Port, protocolOf(&port.Protocol), v.World.Facts.PortsDeclared)
	return listens == world.ListensNot
}

// whyRefused returns why an endpoint refuses: by the pod's listening sockets if known, else by its declared ports.
func (v *view) whyRefused(e world.Endpoint, pod *corev1.Pod, port corev1.ServicePort) portRefusal {
	protocol := protocolOf(&port.Protocol)
	target := fmt.Sprintf("port %d leads to %d/%s", port.Port, e.Port, protocol)
	if pod == nil {
		return portRefusal{id: "target-port-deaf", why: fmt.Sprintf("%s at %s, which refuses: nothing listens there", target, e.Addr)}
	}
	sockets, seen := v.Sockets[pod.Name]
	if !seen {
		sockets = declared(pod)
	}
	var (
		local, other bool
		open         []string
		meant        int32
	)
	for _, s := range sockets {
		switch {
		case s.Port == e.Port && s.Protocol == protocol:
			local = local || s.Addr.IsLoopback() || !seen
		case s.Port == e.Port:
			other = true
		}
		if !s.Addr.IsLoopback() {
			if text := fmt.Sprintf("%d/%s", s.Port, s.Protocol); !slices.Contains(open, text) {
				open = append(open, text)
			}
			if s.Protocol == protocol && meant == 0 {
				meant = int32(s.Port)
			}
		}
	}
	slices.Sort(open)
	have := "the declared ports are"
	if seen {
		have = "the listening ports are"
	}
	switch {
	case local && seen:
		return portRefusal{id: "loopback-only", why: fmt.Sprintf("%s, where only 127.0.0.1 has a listener in {pods}: it is not reachable from outside the pod", target)}
	case local:
		return portRefusal{id: "loopback-only", why: fmt.Sprintf("%s, which is declared in {pods}, but the pod's own address refuses although the pod is ready: the program listens on 127.0.0.1 only, or not at all", target)}
	case other:
		return portRefusal{id: "protocol-mismatch", why: fmt.Sprintf("%s, but in {pods} that number belongs to another protocol: %s %s", target, have, listed(open))}
	case len(open) == 0:
		return portRefusal{id: "target-port-deaf", why: target + ", where nothing listens in {pods}"}
	default:
		return portRefusal{id: "target-port-deaf", meant: meant, why: fmt.Sprintf("%s, where nothing listens in {pods}; %s %s", target, have, listed(open))}
	}
}

// declared returns a pod's container ports as sockets at all addresses.
func declared(pod *corev1.Pod) []Socket {
	var list []Socket
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			list = append(list, Socket{Addr: netip.IPv4Unspecified(), Port: uint16(p.ContainerPort), Protocol: protocolOf(&p.Protocol)})
		}
	}
	return list
}

// unresponsive returns the ready endpoints that neither answered nor refused any probe from a pod: packets to them are lost.
func (v *view) unresponsive() []world.Endpoint {
	lost := map[netip.Addr][2]int{} // probed, lost
	for _, c := range v.cells(reach.Endpoint) {
		addr, err := netip.ParseAddr(c.Cell.Target.Host)
		if err != nil || c.Cell.Vantage.Kind != reach.Pod || c.Cell.Target.Protocol == reach.UDP {
			continue // a UDP program may just not answer this request
		}
		n := lost[addr]
		n[0]++
		if always(c, reach.TimedOut) || always(c, reach.Unreachable) {
			n[1]++
		}
		lost[addr] = n
	}
	return slices.DeleteFunc(slices.Clone(v.ready), func(e world.Endpoint) bool {
		n := lost[e.Addr]
		return n[0] == 0 || n[0] != n[1]
	})
}

// isolating returns the policies that select a pod for its incoming traffic.
func (v *view) isolating(pod *corev1.Pod) []string {
	var names []string
	for _, p := range v.Policies {
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil || len(p.Spec.PolicyTypes) > 0 && !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			continue
		}
		if pod != nil && selector.Matches(labels.Set(pod.Labels)) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

func networkPolicy(v *view) []Cause {
	for _, e := range v.unresponsive() {
		if names := v.isolating(v.pod(e.Pod)); len(names) > 0 {
			return []Cause{{
				Sentence: fmt.Sprintf("pod %s receives nothing that pods send to its own address, and %s for its incoming traffic: no rule admits these clients",
					e.Pod, counted("NetworkPolic"+verb(len(names), "y", "ie"), names)+verb(len(names), " selects it", " select it")),
				Field:   "spec.ingress of the NetworkPolicy",
				Command: v.kubectl("describe networkpolicy %s", names[0]),
			}}
		}
	}
	return nil
}

func podNetwork(v *view) []Cause {
	var names []string
	for _, e := range v.unresponsive() {
		node := v.node(e.Node)
		if len(v.isolating(v.pod(e.Pod))) == 0 && (node == nil || world.NodeReady(node)) {
			names = append(names, cmp.Or(e.Pod, e.Addr.String()))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("the own addresses of %s do not answer even without a Service: the pod network has no route to them, or a firewall drops the packets", listed(names)),
		Field:    "the cluster's network plugin, routes and firewalls; no field of the Service",
		Command:  "kubectl get pods --all-namespaces -o wide",
	}}
}

// node returns the node of that name, or nil.
func (v *view) node(name string) *corev1.Node {
	for i := range v.World.Nodes {
		if v.World.Nodes[i].Name == name {
			return &v.World.Nodes[i]
		}
	}
	return nil
}
