package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func (v *view) external() bool {
	return v.exists() && v.service.Spec.Type == corev1.ServiceTypeExternalName
}

// externalName returns an ExternalName's target.
func (v *view) externalName() string { return strings.TrimSuffix(v.service.Spec.ExternalName, ".") }

// isAddress reports whether an ExternalName is an IP address.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func externalNameAddress(v *view) []Cause {
	name := v.externalName()
	if !isAddress(name) {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("externalName is %s, an IP address: DNS treats it as a host name, which does not exist; use a Service without selector and an EndpointSlice with that address", name),
		Field:    "spec.externalName; or spec.type with an EndpointSlice",
		Command: v.kubectl("patch service %s --type=merge -p %s", v.name(),
			quoted(map[string]any{"spec": map[string]any{"type": "ClusterIP", "externalName": nil, "ports": []any{map[string]any{"port": v.anyPort()}}}})) +
			fmt.Sprintf(`; printf 'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-1, labels: {kubernetes.io/service-name: %s}}\naddressType: %s\nports: [{port: %d}]\nendpoints: [{addresses: ["%s"]}]\n' | %s`,
				v.name(), v.name(), world.FamilyOf(netip.MustParseAddr(name)), v.anyPort(), name, v.kubectl("apply -f -")),
	}}
}

// anyPort returns the first declared port, or 80.
func (v *view) anyPort() int32 {
	if len(v.service.Spec.Ports) > 0 {
		return v.service.Spec.Ports[0].Port
	}
	return 80
}

// externalCells returns the probed cells of the external name from pods; resolved reports whether any of them found an address.
func (v *view) externalCells() (list []reach.CellVerdict, resolved bool) {
	for _, c := range v.cells(reach.ExternalName) {
		if c.Cell.Vantage.Kind == reach.Pod {
			list = append(list, c)
			resolved = resolved || !always(c, reach.NoSuchHost)
		}
	}
	return list, resolved
}

func externalNameUnresolved(v *view) []Cause {
	name := v.externalName()
	if isAddress(name) {
		return nil
	}
	list, resolved := v.externalCells()
	if len(list) == 0 { // nothing was probed, so use the predictions
		list = slices.DeleteFunc(slices.Clone(v.Table.Cells), func(c reach.CellVerdict) bool { return c.Cell.Vantage.Kind != reach.Pod })
		resolved = !slices.ContainsFunc(list, func(c reach.CellVerdict) bool { return c.Oracle.Rule == "externalname-no-answer" })
	}
	if len(list) == 0 || resolved {
		return nil
	}
	cause := Cause{
		Sentence: fmt.Sprintf("its externalName %s does not resolve: the cluster's DNS and its upstream servers have no address for that name", name),
		Field:    "spec.externalName",
		Command:  v.kubectl("run dns-check --rm -i --restart=Never --image=registry.k8s.io/e2e-test-images/agnhost:2.66.1 --command -- dig +short %s", name),
	}
	var known []string
	for _, e := range v.World.Facts.Externals {
		known = append(known, e.Name)
	}
	if inner, found := strings.CutSuffix(name, ".svc."+v.World.Facts.ClusterDomain()); found {
		short, namespace, _ := strings.Cut(inner, ".")
		known = nil
		for _, full := range v.everywhere() {
			in, other, _ := strings.Cut(full, "/")
			known = append(known, fmt.Sprintf("%s.%s.svc.%s", other, in, v.World.Facts.ClusterDomain()))
		}
		cause.Sentence += fmt.Sprintf(" (there is no Service %s in the namespace %s)", short, namespace)
	}
	if meant := nearest(name, known); meant != "" {
		cause.Sentence += "; " + meant + " is similar"
		cause.Command = v.patch(map[string]any{"externalName": meant})
	}
	return []Cause{cause}
}

func externalNamePort(v *view) []Cause {
	name := v.externalName()
	if isAddress(name) {
		return nil
	}
	list, _ := v.externalCells()
	var refused []uint16
	for _, c := range list {
		port := c.Cell.Target.Port
		if (always(c, reach.Refused) || always(c, reach.TimedOut)) && !slices.Contains(refused, port) {
			refused = append(refused, port)
		}
	}
	var causes []Cause
	for _, number := range refused {
		cause := Cause{
			Sentence: fmt.Sprintf("%s resolves, but does not answer at port %d: an ExternalName is only a DNS alias, so the client connects to the port that it chooses itself", name, number),
			Field:    "the port that the client connects to; spec.ports of an ExternalName has no effect",
			Command:  v.patch(map[string]any{"ports": nil}),
		}
		for _, port := range v.service.Spec.Ports {
			if uint16(port.Port) == number && port.TargetPort.IntValue() != 0 && uint16(port.TargetPort.IntValue()) != number {
				cause.Sentence += fmt.Sprintf("; its targetPort %d has no effect, so connect to that port", port.TargetPort.IntValue())
			}
		}
		for _, e := range v.World.Facts.Externals {
			if e.Name == name {
				cause.Sentence += fmt.Sprintf("; it listens on TCP %v", e.TCP)
			}
		}
		causes = append(causes, cause)
	}
	return causes
}

func externalNameHost(v *view) []Cause {
	name := v.externalName()
	if isAddress(name) {
		return nil
	}
	list, _ := v.externalCells()
	wrong := slices.ContainsFunc(list, func(c reach.CellVerdict) bool { return always(c, reach.WrongAnswer) })
	if !wrong && !slices.ContainsFunc(list, func(c reach.CellVerdict) bool { return always(c, reach.Reached) }) {
		return nil
	}
	return []Cause{{
		Sentence: fmt.Sprintf("clients send %s as the HTTP Host header and TLS server name, not %s: a server with virtual hosts, or a certificate, may not have that name",
			v.World.Names(v.service, world.FormFull)[0], name),
		Field:   "the client's Host header and TLS server name, or the server's list of names",
		Command: fmt.Sprintf("curl --header 'Host: %s' http://%s:%d/", name, v.World.Names(v.service, world.FormFull)[0], v.anyPort()),
		Note:    !wrong,
	}}
}

func (v *view) headless() bool { return v.exists() && world.Headless(v.service) }

func headlessPort(v *view) []Cause {
	var causes []Cause
	for i, port := range v.service.Spec.Ports {
		for _, e := range v.endpoints(port) {
			if !e.Ready || e.Port == uint16(port.Port) {
				continue
			}
			causes = append(causes, Cause{
				Sentence: fmt.Sprintf("it is headless, so its name resolves to the pods and no port is mapped: they answer at the targetPort %d, not at %d", e.Port, port.Port),
				Field:    fmt.Sprintf("spec.ports[%d].port, or the port that the client connects to", i),
				Command:  v.patchPort(i, "port", e.Port),
				Note:     v.Intent.Port == e.Port,
			})
			break
		}
	}
	return causes
}

func headlessNoVIP(v *view) []Cause {
	at := v.Intent.At
	return []Cause{{
		Sentence: "it is headless (clusterIP None): it has no ClusterIP, kube-proxy ignores it, and its name resolves to the addresses of its ready pods",
		Field:    "spec.clusterIP, which is immutable: delete and create the Service",
		Command:  v.kubectl("get service %s -o yaml | sed '/clusterIP/d; /^ *- None$/d' | kubectl replace --force -f -", v.name()),
		Note:     at != reach.ClusterIP && at != reach.NodePort && at != reach.LoadBalancer,
	}}
}
