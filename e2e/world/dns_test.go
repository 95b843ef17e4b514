package world

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDNSService(t *testing.T) {
	service := func(namespace, label, ip string) corev1.Service {
		return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "any", Labels: map[string]string{"k8s-app": label}},
			Spec: corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}}}
	}
	dns := service("kube-system", "kube-dns", "10.96.0.10")
	unlabelled := service("kube-system", "", "10.96.0.10")
	unlabelled.Name = "kube-dns"
	others := []corev1.Service{service("kube-system", "metrics", "10.96.0.11"), service("other", "kube-dns", "10.96.0.12"), service("kube-system", "kube-dns", "None")}
	for name, c := range map[string]struct {
		w     World
		found bool
	}{
		"in a namespace of the snapshot": {World{Services: append(others, dns)}, true},
		"without the label":              {World{Elsewhere: append(others, unlabelled)}, true},
		"the first Service":              {World{Services: []corev1.Service{dns}}, true},
		"elsewhere":                      {World{Elsewhere: append(others, dns)}, true},
		"only others":                    {World{Services: others, Elsewhere: others}, false},
	} {
		got, found := c.w.DNSService()
		if found != c.found || found && got.Spec.ClusterIP != "10.96.0.10" {
			t.Errorf("%s: %t %s", name, found, got.Spec.ClusterIP)
		}
	}
}

func TestVersions(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "a", ResourceVersion: "1"}
	w := World{Services: []corev1.Service{{ObjectMeta: meta}, {ObjectMeta: metav1.ObjectMeta{Name: "b", ResourceVersion: "7"}}}, Slices: []discoveryv1.EndpointSlice{{ObjectMeta: meta}}, Pods: []corev1.Pod{{ObjectMeta: meta}}}
	before := w.Versions()
	if before != "service a@1 service b@7 slice a@1 pod a ready=false " {
		t.Errorf("%q", before)
	}
	w.Pods[0].ResourceVersion = "2"
	if w.Versions() != before {
		t.Error("a pod that is as ready as before changes no prediction")
	}
}
