package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// pending says whether the Service waits for a load balancer's address.
func (v *view) pending() bool {
	return v.service != nil && v.service.Spec.Type == corev1.ServiceTypeLoadBalancer && len(v.service.Status.LoadBalancer.Ingress) == 0
}

// served says whether a load-balancer controller is known to serve the Service: one that is, or one that has given
// another Service of the same class an address.
func (v *view) served() bool {
	class := v.service.Spec.LoadBalancerClass
	if v.World.Facts.Serves(class) {
		return true
	}
	for _, list := range [][]corev1.Service{v.World.Services, v.World.Elsewhere} {
		for i := range list {
			other := list[i].Spec.LoadBalancerClass
			if len(list[i].Status.LoadBalancer.Ingress) > 0 && (class == nil) == (other == nil) && (class == nil || *class == *other) {
				return true
			}
		}
	}
	return false
}

func lbClass(v *view) []Cause {
	if !v.pending() || v.service.Spec.LoadBalancerClass == nil || v.served() {
		return nil
	}
	class := *v.service.Spec.LoadBalancerClass
	serves := "no load-balancer controller is known to run here"
	switch {
	case v.World.Facts.LoadBalancer && v.World.Facts.LoadBalancerClass == "":
		serves = "the controller that runs here serves the Services that name no class"
	case v.World.Facts.LoadBalancer:
		serves = fmt.Sprintf("the controller that runs here serves the class %s", v.World.Facts.LoadBalancerClass)
	}
	return []Cause{{
		Sentence: fmt.Sprintf("no controller serves the loadBalancerClass %s, so it stays pending: %s", class, serves),
		Field:    "spec.loadBalancerClass, which can only be set when the Service is made: make it anew",
		Command:  v.kubectl("get service %s -o yaml | sed '/loadBalancerClass:/d' | kubectl replace --force -f -", v.name()),
	}}
}

func lbNoController(v *view) []Cause {
	if !v.pending() || v.service.Spec.LoadBalancerClass != nil || v.served() || v.refusal() != "" {
		return nil
	}
	return []Cause{{
		Sentence: "it waits for a load balancer's address, and no load-balancer controller is known to run in this cluster",
		Field:    "spec.type: NodePort needs no load balancer; or install a controller such as MetalLB",
		Command:  v.patch(map[string]any{"type": "NodePort"}),
	}}
}

// refusal is what the load-balancer controller last said about why it gives no address; "": nothing.
func (v *view) refusal() string {
	for _, e := range v.events("Service", v.name()) {
		if e.Type == corev1.EventTypeWarning && slices.Contains([]string{"AllocationFailed", "SyncLoadBalancerFailed", "LoadBalancerFailed"}, e.Reason) {
			return e.Reason + ", " + e.Message
		}
	}
	return ""
}

// exhausted says whether a controller's words are that all addresses are taken. Of a pool that the Service names itself
// MetalLB (0.15) says so by refusing the address it did not find: ["<nil>"] is not allowed in config.
func exhausted(words string) bool {
	return strings.Contains(strings.ToLower(words), "no available ip") || strings.Contains(words, `"<nil>"`)
}

func lbPoolExhausted(v *view) []Cause {
	words := v.refusalIfPending()
	if !exhausted(words) {
		return nil
	}
	pools := "the pool"
	if v.Balancer != nil {
		var texts []string
		for _, p := range v.Balancer.Pools {
			texts = append(texts, fmt.Sprintf("%s (%s)", p.Name, strings.Join(p.Ranges, ", ")))
		}
		pools = counted("pool", texts)
	}
	return []Cause{{
		Sentence: fmt.Sprintf("no address of %s is free for it, so it stays pending; the controller says: %s", pools, words),
		Field:    "spec.addresses of the IPAddressPool, or a LoadBalancer Service that is no longer needed",
		Command:  "kubectl get services --all-namespaces --field-selector spec.type=LoadBalancer",
	}}
}

// refusalIfPending is the refusal of a Service that a controller serves.
func (v *view) refusalIfPending() string {
	if !v.pending() || v.service.Spec.LoadBalancerClass != nil && !v.served() {
		return ""
	}
	return v.refusal()
}

func lbAddressRefused(v *view) []Cause {
	words := v.refusalIfPending()
	if words == "" || exhausted(words) {
		return nil
	}
	return []Cause{{
		Sentence: "the load-balancer controller refuses what it asks for, so it stays pending: " + words,
		Field:    "spec.loadBalancerIP and the annotations that ask for an address, a pool or sharing",
		Command:  v.describe("service", v.name()),
	}}
}

func lbPending(v *view) []Cause {
	if !v.pending() || !v.served() || v.refusal() != "" {
		return nil
	}
	return []Cause{{
		Sentence: "it waits for a load balancer's address; a controller for it runs, but has said nothing yet",
		Field:    "status.loadBalancer.ingress, which the controller sets",
		Command:  v.describe("service", v.name()),
	}}
}

// unannounced are the load-balancer addresses that no node announces though endpoints are ready.
func (v *view) unannounced() []netip.Addr {
	if !v.there() || v.World.Announcers == nil || len(v.ready) == 0 || v.service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var list []netip.Addr
	for _, ingress := range world.Ingresses(v.service) {
		if v.World.Announcers[ingress.Addr] == "" && !ingress.Proxy {
			list = append(list, ingress.Addr)
		}
	}
	return list
}

// advertisements are those for an address, and the pool it is of.
func (v *view) advertisements(addr netip.Addr) (list []Advertisement, pool string) {
	for _, p := range v.Balancer.Pools {
		if slices.ContainsFunc(p.Ranges, func(text string) bool { return inRange(text, addr) }) {
			pool = p.Name
		}
	}
	for _, a := range v.Balancer.Advertisements {
		if a.Choosy || len(a.Pools) == 0 || slices.Contains(a.Pools, pool) {
			list = append(list, a)
		}
	}
	return list, pool
}

