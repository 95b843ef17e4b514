package runner

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Checks are the checks every runner has.
func Checks() []Check {
	return []Check{
		define("node-port-in-range", "every node port of the service is within from…to: {service, from, to}", nodePortInRange),
		define("no-endpoint-slices", "no EndpointSlice belongs to the service: {service}", noEndpointSlices),
		define("address-from-pool", "the load-balancer address is of a MetalLB pool: {service}", addressFromPool),
		define("one-node-announces", "exactly one node answers ARP or NDP for each of the service's load-balancer addresses: {service}", oneNodeAnnounces),
		define("spread", "connections spread evenly over the pods, by a chi-square test: {service, pods, from, to, connections, falseAlarm}", spread),
	}
}

// serviceArgs name a Service of the scenario.
type serviceArgs struct {
	Service string `json:"service"`
}

func (a serviceArgs) find(env Env) (corev1.Service, error) {
	s, found := env.World.Service(env.Namespace + "/" + a.Service)
	if !found {
		return s, fmt.Errorf("there is no service %q", a.Service)
	}
	return s, nil
}

func nodePortInRange(_ context.Context, env Env, args struct {
	Service string `json:"service"`
	From    int32  `json:"from"`
	To      int32  `json:"to"`
}) ([]string, error) {
	service, err := serviceArgs{args.Service}.find(env)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, port := range service.Spec.Ports {
		lines = append(lines, fmt.Sprintf("port %d has node port %d", port.Port, port.NodePort))
		if port.NodePort < args.From || port.NodePort > args.To {
			return lines, Failed("port %d has node port %d, want one of %d–%d", port.Port, port.NodePort, args.From, args.To)
		}
	}
	if len(lines) == 0 {
		return nil, Failed("service %s has no ports", args.Service)
	}
	return lines, nil
}

func noEndpointSlices(ctx context.Context, env Env, args serviceArgs) ([]string, error) {
	if _, err := args.find(env); err != nil {
		return nil, err
	}
	list, err := env.Client.DiscoveryV1().EndpointSlices(env.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "kubernetes.io/service-name=" + args.Service})
	if err != nil {
		return nil, fmt.Errorf("list endpointslices: %w", err)
	}
	if len(list.Items) > 0 {
		return nil, Failed("service %s has %d EndpointSlices, first %s", args.Service, len(list.Items), list.Items[0].Name)
	}
	return []string{"no EndpointSlice belongs to service " + args.Service}, nil
}

// addressFromPool reads MetalLB's pools, which may list prefixes and ranges.
func addressFromPool(ctx context.Context, env Env, args serviceArgs) ([]string, error) {
	service, err := args.find(env)
	if err != nil {
		return nil, err
	}
	pools := schema.GroupVersionResource{Group: world.MetalLBGroup, Version: "v1beta1", Resource: "ipaddresspools"}
	list, err := env.Dynamic.Resource(pools).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list MetalLB's pools: %w", err)
	}
	addresses := world.Ingresses(&service)
	if len(addresses) == 0 {
		return nil, Failed("service %s has no load-balancer address", args.Service)
	}
	var lines, ranges []string
	for _, ingress := range addresses {
		found := false
		for _, pool := range list.Items {
			blocks, _, err := unstructured.NestedStringSlice(pool.Object, "spec", "addresses")
			if err != nil {
				return nil, fmt.Errorf("read pool %s: %w", pool.GetName(), err)
			}
			ranges = append(ranges, blocks...)
			if slices.ContainsFunc(blocks, func(block string) bool { return inBlock(ingress.Addr, block) }) {
				found = true
				lines = append(lines, fmt.Sprintf("%s is of pool %s (%s)", ingress.Addr, pool.GetName(), strings.Join(blocks, ", ")))
			}
		}
		if !found {
			return lines, Failed("%s is of no pool: there are %s", ingress.Addr, strings.Join(ranges, ", "))
		}
	}
	return lines, nil
}

// inBlock reports whether addr is in a pool's block: a prefix or "first-last".
func inBlock(addr netip.Addr, block string) bool {
	if prefix, err := netip.ParsePrefix(block); err == nil {
		return prefix.Contains(addr)
	}
	first, last, isRange := strings.Cut(block, "-")
	if !isRange {
		return false
	}
	from, err := netip.ParseAddr(strings.TrimSpace(first))
	if err != nil {
		return false
	}
	to, err := netip.ParseAddr(strings.TrimSpace(last))
	return err == nil && addr.Is4() == from.Is4() && from.Compare(addr) <= 0 && addr.Compare(to) <= 0
}

