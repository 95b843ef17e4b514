package checks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// sliceArgs are the arguments of endpoint-slices: the complete content of the Service's EndpointSlices.
type sliceArgs struct {
	Service   string         `json:"service"`
	Endpoints []endpointWant `json:"endpoints"`
}

// endpointWant is a pod as each IP family of the Service must list it once, with the pod's own address.
type endpointWant struct {
	Pod string `json:"pod"`
	// Conditions are those that are true, of ready, serving and terminating.
	Conditions []string `json:"conditions"`
	// Ports are all of its slice's, as "NAME NUMBER/PROTOCOL".
	Ports []string `json:"ports"`
}

// endpointSlices compares the settled slices with what the scenario wants, both as lines.
func endpointSlices(_ context.Context, env Env, args sliceArgs) ([]string, error) {
	service, err := serviceArgs{args.Service}.find(env)
	if err != nil {
		return nil, err
	}
	var got, want []string
	for _, family := range world.Families(&service) {
		list := env.World.SlicesOf(env.Namespace+"/"+args.Service, family)
		for i := range list {
			if !ownedBy(&list[i], &service) {
				return nil, reach.Failf("EndpointSlice %s is not owned by service %s, so it would outlive it", list[i].Name, args.Service)
			}
			got = append(got, listedLines(&list[i], family)...)
		}
		for _, e := range args.Endpoints {
			line, err := e.line(env, family)
			if err != nil {
				return nil, err
			}
			want = append(want, line)
		}
	}
	return compareLines(got, want)
}

// compareLines returns an error unless both have the same lines, each the same number of times.
func compareLines(got, want []string) ([]string, error) {
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return got, nil
	}
	differ := func(a, b []string) string {
		var only []string
		for _, line := range a {
			if i := slices.Index(b, line); i >= 0 {
				b = slices.Delete(slices.Clone(b), i, i+1)
			} else {
				only = append(only, line)
			}
		}
		return strings.Join(only, " and ")
	}
	switch missing, extra := differ(want, got), differ(got, want); {
	case missing == "":
		return got, reach.Failf("listed but not wanted: %s", extra)
	case extra == "":
		return got, reach.Failf("not listed: %s", missing)
	default:
		return got, reach.Failf("listed as %s; want %s", extra, missing)
	}
}

func ownedBy(slice *discoveryv1.EndpointSlice, service *corev1.Service) bool {
	return slices.ContainsFunc(slice.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Service" && o.UID == service.UID })
}

// listedLines returns a slice's endpoints, one line each.
func listedLines(slice *discoveryv1.EndpointSlice, family corev1.IPFamily) []string {
	var ports, lines []string
	for _, p := range slice.Ports {
		ports = append(ports, fmt.Sprintf("%s %d/%s", ptr.Deref(p.Name, ""), ptr.Deref(p.Port, 0), ptr.Deref(p.Protocol, "")))
	}
	for _, e := range slice.Endpoints {
		var conditions []string
		for _, c := range []struct {
			name string
			is   *bool
		}{{"ready", e.Conditions.Ready}, {"serving", e.Conditions.Serving}, {"terminating", e.Conditions.Terminating}} {
			if c.is == nil {
				conditions = append(conditions, c.name+" not set")
			} else if *c.is {
				conditions = append(conditions, c.name)
			}
		}
		pod := "no pod"
		if e.TargetRef != nil {
			pod = fmt.Sprintf("%s %s (%s)", e.TargetRef.Kind, e.TargetRef.Name, e.TargetRef.UID)
		}
		lines = append(lines, endpointLine(pod, family, strings.Join(e.Addresses, "+"), ptr.Deref(e.NodeName, ""), conditions, ports))
	}
	return lines
}

// line returns how a slice of the family must list the pod.
func (e endpointWant) line(env Env, family corev1.IPFamily) (string, error) {
	for i := range env.World.Pods {
		pod := &env.World.Pods[i]
		if pod.Namespace != env.Namespace || pod.Name != e.Pod {
			continue
		}
		for _, addr := range world.PodAddrs(pod) {
			if world.FamilyOf(addr) == family {
				who := fmt.Sprintf("Pod %s (%s)", pod.Name, pod.UID)
				return endpointLine(who, family, addr.String(), pod.Spec.NodeName, e.Conditions, e.Ports), nil
			}
		}
		return "", fmt.Errorf("pod %s has no %s address", e.Pod, family)
	}
	return "", reach.Failf("there is no pod %q", e.Pod)
}

func endpointLine(pod string, family corev1.IPFamily, addr, node string, conditions, ports []string) string {
	ports, conditions = slices.Sorted(slices.Values(ports)), slices.Sorted(slices.Values(conditions))
	return fmt.Sprintf("%s at %s address %s on %s: %s; ports %s", pod, family, addr, node,
		orText(conditions, "neither ready nor serving nor terminating"), orText(ports, "none"))
}

// orText joins texts; without any it returns empty.
func orText(texts []string, empty string) string {
	if len(texts) == 0 {
		return empty
	}
	return strings.Join(texts, ", ")
}
