package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
)

// mirroredArgs are those of the check mirrored-slices.
type mirroredArgs struct {
	Service string `json:"service"`
	// Slices is how many copied slices there must be: one for each subset of the Service's Endpoints and each IP family in it, or
	// none.
	Slices int `json:"slices"`
}

// mirroring is who manages the copied slices.
// https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring
const mirroring = "endpointslicemirroring-controller.k8s.io"

// mirroredSlices waits until the Service's copied slices list what its Endpoints do, or, with no slices wanted, until there are
// none. It is an error if they do not within follows.
func mirroredSlices(ctx context.Context, env Env, args mirroredArgs) ([]string, error) {
	for bound := time.Now().Add(follows); ; {
		want, got, n, err := mirrored(ctx, env, args.Service)
		if err != nil {
			return nil, err
		}
		if args.Slices == 0 {
			want = nil
		}
		lines, differs := compareLines(got, want)
		switch {
		case differs == nil && n == args.Slices:
			return append(lines, fmt.Sprintf("%d copied EndpointSlices list %d endpoints", n, len(got))), nil
		case time.Now().Before(bound) && wait.Sleep(ctx, reprobe) == nil:
		case differs != nil:
			return lines, reach.Failf("the copied EndpointSlices of service %s are not those of its Endpoints: %v", args.Service, differs)
		default:
			return lines, reach.Failf("service %s has %d copied EndpointSlices, want %d", args.Service, n, args.Slices)
		}
	}
}

// mirrored returns the endpoints that a Service's Endpoints object lists, those that its copied slices list, and how many of these
// there are.
func mirrored(ctx context.Context, env Env, service string) (want, got []string, n int, err error) {
	line := func(addr string, ready bool, port, protocol string, number int32) string {
		return fmt.Sprintf("%s, ready %t, port %s %d/%s", addr, ready, port, number, protocol)
	}
	endpoints, err := env.Client.CoreV1().Endpoints(env.Namespace).Get(ctx, service, metav1.GetOptions{}) //nolint:staticcheck // that they are deprecated is what this is about
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, 0, fmt.Errorf("get endpoints %s: %w", service, err)
	}
	for _, subset := range endpoints.Subsets {
		for _, p := range subset.Ports {
			for _, a := range subset.Addresses {
				want = append(want, line(a.IP, true, p.Name, string(p.Protocol), p.Port))
			}
			for _, a := range subset.NotReadyAddresses {
				want = append(want, line(a.IP, false, p.Name, string(p.Protocol), p.Port))
			}
		}
	}
	list, err := env.Client.DiscoveryV1().EndpointSlices(env.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service + "," + discoveryv1.LabelManagedBy + "=" + mirroring})
	if err != nil {
		return nil, nil, 0, fmt.Errorf("list endpointslices: %w", err)
	}
	for _, slice := range list.Items {
		for _, p := range slice.Ports {
			for _, e := range slice.Endpoints {
				got = append(got, line(strings.Join(e.Addresses, "+"), ptr.Deref(e.Conditions.Ready, true), ptr.Deref(p.Name, ""),
					string(ptr.Deref(p.Protocol, corev1.ProtocolTCP)), ptr.Deref(p.Port, 0)))
			}
		}
	}
	return want, got, len(list.Items), nil
}
