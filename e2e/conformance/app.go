package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
)

// In a cluster that svclab did not create, the sample app is reachable for everyone who can reach a node or a load balancer.
// agnhost netexec, which the manifests name, would run commands for them (/shell), dial (/dial) and store files (/upload). So
// its containers wait there until svclab has put its prober in, and serve with that: host name, client address, echo. After the
// run's time limit the prober ends by itself. The container that is then started again waits for one that no run brings.

// waitForProber is the script of such a container. It is given where the prober will be, and its arguments.
const waitForProber = `until [ -x "$0" ]; do sleep 0.2 || sleep 1; done; exec "$0" "$@"`

// internal are the annotations that make the load balancer of a Service internal to the cloud's network. Clouds ignore those of
// others. https://kubernetes.io/docs/concepts/services-networking/service/#internal-load-balancer
func internal() map[string]string {
	return map[string]string{
		"networking.gke.io/load-balancer-type":                               "Internal",
		"service.beta.kubernetes.io/aws-load-balancer-internal":              "true",
		"service.beta.kubernetes.io/aws-load-balancer-scheme":                "internal",
		"service.beta.kubernetes.io/azure-load-balancer-internal":            "true",
		"service.beta.kubernetes.io/openstack-internal-load-balancer":        "true",
		"service.beta.kubernetes.io/oci-load-balancer-internal":              "true",
		"service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type": "intranet",
		"service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type":     "private",
	}
}

// contain limits what the objects of a scenario expose, and for how long. Load balancers become internal unless public is set.
// The scenario's objects are changed.
func contain(s scenario.Scenario, within time.Duration, public bool) error {
	for file, objects := range s.Objects {
		for _, object := range objects {
			if object.GetKind() == "Service" && !public {
				annotations := internal()
				maps.Copy(annotations, object.GetAnnotations())
				object.SetAnnotations(annotations)
			}
			if err := containPods(object, within); err != nil {
				return fmt.Errorf("scenario %s: %s: %w", s.Name, file, err)
			}
		}
	}
	return nil
}

// containPods limits the pods of an object.
func containPods(object *unstructured.Unstructured, within time.Duration) error {
	pod := cluster.PodOf(object)
	spec, _ := pod["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	if len(containers) == 0 {
		return nil
	}
	child(child(pod, "metadata"), "labels")[runner.ManagedByLabel] = runner.ManagedBy
	if object.GetKind() == "Pod" { // the API server refuses it in the templates of Deployments
		spec["activeDeadlineSeconds"] = int64(within.Seconds())
	}
	for _, one := range containers {
		container, _ := one.(map[string]any)
		args, _, err := unstructured.NestedStringSlice(container, "args")
		if err != nil {
			return err
		}
		if len(args) == 0 || args[0] != "netexec" {
			continue
		}
		serve, port, err := proberArgs(args[1:], within)
		if err != nil {
			return fmt.Errorf("container %s: %w", container["name"], err)
		}
		container["command"] = []any{"sh", "-c", waitForProber, cluster.AppProber}
		container["args"] = serve
		// Until the prober serves, the pod is not ready, whatever else its readiness depends on. It never fails: the first run
		// of a container may wait long for a slow transfer.
		container["startupProbe"] = map[string]any{"httpGet": map[string]any{"path": "/hostname", "port": port},
			"periodSeconds": int64(1), "timeoutSeconds": int64(5), "failureThreshold": int64(within.Seconds())}
	}
	return nil
}

// proberArgs returns the prober's arguments for those of agnhost netexec, and the port of HTTP.
func proberArgs(netexec []string, within time.Duration) (serve []any, port int64, err error) {
	serve = []any{"serve", "--for=" + within.String()}
	for _, arg := range netexec {
		name, value, _ := strings.Cut(arg, "=")
		var n int64
		if _, err := fmt.Sscanf(value, "%d", &n); err != nil {
			return nil, 0, fmt.Errorf("argument %s of netexec has no number: %w", arg, err)
		}
		switch {
		case name == "--http-port":
			port = n
			serve = append(serve, fmt.Sprintf("--http=:%d", n))
		case name == "--udp-port" && n < 0:
		case name == "--udp-port":
			serve = append(serve, fmt.Sprintf("--udp=:%d", n))
		case name == "--delay-shutdown":
			serve = append(serve, fmt.Sprintf("--linger=%ds", n))
		default:
			return nil, 0, fmt.Errorf("argument %s of netexec has no counterpart in prober serve", arg)
		}
	}
	if port == 0 {
		return nil, 0, fmt.Errorf("netexec has no --http-port: %s", strings.Join(slices.Clone(netexec), " "))
	}
	return serve, port, nil
}
