package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Wants reports whether a path is one that the user wants to use, as far as the intent says.
func (i Intent) Wants(v reach.Vantage, t reach.Target) bool {
	return (i.From == "" || i.From == v.Name || i.From == string(v.Kind)) && (i.At == "" || i.At == t.Kind) &&
		(i.Port == 0 || i.Port == t.Port) && (i.Protocol == "" || i.Protocol == t.Protocol)
}

// fromOutside reports whether the user wants to reach the Service from outside the cluster.
func (i Intent) fromOutside() bool {
	return i.From == string(reach.Outside) || i.From == string(reach.Host)
}

// nodePorts returns the Service's node ports, in the order of its ports.
func (v *view) nodePorts() []string {
	var texts []string
	for _, port := range v.service.Spec.Ports {
		if port.NodePort != 0 {
			texts = append(texts, fmt.Sprint(port.NodePort))
		}
	}
	return texts
}

// wantsNodePort reports whether the intended port is a node port.
func (v *view) wantsNodePort() bool {
	h := v.Intent
	return h.Port != 0 && (h.At == reach.NodePort || h.At == reach.Localhost || h.At == "" && h.Port >= 30000 && h.Port <= 32767)
}

func nodePortDiffers(v *view) []Cause {
	if !v.wantsNodePort() || len(v.nodePorts()) == 0 {
		return nil
	}
	if slices.ContainsFunc(v.service.Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.NodePort) == v.Intent.Port }) {
		return nil
	}
	sentence := fmt.Sprintf("its node port is %s, not %d", listed(v.nodePorts()), v.Intent.Port)
	for _, list := range [][]corev1.Service{v.World.Services, v.World.Elsewhere} {
		for i := range list {
			if slices.ContainsFunc(list[i].Spec.Ports, func(p corev1.ServicePort) bool { return uint16(p.NodePort) == v.Intent.Port }) {
				sentence += fmt.Sprintf(": %d is taken by %s", v.Intent.Port, world.Name(&list[i]))
			}
		}
	}
	if !strings.Contains(sentence, "taken") {
		sentence += ": the API server chooses a node port that is not set, and chooses again each time the Service is created"
	}
	i := slices.IndexFunc(v.service.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort != 0 })
	return []Cause{{Sentence: sentence, Field: fmt.Sprintf("spec.ports[%d].nodePort", i), Command: v.patchPort(i, "nodePort", v.Intent.Port)}}
}

func portUndeclared(v *view) []Cause {
	if v.Intent.Port == 0 || v.wantsNodePort() || v.Intent.At == reach.HealthCheck || v.Intent.At == reach.Endpoint {
		return nil
	}
	var declared []string
	sentence := ""
	for _, port := range v.service.Spec.Ports {
		declared = append(declared, fmt.Sprint(port.Port))
		at := slices.ContainsFunc(v.endpoints(port), func(e world.Endpoint) bool { return e.Port == v.Intent.Port })
		if uint16(port.Port) == v.Intent.Port || world.Headless(v.service) && at {
			return nil
		}
		if at || uint16(port.TargetPort.IntValue()) == v.Intent.Port {
			sentence = fmt.Sprintf("%d is the targetPort, where its pods listen; clients send requests to the Service at port %d", v.Intent.Port, port.Port)
		}
	}
	if sentence == "" {
		sentence = fmt.Sprintf("it does not declare port %d; it declares %s", v.Intent.Port, listed(declared))
	}
	protocol := cmp.Or(string(v.Intent.Protocol), "TCP")
	return []Cause{{
		Sentence: sentence,
		Field:    "spec.ports[].port, or the port that the client connects to",
		Command:  v.addPort(fmt.Sprintf("port-%d", v.Intent.Port), int32(v.Intent.Port), protocol),
	}}
}

func protocolUndeclared(v *view) []Cause {
	if v.Intent.Protocol == "" || len(v.service.Spec.Ports) == 0 {
		return nil
	}
	var declared []string
	for _, port := range v.service.Spec.Ports {
		if v.Intent.Port != 0 && uint16(port.Port) != v.Intent.Port && uint16(port.NodePort) != v.Intent.Port {
			continue
		}
		if reach.Protocol(protocolOf(&port.Protocol)) == v.Intent.Protocol {
			return nil
		}
		declared = append(declared, fmt.Sprintf("%d/%s", port.Port, protocolOf(&port.Protocol)))
	}
	if len(declared) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("it declares %s and nothing for %s: each protocol needs a port of its own in spec.ports", listed(declared), v.Intent.Protocol),
		Field:    "spec.ports[].protocol",
		Command:  v.addPort(strings.ToLower(string(v.Intent.Protocol)), v.service.Spec.Ports[0].Port, string(v.Intent.Protocol)),
	}}
}

func clusterIPOnly(v *view) []Cause {
	if v.service.Spec.Type != corev1.ServiceTypeClusterIP && v.service.Spec.Type != "" || len(v.service.Spec.ExternalIPs) > 0 {
		return nil
	}
	at := v.Intent.At
	intended := v.Intent.fromOutside() || at == reach.NodePort || at == reach.LoadBalancer || at == reach.Localhost || at == "" && v.wantsNodePort()
	return []Cause{{
		Sentence: "its type is ClusterIP: it is for clients in the cluster only, and not reachable from outside, by design",
		Field:    "spec.type: NodePort or LoadBalancer (to try it from your own machine, use kubectl port-forward)",
		Command:  v.patch(map[string]any{"type": "NodePort"}),
		Note:     !intended,
	}}
}

func dnsOnlyInside(v *view) []Cause {
	if v.Intent.At != reach.DNSName || !v.Intent.fromOutside() {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("%s is a name in the cluster's own DNS, which only the cluster's pods query; it does not resolve outside", v.World.Names(v.service, world.FormFull)[0]),
		Field:    "the name that the client looks up: give the load balancer's or a node's address a name in your own DNS",
		Command:  v.kubectl("get service %s -o wide", v.name()),
	}}
}

func nodePortPrimary(v *view) []Cause {
	if len(v.nodePorts()) == 0 || v.World.Facts.ProxyMode != world.ModeNFTables {
		return nil
	}
	var primary string
	for i := range v.World.Nodes {
		if addr, ok := world.PrimaryAddr(&v.World.Nodes[i], world.Families(v.service)[0]); ok && primary == "" {
			primary = addr.String()
		}
	}
	return []Cause{{
		Sentence: fmt.Sprintf("kube-proxy runs in nftables mode, so node port %s answers on each node's primary address only, not on 127.0.0.1 or other addresses", listed(v.nodePorts())),
		Field:    "the address that the client connects to; or nodePortAddresses of kube-proxy's configuration",
		Command:  fmt.Sprintf("curl http://%s:%s/", primary, v.nodePorts()[0]),
		Note:     v.Intent.At != reach.Localhost,
	}}
}
