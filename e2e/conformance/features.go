package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Declared are the features that the user declares present (true) or absent (false).
type Declared map[scenario.Feature]bool

// ErrContradiction reports a declaration that contradicts another one or the cluster.
var ErrContradiction = errors.New("contradictory features")

// ParseFeatures parses "loadBalancer,-dualStack": present features, and absent ones after a minus.
func ParseFeatures(text string) (Declared, error) {
	declared := Declared{}
	for _, word := range strings.Split(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		name, absent := strings.CutPrefix(word, "-")
		feature := scenario.Feature(name)
		if !slices.Contains(scenario.Features(), feature) {
			return nil, fmt.Errorf("there is no feature %q; the features are %v", name, scenario.Features())
		}
		if feature == scenario.SingleStack {
			return nil, fmt.Errorf("feature %s is the absence of %s: declare %[2]s, with or without a minus", feature, scenario.DualStack)
		}
		if before, twice := declared[feature]; twice && before == absent {
			return nil, fmt.Errorf("%w: %s is declared both present and absent", ErrContradiction, feature)
		}
		declared[feature] = !absent
	}
	return declared, nil
}

// check rejects impossible declarations: features that a cluster which svclab did not create cannot have, and features that the
// profile does not use.
func (d Declared) check(profile scenario.Profile) error {
	for _, feature := range scenario.Features() {
		if !d[feature] {
			continue
		}
		switch {
		case feature == scenario.Outside:
			return fmt.Errorf("%w: %s is declared, but svclab has no machine on the network of a cluster that it did not create", ErrContradiction, feature)
		case feature == scenario.NodeControl:
			return fmt.Errorf("%w: %s is declared, but svclab does not stop nodes of a cluster that it did not create", ErrContradiction, feature)
		case profile == scenario.Core:
			return fmt.Errorf("%w: %s is declared, but profile core uses no features; use --profile extended", ErrContradiction, feature)
		}
	}
	return nil
}

// features are the cluster's features in the order of scenario.Features: declared, else detected.
type features []report.Feature

// lacks returns why the cluster does not have a feature; empty: it has it.
func (f features) lacks(name scenario.Feature) string {
	if name == scenario.SingleStack {
		if f.lacks(scenario.DualStack) == "" {
			return "this cluster has both IP families"
		}
		return ""
	}
	for _, feature := range f {
		if feature.Name == string(name) && feature.Present {
			return ""
		} else if feature.Name == string(name) {
			return feature.Detail
		}
	}
	return fmt.Sprintf("svclab does not know the feature %q", name)
}

// noFeature returns the two features that a cluster which svclab did not create never has.
func noFeature(declared Declared) features {
	var list features
	for _, f := range []struct {
		name scenario.Feature
		why  string
	}{
		{scenario.Outside, "svclab has no machine on the network of a cluster that it did not create"},
		{scenario.NodeControl, "svclab does not stop nodes, or change cluster-wide objects, of a cluster that it did not create"},
	} {
		source := report.Detected
		if _, said := declared[f.name]; said {
			source = report.Declared
		}
		list = append(list, report.Feature{Name: string(f.name), Source: source, Detail: f.why})
	}
	return list
}

// dualStack detects dual-stack by the ranges of ClusterIPs or, in versions without ServiceCIDR objects, by the nodes'
// addresses.
func dualStack(declared Declared, ranges []netip.Prefix, nodes []corev1.Node) (report.Feature, error) {
	families := map[bool]bool{}
	what := "the ServiceCIDR objects have"
	for _, r := range ranges {
		families[r.Addr().Is4()] = true
	}
	if len(ranges) == 0 {
		what = "the nodes' addresses are of"
		for i := range nodes {
			for _, addr := range world.NodeAddrs(&nodes[i]) {
				families[addr.Is4()] = true
			}
		}
	}
	found := report.Feature{Name: string(scenario.DualStack), Present: len(families) == 2, Source: report.Detected, Detail: what + " one IP family only"}
	if found.Present {
		found.Detail = what + " both IP families"
	}
	want, said := declared[scenario.DualStack]
	switch {
	case said && want && !found.Present:
		return found, fmt.Errorf("%w: dualStack is declared, but %s", ErrContradiction, found.Detail)
	case said && !want:
		return report.Feature{Name: found.Name, Source: report.Declared, Detail: "declared absent"}, nil
	case said:
		found.Source = report.Declared
	}
	return found, nil
}

