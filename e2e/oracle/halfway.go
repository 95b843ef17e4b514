package oracle

import (
	"net/netip"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// A proxy learns of a Service and of each of its EndpointSlices one after the other. So it may write rules for a world that is neither
// the one before a change nor the one after it.
//
// The EndpointSlice controller creates slices, then updates some, then deletes some, with a request for each: finalize of reconciler.go
// of k8s.io/endpointslice v0.37.2. A slice has one list of ports, so pods with different numbers under the name of a target port are
// in different slices. When the ports of their Service change, each of these is to be replaced, and finalize writes what is to be created
// into those that are to be deleted, in any order: the maps of reconcileByAddressType have none. So an endpoint that stays
// may be in no slice from the first request to the last.
//
// Services and EndpointSlices come by two watches. So a proxy may know new slices before the Service that they were made for: when a UDP
// port was removed, at a load of 13 to 20, kube-proxy of v1.37.2 had the port without endpoints in 3 of 36 cases, and deleted its conntrack entries.

// mostMoving is of how many slices each combination is considered; of more, each by itself and all together.
const mostMoving = 6

// halfway are the worlds in which a proxy knows only a part of what changed of the target's Service, as far as they matter: it lacks an endpoint
// there that the Service has before and after, or it has one where the Service has none any more, or none yet. Each step on the way counts.
func (c Change) halfway(t reach.Target) (list []*Oracle) {
	addr, err := netip.ParseAddr(t.Host)
	if err != nil {
		return nil
	}
	steps := append(append([]*Oracle{c.Before}, c.Passing...), c.After)
	for i, to := range steps[1:] {
		list = append(list, between(steps[i], to, t, world.FamilyOf(addr.Unmap()))...)
	}
	return list
}

// between is halfway for one step.
func between(from, to *Oracle, t reach.Target, family corev1.IPFamily) (list []*Oracle) {
	was, is := from.index.service(t.Service), to.index.service(t.Service)
	if was == nil || is == nil {
		return nil
	}
	had, has := from.endpoints(was), to.endpoints(is)
	if was == is && had == has {
		return nil
	}
	var (
		old, made = had.slices[family], has.slices[family]
		stays     = map[listing]bool{}
		moving    []string
	)
	for i := range made {
		listsOf(&made[i], stays)
	}
	if len(old) <= mostMoving && len(stays) == 0 {
		moving = filled(old)
	}
	for i := range old {
		k := named(made, old[i].Name)
		if k < 0 || reflect.DeepEqual(old[i].Ports, made[k].Ports) && reflect.DeepEqual(old[i].Endpoints, made[k].Endpoints) {
			continue
		}
		before, after := map[listing]bool{}, map[listing]bool{}
		listsOf(&old[i], before)
		listsOf(&made[k], after)
		for endpoint := range before {
			if stays[endpoint] && !after[endpoint] {
				moving = append(moving, old[i].Name)
				break
			}
		}
	}
	add := func(o *Oracle, s *service, own []discoveryv1.EndpointSlice) {
		for of, others := range o.endpoints(s).slices {
			if of != family {
				own = append(slices.Clip(own), others...)
			}
		}
		list = append(list, o.With(s.Service, own))
	}
	for _, written := range combinations(moving) {
		var own []discoveryv1.EndpointSlice
		for i := range old {
			switch k := named(made, old[i].Name); {
			case !slices.Contains(written, old[i].Name):
				own = append(own, old[i])
			case k >= 0:
				own = append(own, made[k])
			}
		}
		for i := range made {
			if named(old, made[i].Name) < 0 {
				own = append(own, made[i])
			}
		}
		if add(to, is, own); !reflect.DeepEqual(was.Spec, is.Spec) {
			add(from, was, own)
		}
	}
	if coming := filled(made); len(filled(old)) == 0 && len(coming) > 1 {
		for _, written := range combinations(coming) {
			add(to, is, slices.DeleteFunc(slices.Clone(made), func(s discoveryv1.EndpointSlice) bool { return !slices.Contains(written, s.Name) }))
		}
	}
	if !slices.EqualFunc(was.Spec.Ports, is.Spec.Ports, func(a, b corev1.ServicePort) bool { return a.Name == b.Name }) {
		add(to, is, old)
		add(from, was, made)
	}
	return list
}

// filled are the names of the slices that have endpoints.
func filled(list []discoveryv1.EndpointSlice) (names []string) {
	for i := range list {
		if len(list[i].Endpoints) > 0 {
			names = append(names, list[i].Name)
		}
	}
	return names
}

func named(list []discoveryv1.EndpointSlice, name string) int {
	return slices.IndexFunc(list, func(s discoveryv1.EndpointSlice) bool { return s.Name == name })
}

// listing is an address with a port, and the port's name, as an EndpointSlice lists them.
type listing struct {
	addr     string
	port     int32
	protocol corev1.Protocol
	name     string
}

// listsOf adds what a slice lists: each address with each of the ports.
func listsOf(s *discoveryv1.EndpointSlice, to map[listing]bool) {
	for _, p := range s.Ports {
		if p.Name == nil || p.Port == nil || p.Protocol == nil {
			continue
		}
		for i := range s.Endpoints {
			for _, addr := range s.Endpoints[i].Addresses {
				to[listing{addr, *p.Port, *p.Protocol, *p.Name}] = true
			}
		}
	}
}

// combinations are the sets of one name or more.
func combinations(names []string) (list [][]string) {
	if len(names) > mostMoving {
		for i := range names {
			list = append(list, names[i:i+1])
		}
		return append(list, names)
	}
	for bits := 1; bits < 1<<len(names); bits++ {
		var set []string
		for i, name := range names {
			if bits&(1<<i) != 0 {
				set = append(set, name)
			}
		}
		list = append(list, set)
	}
	return list
}
