package world

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
)

func TestTargets(t *testing.T) {
	dual := func(w *World) {
		for i := range w.Nodes {
			w.Nodes[i].Status.Addresses = append(w.Nodes[i].Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "fc00::" + string(rune('2'+i))})
		}
		s := &w.Services[0]
		s.Spec.ClusterIPs, s.Spec.IPFamilies = []string{"10.96.0.10", "fd00::10"}, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
		s.Status = corev1.ServiceStatus{}
		w.Slices = nil
	}
	for _, tc := range []struct {
		name   string
		change func(*World)
		forms  []NameForm
		want   string // one a line; "!" after an undeclared one
	}{
		{"load balancer", nil, nil, `
			web clusterIP:80/TCP
			web clusterIP:81/TCP!
			web dns(web.demo.svc.cluster.local):80/TCP
			web nodePort@control-plane:30080/TCP
			web nodePort@control-plane:30081/TCP!
			web nodePort@worker:30080/TCP
			web nodePort@worker:30081/TCP!
			web nodePort@worker2:30080/TCP
			web nodePort@worker2:30081/TCP!
			web localhost:30080/TCP
			web loadBalancer:80/TCP
			web endpoint@a:8080/TCP
			web endpoint@b:8080/TCP`},
		{"policy Local, no node ports, external IPs, one endpoint ready", func(w *World) {
			s := &w.Services[0]
			s.Spec.Ports[0].NodePort, s.Spec.HealthCheckNodePort = 0, 30200
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
			s.Spec.ExternalIPs = []string{"203.0.113.9", "203.0.113.8", "2001:db8::8"}
			w.Slices[0].Endpoints[0].Conditions.Ready = ptr(false)
		}, nil, `
			web clusterIP:80/TCP
			web clusterIP:81/TCP!
			web dns(web.demo.svc.cluster.local):80/TCP
			web loadBalancer:80/TCP
			web externalIP@203.0.113.8:80/TCP
			web externalIP@203.0.113.9:80/TCP
			web healthCheck@control-plane:30200/TCP
			web healthCheck@worker:30200/TCP
			web healthCheck@worker2:30200/TCP
			web endpoint@b:8080/TCP`},
		{"both families, nothing assigned", dual, nil, `
			web clusterIP:80/TCP
			web clusterIP:81/TCP!
			web clusterIP:80/TCP/v6
			web clusterIP:81/TCP!/v6
			web dns(web.demo.svc.cluster.local):80/TCP
			web dns(web.demo.svc.cluster.local):80/TCP/v6
			web nodePort@control-plane:30080/TCP
			web nodePort@control-plane:30081/TCP!
			web nodePort@worker:30080/TCP
			web nodePort@worker:30081/TCP!
			web nodePort@worker2:30080/TCP
			web nodePort@worker2:30081/TCP!
			web nodePort@control-plane:30080/TCP/v6
			web nodePort@control-plane:30081/TCP!/v6
			web nodePort@worker:30080/TCP/v6
			web nodePort@worker:30081/TCP!/v6
			web nodePort@worker2:30080/TCP/v6
			web nodePort@worker2:30081/TCP!/v6
			web localhost:30080/TCP
			web localhost:30080/TCP/v6`},
		{"neighbours that others have", func(w *World) {
			w.Nodes = w.Nodes[:1]
			w.Services[0].Spec.Ports = append(w.Services[0].Spec.Ports, corev1.ServicePort{Name: "dns", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolUDP})
			w.Elsewhere = []corev1.Service{{Spec: corev1.ServiceSpec{HealthCheckNodePort: 30082, Ports: []corev1.ServicePort{{Port: 81, NodePort: 30081}}}}}
		}, nil, `
			web clusterIP:80/TCP
			web clusterIP:80/UDP
			web clusterIP:82/TCP!
			web dns(web.demo.svc.cluster.local):80/TCP
			web dns(web.demo.svc.cluster.local):80/UDP
			web nodePort@control-plane:30080/TCP
			web nodePort@control-plane:30080/UDP
			web nodePort@control-plane:30083/TCP!
			web localhost:30080/TCP
			web localhost:30080/UDP
			web loadBalancer:80/TCP
			web loadBalancer:80/UDP
			web endpoint@a:8080/TCP
			web endpoint@b:8080/TCP`},
		{"headless", func(w *World) {
			s := &w.Services[0]
			s.Spec.Type, s.Spec.ClusterIP, s.Spec.ClusterIPs, s.Spec.Ports[0].NodePort = corev1.ServiceTypeClusterIP, "None", []string{"None"}, 0
			s.Status = corev1.ServiceStatus{}
			for i := range w.Slices { // as Kubernetes labels them
				w.Slices[i].Labels[corev1.IsHeadlessService] = ""
			}
		}, []NameForm{FormFull, FormPod}, `
			web dns(web.demo.svc.cluster.local):80/TCP!
			web dns(web.demo.svc.cluster.local):8080/TCP
			web dns(10-244-1-11.web.demo.svc.cluster.local):80/TCP!
			web dns(10-244-1-11.web.demo.svc.cluster.local):8080/TCP
			web dns(10-244-2-12.web.demo.svc.cluster.local):80/TCP!
			web dns(10-244-2-12.web.demo.svc.cluster.local):8080/TCP
			web endpoint@a:8080/TCP
			web endpoint@b:8080/TCP`},
		{"headless without endpoints", func(w *World) {
			s := &w.Services[0]
			s.Spec.ClusterIP, s.Spec.ClusterIPs = "None", []string{"None"}
			s.Spec.Ports[0].TargetPort = intstr.FromInt32(80)
			w.Slices = nil
		}, nil, `
			web dns(web.demo.svc.cluster.local):80/TCP`},
		{"external name, all forms", func(w *World) {
			w.Services[0].Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
			w.Slices = nil
		}, []NameForm{FormShort, FormNamespace, FormSvc, FormFull, FormAbsolute}, `
			web externalName(web):80/TCP
			web externalName(web.demo):80/TCP
			web externalName(web.demo.svc):80/TCP
			web externalName(web.demo.svc.cluster.local):80/TCP
			web externalName(web.demo.svc.cluster.local.):80/TCP`},
		{"external name with a port", func(w *World) {
			w.Services[0].Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", Ports: []corev1.ServicePort{{Port: 8080}}}
			w.Facts.Domain = "lab.example"
			w.Slices = nil
		}, nil, `
			web externalName(web.demo.svc.lab.example):8080/TCP`},
		{"addresses without a port", func(w *World) {
			s := &w.Services[0]
			s.Spec.Type, s.Spec.Ports[0].NodePort, s.Status = corev1.ServiceTypeClusterIP, 0, corev1.ServiceStatus{}
			w.Slices[0].Ports[0].Port = nil
		}, nil, `
			web clusterIP:80/TCP
			web clusterIP:81/TCP!
			web dns(web.demo.svc.cluster.local):80/TCP`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := sample()
			if tc.change != nil {
				tc.change(&w)
			}
			targets := w.Targets("demo/web")
			if tc.forms != nil {
				targets = w.TargetsWith("demo/web", tc.forms...)
			}
			var got []string
			for _, target := range targets {
				name := target.Name()
				if target.Undeclared {
					name = strings.Replace(name, string(target.Protocol), string(target.Protocol)+"!", 1)
				}
				got = append(got, name)
			}
			want := strings.Split(strings.TrimSpace(strings.ReplaceAll(tc.want, "\t", "")), "\n")
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestTargetsOfNothing(t *testing.T) {
	if targets := sample().Targets("demo/wbe"); targets != nil {
		t.Errorf("a Service that is not there has targets %v", targets)
	}
}

func TestTargetsDoNotDependOnOrder(t *testing.T) {
	w := sample()
	want := w.Targets("demo/web")
	slices.Reverse(w.Nodes)
	slices.Reverse(w.Slices[0].Endpoints)
	if got := w.Targets("demo/web"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestApplicable(t *testing.T) {
	loopback, port := reach.Target{Kind: reach.Localhost}, reach.Target{Kind: reach.NodePort}
	for _, kind := range []reach.VantageKind{reach.Pod, reach.Node, reach.Outside, reach.Host} {
		v := reach.Vantage{Kind: kind}
		if got := Applicable(v, loopback); got != (kind == reach.Node) {
			t.Errorf("%s probes a loopback: %v", kind, got)
		}
		if !Applicable(v, port) {
			t.Errorf("%s does not probe a node port", kind)
		}
	}
}

func TestSlots(t *testing.T) {
	slots := []string{"worker10", "worker2", "control-plane", "worker"}
	slices.SortFunc(slots, compareSlots)
	if got := strings.Join(slots, " "); got != "control-plane worker worker2 worker10" {
		t.Error(got)
	}
	twice := World{Facts: Facts{Slots: map[string]string{"worker": "one", "worker3": "one"}}}
	if got := twice.Slot("one"); got != "worker" {
		t.Errorf("slot %q of a node in two", got)
	}
	if got := sample().Slot("stranger"); got != "stranger" {
		t.Errorf("slot %q of a node in none", got)
	}
}
