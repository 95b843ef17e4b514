//go:build e2e

package explain_test

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/reach"
)

const agnhost = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"

// The test's own pools, of one address each, and what requests them. No speaker announces the first; the advertisement of
// the second is for nodes that are not there.
const (
	mutePool, barredPool = "svclab-explain-mute", "svclab-explain-barred"
	poolAnnotation       = "metallb.io/address-pool"
	addressAnnotation    = "metallb.io/loadBalancerIPs"
)

// pod is a pod with the label app=NAME, which answers on 8080/TCP and 8081/UDP unless change makes it ail.
func pod(name string, change func(*corev1.PodSpec)) corev1.Pod {
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr(int64(1)), AutomountServiceAccountToken: ptr(false), EnableServiceLinks: ptr(false),
		Containers: []corev1.Container{{Name: "app", Image: agnhost, ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{"netexec", "--http-port=8080", "--udp-port=8081"},
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
				{Name: "talk", ContainerPort: 8081, Protocol: corev1.ProtocolUDP}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/hostname", Port: intstr.FromInt32(8080)}}},
		}},
	}
	if change != nil {
		change(&spec)
	}
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: spec}
}

// ailing are pods that are not ready, each for another reason, and two that answer no Service for other reasons.
func ailing() []corev1.Pod {
	shell := func(script string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Containers[0].Command, s.Containers[0].Args = []string{"sh", "-c", script}, nil
			s.Containers[0].ReadinessProbe = nil
		}
	}
	return []corev1.Pod{
		pod("nowhere", func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"svclab.io/rack": "none"} }),
		pod("imageless", func(s *corev1.PodSpec) {
			s.Containers[0].Image, s.Containers[0].ImagePullPolicy = "svclab.invalid/nothing:1", corev1.PullNever // pulls from no registry
		}),
		pod("crashing", shell("exit 3")),
		pod("misconfigured", func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "nothing"}}}}
		}),
		pod("unready", func(s *corev1.PodSpec) {
			s.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/hostname", Port: intstr.FromInt32(8089)}}}
		}),
		pod("gated", func(s *corev1.PodSpec) {
			s.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "svclab.io/registered"}}
		}),
		pod("unmade", func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "nothing"}}}}
			s.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}
		}),
		pod("ended", func(s *corev1.PodSpec) {
			shell("exit 0")(s)
			s.RestartPolicy = corev1.RestartPolicyNever
		}),
		// Alpine's nc and Debian's take other arguments
		pod("local", shell("nc -lk 127.0.0.1 8080 || exec nc -lk -s 127.0.0.1 -p 8080 -e cat")),
		pod("going", func(s *corev1.PodSpec) {
			s.TerminationGracePeriodSeconds = ptr(int64(300))
			s.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "290"}}}}
		}),
	}
}

func deployment(name string, replicas int32, change func(*corev1.PodTemplateSpec)) appsv1.Deployment {
	template := corev1.PodTemplateSpec{Spec: pod(name, nil).Spec, ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}}
	if change != nil {
		change(&template)
	}
	return appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, Template: template}}
}

func deployments() []appsv1.Deployment {
	both := func(t *corev1.PodTemplateSpec) { t.Labels["group"] = "both" }
	return []appsv1.Deployment{
		deployment("web", 2, both),
		deployment("other", 1, both),
		deployment("single", 1, nil),
		deployment("resting", 0, nil),
		deployment("forbidden", 1, func(t *corev1.PodTemplateSpec) { t.Spec.ServiceAccountName = "nobody" }),
	}
}

// liveCase is a Service and the cause that is to be given first for it.
type liveCase struct {
	id      string
	service corev1.Service
	// slice, when set, is a port of an EndpointSlice by hand, with the address addr.
	slice  *discoveryv1.EndpointPort
	addr   string
	intent explain.Intent
	// wrong says in which way the name that is given differs from the Service's.
	wrong string
	note  bool
}

// service is one that leads from 80 to 8080 of the pods with app=APP.
func service(app string, changes ...func(*corev1.Service)) corev1.Service {
	s := corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"app": app},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}}}}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func balanced(annotation, value string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		if annotation != "" {
			s.Annotations = map[string]string{annotation: value}
		}
	}
}

func nodePort(s *corev1.Service)     { s.Spec.Type = corev1.ServiceTypeNodePort }
func selectorless(s *corev1.Service) { s.Spec.Selector = nil }
func headless(s *corev1.Service)     { s.Spec.ClusterIP = corev1.ClusterIPNone }

func alias(name string, port int32) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: name,
			Ports: []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(80)}}}
	}
}

