package cluster

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

func TestWaitSaysWhatItSawLast(t *testing.T) {
	w := &waiter{log: io.Discard}
	asked := 0
	err := w.until(t.Context(), "the moon is blue", 50*time.Millisecond, func(context.Context) (string, bool, error) {
		asked++
		return "it is grey", false, nil
	})
	var waited *WaitError
	if !errors.As(err, &waited) || !errors.Is(err, context.DeadlineExceeded) || asked == 0 {
		t.Fatal(err)
	}
	if text := err.Error(); !strings.HasPrefix(text, "waited ") || !strings.HasSuffix(text, " until the moon is blue; last seen: it is grey") {
		t.Error(text)
	}
	err = w.until(t.Context(), "it works", 50*time.Millisecond, func(context.Context) (string, bool, error) { return "", false, errors.New("refused") })
	if err == nil || !strings.HasSuffix(err.Error(), "last seen: refused") {
		t.Error(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	began := time.Now()
	err := (&waiter{log: io.Discard}).until(ctx, "x", time.Hour, func(context.Context) (string, bool, error) {
		cancel(why)
		return "y", false, nil
	})
	if !errors.Is(err, why) || !strings.Contains(err.Error(), "(interrupted)") || time.Since(began) > 10*time.Second {
		t.Error(err)
	}
}

// podLister lists and watches a fake cluster's pods; watching is closed when the watch is on, as the fake forgets what came
// between the list and the watch.
func podLister(client *fake.Clientset, watching chan<- struct{}) cache.ListerWatcher {
	pods := client.CoreV1().Pods("n")
	var once sync.Once
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := pods.Watch(ctx, o)
			once.Do(func() { close(watching) })
			return w, err
		},
	}, client)
}

// A watch ends as soon as the objects are as wanted: it does not poll.
func TestWatch(t *testing.T) {
	client := fake.NewClientset()
	wanted := []clientPod{{Name: "client-a"}, {Name: "client-b"}}
	pod := func(name string, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n"}, Status: corev1.PodStatus{Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	judged, watching := make(chan string, 100), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- watchObjects(t.Context(), &waiter{log: io.Discard}, "every client pod is ready", time.Minute, podLister(client, watching), func(pods []*corev1.Pod) (string, bool) {
			seen, ok := podsReady(pods, wanted)
			judged <- seen
			return seen, ok
		})
	}()
	if seen := <-judged; seen != "client-a is not there; client-b is not there" {
		t.Errorf("%q", seen)
	}
	<-watching
	pods := client.CoreV1().Pods("n")
	for _, p := range []*corev1.Pod{pod("client-a", corev1.ConditionTrue), pod("client-b", corev1.ConditionFalse)} {
		if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for seen := range judged {
		if seen == "client-b is pending" {
			break
		}
	}
	if _, err := pods.Update(t.Context(), pod("client-b", corev1.ConditionTrue), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it did not notice")
	}
}

func TestPodState(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}}}}}}
	if got := podState(pod); got != "ErrImagePull not found" {
		t.Error(got)
	}
}

func TestNotOK(t *testing.T) {
	if got := notOK("[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]x failed\nreadyz check failed"); got != "etcd failed: reason withheld, x failed" {
		t.Error(got)
	}
	if got := notOK("ok"); got != "" {
		t.Error(got)
	}
}
