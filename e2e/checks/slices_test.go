package checks

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
)

func TestEndpointSlices(t *testing.T) {
	yes, no, tcp, node := true, false, corev1.ProtocolTCP, "n1"
	port, name := int32(8080), "http"
	slice := func(change func(*discoveryv1.EndpointSlice)) discoveryv1.EndpointSlice {
		s := discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "my-service-x", Namespace: "ns",
				Labels:          map[string]string{discoveryv1.LabelServiceName: "my-service"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "Service", UID: "s1"}}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.7"}, NodeName: &node,
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: "a", UID: "p1"},
				Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no}}},
		}
		if change != nil {
			change(&s)
		}
		return s
	}
	a := endpointWant{Pod: "a", Conditions: []string{"serving", "ready"}, Ports: []string{"http 8080/TCP"}}
	for test, c := range map[string]struct {
		slice discoveryv1.EndpointSlice
		want  []endpointWant
		as    reach.Result
	}{
		"as wanted":             {slice(nil), []endpointWant{a}, reach.Pass},
		"no endpoint wanted":    {slice(nil), nil, reach.Fail},
		"listed twice":          {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints = append(s.Endpoints, s.Endpoints[0]) }), []endpointWant{a}, reach.Fail},
		"not listed":            {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }), []endpointWant{a}, reach.Fail},
		"not serving":           {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Serving = &no }), []endpointWant{a}, reach.Fail},
		"a condition unsaid":    {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Conditions.Terminating = nil }), []endpointWant{a}, reach.Fail},
		"another address":       {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "10.244.1.8" }), []endpointWant{a}, reach.Fail},
		"an earlier pod's name": {slice(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].TargetRef.UID = "p0" }), []endpointWant{a}, reach.Fail},
		"without a port":        {slice(func(s *discoveryv1.EndpointSlice) { s.Ports = nil }), []endpointWant{a}, reach.Fail},
		"without an owner":      {slice(func(s *discoveryv1.EndpointSlice) { s.OwnerReferences = nil }), []endpointWant{a}, reach.Fail},
		"a pod that is not":     {slice(nil), []endpointWant{{Pod: "z"}}, reach.Fail},
	} {
		s := addressed()
		s.World.Pods[0].UID = "p1"
		s.World.Services[0].UID = "s1"
		s.World.Services[0].Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
		s.World.Slices = []discoveryv1.EndpointSlice{c.slice}
		_, err := endpointSlices(context.Background(), Env{Namespace: "ns", World: s.World}, sliceArgs{Service: "my-service", Endpoints: c.want})
		if reach.ResultOf(err) != c.as {
			t.Errorf("%s: %v (%v), want %s", test, reach.ResultOf(err), err, c.as)
		}
	}
}
