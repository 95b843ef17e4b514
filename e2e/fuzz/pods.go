package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podCount is how many backends all Services share.
const podCount = 12

// image is the sample app's.
const image = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"

// neverGate is a readiness gate that no controller opens: a pod with it serves, and is never ready.
const neverGate = "svclab.io/never"

// appLabel and appName are on every backend.
const (
	appLabel = "app"
	appName  = "fuzz"
)

// The ports backends listen on.
const (
	tcpMain  int32 = 8080
	tcpOther int32 = 9090
	udpMain  int32 = 8081
	udpOther int32 = 9091
)

func colors() []string { return []string{"red", "green", "blue"} }
func sizes() []string  { return []string{"small", "large"} }

// randomPods are backends of all kinds: on any node, with labels that overlap, with one of two TCP ports under one of two
// names, with a UDP port or without, ready or never. The first on each node is plain, so that no node is without a
// backend that works.
func randomPods(r *rand.Rand, scene Scene) []corev1.Pod {
	pods := make([]corev1.Pod, podCount)
	for i := range pods {
		b := backend{name: fmt.Sprintf("b%02d", i), node: scene.Nodes[i%len(scene.Nodes)], tcp: tcpMain, tcpName: "web", udp: udpMain,
			labels: map[string]string{appLabel: appName, "size": pick(r, sizes()...)}}
		if r.IntN(5) > 0 {
			b.labels["color"] = pick(r, colors()...)
		}
		if i >= len(scene.Nodes) {
			b.node = pick(r, scene.Nodes...)
			if r.IntN(4) == 0 {
				b.tcp = tcpOther
			}
			if r.IntN(4) == 0 {
				b.tcpName = "alt"
			}
			b.udp = pick(r, udpMain, udpMain, udpOther, 0)
			b.never = r.IntN(4) == 0
		}
		pods[i] = b.pod(scene.Namespace)
	}
	return pods
}

// backend is what differs between backends.
type backend struct {
	name, node string
	tcp        int32
	tcpName    string
	udp        int32 // 0: none
	never      bool
	labels     map[string]string
}

func (b backend) pod(namespace string) corev1.Pod {
	app := corev1.Container{Name: "app", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args:  []string{"netexec", fmt.Sprintf("--http-port=%d", b.tcp), "--udp-port=-1"},
		Ports: []corev1.ContainerPort{{Name: b.tcpName, ContainerPort: b.tcp, Protocol: corev1.ProtocolTCP}},
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")}}}
	if b.udp != 0 {
		app.Args[2] = fmt.Sprintf("--udp-port=%d", b.udp)
		app.Ports = append(app.Ports, corev1.ContainerPort{Name: "gram", ContainerPort: b.udp, Protocol: corev1.ProtocolUDP})
	}
	for i := range int32(morePorts) { // without a name: those of Manual.Many
		app.Ports = append(app.Ports, corev1.ContainerPort{ContainerPort: firstMore + i, Protocol: corev1.ProtocolTCP})
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: b.name, Labels: b.labels},
		Spec: corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelHostname: b.node}, TerminationGracePeriodSeconds: ptr(int64(0)),
			AutomountServiceAccountToken: ptr(false), EnableServiceLinks: ptr(false),
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{app}}}
	if b.never {
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: neverGate}}
	}
	return pod
}

// never says whether a pod is meant never to be ready.
func never(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == neverGate })
}
