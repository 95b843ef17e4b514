package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
)

// History is a starting world and what is done to it. The start alone, without operations, is one shot.
type History struct {
	Name  string
	Start State
	// Flows: standing flows run to the first Service.
	Flows      bool
	Operations []Operation
	// Seed decides which cells are sampled and from where the flows come.
	Seed uint64
	// From and To are where the flows of datagrams and the TCP connection that stays come from and go to; empty: anywhere.
	From reach.VantageKind
	To   reach.TargetKind
}

// historyStream is the second half of the seed from which histories come, of the first one.
const historyStream = 1 << 33

// historyServices is how many Services the start of a history has.
const historyServices = 6

// Histories returns the histories of a seed and scene, over the given pods. The i-th depends on the seed, the scene and i alone.
func Histories(seed uint64, scene Scene, pods []corev1.Pod, from, count, operations int) []History {
	var list []History
	for i := from; i < from+count; i++ {
		r := rand.New(rand.NewPCG(seed, historyStream+uint64(i)))
		h := History{Name: fmt.Sprintf("h%03d", i), Flows: true, Seed: r.Uint64(), Start: State{Pods: map[string]PodState{}}}
		g := generator{Rand: r, scene: scene, pods: pods}
		h.Start.Cases = append(h.Start.Cases, g.main())
		for k := 1; k < historyServices; k++ {
			g.index = k
			h.Start.Cases = append(h.Start.Cases, g.service())
		}
		h.Operations = g.operations(h.Start, operations)
		list = append(list, h)
	}
	return list
}

// main is the Service that the flows of a history go to: it has a TCP and a UDP port, and endpoints that serve both;
// with sessionAffinity a second TCP port, which the same endpoints serve.
func (g generator) main() Case {
	g.index = 0
	c := g.plain(0)
	spec := &c.Service.Spec
	spec.Selector = nil
	switch roll := g.IntN(100); {
	case roll < 20 && g.scene.LoadBalancer:
		spec.Type = corev1.ServiceTypeLoadBalancer
	case roll < 60:
		spec.Type = corev1.ServiceTypeNodePort
	}
	g.families(spec)
	if g.chance(30) {
		spec.SessionAffinity = corev1.ServiceAffinityClientIP
		spec.Ports = append(spec.Ports, corev1.ServicePort{Name: "p2", Protocol: corev1.ProtocolTCP, Port: 81, TargetPort: intstr.FromString("web")})
	}
	if spec.Type != corev1.ServiceTypeClusterIP && g.chance(25) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	var fit []corev1.Pod // those that serve both ports at the usual numbers
	for _, pod := range g.pods {
		if ports := pod.Spec.Containers[0].Ports; !never(&pod) && ports[0].ContainerPort == tcpMain && ports[0].Name == "web" && ports[1].ContainerPort == udpMain {
			fit = append(fit, pod)
		}
	}
	if !g.chance(30) {
		for tries := 0; tries < 20; tries++ { // at the end any will do
			spec.Selector = g.selector()
			if n := len(slices.DeleteFunc(slices.Clone(fit), func(p corev1.Pod) bool { return !uses(c, &p) })); n > 1 {
				break
			}
		}
		return c
	}
	c.Manual = &Manual{Room: g.scene.Room, Ports: manualPorts()}
	if len(spec.Ports) > 2 {
		c.Manual.Ports = append(c.Manual.Ports, discoveryv1.EndpointPort{Name: ptr("p2"), Port: ptr(tcpMain), Protocol: ptr(corev1.ProtocolTCP)})
	}
	for _, i := range g.Perm(len(fit))[:min(2+g.IntN(3), len(fit))] {
		c.Manual.Endpoints = append(c.Manual.Endpoints, ManualEndpoint{Pod: fit[i].Name, Referred: true, Placed: true})
	}
	if g.chance(40) {
		c.Manual.Parts, c.Manual.Overlap = g.IntN(3), g.chance(40)
		g.crowd(c.Manual)
	}
	return c
}