func externalLocal(s *corev1.Service) {
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

// liveCases are all causes that a shared cluster can show without harm to others.
func liveCases() []liveCase {
	target := func(p intstr.IntOrString) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = p }
	}
	port := func(n int32) func(*corev1.Service) { return func(s *corev1.Service) { s.Spec.Ports[0].Port = n } }
	cases := []liveCase{
		{id: "service-in-other-namespace", service: service("web"), wrong: "default"},
		{id: "no-such-service", service: service("web"), wrong: "letters"},
		{id: "external-name-address", service: service("", alias("192.0.2.7", 80))},
		{id: "external-name-unresolved", service: service("", alias("nothing.example.com", 80))},
		{id: "external-name-port", service: service("", alias("example.com", 81))},
		{id: "external-name-host-header", note: true, service: service("", alias("example.com", 80))},
		{id: "selector-near-miss", service: service("wbe")},
		{id: "scaled-to-zero", service: service("resting")},
		{id: "pods-missing", service: service("forbidden")},
		{id: "pods-ended", service: service("ended")},
		{id: "selector-matches-nothing", service: service("qqqqqqqqq")},
		{id: "selectorless-no-slices", service: service("", selectorless)},
		{id: "slice-port-unset", service: service("", selectorless), slice: &discoveryv1.EndpointPort{Name: ptr("http")}, addr: "10.244.1.250"},
		{id: "slice-port-name", service: service("", selectorless), slice: &discoveryv1.EndpointPort{Name: ptr("web"), Port: ptr(int32(8080))}, addr: "10.244.1.250"},
		{id: "pod-unschedulable", service: service("nowhere")},
		{id: "image-pull", service: service("imageless")},
		{id: "crash-loop", service: service("crashing")},
		{id: "container-config", service: service("misconfigured")},
		{id: "probe-failing", service: service("unready")},
		{id: "readiness-gate", service: service("gated")},
		{id: "containers-creating", service: service("unmade")},
		{id: "publish-not-ready", service: service("unready", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true })},
		{id: "only-terminating", service: service("going")},
		{id: "named-port-unresolved", service: service("web", target(intstr.FromString("htpp")))},
		{id: "protocol-mismatch", service: service("web", target(intstr.FromInt32(8081)))},
		{id: "loopback-only", service: service("local")},
		{id: "target-port-deaf", service: service("web", target(intstr.FromInt32(9090)))},
		// an address of the pod range that no pod has: the nodes drop what is sent there
		{id: "pod-network", service: service("", selectorless), slice: &discoveryv1.EndpointPort{Name: ptr("http"), Port: ptr(int32(8080))}, addr: "10.244.1.250"},
		{id: "selector-too-wide", service: service("", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"group": "both"} })},
		{id: "lb-class-unserved", service: service("web", balanced("", ""), func(s *corev1.Service) { s.Spec.LoadBalancerClass = ptr("svclab.io/none") })},
		{id: "lb-not-advertised", service: service("web", balanced(poolAnnotation, mutePool))},
		{id: "lb-pool-exhausted", service: service("web", balanced(poolAnnotation, mutePool))},
		{id: "lb-address-refused", service: service("web", balanced(addressAnnotation, "192.0.2.7"))},
		{id: "lb-nodes-excluded", service: service("web", balanced(poolAnnotation, barredPool))},
		{id: "lb-source-ranges", service: service("web", balanced("", ""), func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"} })},
		{id: "etp-local-no-endpoint", service: service("single", nodePort, externalLocal)},
		{id: "itp-local-no-endpoint", service: service("single", func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal) })},
		{id: "external-ip-unrouted", service: service("web", func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"203.0.113.77"} })},
		{id: "headless-port", service: service("web", headless)},
		{id: "headless-no-vip", service: service("web", headless, port(8080)), intent: explain.Intent{At: reach.ClusterIP}},
		{id: "node-port-differs", service: service("web", nodePort), intent: explain.Intent{From: "outside", At: reach.NodePort, Port: 29999}},
		{id: "port-undeclared", service: service("web"), intent: explain.Intent{Port: 8080}},
		{id: "protocol-undeclared", service: service("web"), intent: explain.Intent{Protocol: reach.UDP}},
		{id: "cluster-ip-only", service: service("web"), intent: explain.Intent{From: "outside"}},
		{id: "dns-only-inside", service: service("web", nodePort), intent: explain.Intent{From: "outside", At: reach.DNSName}},
		{id: "node-port-primary-address", service: service("web", nodePort), intent: explain.Intent{At: reach.Localhost}},
		{id: "health-check-node-port", service: service("single", balanced("", ""), externalLocal), intent: explain.Intent{At: reach.HealthCheck}},
		{id: "affinity", service: service("web", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }), intent: explain.Intent{Spread: true}},
		{id: "", service: service("web")}, // healthy ones
		{id: "", service: service("web", nodePort)},
		{id: "", service: service("web", balanced("", ""))},
		{id: "", service: service("web", headless, port(8080))},
	}
	for i := range cases {
		name := cases[i].id
		if name == "" {
			name = fmt.Sprintf("healthy-%d", i)
		}
		cases[i].service.Name = name
	}
	return cases
}

func ptr[T any](v T) *T { return &v }
