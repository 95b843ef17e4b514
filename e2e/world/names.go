package world

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// NameForm is how much of a Service's DNS name is written out.
type NameForm string

// The forms of a name. The short ones need the search path a pod has; FormShort works in the Service's own
// namespace only.
// https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
const (
	FormShort     NameForm = "name"
	FormNamespace NameForm = "name.namespace"
	FormSvc       NameForm = "name.namespace.svc"
	FormFull      NameForm = "name.namespace.svc.domain"
	// FormAbsolute is FormFull with the final dot: no search path is tried.
	FormAbsolute NameForm = "name.namespace.svc.domain."
	// FormPod is one name for each ready endpoint: its hostname, or its address written with dashes, before
	// FormFull.
	FormPod NameForm = "pod.name.namespace.svc.domain"
)

// Names are the DNS names of a Service in one form: one, or for FormPod as many as it has ready endpoints.
func (w World) Names(s *corev1.Service, form NameForm) []string {
	full := strings.Join([]string{s.Name, s.Namespace, "svc", w.Facts.ClusterDomain()}, ".")
	switch form {
	case FormShort:
		return []string{s.Name}
	case FormNamespace:
		return []string{s.Name + "." + s.Namespace}
	case FormSvc:
		return []string{s.Name + "." + s.Namespace + ".svc"}
	case FormAbsolute:
		return []string{full + "."}
	case FormPod:
		var names []string
		for _, family := range Families(s) {
			for _, e := range Addresses(w.SlicesOf(Name(s), family)) {
				names = append(names, EndpointLabel(e)+"."+full)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	default:
		return []string{full}
	}
}

// EndpointLabel is the label an endpoint has before its Service's name: its hostname, else its address with
// dashes.
func EndpointLabel(e Endpoint) string {
	if e.Hostname != "" {
		return e.Hostname
	}
	return DashedAddr(e.Addr)
}

// DashedAddr is an address as a DNS label. One that would end in a dash gets a 0, as CoreDNS gives it.
func DashedAddr(addr netip.Addr) string {
	label := strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
	if strings.HasSuffix(label, "-") {
		label += "0"
	}
	return label
}
