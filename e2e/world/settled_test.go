package world

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSettled(t *testing.T) {
	now := metav1.Now()
	notReady := func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, Message: "it fits"},
			{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, Message: "app"}, {Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "the probe fails"}}
	}
	first := func(w *World, change func(*corev1.Service)) { // puts a copy of the Service before it
		s := *w.Services[0].DeepCopy()
		change(&s)
		w.Services = append([]corev1.Service{s}, w.Services...)
	}
	inOther := func(s *corev1.Service) { s.Namespace = "other" }
	unlisted := func(w *World, conditions discoveryv1.EndpointConditions) {
		w.Slices[0].Endpoints[0].Conditions = conditions
	}
	for _, tc := range []struct {
		name   string
		change func(*World)
		allow  Allow
		want   string // what is waited for; empty: settled
	}{
		{"all is well", func(*World) {}, Allow{}, ""},
		{"deployment not observed", func(w *World) { w.Deployments[0].Generation = 4 }, Allow{}, "Deployment demo/web: its controller has seen generation 3 of 4"},
		{"deployment rolling out", func(w *World) { w.Deployments[0].Status.UpdatedReplicas = 1 }, Allow{}, "Deployment demo/web: 1 of 2 pods are of the current template, 2 exist"},
		{"old pods not gone", func(w *World) { w.Deployments[0].Status.Replicas = 3 }, Allow{}, "Deployment demo/web: 2 of 2 pods are of the current template, 3 exist"},
		{"deployment not available", func(w *World) { w.Deployments[0].Status.AvailableReplicas = 1 }, Allow{}, "Deployment demo/web: 2 of 2 pods are ready, 1 available"},
		{"unavailable on purpose", func(w *World) { w.Deployments[0].Status.ReadyReplicas = 0 }, Allow{Unready: true}, ""},
		{"deployment without replicas wants one", func(w *World) { w.Deployments[0].Spec.Replicas = nil }, Allow{}, "2 of 1 pods"},
		{"deployment going", func(w *World) { w.Deployments[0].DeletionTimestamp = &now }, Allow{}, "Deployment demo/web to be gone"},
		{"stateful set", func(w *World) {
			w.StatefulSets = []appsv1.StatefulSet{{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "db"}}}
		}, Allow{}, "StatefulSet demo/db: 0 of 1 pods are of the current template"},
		{"daemon set", func(w *World) {
			w.DaemonSets = []appsv1.DaemonSet{{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "d"}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: 2}}}
		}, Allow{}, "DaemonSet demo/d: 2 of 3 pods are ready"},
		{"of another namespace", func(w *World) {
			w.Deployments[0].Namespace, w.Pods[0].Namespace = "other", "other"
			w.Slices[0].Endpoints = w.Slices[0].Endpoints[1:]
			w.Pods[0].DeletionTimestamp = &now
			*w = w.WithClaims([]Claim{{"demo/web", "two"}})
		}, Allow{}, ""},
		{"pod going", func(w *World) { w.Pods[0].DeletionTimestamp = &now }, Allow{}, "pod demo/a to be gone"},
		{"pod going on purpose, slice behind", func(w *World) { w.Pods[0].DeletionTimestamp = &now }, Allow{Terminating: true},
			"EndpointSlices of service demo/web: 10.244.1.11 is listed as pod a on one, ready, serving, not terminating, http=8080/TCP, and is pod a on one, not ready, serving, terminating, http=8080/TCP"},
		{"pod going on purpose", func(w *World) {
			w.Pods[0].DeletionTimestamp = &now
			unlisted(w, discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)})
		}, Allow{Terminating: true}, ""},
		{"pod not scheduled", func(w *World) { w.Pods[0].Spec.NodeName = "" }, Allow{}, "pod demo/a to be scheduled"},
		{"pod without address", func(w *World) {
			w.Pods[0].Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}}
		}, Allow{}, "pod demo/a to get an address; container app waits: ImagePullBackOff"},
		{"pod not ready", func(w *World) { notReady(&w.Pods[0]) }, Allow{}, "pod demo/a to be ready (the probe fails)"},
		{"pod not ready, after one of another namespace", func(w *World) { w.Pods[0].Namespace = "other"; notReady(&w.Pods[1]) }, Allow{}, "pod demo/b to be ready"},
		{"pod not ready, after one that has ended", func(w *World) { w.Pods[0].Status.Phase = corev1.PodFailed; notReady(&w.Pods[1]) }, Allow{}, "pod demo/b to be ready"},
		{"pod not ready, after one that may terminate", func(w *World) { w.Pods[0].DeletionTimestamp = &now; notReady(&w.Pods[1]) }, Allow{Terminating: true}, "pod demo/b to be ready"},
		{"pod not ready on purpose, slice behind", func(w *World) { notReady(&w.Pods[0]) }, Allow{Unready: true}, "10.244.1.11 is listed as"},
		{"pod not ready on purpose", func(w *World) {
			notReady(&w.Pods[0])
			unlisted(w, discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(false)})
			*w = w.WithClaims([]Claim{{"demo/web", "two"}})
		}, Allow{Unready: true}, ""},
		{"not ready yet published", func(w *World) {
			notReady(&w.Pods[0])
			w.Services[0].Spec.PublishNotReadyAddresses = true
			unlisted(w, discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(false), Terminating: ptr(false)})
		}, Allow{Unready: true}, ""},
		{"pod that has ended", func(w *World) {
			w.Pods[0].Status.Phase = corev1.PodFailed
			w.Slices[0].Endpoints = w.Slices[0].Endpoints[1:]
		}, Allow{}, ""},
		{"pod not in the slice yet", func(w *World) { w.Slices[0].Endpoints = w.Slices[0].Endpoints[1:] }, Allow{}, "10.244.1.11 is not listed (pod a on one, ready"},
		{"pod gone, slice behind", func(w *World) { w.Pods = w.Pods[1:] }, Allow{}, "10.244.1.11 is still listed (pod a on one"},
		{"no slice yet", func(w *World) { w.Slices = nil }, Allow{}, "10.244.1.11 is not listed"},
		{"no slice yet, after a Service of another namespace", func(w *World) { first(w, inOther); w.Slices = nil }, Allow{}, "10.244.1.11 is not listed"},
		{"no slice yet, after a Service without selector", func(w *World) {
			first(w, func(s *corev1.Service) { s.Spec.Selector = nil })
			w.Slices = nil
		}, Allow{}, "10.244.1.11 is not listed"},
		{"after a pod that the selector does not match", func(w *World) {
			w.Pods = append([]corev1.Pod{samplePod("x", "one", "10.244.1.99")}, w.Pods...)
			w.Pods[0].Labels = nil
		}, Allow{}, ""},
		{"a slice's port without a number, an endpoint without an address", func(w *World) {
			w.Slices[0].Ports = append(w.Slices[0].Ports, discoveryv1.EndpointPort{Name: ptr("x")})
			w.Slices[0].Endpoints = append([]discoveryv1.Endpoint{{}}, w.Slices[0].Endpoints...)
		}, Allow{}, ""},
		{"an address still listed for a pod that is gone", func(w *World) {
			old := sampleEndpoint("old", "one", "10.244.1.11")
			old.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(true)}
			w.Slices[0].Endpoints = slices.Insert(w.Slices[0].Endpoints, 1, old)
		}, Allow{}, ""},
		{"port changed, slice behind", func(w *World) { w.Pods[0].Spec.Containers[0].Ports[0].ContainerPort = 9090 }, Allow{}, "http=8080/TCP, and is pod a on one, ready, serving, not terminating, http=9090/TCP"},
		{"named port of no pod", func(w *World) {
			w.Services[0].Spec.Ports[0].TargetPort.StrVal = "htpp"
			w.Slices[0].Ports = nil
		}, Allow{}, ""},
		{"selectorless", func(w *World) { w.Services[0].Spec.Selector = nil; w.Slices = w.Slices[:1]; w.Pods = nil }, Allow{}, ""},
		{"service going", func(w *World) { w.Services[0].DeletionTimestamp = &now }, Allow{}, "service demo/web to be gone"},
		{"zone hints missing", func(w *World) {
			w.Services[0].Spec.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferSameZone)
			w.Slices[0].Endpoints[0].Zone = ptr("a")
		}, Allow{}, "zone hints of 10.244.1.11 to be set"},
		{"zone hints of an endpoint without zone", func(w *World) {
			w.Services[0].Spec.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferSameZone)
		}, Allow{}, ""},
		{"node hints missing", func(w *World) {
			w.Services[0].Spec.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferSameNode)
		}, Allow{}, "node hints of 10.244.1.11 to be set"},
		{"zone hints missing, PreferClose", func(w *World) {
			w.Services[0].Spec.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferClose)
			w.Slices[0].Endpoints[0].Zone = ptr("a")
		}, Allow{}, "zone hints of 10.244.1.11 to be set"},
		{"zone hints by annotation", func(w *World) {
			w.Services[0].Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"}
			w.Slices[0].Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}}
		}, Allow{}, ""},
		{"node hints missing, after an endpoint that is not ready", func(w *World) {
			notReady(&w.Pods[0])
			unlisted(w, discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(false)})
			w.Services[0].Spec.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferSameNode)
		}, Allow{Unready: true}, "node hints of 10.244.2.12 to be set"},
		{"node hints not yet removed", func(w *World) {
			w.Slices[0].Endpoints[0].Hints = &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: "one"}}}
		}, Allow{}, "node hints of 10.244.1.11 to be removed"},
		{"no address yet", func(w *World) { w.Services[0].Status = corev1.ServiceStatus{} }, Allow{}, "service demo/web to get 1 load-balancer address(es), it has 0"},
		{"no address yet, after a Service of another namespace", func(w *World) { first(w, inOther); w.Services[1].Status = corev1.ServiceStatus{} }, Allow{}, "service demo/web to get 1 load-balancer"},
		{"no address on purpose", func(w *World) { w.Services[0].Status = corev1.ServiceStatus{} }, Allow{Pending: true}, ""},
		{"one address of two", func(w *World) { w.Services[0].Spec.IPFamilyPolicy = ptr(corev1.IPFamilyPolicyRequireDualStack) }, Allow{}, "to get 2 load-balancer"},
		{"class of another controller", func(w *World) {
			w.Services[0].Spec.LoadBalancerClass = ptr("example.com/other")
			w.Services[0].Status = corev1.ServiceStatus{}
			*w = w.WithClaims(nil)
		}, Allow{}, ""},
		{"no controller", func(w *World) {
			w.Facts.LoadBalancer = false
			w.Services[0].Status = corev1.ServiceStatus{}
			w.Announcers = nil
		}, Allow{}, ""},
		{"address not given up", func(w *World) { w.Services[0].Spec.Type = corev1.ServiceTypeNodePort }, Allow{}, "service demo/web, no load balancer any more, to give up 172.18.255.1"},
		{"announced by no node", func(w *World) { *w = w.WithClaims(nil) }, Allow{}, "a node to announce service demo/web"},
		{"announced twice", func(w *World) { *w = w.WithClaims([]Claim{{"demo/web", "one"}, {"demo/web", "two"}}) }, Allow{}, "one node to announce service demo/web; one and two do"},
		{"announced without endpoint", func(w *World) {
			w.Services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			*w = w.WithClaims([]Claim{{"demo/web", "cp"}})
		}, Allow{}, "service demo/web to be announced by one of one, two, not by cp"},
		{"announced by an excluded node", func(w *World) {
			w.Nodes[0].Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""}
			*w = w.WithClaims([]Claim{{"demo/web", "cp"}})
		}, Allow{}, "not by cp"},
		{"announced, nothing serves", func(w *World) {
			w.Services[0].Spec.Selector = map[string]string{"app": "none"}
			w.Slices[0].Endpoints = nil
		}, Allow{}, "one to stop announcing service demo/web"},
		{"announced after it was turned into something else", func(w *World) {
			w.Services[0].Spec.Type, w.Services[0].Status = corev1.ServiceTypeClusterIP, corev1.ServiceStatus{}
		}, Allow{}, "one to stop announcing service demo/web"},
		{"the announcer is not reported", func(w *World) { w.Announcers, w.Claims = nil, nil }, Allow{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := sample()
			tc.change(&w)
			ok, waitingFor := SettledBut(w, tc.allow, "demo")
			if ok != (tc.want == "") || !strings.Contains(waitingFor, tc.want) || ok && waitingFor != "" {
				t.Errorf("settled %v, waiting for %q; want %q", ok, waitingFor, tc.want)
			}
		})
	}
}

