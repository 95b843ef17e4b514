package checks

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// All are the checks, each with its name and, in a line, what it proves and its arguments.
func All() []Check {
	return []Check{
		objectsOnly(define("node-port-in-range", "every node port of the service is within from…to: {service, from, to}", nodePortInRange)),
		define("no-endpoint-slices", "no EndpointSlice belongs to the service: {service}", noEndpointSlices),
		objectsOnly(define("address-from-pool", "the load-balancer address is in a MetalLB pool: {service}", addressFromPool)),
		define("one-node-announces", "exactly one node answers ARP or NDP for each of the service's load-balancer addresses: {service, node}", oneNodeAnnounces),
		define("spread", "connections spread evenly over the pods, by a chi-square test: {service, pods, from, to, connections, falseAlarm}", spread),
		define("affinity-expires", "a client reaches other pods after its affinity has timed out: {service, pods, from, to}", affinityExpires),
		define("affinity-lasts", "a client that reconnects after a pause reaches the same pod: {service, from, to, pause}", affinityLasts),
		define("affinity-shared", "a client reaches the same pod at each address of the service: {service, from, to}", affinityShared),
		define("affinity-per-port", "a client keeps its pod at each port of the service, whichever it has at another: {service, pods, from, to, falseAlarm}", affinityPerPort),
		define("environment", "a pod that starts is led to the service by its environment variables, without service links to the API server only: {service, pods}", environment),
		define("connections", "many connections open at once each carry a long echo, stay idle, and are used again: {service, from, to, connections, length, hold}", connections),
		define("dns", "the DNS Service, over UDP and TCP, and each of its pods answer exactly with these records: {from, lookups: [{name, record, want}]}", lookUp),
		define("https", "the outside server has a certificate for the host of a client's URL: {from, configMap, key}", outsideHTTPS),
		objectsOnly(define("endpoint-slices", "the service's EndpointSlices list exactly these pods: {service, endpoints: [{pod, conditions, ports}]}", endpointSlices)),
		define("delete-collection", "services are listed across namespaces and deleted in one request: {selector, names}", deleteCollection),
		objectsOnly(define("mirrored-slices", "EndpointSlices that Kubernetes copied list what the service's Endpoints do: {service, slices}", mirroredSlices)),
		objectsOnly(define("ip-addresses", "each of the service's ClusterIPs is an IPAddress object: {service}", ipAddresses)),
		objectsOnly(define("dynamic-band", "no ClusterIP of the service is in the band kept for Services that ask for an address: {service}", dynamicBand)),
		objectsOnly(define("api-proxy", "a port of the service or node answers with this status and text through the API server's proxy: {service or node, port, path, status, body}", apiProxy)),
		define("added-service-cidr", "an added ServiceCIDR serves another service: {like, name, pods}", addedServiceCIDR),
	}
}

// serviceArgs names a Service of the scenario.
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
			return lines, reach.Failf("port %d has node port %d, want one of %d–%d", port.Port, port.NodePort, args.From, args.To)
		}
	}
	if len(lines) == 0 {
		return nil, reach.Failf("service %s has no ports", args.Service)
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
		return nil, reach.Failf("service %s has %d EndpointSlices, first %s", args.Service, len(list.Items), list.Items[0].Name)
	}
	return []string{"no EndpointSlice belongs to service " + args.Service}, nil
}

// addressFromPool compares the Service's addresses with MetalLB's pools, which may list prefixes and ranges.
func addressFromPool(ctx context.Context, env Env, args serviceArgs) ([]string, error) {
	service, err := args.find(env)
	if err != nil {
		return nil, err
	}
	pools, err := world.Pools(ctx, env.Dynamic)
	if err != nil {
		return nil, err
	}
	addresses := world.Ingresses(&service)
	if len(addresses) == 0 {
		return nil, reach.Failf("service %s has no load-balancer address", args.Service)
	}
	var lines, ranges []string
	for _, ingress := range addresses {
		found := false
		for _, pool := range pools {
			ranges = append(ranges, pool.Blocks...)
			if pool.Contains(ingress.Addr) {
				found = true
				lines = append(lines, fmt.Sprintf("%s is in pool %s (%s)", ingress.Addr, pool.Name, strings.Join(pool.Blocks, ", ")))
			}
		}
		if !found {
			return lines, reach.Failf("%s is in no pool; the pools have %s", ingress.Addr, strings.Join(ranges, ", "))
		}
	}
	return lines, nil
}
