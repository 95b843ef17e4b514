package oracle

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// maxAliases bounds a chain of ExternalNames; a longer one is taken for a loop.
const maxAliases = 8

// answer is what a name resolves to.
type answer struct {
	// name is the full name that was found, without the final dot; empty where none was.
	name string
	// addrs are the addresses, sorted; empty for a name that exists without any.
	addrs []netip.Addr
	// service is whose name it is; nil for a host outside. alias is the first target of an ExternalName.
	service *service
	alias   string
	// pod: the name is one endpoint's, not its Service's. external is the host outside that it ends at.
	pod      bool
	external *world.External
	// unknown: the facts do not say what a name outside resolves to. literal: an alias that is an IP address.
	unknown, literal bool
}

// candidates are the full names that a resolver of a pod in a namespace tries, in order. Without a namespace there is no
// search path. The kubelet sets ndots to 5: a name with more dots is tried before the search path, but then no name of the
// search path exists, so the order does not matter.
func (o *Oracle) candidates(name, namespace string) []string {
	if absolute, ok := strings.CutSuffix(name, "."); ok || namespace == "" {
		return []string{absolute}
	}
	domain := o.w.Facts.ClusterDomain()
	return []string{name + "." + namespace + ".svc." + domain, name + ".svc." + domain, name + "." + domain, name}
}

// resolve returns what the cluster's DNS answers a pod of a namespace: the first candidate that has addresses,
// otherwise the first that exists, because it explains why there are none.
func (o *Oracle) resolve(name, namespace string) answer {
	var found answer
	for _, candidate := range o.candidates(name, namespace) {
		a := o.lookup(candidate, maxAliases)
		if len(a.addrs) > 0 || a.unknown {
			return a
		}
		if found.name == "" {
			found = a
		}
	}
	return found
}

// lookup says what a full name resolves to.
func (o *Oracle) lookup(name string, aliases int) answer {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	inside, ok := strings.CutSuffix(name, ".svc."+o.w.Facts.ClusterDomain())
	if !ok {
		if dashed, ok := strings.CutSuffix(name, ".pod."+o.w.Facts.ClusterDomain()); ok {
			return o.lookupPod(name, dashed)
		}
		if strings.HasSuffix(name, "."+o.w.Facts.ClusterDomain()) {
			return answer{}
		}
		return o.lookupExternal(name)
	}
	labels := strings.Split(inside, ".")
	s, known := o.serviceNamed(labels)
	switch {
	case s == nil:
		return answer{}
	case !known && (len(labels) == 3 || world.Headless(s.Service)):
		return answer{name: name, service: s, unknown: true}
	case len(labels) == 4:
		return o.lookupPort(name, labels[0], labels[1], s)
	case len(labels) == 3:
		return o.lookupEndpoint(name, labels[0], s)
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return o.lookupAlias(name, s, aliases)
	case world.Headless(s.Service):
		a := answer{name: name, service: s}
		for _, e := range o.readyAddresses(s) {
			a.addrs = append(a.addrs, e.Addr)
		}
		return a
	default:
		addrs := world.ClusterIPs(s.Service)
		slices.SortFunc(addrs, netip.Addr.Compare)
		return answer{name: name, service: s, addrs: addrs}
	}
}

// serviceNamed finds the Service of a name below "svc": [service namespace], [endpoint service namespace] or
// [_port _protocol service namespace]. known is false where its endpoints are not in the snapshot.
func (o *Oracle) serviceNamed(labels []string) (s *service, known bool) {
	if len(labels) < 2 || len(labels) > 4 {
		return nil, false
	}
	name := labels[len(labels)-1] + "/" + labels[len(labels)-2]
	if s := o.index.service(name); s != nil {
		return s, true
	}
	return o.index.others[name], false
}

// lookupEndpoint finds the endpoint that a label below a Service's name stands for.
func (o *Oracle) lookupEndpoint(name, label string, s *service) answer {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return answer{}
	}
	var a answer
	for _, e := range o.readyAddresses(s) {
		if strings.EqualFold(world.EndpointLabel(e), label) {
			a.name, a.service, a.pod = name, s, true
			a.addrs = append(a.addrs, e.Addr)
		}
	}
	return a
}