func TestSettledTakesTheWorldsNamespaces(t *testing.T) {
	w := sample()
	w.Deployments[0].Status.ReadyReplicas = 0
	if ok, _ := Settled(w); ok {
		t.Error("settled with nothing ready")
	}
	if ok, waitingFor := Settled(w, "other"); !ok {
		t.Errorf("another namespace waits for %s", waitingFor)
	}
}

func TestUnannounced(t *testing.T) {
	conditions := func(w *World, c discoveryv1.EndpointConditions) {
		w.Slices[0].Endpoints[0].Conditions, w.Slices[0].Endpoints[1].Conditions = c, c
	}
	for name, tc := range map[string]struct {
		change func(*World)
		want   []string
	}{
		"announced":                 {func(*World) {}, nil},
		"no report":                 {func(w *World) { *w = w.WithClaims(nil) }, []string{"web"}},
		"no report, nothing serves": {func(w *World) { *w = w.WithClaims(nil); w.Slices = nil }, nil},
		"no report, no address":     {func(w *World) { *w = w.WithClaims(nil); w.Services[0].Status = corev1.ServiceStatus{} }, nil},
		"no report, terminating but serving": {func(w *World) {
			*w = w.WithClaims(nil)
			conditions(w, discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)})
		}, []string{"web"}},
		"no report, not ready": {func(w *World) {
			*w = w.WithClaims(nil)
			conditions(w, discoveryv1.EndpointConditions{Ready: ptr(false)})
		}, nil},
		"no MetalLB": {func(w *World) { w.Claims, w.Announcers = nil, nil }, nil},
	} {
		w := sample()
		tc.change(&w)
		if got := w.Unannounced("demo"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
		if got := w.Unannounced("other"); got != nil {
			t.Errorf("%s: another namespace has %v", name, got)
		}
	}
}
