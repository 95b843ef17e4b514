package wait

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/svclab/svclab/e2e/world"
)

const (
	// idleFor is how long nothing must have changed for objects that have not settled to count as idle.
	idleFor = 2500 * time.Millisecond
	// busyFor bounds the wait for objects that change all the time, as those of a program that crashes again and again do.
	busyFor = 20 * time.Second
)

// Snapshot takes a snapshot of the world.
type Snapshot func(context.Context) (world.World, error)

// Settled is the condition that the objects of a namespace agree with each other: see world.Settled. w gets the snapshot of
// the last evaluation. A snapshot that fails is something seen.
func Settled(w *world.World, take Snapshot, namespace string, allow world.Allow) Condition {
	return Retry(func(ctx context.Context) (bool, string, error) {
		taken, err := take(ctx)
		if err != nil {
			return false, "", err
		}
		*w = taken
		done, missing := world.SettledBut(taken, allow, namespace)
		return done, missing, nil
	})
}

// Idle is the condition that the objects of a namespace have settled, or that none of them has changed for 2.5 s and no change
// is under way. It is met after 20 s in any case: what is wrong with the objects then, traffic must show. It is evaluated at
// least every 500 ms: see Every. A snapshot that fails ends the wait.
func Idle(w *world.World, take Snapshot, namespace string) Condition {
	var (
		began, since time.Time
		before       string
	)
	return func(ctx context.Context) (bool, string, error) {
		taken, err := take(ctx)
		if err != nil {
			return false, "", err
		}
		*w = taken
		if began.IsZero() {
			began = time.Now()
		}
		if now := taken.Progress(); now != before || taken.Busy(namespace) {
			before, since = now, time.Now()
		}
		settled, missing := world.SettledBut(taken, world.Allow{}, namespace)
		return settled || time.Since(since) >= idleFor || time.Since(began) > busyFor, missing, nil
	}
}

// IdleEvery is how often Idle must be evaluated while nothing changes.
const IdleEvery = idleFor / 5

// Deciding lists the objects of a namespace that decide whether it has Settled or is Idle, for On. A resource that the API
// server does not serve, or whose discovery fails, is left out: snapshots show its objects all the same.
func Deciding(served discovery.ServerResourcesInterface, namespace string) []Objects {
	var all []Objects
	for _, resource := range []string{"pods", "services"} {
		all = append(all, Objects{Resource: corev1.SchemeGroupVersion.WithResource(resource), Namespace: namespace})
	}
	for _, resource := range []string{"deployments", "statefulsets", "daemonsets"} {
		all = append(all, Objects{Resource: appsv1.SchemeGroupVersion.WithResource(resource), Namespace: namespace})
	}
	all = append(all, Objects{Resource: discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), Namespace: namespace})
	status := world.L2StatusResource()
	if list, err := served.ServerResourcesForGroupVersion(status.GroupVersion().String()); err == nil &&
		slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == status.Resource }) {
		all = append(all, Objects{Resource: status}) // MetalLB keeps them in a namespace of its own
	}
	return all
}
