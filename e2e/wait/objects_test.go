package wait

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/world"
)

// snapshots takes a world of one pod, as it is at a time after the first snapshot.
func snapshots(pod func(after time.Duration) corev1.Pod) Snapshot {
	var began time.Time
	return func(context.Context) (world.World, error) {
		if began.IsZero() {
			began = time.Now()
		}
		return world.World{Namespaces: []string{"n"}, Pods: []corev1.Pod{pod(time.Since(began))}}, nil
	}
}

func pod(ready corev1.ConditionStatus, state corev1.ContainerState) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}, Spec: corev1.PodSpec{NodeName: "worker"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1",
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		ContainerStatuses: []corev1.ContainerStatus{{State: state, RestartCount: 1}}}}
}

func TestSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		take := snapshots(func(after time.Duration) corev1.Pod {
			if after < 10*time.Second {
				return pod(corev1.ConditionFalse, corev1.ContainerState{})
			}
			return pod(corev1.ConditionTrue, corev1.ContainerState{})
		})
		refused, snapshot := 3, world.World{}
		flaky := func(ctx context.Context) (world.World, error) {
			if refused--; refused >= 0 {
				return world.World{}, errors.New("refused")
			}
			return take(ctx)
		}
		var seen []string
		err := For(t.Context(), "the objects to settle", Settled(&snapshot, flaky, "n", world.Allow{}), Timeout(time.Minute), Progress(func(s State) {
			if !slices.Contains(seen, s.Seen) {
				seen = append(seen, s.Seen)
			}
		}))
		if err != nil || len(snapshot.Pods) != 1 || !world.Ready(&snapshot.Pods[0]) {
			t.Errorf("%v, %v", snapshot.Pods, err)
		}
		if len(seen) != 3 || seen[1] != "refused" || seen[2] == "" {
			t.Errorf("seen %q", seen)
		}
		if err := For(t.Context(), "the objects to settle", Settled(&snapshot, func(context.Context) (world.World, error) {
			return world.World{Pods: []corev1.Pod{pod(corev1.ConditionFalse, corev1.ContainerState{})}}, nil
		}, "n", world.Allow{Unready: true}), Timeout(time.Minute)); err != nil {
			t.Errorf("what may be unready is waited for: %v", err)
		}
	})
}

func TestIdle(t *testing.T) {
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	creating := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	for name, c := range map[string]struct {
		at   func(after time.Duration) corev1.Pod
		want time.Duration
	}{
		"settled": {func(time.Duration) corev1.Pod { return pod(corev1.ConditionTrue, waiting) }, 0},
		"settles": {func(after time.Duration) corev1.Pod {
			if after < 2*time.Second {
				return pod(corev1.ConditionFalse, waiting)
			}
			return pod(corev1.ConditionTrue, waiting)
		}, 2 * time.Second},
		"unready, and nothing changes": {func(time.Duration) corev1.Pod { return pod(corev1.ConditionFalse, waiting) }, idleFor},
		"changes, and is unready": {func(after time.Duration) corev1.Pod {
			p := pod(corev1.ConditionFalse, waiting)
			if after < 4*time.Second {
				p.Status.Phase = corev1.PodPhase(fmt.Sprint("phase ", int(after.Seconds()+0.5)))
			}
			return p
		}, 4*time.Second + idleFor},
		"is being created": {func(after time.Duration) corev1.Pod {
			if after < 9*time.Second {
				return pod(corev1.ConditionFalse, creating)
			}
			return pod(corev1.ConditionFalse, waiting)
		}, 8500*time.Millisecond + idleFor},
		"always changes": {func(after time.Duration) corev1.Pod {
			p := pod(corev1.ConditionFalse, waiting)
			p.Status.Phase = corev1.PodPhase(after.String())
			return p
		}, busyFor + IdleEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, snapshot := time.Now(), world.World{}
				if err := For(t.Context(), "it", Idle(&snapshot, snapshots(c.at), "n"), Every(IdleEvery), Timeout(time.Minute)); err != nil || len(snapshot.Pods) != 1 {
					t.Errorf("%v, %v", snapshot.Pods, err)
				}
				if took := time.Since(began); took != c.want {
					t.Errorf("it took %s, want %s", took, c.want)
				}
			})
		})
	}
	refused := errors.New("refused")
	if err := For(t.Context(), "it", Idle(new(world.World), func(context.Context) (world.World, error) { return world.World{}, refused }, "n")); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// What the API server does not serve is not watched.
func TestDeciding(t *testing.T) {
	client := fake.NewClientset()
	names := func() (names []string) {
		for _, o := range Deciding(client.Discovery(), "n") {
			if o.Namespace != "n" && o.Resource != world.L2StatusResource() {
				t.Errorf("%v is watched outside the namespace", o)
			}
			names = append(names, o.Resource.Resource)
		}
		return names
	}
	want := []string{"pods", "services", "deployments", "statefulsets", "daemonsets", "endpointslices"}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	status := world.L2StatusResource()
	client.Resources = []*metav1.APIResourceList{{GroupVersion: status.GroupVersion().String(), APIResources: []metav1.APIResource{{Name: status.Resource}}}}
	if got := names(); !slices.Equal(got, append(want, status.Resource)) {
		t.Errorf("got %q", got)
	}
}