// oneNodeAnnounces asks on the wire, not MetalLB: whoever answers gets the traffic.
func oneNodeAnnounces(ctx context.Context, env Env, args serviceArgs) ([]string, error) {
	service, err := args.find(env)
	if err != nil {
		return nil, err
	}
	asker, ok := env.Cluster.(Announcement)
	if !ok {
		return nil, fmt.Errorf("this cluster has no place from which ARP can be asked")
	}
	addresses := world.Ingresses(&service)
	if len(addresses) == 0 {
		return nil, Failed("service %s has no load-balancer address", args.Service)
	}
	var lines []string
	for _, ingress := range addresses {
		nodes, err := asker.Answering(ctx, ingress.Addr.String())
		if err != nil {
			return lines, fmt.Errorf("ask who has %s: %w", ingress.Addr, err)
		}
		lines = append(lines, fmt.Sprintf("%s is answered for by %s", ingress.Addr, strings.Join(nodes, " and ")))
		if len(nodes) != 1 {
			return lines, Failed("%d answer for %s, want exactly one node: %v", len(nodes), ingress.Addr, nodes)
		}
		if said := env.World.Announcers[ingress.Addr]; said != "" && said != nodes[0] {
			return lines, Failed("%s answers for %s, but MetalLB says it is announced by %s", nodes[0], ingress.Addr, said)
		}
	}
	return lines, nil
}

// spreadArgs are those of the check spread.
type spreadArgs struct {
	Service string `json:"service"`
	// Pods selects the pods over which connections are to spread.
	Pods string `json:"pods"`
	// From is a vantage's name; To must match one target of the service.
	From string      `json:"from"`
	To   scenario.To `json:"to"`
	// Connections is how many are made; each pod must expect five at least, or the test means nothing.
	Connections int `json:"connections"`
	// FalseAlarm is the chance that an even spread is judged uneven.
	FalseAlarm float64 `json:"falseAlarm"`
}

func spread(ctx context.Context, env Env, args spreadArgs) ([]string, error) {
	if args.FalseAlarm <= 0 || args.FalseAlarm > 0.01 {
		return nil, fmt.Errorf("falseAlarm %g: want more than 0, and 0.01 at most", args.FalseAlarm)
	}
	selector, err := labels.Parse(args.Pods)
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	tally := map[string]int{}
	for i := range env.World.Pods {
		pod := &env.World.Pods[i]
		if pod.Namespace == env.Namespace && selector.Matches(labels.Set(pod.Labels)) && inState(pod, nil) {
			tally[world.Identity(pod)] = 0
		}
	}
	if len(tally) < 2 || args.Connections < 5*len(tally) {
		return nil, fmt.Errorf("%d connections to %d pods prove nothing: want two pods and five connections for each", args.Connections, len(tally))
	}
	i := slices.IndexFunc(env.Vantages, func(v reach.Vantage) bool { return v.Name == args.From })
	if i < 0 {
		return nil, fmt.Errorf("there is no vantage %q", args.From)
	}
	where := site{namespace: env.Namespace, world: env.World, vantages: env.Vantages}
	targets := slices.DeleteFunc(env.World.Targets(env.Namespace+"/"+args.Service), func(t reach.Target) bool {
		return !where.matches(args.To, env.Vantages[i], t)
	})
	if len(targets) != 1 {
		return nil, fmt.Errorf("want one target, %s are %d", args.To, len(targets))
	}
	cells, err := env.Prober.Observe(ctx, []probe.Request{{Vantage: env.Vantages[i], Target: targets[0],
		Min: args.Connections, Max: args.Connections, Timeout: env.Timeouts.Answered}})
	if err != nil {
		return nil, err
	}
	for _, o := range cells[0].Observations {
		_, known := tally[o.Backend]
		switch {
		case o.Outcome == reach.ProbeFailed || o.Outcome == reach.Unprobed:
			return nil, fmt.Errorf("could not ask: %s", o.Detail)
		case o.Outcome != reach.Reached || !known:
			return nil, Failed("a connection was %s, by %q: %s", o.Outcome, o.Backend, o.Detail)
		}
		tally[o.Backend]++
	}
	return judgeSpread(tally, args.FalseAlarm)
}

// judgeSpread tests whether the counts are those of an even choice.
func judgeSpread(tally map[string]int, falseAlarm float64) ([]string, error) {
	total := 0
	for _, n := range tally {
		total += n
	}
	expected := float64(total) / float64(len(tally))
	statistic := 0.0
	for _, n := range tally {
		d := float64(n) - expected
		statistic += d * d / expected
	}
	chance := chiSquareTail(statistic, len(tally)-1)
	line := fmt.Sprintf("%s; chi-square %.2f with %d degrees of freedom, chance %.3g, false alarm %g",
		counts(tally), statistic, len(tally)-1, chance, falseAlarm)
	if chance < falseAlarm {
		return []string{line}, Failed("connections do not spread evenly: %s", line)
	}
	return []string{line}, nil
}
