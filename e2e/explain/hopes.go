package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fromOutside says whether the user hopes to reach the Service from outside the cluster.
func (h Hopes) fromOutside() bool {
	return h.From == string(reach.Outside) || h.From == string(reach.Host)
}

// nodePorts are the Service's, in its ports' order.
func (v *view) nodePorts() []string {
	var texts []string
	for _, port := range v.service.Spec.Ports {
		if port.NodePort != 0 {
			texts = append(texts, fmt.Sprint(port.NodePort))
		}
	}
	return texts
}

// hopedNodePort says whether the port that is hoped for is meant as a node port.
func (v *view) hopedNodePort() bool {
	h := v.Hopes
	return h.Port != 0 && (h.At == reach.NodePort || h.At == reach.Localhost || h.At == "" && h.Port >= 30000 && h.Port <= 32767)
}

func nodePortDiffers(v *view) []Cause {
	if !v.there() || !v.hopedNodePort() || len(v.nodePorts()) == 0 {
		return nil
	}
	if slices.ContainsFunc(v.service.Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.NodePort) == v.Hopes.Port }) {
		return nil
	}
	sentence := fmt.Sprintf("its node port is %s, not %d", listed(v.nodePorts()), v.Hopes.Port)
	for _, list := range [][]corev1.Service{v.World.Services, v.World.Elsewhere} {
		for i := range list {
			if slices.ContainsFunc(list[i].Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.NodePort) == v.Hopes.Port }) {
				sentence += fmt.Sprintf(": %d is taken by %s", v.Hopes.Port, world.Name(&list[i]))
			}
		}
	}
	if !strings.Contains(sentence, "taken") {
		sentence += ": a node port that is not named is chosen by the API server, and again each time the Service is made anew"
	}
	i := slices.IndexFunc(v.service.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort != 0 })
	return []Cause{{Sentence: sentence, Field: fmt.Sprintf("spec.ports[%d].nodePort", i), Command: v.patchPort(i, "nodePort", v.Hopes.Port)}}
}

func portUndeclared(v *view) []Cause {
	if !v.there() || v.Hopes.Port == 0 || v.hopedNodePort() || v.Hopes.At == reach.HealthCheck || v.Hopes.At == reach.Endpoint {
		return nil
	}
	var declared []string
	sentence := ""
	for _, port := range v.service.Spec.Ports {
		declared = append(declared, fmt.Sprint(port.Port))
		at := slices.ContainsFunc(v.endpoints(port), func(e world.Endpoint) bool { return e.Port == v.Hopes.Port })
		if uint16(port.Port) == v.Hopes.Port || world.Headless(v.service) && at {
			return nil
		}
		if at || uint16(port.TargetPort.IntValue()) == v.Hopes.Port {
			sentence = fmt.Sprintf("%d is the targetPort, where its pods listen; the Service itself is asked at port %d", v.Hopes.Port, port.Port)
		}
	}
	if sentence == "" {
		sentence = fmt.Sprintf("it does not declare port %d; it declares %s", v.Hopes.Port, listed(declared))
	}
	protocol := string(v.Hopes.Protocol)
	if protocol == "" {
		protocol = "TCP"
	}
	return []Cause{{
		Sentence: sentence,
		Field:    "spec.ports[].port, or the port the client asks for",
		Command: v.kubectl("patch service %s --type=json -p %s", v.name(), quoted([]any{map[string]any{"op": "add", "path": "/spec/ports/-",
			"value": map[string]any{"name": fmt.Sprintf("port-%d", v.Hopes.Port), "port": v.Hopes.Port, "protocol": protocol}}})),
	}}
}

func protocolUndeclared(v *view) []Cause {
	if !v.there() || v.Hopes.Protocol == "" || len(v.service.Spec.Ports) == 0 {
		return nil
	}
	var declared []string
	for _, port := range v.service.Spec.Ports {
		if v.Hopes.Port != 0 && uint16(port.Port) != v.Hopes.Port && uint16(port.NodePort) != v.Hopes.Port {
			continue
		}
		if reach.Protocol(protocolOf(&port.Protocol)) == v.Hopes.Protocol {
			return nil
		}
		declared = append(declared, fmt.Sprintf("%d/%s", port.Port, protocolOf(&port.Protocol)))
	}
	if len(declared) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("it declares %s and nothing for %s: each protocol needs a port of its own in spec.ports", listed(declared), v.Hopes.Protocol),
		Field:    "spec.ports[].protocol",
		Command: v.kubectl("patch service %s --type=json -p %s", v.name(), quoted([]any{map[string]any{"op": "add", "path": "/spec/ports/-",
			"value": map[string]any{"name": strings.ToLower(string(v.Hopes.Protocol)), "port": v.service.Spec.Ports[0].Port, "protocol": v.Hopes.Protocol}}})),
	}}
}

func clusterIPOnly(v *view) []Cause {
	if !v.there() || v.service.Spec.Type != corev1.ServiceTypeClusterIP && v.service.Spec.Type != "" || len(v.service.Spec.ExternalIPs) > 0 {
		return nil
	}
	at := v.Hopes.At
	hoped := v.Hopes.fromOutside() || at == reach.NodePort || at == reach.LoadBalancer || at == reach.Localhost || at == "" && v.hopedNodePort()
	return []Cause{{
		Sentence: "its type is ClusterIP: it is for clients in the cluster only, and outside nothing leads to it, by design",
		Field:    "spec.type: NodePort or LoadBalancer (for a look from one's own machine, kubectl port-forward does)",
		Command:  v.patch(map[string]any{"type": "NodePort"}),
		Note:     !hoped,
	}}
}

func dnsOnlyInside(v *view) []Cause {
	if v.service == nil || v.Hopes.At != reach.DNSName || !v.Hopes.fromOutside() {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("%s is a name of the cluster's own DNS, which is asked by its pods; outside nobody knows it", v.World.Names(v.service, world.FormFull)[0]),
		Field:    "the name the client asks for: give the load balancer's or a node's address a name in your own DNS",
		Command:  v.kubectl("get service %s -o wide", v.name()),
	}}
}

func nodePortPrimary(v *view) []Cause {
	if !v.there() || len(v.nodePorts()) == 0 || v.World.Facts.ProxyMode != world.ModeNFTables {
		return nil
	}
	var primary string
	for i := range v.World.Nodes {
		if addr, ok := world.PrimaryAddr(&v.World.Nodes[i], world.Families(v.service)[0]); ok && primary == "" {
			primary = addr.String()
		}
	}
	return []Cause{{
		Sentence: fmt.Sprintf("kube-proxy runs in nftables mode, so node port %s answers on each node's primary address only, not on 127.0.0.1 nor on further addresses", listed(v.nodePorts())),
		Field:    "the address the client asks; or nodePortAddresses of kube-proxy's configuration",
		Command:  fmt.Sprintf("curl http://%s:%s/", primary, v.nodePorts()[0]),
		Note:     v.Hopes.At != reach.Localhost,
	}}
}
