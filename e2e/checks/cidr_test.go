package checks

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func TestSpareRange(t *testing.T) {
	for test, c := range map[string]struct{ pods, node, want string }{
		"the last sixteen":      {"10.244.0.0/16", "10.244.1.0/24", "10.244.255.240/28"},
		"of IPv6":               {"fd00:10:244::/56", "fd00:10:244:1::/64", "fd00:10:244:ff:ffff:ffff:ffff:fff0/124"},
		"a range off the bytes": {"10.240.0.0/13", "10.240.0.0/24", "10.247.255.240/28"},
		"a node has it":         {"10.244.0.0/16", "10.244.255.0/24", "error"},
		"nothing is known":      {"", "10.244.1.0/24", "error"},
	} {
		w := world.World{Nodes: []corev1.Node{{Spec: corev1.NodeSpec{PodCIDRs: []string{c.node}}}}}
		if c.pods != "" {
			w.Facts.PodCIDRs = []netip.Prefix{netip.MustParsePrefix(c.pods)}
		}
		got := "error"
		if spare, err := spareRange(w); err == nil {
			got = spare.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", test, got, c.want)
		}
	}
}

func TestDeletions(t *testing.T) {
	event := func(kind watch.EventType, name string) watch.Event {
		return watch.Event{Type: kind, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}}
	}
	events := make(chan watch.Event, 3)
	events <- event(watch.Deleted, "a")
	events <- event(watch.Modified, "b")
	events <- event(watch.Deleted, "c")
	if names, err := deletions(context.Background(), events, 2); err != nil || !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("got %v, %v", names, err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := deletions(ended, events, 1); reach.ResultOf(err) != reach.Fail {
		t.Errorf("a deletion that no event reports: %v", err)
	}
	close(events)
	if _, err := deletions(context.Background(), events, 1); reach.ResultOf(err) != reach.Inconclusive {
		t.Errorf("a watch that ends: %v", err)
	}
}

func TestDynamicBand(t *testing.T) {
	for text, want := range map[string]string{"10.96.0.0/16": "10.96.1.1", "10.96.0.0/24": "10.96.0.17", "10.96.0.0/29": "10.96.0.1", "fd00:96::/112": "fd00:96::101"} {
		if got := firstDynamic(netip.MustParsePrefix(text)); got.String() != want {
			t.Errorf("%s: the upper band begins at %s, want %s", text, got, want)
		}
	}
	w := dual().World // the Service has 10.96.0.9 and fd00:96::9
	if _, err := dynamicBand(t.Context(), Env{Namespace: "ns", World: w}, serviceArgs{"my-service"}); reach.ResultOf(err) != reach.Fail {
		t.Errorf("the addresses are in the lower band: %v", err)
	}
	w.Services[0].Spec.ClusterIPs = []string{"10.96.9.9", "fd00:96::1:9"}
	if lines, err := dynamicBand(t.Context(), Env{Namespace: "ns", World: w}, serviceArgs{"my-service"}); err == nil || len(lines) != 1 {
		t.Errorf("an address of no known range is an error: %v, %v", lines, err)
	}
}
