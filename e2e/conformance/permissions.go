package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/world"
)

// Permission is what a run's user must be allowed to do with one resource.
type Permission struct {
	// Namespace is the only namespace that it is about; empty: all. A conformance run needs all, because the scenarios'
	// namespaces get their names when they are created.
	Namespace string
	// Group is empty for the core API. Resource has its subresource after a slash: "pods/exec".
	Group, Resource string
	// Name is the only object that it is about; empty: all.
	Name  string
	Verbs []string
	// Optional: required only if the cluster serves the group.
	Optional bool
}

// Permissions returns exactly the permissions that a conformance run needs.
func Permissions() []Permission {
	all := []string{"get", "list", "watch", "create", "patch", "delete"}
	return []Permission{
		{Resource: "namespaces", Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{Resource: "nodes", Verbs: []string{"get", "list"}},
		{Resource: "pods", Verbs: append(slices.Clone(all), "deletecollection")},
		{Resource: "pods/exec", Verbs: []string{"get", "create"}}, // a WebSocket is a GET, and a create since KEP-4006
		{Resource: "pods/status", Verbs: []string{"patch"}},
		{Resource: "services", Verbs: append(slices.Clone(all), "deletecollection")},
		{Resource: "services/status", Verbs: []string{"patch"}},
		{Resource: "services/proxy", Verbs: []string{"get"}},
		{Resource: "endpoints", Verbs: all},
		{Resource: "events", Verbs: []string{"list", "watch"}},
		{Group: "apps", Resource: "deployments", Verbs: all},
		{Group: "apps", Resource: "statefulsets", Verbs: []string{"list", "watch"}},
		{Group: "apps", Resource: "daemonsets", Verbs: []string{"list", "watch"}},
		{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"create"}},
		{Group: "coordination.k8s.io", Resource: "leases", Name: lockName, Verbs: []string{"get", "update"}},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: all},
		{Group: "networking.k8s.io", Resource: "servicecidrs", Verbs: []string{"list"}},
		{Group: "networking.k8s.io", Resource: "networkpolicies", Verbs: []string{"list"}},
		{Group: world.MetalLBGroup, Resource: "servicel2statuses", Verbs: []string{"list", "watch"}, Optional: true},
		{Group: world.MetalLBGroup, Resource: "ipaddresspools", Verbs: []string{"list"}, Optional: true},
		{Group: world.MetalLBGroup, Resource: "l2advertisements", Verbs: []string{"list"}, Optional: true},
	}
}

// VisitPermissions returns exactly the permissions that a Visit needs to read the objects around a Service of the namespace (empty:
// of all namespaces, which have to be listed then) and, with clients, to deploy and use clients.
func VisitPermissions(namespace string, clients bool) []Permission {
	all := []Permission{
		{Resource: "nodes", Verbs: []string{"get", "list"}},
		{Resource: "services", Verbs: []string{"list"}},
		{Resource: "pods", Verbs: []string{"list"}, Namespace: namespace},
		{Group: "apps", Resource: "deployments", Verbs: []string{"list"}, Namespace: namespace},
		{Group: "apps", Resource: "statefulsets", Verbs: []string{"list"}, Namespace: namespace},
		{Group: "apps", Resource: "daemonsets", Verbs: []string{"list"}, Namespace: namespace},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"list"}, Namespace: namespace},
		{Group: "networking.k8s.io", Resource: "servicecidrs", Verbs: []string{"list"}},
		{Group: world.MetalLBGroup, Resource: "servicel2statuses", Verbs: []string{"list"}, Optional: true},
		{Group: world.MetalLBGroup, Resource: "l2advertisements", Verbs: []string{"list"}, Optional: true},
	}
	if namespace == "" {
		all = append(all, Permission{Resource: "namespaces", Verbs: []string{"list"}})
	}
	if !clients {
		return all
	}
	return append(all,
		Permission{Resource: "namespaces", Verbs: []string{"get", "create", "patch", "delete"}},
		Permission{Resource: "pods", Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}, Namespace: cluster.ClientsNamespace},
		Permission{Resource: "pods/exec", Verbs: []string{"get", "create"}, Namespace: cluster.ClientsNamespace},
		Permission{Group: "coordination.k8s.io", Resource: "leases", Verbs: []string{"create"}, Namespace: LockNamespace},
		Permission{Group: "coordination.k8s.io", Resource: "leases", Name: lockName, Verbs: []string{"get", "update"}, Namespace: LockNamespace})
}

// String returns the permission as text: "create, get pods/exec in namespace shop".
func (p Permission) String() string {
	resource := p.Resource
	if p.Name != "" {
		resource += " " + p.Name
	}
	if p.Group != "" {
		resource += " (" + p.Group + ")"
	}
	if p.Namespace != "" {
		resource += " in namespace " + p.Namespace
	}
	return strings.Join(p.Verbs, ", ") + " " + resource
}

// MissingError lists the permissions that the user lacks. Nothing was created.
type MissingError struct {
	// Context is the kubeconfig context of the user.
	Context string
	Missing []Permission
}

// Error names each missing permission on a separate line.
func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the user of context %s may not do, in all namespaces unless one is named, what a run needs; nothing was made. Missing:", e.Context)
	for _, p := range e.Missing {
		b.WriteString("\n  " + p.String())
	}
	b.WriteString("\nfix: name a user who may, or bind this one to the ClusterRole of manifests/conformance/job.yaml")
	return b.String()
}

// ExitCode is the exit code of a program that ends with this error.
func (e *MissingError) ExitCode() int { return 2 }

// Allowed checks every wanted permission with a SelfSubjectAccessReview, before svclab creates anything. It returns a *MissingError
// if some are missing.
func Allowed(ctx context.Context, client kubernetes.Interface, contextName string, wanted []Permission) error {
	groups, err := client.Discovery().ServerGroups()
	if err != nil {
		return fmt.Errorf("list the server's API groups: %w", err)
	}
	served := map[string]bool{"": true}
	for _, g := range groups.Groups {
		served[g.Name] = true
	}
	missing := make([]Permission, len(wanted))
	var group errgroup.Group
	group.SetLimit(16)
	for i, p := range wanted {
		if p.Optional && !served[p.Group] {
			continue
		}
		missing[i] = Permission{Group: p.Group, Resource: p.Resource, Name: p.Name, Namespace: p.Namespace}
		group.Go(func() error {
			for _, verb := range p.Verbs {
				allowed, err := may(ctx, client, p, verb)
				if err != nil {
					return err
				}
				if !allowed {
					missing[i].Verbs = append(missing[i].Verbs, verb)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(p Permission) bool { return len(p.Verbs) == 0 })
	if len(missing) > 0 {
		return &MissingError{Context: contextName, Missing: missing}
	}
	return nil
}

func may(ctx context.Context, client kubernetes.Interface, p Permission, verb string) (bool, error) {
	resource, subresource, _ := strings.Cut(p.Resource, "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: p.Namespace, Verb: verb, Group: p.Group, Resource: resource, Subresource: subresource, Name: p.Name}}}
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("check whether the user may %s %s: %w", verb, p.Resource, err)
	}
	return answer.Status.Allowed, nil
}
