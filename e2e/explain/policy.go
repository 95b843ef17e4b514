package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// without returns the slots of the Ready nodes that have no ready endpoint.
func (v *view) without() []string {
	var slots []string
	for i := range v.World.Nodes {
		node := &v.World.Nodes[i]
		if world.NodeReady(node) && !slices.ContainsFunc(v.ready, func(e world.Endpoint) bool { return e.Node == node.Name }) {
			slots = append(slots, v.World.Slot(node.Name))
		}
	}
	slices.Sort(slots)
	return slots
}

func externalLocal(v *view) []Cause {
	if !world.ExternalLocal(v.service) || len(v.ready) == 0 {
		return nil
	}
	slots := v.without()
	if len(slots) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("externalTrafficPolicy is Local and %s no ready endpoint, so %s packets from outside to its node port: only nodes that run a pod answer",
			counted("node", slots)+verb(len(slots), " has", " have"), verb(len(slots), "that node drops", "these nodes drop")),
		Field:   "spec.externalTrafficPolicy (Cluster: every node answers, and the client's address is rewritten), or pods on every node",
		Command: v.patch(map[string]any{"externalTrafficPolicy": "Cluster"}),
		// a load balancer with health checks sends nothing to these nodes
		Note: v.service.Spec.Type != corev1.ServiceTypeNodePort && v.Intent.At != reach.NodePort,
	}}
}

func internalLocal(v *view) []Cause {
	if !world.InternalLocal(v.service) || len(v.ready) == 0 {
		return nil
	}
	slots := v.without()
	if len(slots) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("internalTrafficPolicy is Local and %s no ready endpoint, so clients on %s get no answer at the ClusterIP, though other nodes have endpoints",
			counted("node", slots)+verb(len(slots), " has", " have"), verb(len(slots), "it", "them")),
		Field:   "spec.internalTrafficPolicy, or pods on every node (a DaemonSet)",
		Command: v.patch(map[string]any{"internalTrafficPolicy": "Cluster"}),
	}}
}

func externalIPs(v *view) []Cause {
	if len(v.ready) == 0 {
		return nil
	}
	for _, addr := range world.ExternalIPs(v.service) {
		owned := v.World.Announcers[addr] != ""
		for i := range v.World.Nodes {
			owned = owned || slices.Contains(world.NodeAddrs(&v.World.Nodes[i]), addr)
		}
		for prefix := range v.World.Facts.OutsideRoutes {
			owned = owned || prefix.Contains(addr)
		}
		for _, c := range v.cells(reach.ExternalIP) {
			kind := c.Cell.Vantage.Kind
			owned = owned || c.Cell.Target.Host == addr.String() && (kind == reach.Outside || kind == reach.Host) && always(c, reach.Reached)
		}
		if owned {
			continue
		}
		return []Cause{{
			Sentence: fmt.Sprintf("the external IP %s belongs to no node and is not announced: Kubernetes serves only packets that reach a node, so clients outside need a route to one", addr),
			Field:    "spec.externalIPs, or the routes of the network outside",
			Command:  fmt.Sprintf("ip route add %s via NODE-ADDRESS   # on the client or its router", addr),
			Note:     v.Intent.From != "" && v.Intent.From != string(reach.Outside) && v.Intent.From != string(reach.Host),
		}}
	}
	return nil
}

func affinity(v *view) []Cause {
	if v.service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return nil
	}
	seconds := int32(10800)
	if c := v.service.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return []Cause{{
		Sentence: fmt.Sprintf("sessionAffinity is ClientIP: all connections of one client go to the same pod, until the client has sent no request for %d s; the other pods get none of them", seconds),
		Field:    "spec.sessionAffinity",
		Command:  v.patch(map[string]any{"sessionAffinity": "None"}),
		Note:     !v.Intent.Spread,
	}}
}

func healthCheckPort(v *view) []Cause {
	port := world.HealthCheckPort(v.service)
	intended := v.Intent.At == reach.HealthCheck
	switch {
	case port == 0 && intended:
		return []Cause{{
			Sentence: "it has no healthCheckNodePort: only a LoadBalancer Service with externalTrafficPolicy Local has one",
			Field:    "spec.type and spec.externalTrafficPolicy",
			Command:  v.patch(map[string]any{"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
		}}
	case port == 0:
		return nil
	}
	sentence := fmt.Sprintf("each node reports at its healthCheckNodePort %d by HTTP whether it has a ready endpoint", port)
	if slots := v.without(); len(slots) > 0 {
		sentence += fmt.Sprintf("; %s none and %s with 503, and a load balancer should not use %s", counted("node", slots)+verb(len(slots), " has", " have"),
			verb(len(slots), "answers", "answer"), verb(len(slots), "it", "them"))
	}
	return []Cause{{
		Sentence: sentence,
		Field:    "spec.externalTrafficPolicy, or where pods run",
		Command:  v.kubectl("get pods -l %s -o wide", labelText(v.service.Spec.Selector)),
		Note:     !intended || len(v.without()) == 0,
	}}
}
