package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

const (
	// quietFor is how long nothing must have moved for objects that have not settled to be taken as they are.
	quietFor = 2500 * time.Millisecond
	// fresh is how long a container that was started may take to become ready.
	fresh = 6 * time.Second
	// restless bounds the wait for objects that go on moving, as those of a program that crashes again and again do.
	restless = 20 * time.Second
)

// calm is settle for a goal: objects that agree are taken at once, others when nothing has moved for a while and
// nothing is on its way. It is always content in the end: what is wrong with the objects, the traffic will tell.
func (s *session) calm(ctx context.Context) (world.World, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan struct{}, 1)
	if err := s.watch(watching, s.sources(), changed); err != nil {
		return world.World{}, err
	}
	defer s.progress.say("", "")
	var (
		began  = time.Now()
		since  = began
		before string
	)
	for {
		w, err := s.snapshot(ctx)
		if err != nil {
			return w, err
		}
		done, missing := world.SettledBut(w, world.Allow{}, s.namespace)
		if done || time.Since(began) > restless {
			return w, nil
		}
		if now := stillness(w); now != before || s.moving(w) {
			before, since = now, time.Now()
		}
		if time.Since(since) >= quietFor {
			return w, nil
		}
		s.progress.say("the objects to settle or to come to rest", missing)
		select {
		case <-ctx.Done():
			return w, s.ranOut(ctx, "the objects to come to rest", missing)
		case <-changed:
			if !pause(ctx, coalesce) {
				return w, s.ranOut(ctx, "the objects to come to rest", missing)
			}
		case <-time.After(quietFor / 5):
		}
	}
}

// stillness is a text that stays the same as long as nothing moves.
func stillness(w world.World) string {
	var b strings.Builder
	b.WriteString(w.Versions())
	for i := range w.Pods {
		pod := &w.Pods[i]
		fmt.Fprintf(&b, "pod %s %s %v ", pod.UID, pod.Status.Phase, pod.DeletionTimestamp)
	}
	for i := range w.Deployments {
		fmt.Fprintf(&b, "deployment %s %d %d ", w.Deployments[i].Name, w.Deployments[i].Generation, w.Deployments[i].Status.ObservedGeneration)
	}
	return b.String()
}

// moving reports whether something is on its way that shows no change until it arrives: a container that is being
// made or was just started, a pod that is ending, a Deployment its controller has not seen.
func (s *session) moving(w world.World) bool {
	for i := range w.Deployments {
		if d := &w.Deployments[i]; d.Namespace == s.namespace && d.Status.ObservedGeneration < d.Generation {
			return true
		}
	}
	return slices.ContainsFunc(w.Pods, func(pod corev1.Pod) bool {
		return pod.Namespace == s.namespace && (pod.DeletionTimestamp != nil || starting(&pod))
	})
}

func starting(pod *corev1.Pod) bool {
	if world.Ready(pod) || world.Ended(pod) {
		return false
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
		})
	}
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		switch {
		case c.State.Waiting != nil:
			return c.State.Waiting.Reason == "ContainerCreating" || c.State.Waiting.Reason == "PodInitializing"
		case c.State.Running != nil:
			return c.RestartCount == 0 && time.Since(c.State.Running.StartedAt.Time) < fresh
		}
		return false
	})
}
