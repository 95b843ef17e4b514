package mutants

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// Each wait returns at once when it is met, and says what it waits for when it ends before.
func TestWaits(t *testing.T) {
	lab := newFakeLab(t)
	if pod, err := podReady(t.Context(), lab, "ns", "app=my-app"); err != nil || pod.Name != "a" {
		t.Errorf("%v, %v", pod, err)
	}
	for name, err := range map[string]error{
		"no such pod":      podsGone(t.Context(), lab, "ns", "app=none"),
		"none terminating": noPodTerminating(t.Context(), lab, "kube-system", dnsLabels),
		"DaemonSet":        waitForSpeakers(t.Context(), lab, 3),
		"Deployment":       waitForDeployment(t.Context(), lab, dnsNamespace, dnsName),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopped := errors.New("stopped")
	for want, wait := range map[string]func(context.Context) error{
		"for the pods with app=my-app to be gone (stopped); last seen: 4 are left, first a": func(ctx context.Context) error {
			return podsGone(ctx, lab, "ns", "app=my-app")
		},
		"for the pods with app=my-app that terminate to be gone (stopped); last seen: 1 are left, first leaving": func(ctx context.Context) error {
			return noPodTerminating(ctx, lab, "ns", "app=my-app")
		},
		"for a pod with app=none to be ready (stopped); last seen: none of 0 pods is": func(ctx context.Context) error {
			_, err := podReady(ctx, lab, "ns", "app=none")
			return err
		},
		"for DaemonSet speaker to run on 2 nodes (stopped); last seen: 3 of 2 pods ready, 3 updated, 3 in all": func(ctx context.Context) error {
			return waitForSpeakers(ctx, lab, 2)
		},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { stop(stopped) })
		if err := wait(ctx); !errors.Is(err, stopped) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
