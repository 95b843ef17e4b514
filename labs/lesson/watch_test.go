package lesson

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

var (
	services = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	pods     = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func fakeCluster(t *testing.T, objects ...string) *fake.FakeDynamicClient {
	t.Helper()
	var there []runtime.Object
	for _, text := range objects {
		there = append(there, parsed(t, text))
	}
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{services: "ServiceList", pods: "PodList"}, there...)
}

// awaitPrint waits until done holds of what is watched. It reads again after each report of a change, because the first may be of an earlier one.
func awaitPrint(t *testing.T, w *Watch, what string, done func(Print) bool) {
	t.Helper()
	bound := time.After(5 * time.Second)
	for {
		now, err := w.Print()
		if err != nil {
			t.Fatal(err)
		}
		if done(now) {
			return
		}
		select {
		case <-w.Changed():
		case <-bound:
			t.Fatalf("%s: no report, or it is not there: %v", what, now)
		}
	}
}

func TestFollow(t *testing.T) {
	ctx := t.Context()
	client := fakeCluster(t, aService, madePod)
	// The fake cluster loses changes between a list and its watch; an API server does not.
	var begun sync.WaitGroup
	begun.Add(2)
	client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		defer begun.Done()
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace(), action.(clienttesting.WatchActionImpl).ListOptions)
		return true, w, err
	})
	w, err := Follow(ctx, client, "learn-04", []Watched{{Resource: services, Namespace: "learn-04"}, {Resource: pods, Namespace: "learn-04"}})
	if err != nil {
		t.Fatal(err)
	}
	begun.Wait()
	before, err := w.Print()
	if err != nil || len(before) != 2 {
		t.Fatalf("what is there at first: %v, %v", before, err)
	}
	changed := with(parsed(t, aService), "ClusterIP", "spec", "type")
	if _, err := client.Resource(services).Namespace("learn-04").Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitPrint(t, w, "a Service that changed", func(now Print) bool {
		change := now.Since(before)
		return slices.Equal(change.Objects, []string{"service/my-service"}) && change.Hand
	})
	if err := client.Resource(pods).Namespace("learn-04").Delete(ctx, "my-app-5d5f-x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitPrint(t, w, "a pod that was deleted", func(now Print) bool { return len(now) == 1 })
}

func TestFollowTellsOfAClusterThatDoesNotAnswer(t *testing.T) {
	down := errors.New("connection refused")
	client := fakeCluster(t)
	client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Follow(ctx, client, "learn-04", []Watched{{Resource: services, Namespace: "learn-04"}})
	if err == nil || !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}
