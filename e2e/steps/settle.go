package steps

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Settle waits until the namespace's objects agree with each other. Expect and Check do so by themselves.
type Settle struct {
	Allow scenario.Allow `json:"allow,omitempty"`
}

// Validate has nothing to check.
func (Settle) Validate(scenario.Scenario) error { return nil }

// Describe says that it waits.
func (Settle) Describe() string { return "wait until the objects have settled" }

// ReadOnly is false: later steps rest on objects that have settled.
func (Settle) ReadOnly() bool { return false }

// Do waits for the objects.
func (s Settle) Do(ctx context.Context, env *Env) (Report, error) {
	_, err := env.settle(ctx, s.Allow)
	return Report{}, err
}

// settle waits until the objects of the scenario's namespace agree with each other, and returns the snapshot
// in which they did. Every kind that matters is watched. A snapshot is taken when they may have settled as far as the watch tells: the lists of
// a snapshot are as new as the request, and what a watch has of several kinds may be of several moments.
func (env *Env) settle(ctx context.Context, allow []string) (world.World, error) {
	but := world.Allow{Unready: slices.Contains(allow, "unready"), Terminating: slices.Contains(allow, "terminating"),
		Pending: slices.Contains(allow, "pending")}
	if env.Policy.AcceptIdle {
		return env.Quiesce(ctx)
	}
	var (
		settled   world.World
		condition = wait.Settled(&settled, env.snapshot, env.Namespace, but)
		claims    = reminder{bound: time.Now().Add(remindAfter)}
	)
	err := env.wait(ctx, "the objects to settle", func(ctx context.Context) (bool, string, error) {
		done, missing, err := condition(ctx)
		if !done && err == nil && !but.Pending && claims.due() {
			err = claims.remind(ctx, env, settled.Unannounced(env.Namespace))
		}
		return done, missing, err
	}, env.onObjects(), wait.Gate(func(objects []*unstructured.Unstructured) (bool, string) {
		if w, err := settled.With(objects); err == nil {
			return world.SettledBut(w, but, env.Namespace)
		}
		return true, ""
	}))
	return settled, err
}

// Quiesce is settle for a goal: objects that do not settle are taken as they are when they are idle.
func (env *Env) Quiesce(ctx context.Context) (world.World, error) {
	var idle world.World
	err := env.wait(ctx, "the objects to settle or to become idle", wait.Idle(&idle, env.snapshot, env.Namespace), env.onObjects(), wait.Every(wait.IdleEvery))
	return idle, err
}

// onObjects wakes a wait when an object changes that decides whether the namespace has settled.
func (env *Env) onObjects() wait.Option {
	return wait.On(env.Cluster.Dynamic(), wait.Deciding(env.kinds, env.Namespace)...)
}

// remindAfter is how long MetalLB may take to report that a node announces a Service: far more than it does. The bound of a
// step is longer.
const remindAfter = 10 * time.Second

// lostAfter is how long no node may be reported to announce a Service after the objects have settled, which includes that one is.
const lostAfter = 3 * time.Second

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

func (r *reminder) remind(ctx context.Context, env *Env, unannounced []string) error {
	if !r.due() || len(unannounced) == 0 {
		return nil
	}
	r.done = true
	services := env.Cluster.Client().CoreV1().Services(env.Namespace)
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
func (env *Env) snapshot(ctx context.Context) (world.World, error) {
	c := env.Cluster
	w, err := world.Take(ctx, c.Client(), env.kinds, c.Dynamic(), env.Facts, env.Namespace)
	if err != nil {
		return world.World{}, fmt.Errorf("take a snapshot: %w", err)
	}
	env.noteAddresses(w)
	return w, nil
}

// noteAddresses keeps the ClusterIPs of each of the scenario's Services, for when they are gone.
func (env *Env) noteAddresses(w world.World) {
	if env.former == nil {
		env.former = map[string][]netip.Addr{}
	}
	for i := range w.Services {
		service := &w.Services[i]
		if addrs := world.ClusterIPs(service); service.Namespace == env.Namespace && len(addrs) > 0 {
			env.former[service.Name] = addrs
		}
	}
}
