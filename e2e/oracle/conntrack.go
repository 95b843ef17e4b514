package oracle

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// InTransit reports whether answers to a client may be lost whenever kube-proxy on its node syncs: datagrams of a pod to a node port of another node.
// Cleanup knows node ports by their number alone, so it takes the entry, which leads to that node, for one of a Service's that is stale
// (pkg/proxy/conntrack/cleanup.go of k8s.io/kubernetes v1.37.2). The next datagram makes another entry. An answer that came between the two has
// taken the client's port with an entry of its own, so the next datagram leaves the node from another port: to the node that it goes to it is
// a new connection, and may get another backend. This was seen: each time that the backend was another, an answer had been lost before.
func InTransit(v reach.Vantage, t reach.Target) bool {
	return t.Kind == reach.NodePort && t.Protocol == reach.UDP && v.Kind == reach.Pod && v.Node != t.Node
}

// entries are where the conntrack entry of a flow may lead to that a backend answers: one or more, because a pod may be several endpoints of
// a Service. The port is zero if the entry is older than the endpoints.
func (o *Oracle) entries(t reach.Target, namespace, backend string) (list []netip.AddrPort) {
	addr, _ := o.addressOf(namespace, backend, t.IPFamily())
	for _, at := range o.serving(o.portAt(t)) {
		if at.Addr() == addr {
			list = append(list, at)
		}
	}
	if len(list) == 0 {
		list = append(list, netip.AddrPortFrom(addr, 0))
	}
	return list
}

// in returns whether an entry leads to one of these endpoints.
func in(endpoints []netip.AddrPort) func(netip.AddrPort) bool {
	return func(entry netip.AddrPort) bool {
		return slices.ContainsFunc(endpoints, func(at netip.AddrPort) bool { return at == entry || entry.Port() == 0 && at.Addr() == entry.Addr() })
	}
}

// portAt is the UDP Service port that kube-proxy takes a conntrack entry of a target for: by the address and port, and by the
// number alone if it is a node port that has endpoints. nil: it takes it for no port's.
func (o *Oracle) portAt(t reach.Target) *servicePort {
	addr, err := netip.ParseAddr(t.Host)
	if err != nil {
		return nil
	}
	addr = addr.Unmap()
	if sp := o.index.nodePort(nodePortKey{world.FamilyOf(addr), t.Port, t.Protocol}); sp != nil && (t.Kind == reach.NodePort || len(o.serving(sp)) > 0) {
		return sp
	}
	if f, served := o.index.front(dest{addr, t.Port, t.Protocol}); served && f.kind != frontLBProxy {
		return f.port
	}
	return nil
}

// serving are the Service port's endpoints that serve, whatever the policies.
func (o *Oracle) serving(sp *servicePort) (list []netip.AddrPort) {
	if sp == nil {
		return nil
	}
	for _, b := range o.backends(sp) {
		if b.Serving {
			list = append(list, netip.AddrPortFrom(b.Addr, b.Port))
		}
	}
	return list
}

// addressOf is the address of a pod by the name in its answers.
func (o *Oracle) addressOf(namespace, backend string, family int) (netip.Addr, bool) {
	pod := o.index.pods[namespace+"/"+backend]
	if pod == nil || world.Ended(pod) {
		return netip.Addr{}, false
	}
	want := corev1.IPv4Protocol
	if family == 6 {
		want = corev1.IPv6Protocol
	}
	for _, addr := range world.PodAddrs(pod) {
		if world.FamilyOf(addr) == want {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// dies reports whether a backend of before is gone, so that requests to it may be lost until no proxy sends any there.
func (d *destiny) dies() bool {
	return slices.ContainsFunc(d.before.Backends, func(b string) bool { return !d.aliveAs(b) })
}

func (d *destiny) alive() bool { return d.aliveAs(d.backend) }

// aliveAs reports whether a pod that was there before is still there.
func (d *destiny) aliveAs(backend string) bool {
	family := d.flow.Target.IPFamily()
	was, known := d.Before.addressOf(d.namespace(), backend, family)
	is, there := d.After.addressOf(d.namespace(), backend, family)
	return !known || there && was == is
}

func (d *destiny) namespace() string {
	namespace, _, _ := strings.Cut(d.flow.Target.Service, "/")
	return namespace
}
