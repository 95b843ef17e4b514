package oracle

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// name predicts for a target that is a DNS name: what it resolves to for the client, and then the result of a connection
// to one of those addresses.
func (o *Oracle) name(v reach.Vantage, t reach.Target) prediction {
	a, p, resolved := o.answerTo(v, t.Host)
	if !resolved {
		return p
	}
	if all := a.addrs; t.Family != 0 && len(all) > 0 {
		a.addrs = slices.DeleteFunc(slices.Clone(all), func(addr netip.Addr) bool { return addr.Is4() != (t.Family == 4) })
		if len(a.addrs) == 0 {
			return outcome(ruleDNSNone, reach.Say("%s has no address of IPv%d, which the client requests", t.Host, t.Family), reach.NoSuchHost)
		}
	}
	switch {
	case a.literal:
		return outcome(ruleCNAMEAddress, reach.Say("externalName of %s is %s, which looks like an address and is not answered as a name", a.service.name, a.service.Spec.ExternalName), reach.NoSuchHost)
	case a.unknown:
		return o.behindUnknown(a)
	case a.alias != "" && len(a.addrs) == 0:
		return outcome(ruleCNAMENone, reach.Say("%s is a CNAME for %s, which has no address", t.Host, a.alias), reach.NoSuchHost)
	case a.name == "":
		return outcome(ruleDNSNone, reach.Say("no Service has the name %s for a lookup from %s", t.Host, origin(v)), reach.NoSuchHost)
	case len(a.addrs) == 0:
		return outcome(ruleDNSEmpty, reach.Say("%s is headless and none of its endpoints is ready, so its name has no address", a.service.name), reach.NoSuchHost)
	}
	if t.Port == 0 {
		return o.lookedUp(a, t)
	}
	return o.dialled(v, t, a)
}

// answerTo says what a name resolves to from a vantage; resolved is false if the vantage cannot query
// the cluster's DNS; p is then the prediction.
func (o *Oracle) answerTo(v reach.Vantage, name string) (a answer, p prediction, resolved bool) {
	switch {
	case v.Kind == reach.Pod:
		return o.resolve(name, v.Namespace), p, true
	case v.Kind == reach.Node && o.w.Facts.NodesUseClusterDNS:
		return o.resolve(name, v.Namespace), p, true // with a pod's search path where it has a namespace, else none
	case v.Kind == reach.Node:
		return a, outcome(ruleDNSNode, reach.Say("%s resolves names by its own resolver, which does not know %s", v.Node, name),
			reach.NoSuchHost, reach.WrongAnswer, reach.TimedOut), false
	case v.Kind == reach.Outside:
		if a = o.lookupExternal(strings.TrimSuffix(name, ".")); a.external != nil {
			return a, p, true
		}
		return a, outcome(ruleDNSOutside, reach.Say("no resolver outside the cluster knows %s", name), reach.NoSuchHost), false
	default:
		return a, outcome(ruleDNSOutside, reach.Say("the host's resolver does not know %s", name),
			reach.NoSuchHost, reach.WrongAnswer, reach.TimedOut), false
	}
}

// dialled predicts for a connection to one of a name's addresses. The client chooses one, so all are allowed whose IP
// family the vantage has.
func (o *Oracle) dialled(v reach.Vantage, t reach.Target, a answer) prediction {
	var predictions, foreign []prediction
	for _, addr := range a.addrs {
		c := o.client(v, addr)
		p := o.packet(c, dest{addr: addr, port: t.Port, protocol: t.Protocol})
		if c.foreign {
			foreign = append(foreign, p)
		} else {
			predictions = append(predictions, p)
		}
	}
	if len(predictions) == 0 {
		predictions = foreign
	}
	p := union(predictions[0].Rule, reach.Say("it depends on which of the addresses is taken: %s", predictions[0].Said), predictions...)
	p.Addresses = a.addrs
	p.Rule = a.rule(p)
	p = because(p, andThen(a.resolution(t.Host), p.Said))
	p.CNAME = a.alias
	if a.external != nil && p.Allows(reach.Reached) {
		p.HostSeen = hostHeader(t)
	}
	return p
}

// rule returns the rule about the name if it is more specific than the rule about the address behind it.
func (a answer) rule(p prediction) string {
	switch {
	case a.external != nil && p.Rule == ruleEndpointDeaf && a.alias != "":
		return ruleCNAMEPort
	case a.external != nil && p.Rule == ruleEndpoint && a.alias != "":
		return ruleCNAME
	case a.alias != "" && p.Rule == ruleClusterIP:
		return ruleCNAMECluster
	case a.pod && p.Rule == ruleEndpoint:
		return ruleDNSPod
	case a.service != nil && a.alias == "" && world.Headless(a.service.Service) && p.Rule == ruleEndpoint:
		return ruleDNSHeadless
	case a.service != nil && p.Rule == ruleClusterIP:
		return ruleDNS
	default:
		return p.Rule
	}
}

// resolution says in words what a name resolves to.
func (a answer) resolution(host string) reach.Phrase {
	const most = 4
	var texts []string
	for i, addr := range a.addrs {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, addr.String())
	}
	addrs := strings.Join(texts, ", ")
	if a.alias != "" {
		return reach.Say("%s is a CNAME for %s, resolves to %s", host, a.alias, addrs)
	}
	return reach.Say("%s resolves to %s", host, addrs)
}

// lookedUp predicts for a target without a port: the name is only looked up.
func (o *Oracle) lookedUp(a answer, t reach.Target) prediction {
	p := outcome(ruleDNS, a.resolution(t.Host), reach.Reached)
	p.Addresses, p.CNAME = a.addrs, a.alias
	switch {
	case a.alias != "":
		p.Rule = ruleCNAME
	case a.pod:
		p.Rule = ruleDNSPod
	case a.service != nil && world.Headless(a.service.Service):
		p.Rule = ruleDNSHeadless
	}
	return p
}

// behindUnknown predicts for a name whose addresses are not known: one outside the cluster that the facts do not
// list, or one that depends on the endpoints of another namespace.
func (o *Oracle) behindUnknown(a answer) prediction {
	if a.alias == "" && a.service != nil {
		p := o.unknownService(a.service.name)
		p.Outcomes = append(p.Outcomes, reach.NoSuchHost)
		return p
	}
	p := outcome(ruleCNAMEUnknown, reach.Say("what %s resolves to, and which host is there, is not known", a.name),
		reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable, reach.NoSuchHost, reach.WrongAnswer)
	if a.alias != "" {
		p = because(p, reach.Say("%s is a CNAME for %s; what that resolves to, and which host is there, is not known", a.service.name, a.alias))
	}
	return p
}

// hostHeader is the Host header that arrives: that of the target, else the dialled name, with the port unless
// it is the scheme's own. An alias changes nothing about it.
func hostHeader(t reach.Target) string {
	host := strings.TrimSuffix(t.Host, ".")
	switch {
	case t.HostHeader != "":
		return t.HostHeader
	case slices.Contains([]uint16{80, 443}, t.Port):
		return host
	default:
		return net.JoinHostPort(host, strconv.Itoa(int(t.Port)))
	}
}

// origin names a vantage and, if it has one, the namespace that its search path begins with.
func origin(v reach.Vantage) reach.Phrase {
	if v.Namespace == "" {
		return reach.Say("%s", v.Name)
	}
	return reach.Say("%s in namespace %s", v.Name, v.Namespace)
}
