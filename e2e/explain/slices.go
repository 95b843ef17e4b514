package explain

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

// byHand reports whether the Service has no selector, so that its EndpointSlices are written by hand.
func (v *view) byHand() bool { return v.routed() && len(v.service.Spec.Selector) == 0 }

func selectorlessEmpty(v *view) []Cause {
	for _, list := range v.slices() {
		for i := range list {
			if len(list[i].Endpoints) > 0 {
				return nil
			}
		}
	}
	cause := Cause{
		Sentence: "it has no selector, and no EndpointSlice with an address names it: its connections have no destination",
		Field:    "spec.selector, or an EndpointSlice labelled " + discoveryv1.LabelServiceName + "=" + v.name(),
		Command:  v.kubectl("get endpointslices --show-labels"),
	}
	for i := range v.World.Slices {
		s := &v.World.Slices[i]
		label := s.Labels[discoveryv1.LabelServiceName]
		if s.Namespace != v.service.Namespace || label == v.name() || !near(label, v.name()) && !near(s.Name, v.name()) {
			continue
		}
		if _, taken := v.World.Service(s.Namespace + "/" + label); taken {
			continue
		}
		cause.Sentence += fmt.Sprintf("; EndpointSlice %s is similar, with the label %s=%q", s.Name, discoveryv1.LabelServiceName, label)
		cause.Command = v.kubectl("label endpointslice %s --overwrite %s=%s", s.Name, discoveryv1.LabelServiceName, v.name())
		break
	}
	return []Cause{cause}
}

// slicePort is a port of an EndpointSlice written by hand.
type slicePort struct {
	slice string
	index int
	discoveryv1.EndpointPort
}

func (v *view) slicePorts() []slicePort {
	var ports []slicePort
	for _, list := range v.slices() {
		for i := range list {
			if len(list[i].Endpoints) == 0 {
				continue
			}
			for j, p := range list[i].Ports {
				ports = append(ports, slicePort{list[i].Name, j, p})
			}
		}
	}
	return ports
}

func slicePortUnset(v *view) []Cause {
	var causes []Cause
	for _, p := range v.slicePorts() {
		if p.Port == nil || *p.Port == 0 {
			number := int32(0)
			if len(v.service.Spec.Ports) > 0 {
				number = v.service.Spec.Ports[0].TargetPort.IntVal
				if number == 0 {
					number = v.service.Spec.Ports[0].Port
				}
			}
			causes = append(causes, Cause{
				Sentence: fmt.Sprintf("EndpointSlice %s lists addresses, but its port %q has no number: kube-proxy can send nothing there", p.slice, nameOf(p.Name)),
				Field:    fmt.Sprintf("ports[%d].port of EndpointSlice %s", p.index, p.slice),
				Command: v.kubectl("patch endpointslice %s --type=json -p %s", p.slice,
					quoted([]any{map[string]any{"op": "add", "path": fmt.Sprintf("/ports/%d/port", p.index), "value": number}})),
			})
		}
	}
	return causes
}

func slicePortName(v *view) []Cause {
	ports := v.slicePorts()
	if world.Headless(v.service) || len(v.slices()) == 0 {
		return nil
	}
	addressed := slices.ContainsFunc(v.slices(), func(list []discoverySlice) bool {
		return slices.ContainsFunc(list, func(s discoverySlice) bool { return len(s.Endpoints) > 0 })
	})
	var causes []Cause
	for _, port := range v.service.Spec.Ports {
		same := func(p slicePort) bool {
			return nameOf(p.Name) == port.Name && protocolOf(p.Protocol) == protocolOf(&port.Protocol)
		}
		if !addressed || slices.ContainsFunc(ports, same) {
			continue
		}
		cause := Cause{
			Sentence: fmt.Sprintf("no EndpointSlice has a port named %q for %s, so the Service's port %d has no endpoints", port.Name, protocolOf(&port.Protocol), port.Port),
			Field:    "ports[].name and ports[].protocol of the EndpointSlices, which must be those of spec.ports",
			Command:  v.kubectl("get endpointslices -l %s=%s -o yaml", discoveryv1.LabelServiceName, v.name()),
		}
		if len(ports) > 0 {
			cause.Sentence += fmt.Sprintf("; %s has %q for %s", ports[0].slice, nameOf(ports[0].Name), protocolOf(ports[0].Protocol))
			cause.Command = v.kubectl("patch endpointslice %s --type=json -p %s", ports[0].slice, quoted([]any{
				map[string]any{"op": "add", "path": fmt.Sprintf("/ports/%d/name", ports[0].index), "value": port.Name},
				map[string]any{"op": "add", "path": fmt.Sprintf("/ports/%d/protocol", ports[0].index), "value": protocolOf(&port.Protocol)},
			}))
		}
		causes = append(causes, cause)
	}
	return causes
}

func nameOf(name *string) string {
	if name == nil {
		return ""
	}
	return *name
}

func protocolOf(p *corev1.Protocol) corev1.Protocol {
	if p == nil || *p == "" {
		return corev1.ProtocolTCP
	}
	return *p
}

func onlyTerminating(v *view) []Cause {
	if len(v.ready) > 0 {
		return nil
	}
	var going []string
	serving := false
	for _, port := range v.service.Spec.Ports {
		for _, e := range v.endpoints(port) {
			if !e.Terminating {
				return nil
			}
			serving = serving || e.Serving
			if name := cmp.Or(e.Pod, e.Addr.String()); !slices.Contains(going, name) {
				going = append(going, name)
			}
		}
	}
	if len(going) == 0 {
		return nil
	}
	becomes := "they no longer serve, so connections are refused"
	if serving {
		becomes = "they get the traffic as long as they still serve, and then no pod does"
	}
	return []Cause{{
		Sentence: fmt.Sprintf("all endpoints are terminating (%s): %s", listed(going), becomes),
		Field:    "the pods' owner: new pods must be ready before the old ones terminate",
		Command:  v.kubectl("get pods -l %s", labelText(v.service.Spec.Selector)),
	}}
}

func publishNotReady(v *view) []Cause {
	if !v.service.Spec.PublishNotReadyAddresses {
		return nil
	}
	var names []string
	for _, e := range v.ready {
		if pod := v.pod(e.Pod); pod != nil && !world.Ready(pod) {
			names = append(names, pod.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Cause{{
		Sentence: fmt.Sprintf("publishNotReadyAddresses is true, so %s %s traffic and %s in DNS although not ready", counted("pod", names), verb(len(names), "gets", "get"), verb(len(names), "is", "are")),
		Field:    "spec.publishNotReadyAddresses",
		Command:  v.patch(map[string]any{"publishNotReadyAddresses": false}),
	}}
}
