package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// ipAddresses returns an error unless each ClusterIP has an IPAddress object whose parent is the Service (KEP-1880).
func ipAddresses(ctx context.Context, env Env, args serviceArgs) ([]string, error) {
	service, err := args.find(env)
	if err != nil {
		return nil, err
	}
	addresses := world.ClusterIPs(&service)
	if len(addresses) == 0 {
		return nil, reach.Failf("service %s has no virtual address", args.Service)
	}
	var lines []string
	for _, addr := range addresses {
		object, err := env.Client.NetworkingV1().IPAddresses().Get(ctx, addr.String(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return lines, reach.Failf("there is no IPAddress %s, though service %s has it", addr, args.Service)
		case err != nil:
			return lines, fmt.Errorf("get ipaddress %s: %w", addr, err)
		}
		parent := object.Spec.ParentRef
		if parent == nil || parent.Resource != "services" || parent.Namespace != service.Namespace || parent.Name != service.Name {
			return lines, reach.Failf("the parent of IPAddress %s is %+v, want service %s/%s", addr, parent, service.Namespace, service.Name)
		}
		lines = append(lines, fmt.Sprintf("IPAddress %s belongs to service %s", addr, service.Name))
	}
	return lines, nil
}

// dynamicBand returns an error if an address of a Service that asked for none is in the lower band of its range, which is kept for
// Services that ask for one (KEP-3070). As long as the upper band has a free address, an allocator chooses one of it.
func dynamicBand(_ context.Context, env Env, args serviceArgs) ([]string, error) {
	service, err := args.find(env)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, addr := range world.ClusterIPs(&service) {
		i := slices.IndexFunc(env.World.Facts.ServiceCIDRs, func(p netip.Prefix) bool { return p.Contains(addr) })
		if i < 0 {
			return lines, fmt.Errorf("%s of service %s is in none of the known ranges %v", addr, args.Service, env.World.Facts.ServiceCIDRs)
		}
		first := firstDynamic(env.World.Facts.ServiceCIDRs[i])
		if addr.Less(first) {
			return lines, reach.Failf("%s of service %s is below %s, among the addresses kept for Services that ask for one", addr, args.Service, first)
		}
		lines = append(lines, fmt.Sprintf("%s is not below %s", addr, first))
	}
	if len(lines) == 0 {
		return nil, reach.Failf("service %s has no virtual address", args.Service)
	}
	return lines, nil
}

// firstDynamic is the first address of a range's upper band. The lower one has a sixteenth of the range's addresses, but 16 at
// least and 256 at most; a range of fewer than 16 has none (calculateRangeOffset in pkg/registry/core/service/ipallocator of
// k8s.io/kubernetes). The range's very first address is not given to a Service.
func firstDynamic(prefix netip.Prefix) netip.Addr {
	const least, most, share = 16, 256, 16
	size := 1 << min(prefix.Addr().BitLen()-prefix.Bits(), 16)
	band := max(least, min(size/share, most))
	if size < least {
		band = 0
	}
	addr := prefix.Masked().Addr().Next()
	for range band {
		addr = addr.Next()
	}
	return addr
}

// cidrArgs are those of the check added-service-cidr.
type cidrArgs struct {
	// Like is the Service that is copied, under the name Name, to an address of the added range.
	Like string `json:"like"`
	Name string `json:"name"`
	// Pods selects the pods that must answer there.
	Pods string `json:"pods"`
}

// addedServiceCIDR adds a range for ClusterIPs, creates a Service in it, sends requests to it, and removes both again. The range is
// deleted first: as long as the Service has an address of it, it stays, and serves.
func addedServiceCIDR(ctx context.Context, env Env, args cidrArgs) (lines []string, err error) {
	like, err := serviceArgs{args.Like}.find(env)
	if err != nil {
		return nil, err
	}
	if !env.World.Facts.DropsStrays {
		return nil, errors.New("packets to a range that no Service has could leave this cluster")
	}
	added, err := spareRange(env.World)
	if err != nil {
		return nil, err
	}
	addr := added.Addr().Next().Next()
	want := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: args.Name, Namespace: env.Namespace},
		Spec: corev1.ServiceSpec{ClusterIP: addr.String(), Selector: like.Spec.Selector, Ports: like.Spec.Ports}}
	services, ranges := env.Client.CoreV1().Services(env.Namespace), env.Client.NetworkingV1().ServiceCIDRs()
	switch _, err := services.Create(ctx, want, metav1.CreateOptions{}); {
	case err == nil:
		return nil, reach.Failf("service %s got %s, which is in no ServiceCIDR yet", args.Name, addr)
	case !apierrors.IsInvalid(err):
		return nil, fmt.Errorf("create service %s: %w", args.Name, err)
	}
	lines = append(lines, fmt.Sprintf("%s is rejected before its range is added", addr))
	request, done := grace.Context(ctx) // a cancelled create may have succeeded; without its response the range would leak
	defer done()
	made, err := ranges.Create(request, &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: env.Namespace, Labels: env.Labels},
		Spec:       networkingv1.ServiceCIDRSpec{CIDRs: []string{added.String()}}}, metav1.CreateOptions{})
	if err != nil {
		return lines, fmt.Errorf("create a servicecidr: %w", err)
	}
	defer func() {
		// the controller waits ten seconds before it releases a range, so that every API server has seen the deletion
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		removed, removeErr := removeRange(cleaning, env, args.Name, made.Name, addr)
		if lines = append(lines, removed...); err == nil {
			err = removeErr
		}
	}()
	// the API server's allocators watch the object, so they know of the range a moment later
	for {
		if _, err = services.Create(ctx, want, metav1.CreateOptions{}); err == nil {
			break
		}
		if !apierrors.IsInvalid(err) || wait.Sleep(ctx, reprobe) != nil {
			return lines, reach.Failf("service %s is not admitted in the added range %s: %v", args.Name, added, err)
		}
	}
	lines = append(lines, fmt.Sprintf("ServiceCIDR %s with %s admits it", made.Name, added))
	if err := ranges.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		return lines, fmt.Errorf("delete servicecidr %s: %w", made.Name, err)
	}
	held, err := rangeHeld(ctx, env, made.Name)
	if err != nil {
		return lines, err
	}
	lines = append(lines, held)
	served, err := servesFrom(ctx, env, args)
	if lines = append(lines, served...); err != nil {
		return lines, err
	}
	_, err = rangeHeld(ctx, env, made.Name)
	return lines, err
}

