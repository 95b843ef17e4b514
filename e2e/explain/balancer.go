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

// pending reports whether the Service waits for a load balancer's address.
func (v *view) pending() bool {
	return v.service != nil && v.service.Spec.Type == corev1.ServiceTypeLoadBalancer && len(v.service.Status.LoadBalancer.Ingress) == 0
}

// served reports whether a load-balancer controller is known to serve the Service: a known one, or one that has assigned an
// address to another Service of the same class.
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
	if v.service.Spec.LoadBalancerClass == nil || v.served() {
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
		Field:    "spec.loadBalancerClass, which is immutable: delete and create the Service",
		Command:  v.kubectl("get service %s -o yaml | sed '/loadBalancerClass:/d' | kubectl replace --force -f -", v.name()),
	}}
}

func lbNoController(v *view) []Cause {
	if v.service.Spec.LoadBalancerClass != nil || v.served() || v.refusal() != "" {
		return nil
	}
	return []Cause{{
		Sentence: "it waits for a load balancer's address, and no load-balancer controller is known to run in this cluster",
		Field:    "spec.type: NodePort needs no load balancer; or install a controller such as MetalLB",
		Command:  v.patch(map[string]any{"type": "NodePort"}),
	}}
}

// refusal returns the load-balancer controller's last event about why it assigns no address; "": none.
func (v *view) refusal() string {
	for _, e := range v.events("Service", v.name()) {
		if e.Type == corev1.EventTypeWarning && slices.Contains([]string{"AllocationFailed", "SyncLoadBalancerFailed", "LoadBalancerFailed"}, e.Reason) {
			return e.Reason + ", " + e.Message
		}
	}
	return ""
}

// exhausted reports whether a controller's message says that all addresses are taken. If the Service names the pool itself,
// MetalLB (0.15) refuses the address that it did not find: ["<nil>"] is not allowed in config.
func exhausted(message string) bool {
	return strings.Contains(strings.ToLower(message), "no available ip") || strings.Contains(message, `"<nil>"`)
}

func lbPoolExhausted(v *view) []Cause {
	message := v.servedRefusal()
	if !exhausted(message) {
		return nil
	}
	pools := "the pool"
	if v.Balancer != nil {
		var texts []string
		for _, p := range v.Balancer.Pools {
			texts = append(texts, fmt.Sprintf("%s (%s)", p.Name, strings.Join(p.Blocks, ", ")))
		}
		pools = counted("pool", texts)
	}
	return []Cause{{
		Sentence: fmt.Sprintf("no address of %s is free for it, so it stays pending; the controller says: %s", pools, message),
		Field:    "spec.addresses of the IPAddressPool, or a LoadBalancer Service that is no longer needed",
		Command:  "kubectl get services --all-namespaces --field-selector spec.type=LoadBalancer",
	}}
}

// servedRefusal returns the refusal for a pending Service that a controller serves.
func (v *view) servedRefusal() string {
	if v.service.Spec.LoadBalancerClass != nil && !v.served() {
		return ""
	}
	return v.refusal()
}

func lbAddressRefused(v *view) []Cause {
	message := v.servedRefusal()
	if message == "" || exhausted(message) {
		return nil
	}
	return []Cause{{
		Sentence: "the load-balancer controller rejects its request, so it stays pending: " + message,
		Field:    "spec.loadBalancerIP and the annotations that request an address, a pool or sharing",
		Command:  v.describe("service", v.name()),
	}}
}

func lbPending(v *view) []Cause {
	if !v.served() || v.refusal() != "" {
		return nil
	}
	return []Cause{{
		Sentence: "it waits for a load balancer's address; a controller for it runs, but has not reported anything yet",
		Field:    "status.loadBalancer.ingress, which the controller sets",
		Command:  v.describe("service", v.name()),
	}}
}

// unannounced returns the load-balancer addresses that no node announces although endpoints are ready.
func (v *view) unannounced() []netip.Addr {
	if v.World.Announcers == nil || len(v.ready) == 0 || v.service.Spec.Type != corev1.ServiceTypeLoadBalancer {
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

// advertisements returns the advertisements for an address, and the address's pool.
func (v *view) advertisements(addr netip.Addr) (list []Advertisement, pool string) {
	for _, p := range v.Balancer.Pools {
		if p.Contains(addr) {
			pool = p.Name
		}
	}
	for _, a := range v.Balancer.Advertisements {
		if a.ByLabel || len(a.Pools) == 0 || slices.Contains(a.Pools, pool) {
			list = append(list, a)
		}
	}
	return list, pool
}

func lbNotAdvertised(v *view) []Cause {
	if v.Balancer == nil {
		return nil
	}
	for _, addr := range v.unannounced() {
		if list, pool := v.advertisements(addr); len(list) == 0 {
			return []Cause{{
				Sentence: fmt.Sprintf("it has the address %s of pool %s, but no L2Advertisement or BGPAdvertisement is for that pool, so no node announces it", addr, pool),
				Field:    "spec.ipAddressPools of an L2Advertisement",
				Command: fmt.Sprintf(`printf 'apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: %s, namespace: metallb-system}\nspec: {ipAddressPools: [%s]}\n' | kubectl apply -f -`,
					pool, pool),
			}}
		}
	}
	return nil
}

// barred returns why a node may not announce for the advertisements; "": it may.
func (v *view) barred(node *corev1.Node, list []Advertisement) string {
	switch {
	case !world.NodeReady(node):
		return "is not Ready"
	case hasKey(node.Labels, corev1.LabelNodeExcludeBalancers):
		return "has the label " + corev1.LabelNodeExcludeBalancers
	case world.ExternalLocal(v.service) && !slices.ContainsFunc(v.ready, func(e world.Endpoint) bool { return e.Node == node.Name }):
		return "has no ready endpoint, which externalTrafficPolicy Local requires"
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
		Sentence: fmt.Sprintf("it has the address %s, but no node reports that it announces it, although nodes may: MetalLB's speakers do not run, or have not processed it yet", addrs[0]),
		Field:    "the DaemonSet metallb-system/speaker; no field of the Service",
		Command:  "kubectl -n metallb-system get pods -o wide; kubectl -n metallb-system get servicel2statuses",
	}}
}

func lbSourceRanges(v *view) []Cause {
	if len(v.service.Spec.LoadBalancerSourceRanges) == 0 {
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
		if kind != reach.Outside && kind != reach.Host && v.Intent.From != c.Cell.Vantage.Name && v.Intent.From != string(kind) {
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
		Sentence: fmt.Sprintf("loadBalancerSourceRanges admit %s only, so packets from %s to the load-balancer address are dropped",
			listed(v.service.Spec.LoadBalancerSourceRanges), listed(denied)),
		Field:   "spec.loadBalancerSourceRanges",
		Command: v.patch(map[string]any{"loadBalancerSourceRanges": ranges}),
		Note:    !outside,
	}}
}
