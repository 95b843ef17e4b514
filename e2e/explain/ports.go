package explain

import (
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

// namedPort finds targetPorts that are names no selected pod has for that protocol.
func namedPort(v *view) []Cause {
	if !v.there() {
		return nil
	}
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
			meant := cmpOr(nearest(port.TargetPort.StrVal, have), have[0])
			cause.Sentence += fmt.Sprintf("; the names there are: %s", listed(have))
			cause.Command = v.patchPort(i, "targetPort", meant)
		}
		causes = append(causes, cause)
	}
	return causes
}

// deafness is a Service port behind which ready endpoints refuse.
type deafness struct {
	id, why string
	index   int
	// meant is a port that the pods do listen on; 0: none is known.
	meant int32
	names []string
	some  bool // other endpoints of the port do answer
}

// portRule finds ports whose ready endpoints refuse, for one reason.
func portRule(id string) func(*view, bool) []Cause {
	return simple(func(v *view) []Cause {
		var causes []Cause
		for _, d := range v.deaf() {
			if d.id != id {
				continue
			}
			port := v.service.Spec.Ports[d.index]
			cause := Cause{Sentence: d.why, Field: fmt.Sprintf("spec.ports[%d].targetPort", d.index)}
			if d.some {
				cause.Sentence += "; other endpoints do answer, so only some connections fail"
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
	})
}

// deaf are the ports behind which nobody listens, each with the reason.
func (v *view) deaf() []deafness {
	if !v.there() {
		return nil
	}
	var list []deafness
	for i, port := range v.service.Spec.Ports {
		found := map[string]*deafness{}
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
				continue // it need not listen yet: publish-not-ready tells
			}
			d := v.whyDeaf(e, pod, port)
			if found[d.id] == nil {
				d.index = i
				found[d.id] = &d
			}
			if name := cmpOr(e.Pod, e.Addr.String()); !slices.Contains(found[d.id].names, name) {
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

// refuses says whether an endpoint refuses when it is asked itself; where it was not asked, whether the pod says so.
func (v *view) refuses(e world.Endpoint, port corev1.ServicePort) bool {
	asked, refused := 0, 0
	for _, c := range v.cells(reach.Endpoint) {
		t := c.Cell.Target
		inside := c.Cell.Vantage.Kind == reach.Pod || c.Cell.Vantage.Kind == reach.Node
		if !inside || t.Host != e.Addr.String() || t.Port != e.Port || t.Protocol != reach.Protocol(protocolOf(&port.Protocol)) {
			continue
		}
		asked++
		if always(c, reach.Refused) {
			refused++
		}
	}
	if asked > 0 {
		return asked == refused
	}
	pod := v.pod(e.Pod)
	if pod == nil {
		return false
	}
	listens, _ := world.ListensOn(pod, e.Port, protocolOf(&port.Protocol), v.World.Facts.PortsDeclared)
	return listens == world.ListensNot
}

// whyDeaf says why an endpoint refuses: by what the pod was seen to listen on, else by what it declares.
func (v *view) whyDeaf(e world.Endpoint, pod *corev1.Pod, port corev1.ServicePort) deafness {
	protocol := protocolOf(&port.Protocol)
	target := fmt.Sprintf("port %d leads to %d/%s", port.Port, e.Port, protocol)
	if pod == nil {
		return deafness{id: "target-port-deaf", why: fmt.Sprintf("%s at %s, which refuses: nothing listens there", target, e.Addr)}
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
	have := "declared there is"
	if seen {
		have = "listened on there is"
	}
	switch {
	case local && seen:
		return deafness{id: "loopback-only", why: fmt.Sprintf("%s, where nothing but 127.0.0.1 is listened on in {pods}: nobody outside the pod gets there", target)}
	case local:
		return deafness{id: "loopback-only", why: fmt.Sprintf("%s, which is declared in {pods} and yet refused at the pod's own address, though it is ready: the program listens on 127.0.0.1 only, or not at all", target)}
	case other:
		return deafness{id: "protocol-mismatch", why: fmt.Sprintf("%s, but in {pods} that number is of another protocol: %s %s", target, have, listed(open))}
	case len(open) == 0:
		return deafness{id: "target-port-deaf", why: target + ", where nothing listens in {pods}"}
	default:
		return deafness{id: "target-port-deaf", meant: meant, why: fmt.Sprintf("%s, where nothing listens in {pods}; %s %s", target, have, listed(open))}
	}
}

// declared are a pod's container ports, as if they were sockets at all addresses.
func declared(pod *corev1.Pod) []Socket {
	var list []Socket
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			list = append(list, Socket{Addr: netip.IPv4Unspecified(), Port: uint16(p.ContainerPort), Protocol: protocolOf(&p.Protocol)})
		}
	}
	return list
}

// silent are the ready endpoints that never answered any pod, nor refused: what is sent there is lost.
func (v *view) silent() []world.Endpoint {
	if !v.there() {
		return nil
	}
	lost := map[netip.Addr][2]int{} // asked, lost
	for _, c := range v.cells(reach.Endpoint) {
		addr, err := netip.ParseAddr(c.Cell.Target.Host)
		if err != nil || c.Cell.Vantage.Kind != reach.Pod || c.Cell.Target.Protocol == reach.UDP {
			continue // a UDP program may just not know the question
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

// isolating are the policies that select a pod for its incoming traffic.
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
	for _, e := range v.silent() {
		if names := v.isolating(v.pod(e.Pod)); len(names) > 0 {
			return []Cause{{
				Sentence: fmt.Sprintf("pod %s gets nothing of what pods send to its own address, and %s for its incoming traffic: no rule of it lets these clients in",
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
	for _, e := range v.silent() {
		node := v.node(e.Node)
		if len(v.isolating(v.pod(e.Pod))) == 0 && (node == nil || world.NodeReady(node)) {
			names = append(names, cmpOr(e.Pod, e.Addr.String()))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("nothing comes back from the own address of %s, with no Service between: the pod network does not lead there, or a firewall stands between", listed(names)),
		Field:    "the cluster's network plugin, routes and firewalls; no field of the Service",
		Command:  "kubectl get pods --all-namespaces -o wide",
	}}
}

// node is the node of that name, or nil.
func (v *view) node(name string) *corev1.Node {
	for i := range v.World.Nodes {
		if v.World.Nodes[i].Name == name {
			return &v.World.Nodes[i]
		}
	}
	return nil
}
