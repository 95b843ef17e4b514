package runner

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// settle waits until the objects of the scenario's namespace agree with each other, and returns the snapshot
// in which they did. Every kind that matters is watched; each look is at a new snapshot.
func (s *session) settle(ctx context.Context, allow []string) (world.World, error) {
	but := world.Allow{Unready: slices.Contains(allow, "unready"), Terminating: slices.Contains(allow, "terminating"),
		Pending: slices.Contains(allow, "pending")}
	if s.policy.AcceptIdle {
		return s.quiesce(ctx)
	}
	var (
		settled   world.World
		condition = wait.Settled(&settled, s.snapshot, s.namespace, but)
		claims    = reminder{bound: time.Now().Add(remindAfter)}
	)
	err := s.wait(ctx, "the objects to settle", func(ctx context.Context) (bool, string, error) {
		done, missing, err := condition(ctx)
		if !done && err == nil && !but.Pending && claims.due() {
			err = claims.remind(ctx, s, settled.Unannounced(s.namespace))
		}
		return done, missing, err
	}, s.onObjects())
	return settled, err
}

// quiesce is settle for a goal: objects that do not settle are taken as they are when they are idle.
func (s *session) quiesce(ctx context.Context) (world.World, error) {
	var idle world.World
	err := s.wait(ctx, "the objects to settle or to become idle", wait.Idle(&idle, s.snapshot, s.namespace), s.onObjects(), wait.Every(wait.IdleEvery))
	return idle, err
}

// onObjects wakes a wait when an object changes that decides whether the namespace has settled.
func (s *session) onObjects() wait.Option {
	cluster := s.runner.cluster
	return wait.On(cluster.Dynamic(), wait.Deciding(cluster.Client().Discovery(), s.namespace)...)
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