// rangeHeld waits until the API server says that a range which was deleted stays as long as a Service has an address of it
// (KEP-1880; pkg/controller/servicecidrs of k8s.io/kubernetes).
func rangeHeld(ctx context.Context, env Env, name string) (string, error) {
	for {
		object, err := env.Client.NetworkingV1().ServiceCIDRs().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return "", reach.Failf("ServiceCIDR %s is gone, though a service has an address of it", name)
		case err != nil:
			return "", fmt.Errorf("get servicecidr %s: %w", name, err)
		}
		for _, c := range object.Status.Conditions {
			if c.Type == networkingv1.ServiceCIDRConditionReady && c.Status == metav1.ConditionFalse && c.Reason == networkingv1.ServiceCIDRReasonTerminating {
				return fmt.Sprintf("ServiceCIDR %s was deleted, and stays: %s", name, c.Message), nil
			}
		}
		if wait.Sleep(ctx, reprobe) != nil {
			return "", reach.Failf("ServiceCIDR %s was deleted, and its condition Ready does not say %s: %v", name, networkingv1.ServiceCIDRReasonTerminating, object.Status.Conditions)
		}
	}
}

// removeRange deletes the Service and the range, and waits until the API server has removed the address and the range.
func removeRange(ctx context.Context, env Env, service, name string, addr netip.Addr) ([]string, error) {
	ranges := env.Client.NetworkingV1().ServiceCIDRs()
	if err := env.Client.CoreV1().Services(env.Namespace).Delete(ctx, service, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("delete service %s: %w", service, err)
	}
	if err := ranges.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("delete servicecidr %s: %w", name, err)
	}
	for {
		_, address := env.Client.NetworkingV1().IPAddresses().Get(ctx, addr.String(), metav1.GetOptions{})
		_, given := ranges.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(address) && apierrors.IsNotFound(given) {
			return []string{fmt.Sprintf("IPAddress %s was deleted with its Service, and the range after it", addr)}, nil
		}
		if wait.Sleep(ctx, reprobe) != nil {
			return nil, reach.Failf("after service %s was deleted: IPAddress %s: %v, ServiceCIDR %s: %v (nil: still there)", service, addr, address, name, given)
		}
	}
}

