package runner

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/world"
)

// settle waits until the objects of the scenario's namespace agree with each other, and returns the snapshot
// in which they did. Every kind that matters is watched; each look is at a new snapshot.
func (s *session) settle(ctx context.Context, allow []string) (world.World, error) {
	but := world.Allow{Unready: slices.Contains(allow, "unready"), Terminating: slices.Contains(allow, "terminating"),
		Pending: slices.Contains(allow, "pending")}
	if s.policy.AcceptIdle {
		return s.calm(ctx)
	}
	var (
		settled world.World
		claims  = reminder{bound: time.Now().Add(remindAfter)}
	)
	err := s.await(ctx, "the objects to settle", s.sources(), 0, func(ctx context.Context) (bool, string, error) {
		w, err := s.snapshot(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		done, missing := world.SettledBut(w, but, s.namespace)
		settled = w
		if !done && !but.Pending && claims.due() {
			err = claims.remind(ctx, s, w.Unannounced(s.namespace))
		}
		return done, missing, err
	})
	return settled, err
}

// remindAfter is how long MetalLB may take to report that a node announces a Service: far more than it does. The bound of a
// step is longer.
const remindAfter = 10 * time.Second

// remindLabel is on a Service for a moment: it says nothing, but MetalLB hears of the change.
const remindLabel = "svclab.io/remind-metallb"

// reminder has MetalLB write its report of a Service again, once. When a Service goes from one node to another and back,
// the second one can take away the report that it labelled as its own while the first still finds its own name in it and
// writes none: the address answers, and no report says where. A speaker looks again whenever the Service changes.
// (metallb v0.15.2 internal/k8s/controllers/layer2_status_controller.go.)
type reminder struct {
	bound time.Time
	done  bool
}

func (r *reminder) due() bool { return !r.done && time.Now().After(r.bound) }

func (r *reminder) remind(ctx context.Context, s *session, unannounced []string) error {
	if !r.due() || len(unannounced) == 0 {
		return nil
	}
	r.done = true
	services := s.runner.cluster.Client().CoreV1().Services(s.namespace)
	for _, name := range unannounced {
		for _, value := range []string{`"1"`, "null"} {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, remindLabel, value)
			if _, err := services.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return fmt.Errorf("change a label of service %s, so that MetalLB looks at it: %w", name, err)
			}
		}
	}
	return nil
}

// sources are the objects whose changes bear on whether all has settled.
func (s *session) sources() []watched {
	var sources []watched
	for _, resource := range []string{"pods", "services"} {
		sources = append(sources, watched{resource: corev1Resource(resource), namespace: s.namespace})
	}
	for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
		sources = append(sources, watched{resource: appsv1.SchemeGroupVersion.WithResource(resource), namespace: s.namespace})
	}
	sources = append(sources, watched{resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), namespace: s.namespace})
	if status := world.L2StatusResource(); s.served(status.GroupVersion().String(), status.Resource) {
		sources = append(sources, watched{resource: status})
	}
	return sources
}

// snapshot takes the world as it is now.
func (s *session) snapshot(ctx context.Context) (world.World, error) {
	c := s.runner.cluster
	w, err := world.Take(ctx, c.Client(), c.Dynamic(), s.facts, s.namespace)
	if err != nil {
		return world.World{}, fmt.Errorf("take a snapshot: %w", err)
	}
	s.noteAddresses(w)
	return w, nil
}

// noteAddresses keeps the ClusterIPs of each of the scenario's Services, for when they are gone.
func (s *session) noteAddresses(w world.World) {
	if s.former == nil {
		s.former = map[string][]netip.Addr{}
	}
	for i := range w.Services {
		service := &w.Services[i]
		if addrs := world.ClusterIPs(service); service.Namespace == s.namespace && len(addrs) > 0 {
			s.former[service.Name] = addrs
		}
	}
}

// served reports whether the API server has a resource. One that cannot be asked about is not watched; the
// snapshots show its objects all the same.
func (s *session) served(groupVersion, resource string) bool {
	list, err := s.runner.cluster.Client().Discovery().ServerResourcesForGroupVersion(groupVersion)
	if err != nil {
		return false
	}
	for _, r := range list.APIResources {
		if r.Name == resource {
			return true
		}
	}
	return false
}
