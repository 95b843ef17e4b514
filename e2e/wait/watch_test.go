package wait

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "n", "name": name}, "data": map[string]any{"a": value}}}
}

func fakeClient(objects ...runtime.Object) *fake.FakeDynamicClient {
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{configMaps: "ConfigMapList"}, objects...)
}

// valued is the condition that ConfigMap c has a value; at notes when it is evaluated.
func valued(client *fake.FakeDynamicClient, value string, at *[]time.Time) Condition {
	return Retry(func(ctx context.Context) (bool, string, error) {
		*at = append(*at, time.Now())
		object, err := client.Resource(configMaps).Namespace("n").Get(ctx, "c", metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		got, _, err := unstructured.NestedString(object.Object, "data", "a")
		return got == value, got, err
	})
}

// A change wakes the wait, which is idle before it.
func TestOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient(configMap("c", "1"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		maps := client.Resource(configMaps).Namespace("n")
		began := time.Now()
		for i := range 10 { // a burst
			time.AfterFunc(8*time.Second+time.Duration(4*i)*time.Millisecond, func() {
				if _, err := maps.Update(ctx, configMap("c", "1"), metav1.UpdateOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		time.AfterFunc(12*time.Second, func() {
			if _, err := maps.Update(ctx, configMap("c", "2"), metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		})
		var looks []time.Time
		err := For(ctx, "it", valued(client, "2", &looks), On(client, Objects{Resource: configMaps, Namespace: "n", Name: "c"}), Every(time.Minute))
		if took := time.Since(began); err != nil || took < 12*time.Second || took > 12*time.Second+2*coalesce {
			t.Errorf("it took %s: %v", took, err)
		}
		// at once, after the first list, after the burst and after the last change
		if len(looks) != 4 {
			t.Errorf("evaluated %d times: %v", len(looks), looks)
		}
	})
}

// Where the watched objects tell that the condition cannot be met, it is evaluated only as Every says.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient(configMap("c", "1"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		for i, value := range []string{"2", "3", "4"} {
			time.AfterFunc(time.Duration(i+1)*time.Second, func() {
				if _, err := client.Resource(configMaps).Namespace("n").Update(ctx, configMap("c", value), metav1.UpdateOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		var (
			looks []time.Time
			seen  []string
		)
		gate := func(objects []*unstructured.Unstructured) (bool, string) {
			value, _, _ := unstructured.NestedString(objects[0].Object, "data", "a")
			seen = append(seen, value)
			return value == "4", value
		}
		err := For(ctx, "it", valued(client, "4", &looks), On(client, Objects{Resource: configMaps, Namespace: "n"}), Every(time.Minute), Gate(gate))
		if took := time.Since(began); err != nil || took > 3*time.Second+2*coalesce || len(looks) != 2 || !slices.Equal(seen, []string{"1", "2", "3", "4"}) {
			t.Errorf("it took %s, evaluated at %v, the watch told %q: %v", took, looks, seen, err)
		}
		looks = nil
		err = For(ctx, "it", valued(client, "5", &looks), On(client, Objects{Resource: configMaps, Namespace: "n"}), Every(time.Second), Timeout(2500*time.Millisecond),
			Gate(func([]*unstructured.Unstructured) (bool, string) { return false, "the watch" }))
		if err == nil || !strings.Contains(err.Error(), "last seen: 4") || len(looks) != 3 {
			t.Errorf("evaluated at %v: %v", looks, err)
		}
	})
}

// What no watch reports is found all the same.
func TestOnLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		var looks []time.Duration
		third := Condition(func(context.Context) (bool, string, error) {
			looks = append(looks, time.Since(began))
			return len(looks) == 3, "", nil
		})
		// at once, and after the first list: an object may have been deleted between the two, which no event reports
		if err := For(ctx, "it", third, On(client, Objects{Resource: configMaps})); err != nil || looks[0] != 0 || looks[1] > 2*coalesce || looks[2] != looks[1]+relook {
			t.Errorf("evaluated at %v: %v", looks, err)
		}
	})
}

// An API server that refuses lists for a while, as one that restarts, ends no wait.
func TestOnSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient(configMap("c", "1"))
		began, down := time.Now(), errors.New("connection refused")
		client.PrependReactor("*", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			return time.Since(began) < 90*time.Second, nil, down
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(4*time.Minute, func() {
			if _, err := client.Resource(configMaps).Namespace("n").Update(ctx, configMap("c", "2"), metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		})
		var seen []string
		var looks []time.Time
		err := For(ctx, "it", valued(client, "2", &looks), On(client, Objects{Resource: configMaps}), Every(10*time.Minute), Progress(func(s State) {
			if len(seen) == 0 || seen[len(seen)-1] != s.Seen {
				seen = append(seen, s.Seen)
			}
		}))
		if took := time.Since(began); err != nil || took > 4*time.Minute+2*coalesce {
			t.Errorf("it took %s: %v", took, err)
		}
		if want := []string{"", "connection refused", "1", "2"}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	})
}

func TestHoldOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient(configMap("c", "2"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var looks []time.Time
		began := time.Now()
		hold := func() error {
			return For(ctx, "it", valued(client, "2", &looks), On(client, Objects{Resource: configMaps, Namespace: "n", Name: "c"}), Hold(8*time.Second))
		}
		if err := hold(); err != nil || time.Since(began) > 8*time.Second+coalesce || time.Since(began) < 8*time.Second {
			t.Errorf("it took %s: %v", time.Since(began), err)
		}
		began = time.Now()
		time.AfterFunc(7*time.Second, func() {
			if _, err := client.Resource(configMaps).Namespace("n").Update(ctx, configMap("c", "3"), metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		})
		if err := hold(); !errors.Is(err, ErrNotHeld) || time.Since(began) > 7*time.Second+2*coalesce {
			t.Errorf("it took %s: %v", time.Since(began), err)
		}
	})
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fakeClient(configMap("c", "1"), configMap("other", "1"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w, err := Follow(ctx, client, Objects{Resource: configMaps, Namespace: "n"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Listed(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		<-w.Changed()
		for _, want := range []int{2, 1} {
			if list, err := w.List(); err != nil || len(list) != want {
				t.Errorf("%d objects, want %d: %v", len(list), want, err)
			}
			if want == 2 {
				if err := client.Resource(configMaps).Namespace("n").Delete(ctx, "other", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				<-w.Changed()
			}
		}
		select {
		case <-w.Changed():
			t.Error("a change is reported twice")
		default:
		}
	})
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		client := fakeClient()
		client.PrependReactor("list", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w, err := Follow(ctx, client, Objects{Resource: configMaps})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Listed(ctx); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	})
	// how every watch ends is no loss
	w := &Watch{lost: make(chan error, 1)}
	for _, err := range []error{io.EOF, apierrors.NewResourceExpired("too old")} {
		w.broke(err)
	}
	select {
	case err := <-w.Lost():
		t.Errorf("lost: %v", err)
	default:
	}
}
