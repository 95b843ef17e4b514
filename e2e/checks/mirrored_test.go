package checks

import (
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/reach"
)

func TestMirroredSlices(t *testing.T) {
	endpoints := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"}, //nolint:staticcheck // that they are deprecated is what this is about
		Subsets: []corev1.EndpointSubset{{Ports: []corev1.EndpointPort{{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}}, //nolint:staticcheck // as above
			Addresses: []corev1.EndpointAddress{{IP: "10.244.1.7"}}, NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.244.1.8"}}}}} //nolint:staticcheck // as above
	slice := func(name, manager string, addrs map[string]bool) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns",
			Labels: map[string]string{discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: manager}},
			Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}}}
		for addr, ready := range addrs {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
		}
		return s
	}
	copied := map[string]bool{"10.244.1.7": true, "10.244.1.8": false}
	for name, c := range map[string]struct {
		objects []runtime.Object
		slices  int
		why     string
	}{
		"copied":              {[]runtime.Object{endpoints, slice("a", mirroring, copied), slice("b", "svclab", map[string]bool{"10.0.0.1": true})}, 1, ""},
		"none":                {[]runtime.Object{endpoints}, 0, ""},
		"not copied":          {[]runtime.Object{endpoints}, 1, "are not those of its Endpoints: not listed: 10.244.1.7, ready true, port http 8080/TCP and"},
		"as if it were ready": {[]runtime.Object{endpoints, slice("a", mirroring, map[string]bool{"10.244.1.7": true, "10.244.1.8": true})}, 1, "listed as 10.244.1.8, ready true"},
		"twice":               {[]runtime.Object{endpoints, slice("a", mirroring, map[string]bool{"10.244.1.7": true}), slice("b", mirroring, map[string]bool{"10.244.1.8": false})}, 1, "2 copied EndpointSlices, want 1"},
		"left behind":         {[]runtime.Object{slice("a", mirroring, copied)}, 0, "listed but not wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := mirroredSlices(t.Context(), Env{Namespace: "ns", Client: fake.NewClientset(c.objects...)}, mirroredArgs{Service: "web", Slices: c.slices})
				if (err == nil) != (c.why == "") || err != nil && (reach.ResultOf(err) != reach.Fail || !strings.Contains(err.Error(), c.why)) {
					t.Errorf("%v, want %q", err, c.why)
				}
			})
		})
	}
}