// lookupPort finds the addresses behind the name of a Service's port, "_http._tcp" before the Service's name, which has
// them as SRV records and as addresses. (parse.go and findServices in plugin/kubernetes of github.com/coredns/coredns.)
func (o *Oracle) lookupPort(name, port, protocol string, s *service) answer {
	is := func(portName string, p corev1.Protocol) bool {
		return strings.EqualFold(strings.TrimPrefix(port, "_"), portName) && strings.EqualFold(strings.TrimPrefix(protocol, "_"), string(protocolOf(p)))
	}
	a := answer{name: name, service: s}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
	case world.Headless(s.Service):
		for _, list := range o.endpoints(s).slices {
			for i := range list {
				if slices.ContainsFunc(world.SlicePorts(list[i:i+1]), func(p world.SlicePort) bool { return is(p.Name, p.Protocol) }) {
					for _, e := range world.Addresses(list[i : i+1]) {
						a.addrs = append(a.addrs, e.Addr)
					}
				}
			}
		}
	case slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return is(p.Name, p.Protocol) }):
		a.addrs = world.ClusterIPs(s.Service)
	}
	if len(a.addrs) == 0 {
		return answer{}
	}
	slices.SortFunc(a.addrs, netip.Addr.Compare)
	a.addrs = slices.Compact(a.addrs)
	return a
}

// lookupPod finds the pod of a name below "pod": "10-244-1-9.namespace". For addresses that no pod has the answer depends on
// CoreDNS's setting "pods", which is not known.
func (o *Oracle) lookupPod(name, dashed string) answer {
	label, namespace, ok := strings.Cut(dashed, ".")
	separator := ":"
	if strings.Count(label, "-") == 3 && !strings.Contains(label, "--") {
		separator = "."
	}
	addr, err := netip.ParseAddr(strings.ReplaceAll(label, "-", separator))
	if !ok || err != nil {
		return answer{}
	}
	if pod := o.index.podByAddr[addr]; pod != nil && pod.Namespace == namespace {
		return answer{name: name, addrs: []netip.Addr{addr}, pod: true}
	}
	return answer{name: name, unknown: true}
}

func (o *Oracle) readyAddresses(s *service) []world.Endpoint {
	var endpoints []world.Endpoint
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		endpoints = append(endpoints, world.Addresses(o.endpoints(s).slices[family])...)
	}
	return endpoints
}

// lookupAlias follows an ExternalName. A target that looks like an address is no name, and is not answered.
func (o *Oracle) lookupAlias(name string, s *service, aliases int) answer {
	target := strings.TrimSuffix(s.Spec.ExternalName, ".")
	if _, err := netip.ParseAddr(target); err == nil {
		return answer{name: name, service: s, literal: true}
	}
	a := answer{name: name, service: s, alias: target}
	if aliases == 0 {
		return a
	}
	behind := o.lookup(target, aliases-1)
	a.addrs, a.external, a.unknown = behind.addrs, behind.external, behind.unknown
	return a
}

func (o *Oracle) lookupExternal(name string) answer {
	if o.w.Facts.Externals == nil {
		return answer{name: name, unknown: true}
	}
	for i := range o.w.Facts.Externals {
		external := &o.w.Facts.Externals[i]
		if strings.EqualFold(strings.TrimSuffix(external.Name, "."), name) {
			addrs := slices.Clone(external.Addrs)
			slices.SortFunc(addrs, netip.Addr.Compare)
			return answer{name: name, addrs: addrs, external: external}
		}
	}
	return answer{}
}

// externalPorts are the ports a host outside listens on.
func externalPorts(e *world.External, p reach.Protocol) []uint16 {
	switch p {
	case reach.TCP:
		return e.TCP
	case reach.UDP:
		return e.UDP
	default:
		return nil
	}
}
