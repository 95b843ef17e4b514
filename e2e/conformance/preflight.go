package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/wait"
)

// preflightName is the scenario of the namespace in which a run finds out what the cluster admits. The removal of leftovers includes
// it.
const preflightName = "preflight"

// preflight makes a namespace like those of scenarios, sends the API server what scenarios create, as a dry run, and finds out which
// node ports are free. It removes the namespace. Scenarios whose node ports are taken get others.
func (p *Plan) preflight(ctx context.Context, c *cluster.Cluster) (err error) {
	namespaces := c.Client().CoreV1().Namespaces()
	ours := labels.Set{runner.ManagedByLabel: runner.ManagedBy, runner.ScenarioLabel: preflightName}
	creating, created := grace.Context(ctx)
	defer created()
	made, err := namespaces.Create(creating, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("svclab-%s-%08x", preflightName, rand.Uint32()),
		Labels: labels.Merge(p.Extras.Labels, ours), Annotations: p.Extras.Annotations}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create a namespace: %w", cluster.Refused(err))
	}
	defer func() {
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanIn)
		defer cancel()
		if gone := namespaces.Delete(cleaning, made.Name, metav1.DeleteOptions{}); gone != nil && !apierrors.IsNotFound(gone) {
			err = errors.Join(err, fmt.Errorf("delete namespace %s: %w", made.Name, gone))
		}
		if err = cmp.Or(err, context.Cause(ctx)); err != nil { // the run ends here, so no later sweep waits for the namespace
			err = errors.Join(err, wait.For(cleaning, "namespace "+made.Name+" to be removed", wait.Gone(c.Client(), made.Name)))
		}
	}()
	examples, err := p.examples()
	if err != nil {
		return err
	}
	if err := c.DryRun(ctx, made.Name, examples); err != nil {
		return err
	}
	ports, rangeOf, err := freePorts(ctx, c.Client(), made.Name, claimedPorts(p.scenarios))
	if err != nil {
		return err
	}
	p.nodePorts = rangeOf
	return p.renumber(ports)
}

// examples return one object of each sort that scenarios create: the sample app and a pod of it, and a Service of each type.
func (p *Plan) examples() ([]*unstructured.Unstructured, error) {
	nodes := slices.Sorted(maps.Values(p.Sample.Slots))
	var examples []*unstructured.Unstructured
	for _, s := range p.scenarios {
		s, err := p.contained(s, nodes)
		if err != nil {
			return nil, err
		}
		for _, objects := range s.Objects {
			for _, object := range objects {
				if object.GetKind() != "Deployment" || len(examples) > 0 {
					continue
				}
				pod := &unstructured.Unstructured{Object: maps.Clone(cluster.PodOf(object))}
				pod.SetAPIVersion("v1")
				pod.SetKind("Pod")
				pod.SetName(object.GetName())
				examples = append(examples, p.Extras.Secret()...)
				examples = append(examples, object, pod)
			}
		}
	}
	types := []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeExternalName}
	if declared, said := p.Features[scenario.LoadBalancer]; p.Profile != scenario.Core && (declared || !said) {
		types = append(types, corev1.ServiceTypeLoadBalancer)
	}
	for _, t := range types {
		spec := map[string]any{"type": string(t), "ports": []any{map[string]any{"port": int64(80)}}, "selector": map[string]any{"app": "svclab"}}
		if t == corev1.ServiceTypeExternalName {
			spec = map[string]any{"type": string(t), "externalName": "example.com"}
		}
		service := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": strings.ToLower(string(t))}, "spec": spec}}
		if !p.PublicBalancers {
			service.SetAnnotations(internal())
		}
		examples = append(examples, service)
	}
	return examples, nil
}

const portClaim = "nodePort/"

// claimedPorts returns the node ports that the scenarios' manifests name.
func claimedPorts(scenarios []scenario.Scenario) []string {
	var ports []string
	for _, s := range scenarios {
		for _, claim := range s.Claims {
			if port, is := strings.CutPrefix(claim, portClaim); is && !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
	}
	slices.Sort(ports)
	return ports
}

// validRange is how the API server names its range of node ports. A dry run does not check the range (seen with v1.37).
var validRange = regexp.MustCompile(`range of valid ports is ([0-9]+-[0-9]+)`)

// freePorts returns a free node port in place of each port that is taken or out of the API server's range, and that range. It is
// empty if the server does not name it. For the time of the call it creates Services that select no pod.
func freePorts(ctx context.Context, client kubernetes.Interface, namespace string, ports []string) (instead map[string]string, rangeOf string, err error) {
	services := client.CoreV1().Services(namespace)
	create := func(port int32) (*corev1.Service, error) {
		return services.Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{GenerateName: "port-"}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: port}}}}, metav1.CreateOptions{})
	}
	defer func() { // their ports are free only when they are gone, and the namespace takes a while
		list, failed := services.List(context.WithoutCancel(ctx), metav1.ListOptions{})
		if failed == nil {
			for _, service := range list.Items {
				failed = errors.Join(failed, services.Delete(context.WithoutCancel(ctx), service.Name, metav1.DeleteOptions{}))
			}
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("free the node ports: %w", failed))
		}
	}()
	instead = map[string]string{}
	for _, port := range append([]string{"1"}, ports...) { // 1 has the server name its range
		var number int32
		if _, err := fmt.Sscan(port, &number); err != nil {
			return nil, "", fmt.Errorf("claim %s%s: %w", portClaim, port, err)
		}
		_, err := create(number)
		switch {
		case err == nil:
			continue
		case !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "provided port is "):
			return nil, "", fmt.Errorf("create a Service with node port %s: %w", port, cluster.Refused(err))
		}
		if match := validRange.FindStringSubmatch(err.Error()); match != nil {
			rangeOf = match[1]
		}
		if port == "1" {
			continue
		}
		free, err := create(0)
		if err != nil {
			return nil, "", fmt.Errorf("find a node port in place of %s: %w", port, err)
		}
		instead[port] = fmt.Sprint(free.Spec.Ports[0].NodePort)
	}
	return instead, rangeOf, nil
}

// renumber reads the scenarios again, with other node ports.
func (p *Plan) renumber(ports map[string]string) error {
	if len(ports) == 0 {
		return nil
	}
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		if _, err := fmt.Fprintf(p.Log, "svclab: node port %s is taken or out of range; scenarios use %s instead\n", port, ports[port]); err != nil {
			return fmt.Errorf("print the node ports: %w", err)
		}
	}
	all, err := scenario.LoadAll(renumbered{p.Manifests, ports}, steps.Kinds(checks.Names()...))
	if err != nil {
		return fmt.Errorf("choose other node ports: %w", err)
	}
	chosen := p.scenarios
	p.scenarios = slices.DeleteFunc(all, func(s scenario.Scenario) bool {
		return !slices.ContainsFunc(chosen, func(c scenario.Scenario) bool { return c.Name == s.Name })
	})
	return nil
}

// renumbered are manifests in which some numbers are replaced by others.
type renumbered struct {
	fs.FS
	numbers map[string]string
}

var numbers = regexp.MustCompile(`\b[0-9]+\b`)

// ReadFile implements fs.ReadFileFS.
func (r renumbered) ReadFile(name string) ([]byte, error) {
	text, err := fs.ReadFile(r.FS, name)
	return numbers.ReplaceAllFunc(text, func(number []byte) []byte {
		if other, is := r.numbers[string(number)]; is {
			return []byte(other)
		}
		return number
	}), err
}
