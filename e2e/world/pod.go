package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
)

// ListensAnnotation says, on a pod, what it listens on where its container ports do not: "8080/TCP,8081/UDP",
// or "none". Only the program knows this; no API object shows it.
const ListensAnnotation = "svclab.io/listens"

// hostNameMax is the length to which the kubelet cuts a pod's hostname.
const hostNameMax = 63

// Identity is the name in a pod's answers: its hostname as the program in it sees it. A
// host-network pod has its node's.
func Identity(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return pod.Spec.NodeName
	}
	if name := pod.Spec.HostnameOverride; name != nil {
		return truncateHostname(*name)
	}
	host := pod.Name
	if pod.Spec.Hostname != "" {
		host = pod.Spec.Hostname
	}
	return truncateHostname(host)
}

// truncateHostname cuts a hostname to what the kernel takes, and what the cut leaves at its end.
func truncateHostname(host string) string {
	if len(host) <= hostNameMax {
		return host
	}
	return strings.TrimRight(host[:hostNameMax], "-.")
}

// PodAddrs are a pod's addresses, at most one per IP family.
func PodAddrs(pod *corev1.Pod) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range pod.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			addrs = append(addrs, addr.Unmap())
		}
	}
	if len(addrs) == 0 && pod.Status.PodIP != "" {
		if addr, err := netip.ParseAddr(pod.Status.PodIP); err == nil {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// Ended says whether a pod has run to its end: its address is no longer its own.
func Ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Ready says whether a pod's Ready condition is true.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Listening says whether a program can be expected to listen on a pod's port.
type Listening int

// How sure the objects make one.
const (
	// ListensNot: nothing listens there; a connection is refused.
	ListensNot Listening = iota
	// ListensMaybe: the pod declares other ports, which is no proof.
	ListensMaybe
	// Listens: the pod declares the port, or none at all, which is how most pods are written.
	Listens
)

// ListensOn reports whether a pod listens on a port, and if it may not, why. strict is Facts.PortsDeclared.
func ListensOn(pod *corev1.Pod, port uint16, protocol corev1.Protocol, strict bool) (Listening, reach.Phrase) {
	if text, ok := pod.Annotations[ListensAnnotation]; ok {
		if slices.Contains(strings.Split(strings.ReplaceAll(text, " ", ""), ","), fmt.Sprintf("%d/%s", port, protocol)) {
			return Listens, reach.Phrase{}
		}
		return ListensNot, listening(pod.Name, text)
	}
	list := containers(pod)
	for i := range list {
		c := &list[i]
		for _, p := range c.Ports {
			if uint16(p.ContainerPort) != port || protocolOf(p.Protocol) != protocol {
				continue
			}
			if stopped(pod, c.Name) {
				return ListensNot, reach.Say("container %s of pod %s is not running", c.Name, pod.Name)
			}
			return Listens, reach.Phrase{}
		}
	}
	declared := declaredPorts(list)
	if declared == "" {
		if allStopped(pod) {
			return ListensNot, reach.Say("no container of pod %s is running", pod.Name)
		}
		return Listens, reach.Phrase{}
	}
	why := reach.Say("pod %s declares %s", pod.Name, declared)
	if strict {
		return ListensNot, why
	}
	return ListensMaybe, why
}

// declaredPorts lists what containers say they listen on, numbers that follow each other as "20000-20099/TCP".
func declaredPorts(list []corev1.Container) string {
	var texts []string
	for _, c := range list {
		for i := 0; i < len(c.Ports); {
			first, n := c.Ports[i], 1
			for i+n < len(c.Ports) && c.Ports[i+n].ContainerPort == first.ContainerPort+int32(n) && c.Ports[i+n].Protocol == first.Protocol {
				n++
			}
			if n < 3 {
				n = 1
				texts = append(texts, fmt.Sprintf("%d/%s", first.ContainerPort, protocolOf(first.Protocol)))
			} else {
				texts = append(texts, fmt.Sprintf("%d-%d/%s", first.ContainerPort, int(first.ContainerPort)+n-1, protocolOf(first.Protocol)))
			}
			i += n
		}
	}
	return strings.Join(texts, ", ")
}

// ResolveTargetPort is the number a Service port's targetPort stands for in one pod. ok is false for a name
// that none of the pod's containers has for that protocol.
func ResolveTargetPort(pod *corev1.Pod, port corev1.ServicePort) (number uint16, ok bool) {
	if port.TargetPort.Type == intstr.Int {
		if port.TargetPort.IntVal == 0 {
			return uint16(port.Port), true
		}
		return uint16(port.TargetPort.IntVal), true
	}
	for _, c := range containers(pod) {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal && protocolOf(p.Protocol) == protocolOf(port.Protocol) {
				return uint16(p.ContainerPort), true
			}
		}
	}
	return 0, false
}

// containers are those that run as long as the pod does: the main ones, then the sidecars.
func containers(pod *corev1.Pod) []corev1.Container {
	list := slices.Clip(pod.Spec.Containers) // appending copies
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			list = append(list, c)
		}
	}
	return list
}

// stopped reports whether the pod's status says that a container is not running. Without a status it returns false.
func stopped(pod *corev1.Pod, container string) bool {
	for _, s := range append(slices.Clone(pod.Status.ContainerStatuses), pod.Status.InitContainerStatuses...) {
		if s.Name == container {
			return s.State.Running == nil && (s.State.Waiting != nil || s.State.Terminated != nil)
		}
	}
	return false
}

func allStopped(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.Containers {
		if !stopped(pod, c.Name) {
			return false
		}
	}
	return true
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// listening says what a pod listens on, by its annotation.
func listening(pod, text string) reach.Phrase {
	if text == "" || text == "none" {
		return reach.Say("pod %s listens on nothing", pod)
	}
	return reach.Say("pod %s listens on %s only", pod, text)
}