// serviceRanges returns the ranges of the ServiceCIDR objects; none before Kubernetes 1.33.
func serviceRanges(ctx context.Context, client kubernetes.Interface) ([]netip.Prefix, error) {
	list, err := client.NetworkingV1().ServiceCIDRs().List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list servicecidrs: %w", err)
	}
	var ranges []netip.Prefix
	for _, object := range list.Items {
		for _, text := range object.Spec.CIDRs {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				ranges = append(ranges, prefix)
			}
		}
	}
	return ranges, nil
}

// notDetected is why profile core does not detect a load balancer.
const notDetected = "not detected: profile core needs no load balancer"

// tried is the Service that detects a load-balancer controller.
const tried = "svclab-probe"

// loadBalancer detects a load balancer, unless it is declared absent: it creates a Service of type LoadBalancer in the clients'
// namespace, waits for an address, and deletes the Service. No pod is behind it. An address that could be public is noticed
// here, before one that has pods is created.
func loadBalancer(ctx context.Context, client kubernetes.Interface, o Options) (report.Feature, error) {
	feature := report.Feature{Name: string(scenario.LoadBalancer), Source: report.Detected, Detail: notDetected}
	want, said := o.Features[scenario.LoadBalancer]
	switch {
	case o.Profile == scenario.Core:
		return feature, nil
	case said && !want:
		feature.Source, feature.Detail = report.Declared, "declared absent"
		return feature, nil
	case said && o.PublicBalancers:
		feature.Present, feature.Source, feature.Detail = true, report.Declared, "declared present"
		return feature, nil
	}
	var annotations map[string]string
	if !o.PublicBalancers {
		annotations = internal()
	}
	services := client.CoreV1().Services(cluster.ClientsNamespace)
	_, err := services.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: tried, Labels: map[string]string{runner.ManagedByLabel: runner.ManagedBy}, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"svclab.io/nobody": "here"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return feature, fmt.Errorf("detect a load balancer: create service %s: %w", tried, err)
	}
	given, err := awaitAddress(ctx, client, o.AddressWithin)
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if gone := services.Delete(cleaning, tried, metav1.DeleteOptions{}); gone != nil && !apierrors.IsNotFound(gone) {
		err = errors.Join(err, fmt.Errorf("delete service %s: %w", tried, gone))
	}
	if err != nil {
		return feature, fmt.Errorf("detect a load balancer: %w", err)
	}
	feature.Present, feature.Detail = judgeAddress(given, o.AddressWithin, o.PublicBalancers)
	if said && !feature.Present && len(given) > 0 {
		return feature, fmt.Errorf("%w: %s is declared, but %s", ErrContradiction, scenario.LoadBalancer, feature.Detail)
	}
	if said {
		feature.Present, feature.Source, feature.Detail = true, report.Declared, "declared present"
	}
	return feature, nil
}

// awaitAddress waits until a load balancer assigns the Service an address or a name, or the time is over.
func awaitAddress(ctx context.Context, client kubernetes.Interface, within time.Duration) (given []corev1.LoadBalancerIngress, err error) {
	err = wait.For(ctx, "a load balancer to assign an address", wait.Retry(func(ctx context.Context) (bool, string, error) {
		service, err := client.CoreV1().Services(cluster.ClientsNamespace).Get(ctx, tried, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		given = service.Status.LoadBalancer.Ingress
		return len(given) > 0, "the Service has none", nil
	}), wait.Timeout(within))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return given, err
}

func judgeAddress(given []corev1.LoadBalancerIngress, within time.Duration, public bool) (present bool, detail string) {
	for _, ingress := range given {
		if addr, err := netip.ParseAddr(ingress.IP); err == nil && !public && !private(addr) {
			return false, fmt.Sprintf("the controller assigned %s, which could be reached from the internet, to a Service that asks for an internal address; --public-load-balancers allows it", addr)
		}
	}
	switch {
	case len(given) == 0:
		return false, fmt.Sprintf("no controller assigned an address to a Service of type LoadBalancer within %s", within)
	case given[0].IP == "":
		return false, fmt.Sprintf("the controller assigns names (%s), not addresses, and the scenarios probe addresses", given[0].Hostname)
	}
	return true, "a Service of type LoadBalancer got an address"
}

// private reports whether an address is not routed on the internet: of a private range, of the range of carriers (RFC 6598), or
// local.
func private(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || netip.MustParsePrefix("100.64.0.0/10").Contains(addr)
}
