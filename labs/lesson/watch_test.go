package lesson

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// told waits until something may have changed.
func told(t *testing.T, w *Watch) {
	t.Helper()
	select {
	case <-w.Changed():
	case <-time.After(5 * time.Second):
		t.Fatal("a change was not told of")
	}
}

func TestFollow(t *testing.T) {
	ctx := t.Context()
	client := fakeCluster(t, aService, madePod)
	w, err := Follow(ctx, client, "learn-04", []Watched{{Resource: services, Namespace: "learn-04"}, {Resource: pods, Namespace: "learn-04"}})
	if err != nil {
		t.Fatal(err)
	}
	before, err := w.Print()
	if err != nil || len(before) != 2 {
		t.Fatalf("what is there at first: %v, %v", before, err)
	}
	changed := with(parsed(t, aService), "ClusterIP", "spec", "type")
	if _, err := client.Resource(services).Namespace("learn-04").Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for bound := time.Now().Add(5 * time.Second); ; { // the first tells may be of what was there
		told(t, w)
		now, err := w.Print()
		if err != nil {
			t.Fatal(err)
		}
		change := now.Since(before)
		if slices.Equal(change.Objects, []string{"service/my-service"}) && change.Hand {
			break
		}
		if time.Now().After(bound) {
			t.Fatalf("got %+v", change)
		}
	}
	if err := client.Resource(pods).Namespace("learn-04").Delete(ctx, "my-app-5d5f-x", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	told(t, w)
	if now, err := w.Print(); err != nil || len(now) != 1 {
		t.Errorf("a deleted pod is still there: %v, %v", now, err)
	}
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