// inRange says whether an address is in a range as MetalLB writes it.
func inRange(text string, addr netip.Addr) bool {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Contains(addr)
	}
	low, high, _ := strings.Cut(text, "-")
	first, err1 := netip.ParseAddr(strings.TrimSpace(low))
	last, err2 := netip.ParseAddr(strings.TrimSpace(high))
	return err1 == nil && err2 == nil && first.Compare(addr) <= 0 && addr.Compare(last) <= 0
}

func lbNotAdvertised(v *view) []Cause {
	if v.Balancer == nil {
		return nil
	}
	for _, addr := range v.unannounced() {
		if list, pool := v.advertisements(addr); len(list) == 0 {
			return []Cause{{
				Sentence: fmt.Sprintf("it has the address %s of pool %s, but no L2Advertisement or BGPAdvertisement is for that pool: nobody announces it", addr, pool),
				Field:    "spec.ipAddressPools of an L2Advertisement",
				Command: fmt.Sprintf(`printf 'apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: %s, namespace: metallb-system}\nspec: {ipAddressPools: [%s]}\n' | kubectl apply -f -`,
					pool, pool),
			}}
		}
	}
	return nil
}

// barred says why a node may not announce for advertisements; "": it may.
func (v *view) barred(node *corev1.Node, list []Advertisement) string {
	switch {
	case !world.NodeReady(node):
		return "is not Ready"
	case hasKey(node.Labels, corev1.LabelNodeExcludeBalancers):
		return "has the label " + corev1.LabelNodeExcludeBalancers
	case world.ExternalLocal(v.service) && !slices.ContainsFunc(v.ready, func(e world.Endpoint) bool { return e.Node == node.Name }):
		return "has no ready endpoint, which externalTrafficPolicy Local asks for"
	}
	chosen := slices.ContainsFunc(list, func(a Advertisement) bool {
		return len(a.Nodes) == 0 || slices.ContainsFunc(a.Nodes, func(s metav1.LabelSelector) bool {
			selector, err := metav1.LabelSelectorAsSelector(&s)
			return err == nil && selector.Matches(labels.Set(node.Labels))
		})
	})
	if !chosen {
		return "is not among the nodeSelectors of the advertisement"
	}
	return ""
}

func hasKey(m map[string]string, key string) bool {
	_, there := m[key]
	return there
}

func lbNodesExcluded(v *view) []Cause {
	if v.Balancer == nil {
		return nil
	}
	for _, addr := range v.unannounced() {
		list, _ := v.advertisements(addr)
		if len(list) == 0 {
			continue
		}
		var reasons []string
		for i := range v.World.Nodes {
			node := &v.World.Nodes[i]
			why := v.barred(node, list)
			if why == "" {
				reasons = nil
				break
			}
			reasons = append(reasons, node.Name+" "+why)
		}
		if len(reasons) > 0 {
			return []Cause{{
				Sentence: fmt.Sprintf("it has the address %s, but no node may announce it: %s", addr, strings.Join(reasons, "; ")),
				Field:    fmt.Sprintf("spec.nodeSelectors of %s %s, or the nodes' labels", list[0].Kind, list[0].Name),
				Command:  fmt.Sprintf("kubectl -n metallb-system get %s %s -o yaml; kubectl get nodes --show-labels", strings.ToLower(list[0].Kind), list[0].Name),
			}}
		}
	}
	return nil
}

func lbNotAnnounced(v *view) []Cause {
	addrs := v.unannounced()
	if len(addrs) == 0 || len(lbNotAdvertised(v)) > 0 || len(lbNodesExcluded(v)) > 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("it has the address %s, but no node reports that it announces it, though nodes may: MetalLB's speakers do not run, or have not got to it", addrs[0]),
		Field:    "the DaemonSet metallb-system/speaker; no field of the Service",
		Command:  "kubectl -n metallb-system get pods -o wide; kubectl -n metallb-system get servicel2statuses",
	}}
}

func lbSourceRanges(v *view) []Cause {
	if !v.there() || len(v.service.Spec.LoadBalancerSourceRanges) == 0 {
		return nil
	}
	var denied []string
	ranges := slices.Clone(v.service.Spec.LoadBalancerSourceRanges)
	outside := false
	for _, c := range v.Table.Cells {
		if c.Oracle.Rule != "loadbalancer-source-ranges" || slices.Contains(denied, c.Cell.Vantage.Name) {
			continue
		}
		denied = append(denied, c.Cell.Vantage.Name)
		kind := c.Cell.Vantage.Kind
		if kind != reach.Outside && kind != reach.Host && v.Hopes.From != c.Cell.Vantage.Name && v.Hopes.From != string(kind) {
			continue
		}
		outside = true
		for _, addr := range c.Cell.Vantage.Addrs {
			if target, err := netip.ParseAddr(c.Cell.Target.Host); err == nil && target.Is4() == addr.Is4() {
				ranges = append(ranges, netip.PrefixFrom(addr, addr.BitLen()).String())
				break
			}
		}
	}
	if len(denied) == 0 {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("loadBalancerSourceRanges admit %s only, so whatever comes to the load-balancer address from %s is dropped",
			listed(v.service.Spec.LoadBalancerSourceRanges), listed(denied)),
		Field:   "spec.loadBalancerSourceRanges",
		Command: v.patch(map[string]any{"loadBalancerSourceRanges": ranges}),
		Note:    !outside,
	}}
}
