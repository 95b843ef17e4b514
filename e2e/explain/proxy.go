package explain

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func nodeNotReady(v *view) []Cause {
	var causes []Cause
	for i := range v.World.Nodes {
		node := &v.World.Nodes[i]
		if world.NodeReady(node) {
			continue
		}
		why := ""
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Message != "" {
				why = ": " + c.Message
			}
		}
		var runs []string
		for _, pod := range v.living() {
			if pod.Spec.NodeName == node.Name {
				runs = append(runs, pod.Name)
			}
		}
		sentence := fmt.Sprintf("node %s is not Ready%s; whether it still answers for the Service is unknown", node.Name, why)
		if len(runs) > 0 {
			sentence += fmt.Sprintf(", and it runs %s", counted("pod", runs))
		}
		causes = append(causes, Cause{Sentence: sentence, Field: "the node; no field of the Service", Command: "kubectl describe node " + node.Name})
	}
	return causes
}

func proxyNotRunning(v *view) []Cause {
	if len(v.Proxies) == 0 || !world.Proxied(v.service) {
		return nil
	}
	var causes []Cause
	for i := range v.World.Nodes {
		node := v.World.Nodes[i].Name
		at := slices.IndexFunc(v.Proxies, func(p corev1.Pod) bool { return p.Spec.NodeName == node && p.DeletionTimestamp == nil })
		why := "has no kube-proxy pod"
		if at >= 0 {
			if world.Ready(&v.Proxies[at]) {
				continue
			}
			why = fmt.Sprintf("has a kube-proxy that is not ready (%s: %s)", v.Proxies[at].Name, v.diagnose(&v.Proxies[at]).why)
		}
		causes = append(causes, Cause{
			Sentence: fmt.Sprintf("node %s %s: it does not apply changes of Services, and serves none after a restart, neither for its own clients nor at its node ports", node, why),
			Field:    "the DaemonSet kube-system/kube-proxy and its configuration; no field of the Service",
			Command:  "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide; kubectl -n kube-system logs -l k8s-app=kube-proxy",
		})
	}
	return causes
}

func stillChanging(v *view) []Cause {
	settled, waitingFor := world.SettledBut(v.World, world.Allow{Unready: true, Pending: true}, v.service.Namespace)
	if settled {
		return nil
	}
	return []Cause{{
		Sentence: "its namespace is still changing, so observations and predictions may be from different moments; it still waits for: " + waitingFor,
		Field:    "none: run this again when the namespace has settled",
		Command:  "svclab explain " + v.Service,
	}}
}

// handler returns the node whose kube-proxy handles a cell; "": none, several, or unknown.
func (v *view) handler(c reach.Cell) string {
	inside := c.Vantage.Kind == reach.Pod || c.Vantage.Kind == reach.Node
	switch c.Target.Kind {
	case reach.NodePort, reach.HealthCheck:
		return c.Target.Node
	case reach.ClusterIP, reach.DNSName, reach.Localhost:
		if inside {
			return c.Vantage.Node
		}
	case reach.LoadBalancer, reach.ExternalIP:
		if inside {
			return c.Vantage.Node
		}
		for addr, node := range v.World.Announcers {
			if addr.String() == c.Target.Host {
				return node
			}
		}
	}
	return ""
}

// proxyBehind finds a single node whose cells differ from the prediction while those of other nodes do not.
func proxyBehind(v *view) []Cause {
	failing := v.failing()
	node := v.handler(failing[0].Cell)
	for _, c := range failing {
		if v.handler(c.Cell) != node {
			return nil
		}
	}
	if node == "" {
		return nil
	}
	healthy := slices.ContainsFunc(v.Table.Cells, func(c reach.CellVerdict) bool {
		other := v.handler(c.Cell)
		return c.Result == reach.Pass && other != "" && other != node
	})
	if !healthy {
		return nil
	}
	first := failing[0]
	return []Cause{{
		Sentence: fmt.Sprintf("only cells that node %s handles differ from the prediction (%s, for example %s from %s: %s), while other nodes behave as predicted: its kube-proxy is behind, or something else on it interferes",
			node, cells(len(failing)), first.Cell.Target.Name(), first.Cell.Vantage.Name, first.Differences[0].String()),
		Field:   "kube-proxy on that node; no field of the Service",
		Command: fmt.Sprintf("kubectl -n kube-system logs $(kubectl -n kube-system get pods -l k8s-app=kube-proxy --field-selector spec.nodeName=%s -o name)", node),
	}}
}

func cells(n int) string { return fmt.Sprintf("%d %s", n, verb(n, "cell", "cells")) }

// unknownReason reports failing cells that no rule explains.
func unknownReason(v *view) []Cause {
	failing := v.failing()
	first := failing[0]
	return []Cause{{
		Sentence: fmt.Sprintf("%s of the table %s from the prediction, and no rule explains it; the first is %s from %s: %s", cells(len(failing)), verb(len(failing), "differs", "differ"),
			first.Cell.Target.Name(), first.Cell.Vantage.Name, first.Why),
		Field:   "unknown",
		Command: cmp.Or(first.Cell.Repeat, v.describe("service", v.name())),
	}}
}
