package collect

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// leaves returns why requests to a target would leave the cluster: it is an ExternalName for a host that is not known to be in
// it. A name in the cluster's domain may lead out of it too: only a Service with a ClusterIP and that port does not.
func leaves(w world.World, t reach.Target) string {
	s, found := w.Service(t.Service)
	if t.Kind != reach.ExternalName || !found {
		return ""
	}
	host := strings.TrimSuffix(s.Spec.ExternalName, ".")
	inner, inside := strings.CutSuffix(host, ".svc."+w.Facts.ClusterDomain())
	name, namespace, _ := strings.Cut(inner, ".")
	for _, list := range [][]corev1.Service{w.Services, w.Elsewhere} {
		for i := range list {
			declared := slices.ContainsFunc(list[i].Spec.Ports, func(p corev1.ServicePort) bool {
				return uint16(p.Port) == t.Port && (reach.Protocol(p.Protocol) == t.Protocol || p.Protocol == "" && t.Protocol == reach.TCP)
			})
			if inside && list[i].Name == name && list[i].Namespace == namespace && world.Proxied(&list[i]) && declared {
				return ""
			}
		}
	}
	return fmt.Sprintf("%s may be outside the cluster; --probe-outside allows probes", host)
}

// predict is the oracle. Of many backends not each needs to answer.
func (o Options) predict(w world.World) func(reach.Vantage, reach.Target) reach.Prediction {
	predict := oracle.New(w).Predict
	return func(v reach.Vantage, t reach.Target) reach.Prediction {
		p := predict(v, t)
		p.AnyBackend = p.AnyBackend || o.Most > 0 && len(p.Backends) > o.Most
		return p
	}
}

// bound removes endpoints beyond Most from a table, and returns what it removed as a sentence. It keeps those on the vantages'
// nodes first.
func (o Options) bound(t *observe.Table) string {
	var near, far []string
	for _, target := range t.Targets {
		here := slices.ContainsFunc(t.Vantages, func(v reach.Vantage) bool { return v.Node != "" && v.Node == target.Node })
		switch {
		case target.Kind != reach.Endpoint:
		case here:
			near = append(near, target.Host)
		default:
			far = append(far, target.Host)
		}
	}
	hosts := slices.Concat(slices.Compact(near), slices.Compact(far))
	if o.Most == 0 || len(hosts) <= o.Most {
		return ""
	}
	beyond := hosts[o.Most:]
	cut := func(target reach.Target) bool {
		return target.Kind == reach.Endpoint && slices.Contains(beyond, target.Host)
	}
	t.Targets = slices.DeleteFunc(t.Targets, cut)
	t.Cells = slices.DeleteFunc(t.Cells, func(c observe.Cell) bool { return cut(c.Target) })
	return fmt.Sprintf("%d of the %d endpoints were not probed at their own addresses, and not every endpoint had to answer for the Service", len(beyond), len(hosts))
}