// spareRange is the last sixteen addresses of the cluster's first pod range. A cluster of few nodes does not use them; if a
// node does, it is an error.
func spareRange(w world.World) (netip.Prefix, error) {
	if len(w.Facts.PodCIDRs) == 0 {
		return netip.Prefix{}, errors.New("the cluster's pod range is not known")
	}
	pods := w.Facts.PodCIDRs[0].Masked()
	bytes := pods.Addr().AsSlice()
	for bit := pods.Bits(); bit < pods.Addr().BitLen()-4; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	spare := netip.PrefixFrom(last, last.BitLen()-4)
	for i := range w.Nodes {
		for _, text := range w.Nodes[i].Spec.PodCIDRs {
			if used, err := netip.ParsePrefix(text); err != nil || used.Overlaps(spare) {
				return netip.Prefix{}, fmt.Errorf("%s has %s, so %s is not free", w.Nodes[i].Name, text, spare)
			}
		}
	}
	return spare, nil
}

// servesFrom wants the oracle and the plain expectation that every pod answers to be right about the added Service's
// address, from every pod and node.
func servesFrom(ctx context.Context, env Env, args cidrArgs) ([]string, error) {
	var backends []string
	tables := func(w world.World) ([]observe.Table, error) {
		site := env.site()
		site.World = w
		var err error
		if backends, err = site.ReadyPods(args.Pods); err != nil {
			return nil, err
		}
		expected := reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: backends, Reason: "an added range serves like the first"}
		var t observe.Table
		for _, v := range env.Vantages {
			for _, target := range w.Targets(env.Namespace + "/" + args.Name) {
				if target.Kind == reach.ClusterIP && !target.Undeclared && (v.Kind == reach.Pod || v.Kind == reach.Node) {
					t.Cells = append(t.Cells, observe.Cell{Vantage: v, Target: target, Expected: &expected})
				}
			}
		}
		if len(t.Cells) == 0 || len(backends) == 0 {
			return nil, errors.New("there is no client or no backend")
		}
		return []observe.Table{t}, nil
	}
	result, err := observe.Engine{Policy: observe.Suite(), Prober: env.Prober, Timeouts: env.Timeouts, Within: follows, Tables: tables,
		Predict: func(w world.World) func(reach.Vantage, reach.Target) reach.Prediction { return oracle.New(w).Predict },
		Snapshot: func(ctx context.Context) (world.World, error) {
			return world.Take(ctx, env.Client, env.Client.Discovery(), env.Dynamic, env.World.Facts, env.Namespace)
		}}.Observe(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range result.Tables[0].Cells {
		switch c.Result {
		case reach.Inconclusive:
			return nil, fmt.Errorf("from %s: %s", c.Cell.Vantage.Name, c.Why)
		case reach.Fail:
			return nil, reach.Failf("from %s to %s: %s", c.Cell.Vantage.Name, c.Cell.Target.Name(), c.Why)
		}
	}
	return []string{fmt.Sprintf("%s answer at the added address, from %d pods and nodes", strings.Join(backends, ", "), len(result.Tables[0].Cells))}, nil
}
