package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func nodeNotReady(v *view) []Cause {
	if !v.there() {
		return nil
	}
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
		sentence := fmt.Sprintf("node %s is not Ready%s; whether it still answers for the Service cannot be told", node.Name, why)
		if len(runs) > 0 {
			sentence += fmt.Sprintf(", and it runs %s", counted("pod", runs))
		}
		causes = append(causes, Cause{Sentence: sentence, Field: "the node; no field of the Service", Command: "kubectl describe node " + node.Name})
	}
	return causes
}

func proxyNotRunning(v *view) []Cause {
	if !v.there() || len(v.Proxies) == 0 || !world.Proxied(v.service) {
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
			Sentence: fmt.Sprintf("node %s %s: it does not follow changes of Services, and after a restart serves none, for its own clients and at its node ports", node, why),
			Field:    "the DaemonSet kube-system/kube-proxy and its configuration; no field of the Service",
			Command:  "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide; kubectl -n kube-system logs -l k8s-app=kube-proxy",
		})
	}
	return causes
}

func stillChanging(v *view, explained bool) []Cause {
	if explained || len(v.failing()) == 0 || v.service == nil {
		return nil
	}
	settled, waitingFor := world.SettledBut(v.World, world.Allow{Unready: true, Pending: true}, v.service.Namespace)
	if settled {
		return nil
	}
	return []Cause{{
		Sentence: "its namespace is still changing, so what was observed may be of another moment than what was predicted; it waits for this: " + waitingFor,
		Field:    "none: ask again when it has settled",
		Command:  "svclab explain " + v.Service,
	}}
}

// handler is the node whose kube-proxy decides a cell; "": none or several do, or it is not known.
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

// proxyBehind finds the one node at which things are otherwise than predicted, while all others do as they should.
func proxyBehind(v *view, explained bool) []Cause {
	failing := v.failing()
	if explained || len(failing) == 0 || !v.there() {
		return nil
	}
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
		Sentence: fmt.Sprintf("only what node %s decides is otherwise than predicted (%d cells, for example %s from %s: %s), while other nodes do as they should: its kube-proxy has not followed, or something else on it interferes",
			node, len(failing), first.Cell.Target.Name(), first.Cell.Vantage.Name, first.Differences[0].String()),
		Field:   "kube-proxy on that node; no field of the Service",
		Command: fmt.Sprintf("kubectl -n kube-system logs $(kubectl -n kube-system get pods -l k8s-app=kube-proxy --field-selector spec.nodeName=%s -o name)", node),
	}}
}

// unexplained is for what no rule knows: it says so instead of nothing.
func unexplained(v *view, explained bool) []Cause {
	failing := v.failing()
	if explained || len(failing) == 0 {
		return nil
	}
	first := failing[0]
	return []Cause{{
		Sentence: fmt.Sprintf("%d cells of the table are otherwise than predicted, and no rule knows why; the first is %s from %s: %s", len(failing),
			first.Cell.Target.Name(), first.Cell.Vantage.Name, first.Why),
		Field:   "not known",
		Command: cmpOr(first.Cell.Repeat, v.describe("service", v.name())),
	}}
}
