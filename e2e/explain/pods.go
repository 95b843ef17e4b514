package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// diagnosis is why a pod is not ready.
type diagnosis struct {
	id, why, field string
}

// podRule finds the pods that are not ready for one reason. It is a note if other pods are ready and answer.
func podRule(id string) func(*view) []Cause {
	return func(v *view) []Cause {
		var (
			first *corev1.Pod
			what  diagnosis
			names []string
		)
		for _, pod := range v.living() {
			if pod.DeletionTimestamp != nil || world.Ready(pod) {
				continue
			}
			if a := v.diagnose(pod); a.id == id {
				if first == nil {
					first, what = pod, a
				}
				names = append(names, pod.Name)
			}
		}
		if first == nil {
			return nil
		}
		slices.Sort(names)
		sentence := fmt.Sprintf("%s %s not ready, so %s no traffic: %s", counted("pod", names), verb(len(names), "is", "are"), verb(len(names), "it gets", "they get"), what.why)
		if len(v.ready) > 0 {
			sentence += fmt.Sprintf(" (%d other %s)", len(v.ready), verb(len(v.ready), "endpoint answers", "endpoints answer"))
		}
		return []Cause{{Sentence: sentence, Field: what.field, Command: v.remedy(id, first), Note: len(v.ready) > 0}}
	}
}

// remedy returns a command that fixes a pod or shows more about it.
func (v *view) remedy(id string, pod *corev1.Pod) string {
	kind, name, managed := strings.Cut(owner(pod), "/")
	switch {
	case id == "crash-loop":
		return v.kubectl("logs %s --previous --all-containers", pod.Name)
	case id == "image-pull" && managed:
		return v.kubectl("set image %s/%s %s=IMAGE", kind, name, waitingContainer(pod))
	case id == "probe-failing" && managed:
		return v.kubectl("edit %s %s", kind, name)
	default:
		return v.describe("pod", pod.Name)
	}
}

func waitingContainer(pod *corev1.Pod) string {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return s.Name
		}
	}
	return pod.Spec.Containers[0].Name
}

// diagnose returns why a pod is not ready.
func (v *view) diagnose(pod *corev1.Pod) diagnosis {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return diagnosis{"pod-unschedulable", "no node can run it: " + cmp.Or(c.Message, "the scheduler gives no reason"), "the pod's resources.requests, nodeSelector, affinity or tolerations"}
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if a := ofContainer(status); a.id != "" {
			return a
		}
	}
	for i, status := range pod.Status.ContainerStatuses {
		if status.State.Running == nil || status.Ready {
			continue
		}
		if a := v.ofProbe(pod, i, status); a.id != "" {
			return a
		}
	}
	if a := ofGates(pod); a.id != "" {
		return a
	}
	if creating(pod) {
		return diagnosis{"containers-creating", "its containers are still being created" + v.warning(pod, ": "), "the pod's volumes, or the node's network"}
	}
	return diagnosis{"pods-not-ready", "its condition Ready is not true" + v.warning(pod, ": "), "the pod's status.conditions"}
}

// ofContainer returns why a container does not run.
func ofContainer(status corev1.ContainerStatus) diagnosis {
	where := "container " + status.Name
	if w := status.State.Waiting; w != nil {
		said := w.Reason
		if w.Message != "" {
			said += ", " + w.Message
		}
		switch w.Reason {
		case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			return diagnosis{"image-pull", fmt.Sprintf("the image %s of %s cannot be pulled (%s)", status.Image, where, said), "containers[].image, imagePullSecrets or imagePullPolicy"}
		case "CrashLoopBackOff", "RunContainerError", "StartError":
			return diagnosis{"crash-loop", where + " exits repeatedly" + lastEnd(status), "what the container runs: command, args, env"}
		case "CreateContainerConfigError", "CreateContainerError":
			return diagnosis{"container-config", fmt.Sprintf("%s cannot be created (%s)", where, said), "the ConfigMap, Secret or setting that the container refers to"}
		}
	}
	ended := status.State.Terminated != nil && status.State.Terminated.ExitCode != 0
	if ended || status.RestartCount >= 2 && !status.Ready && status.LastTerminationState.Terminated != nil {
		return diagnosis{"crash-loop", where + " exits repeatedly" + lastEnd(status), "what the container runs: command, args, env"}
	}
	return diagnosis{}
}

// lastEnd returns how a container last ended.
func lastEnd(status corev1.ContainerStatus) string {
	for _, t := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
		if t != nil {
			return fmt.Sprintf(", %d times so far, last with exit code %d (%s)", max(status.RestartCount, 1), t.ExitCode, t.Reason)
		}
	}
	return ""
}

// ofProbe returns which probe keeps a running container from being ready.
func (v *view) ofProbe(pod *corev1.Pod, index int, status corev1.ContainerStatus) diagnosis {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == status.Name })
	if i < 0 {
		i = index
	}
	container := pod.Spec.Containers[i]
	kind, probe := "readinessProbe", container.ReadinessProbe
	if container.StartupProbe != nil && (status.Started == nil || !*status.Started) {
		kind, probe = "startupProbe", container.StartupProbe
	}
	if probe == nil {
		return diagnosis{}
	}
	why := fmt.Sprintf("the %s of container %s fails: %s", kind, container.Name, action(probe))
	for _, e := range v.events("Pod", pod.Name) {
		if e.Reason == "Unhealthy" {
			why += " results in: " + strings.TrimSpace(e.Message)
			break
		}
	}
	return diagnosis{"probe-failing", why, fmt.Sprintf("spec.containers[%d].%s of the pod's template", i, kind)}
}

// action returns what a probe does.
func action(probe *corev1.Probe) string {
	switch {
	case probe.HTTPGet != nil:
		return fmt.Sprintf("GET %s at port %s", probe.HTTPGet.Path, probe.HTTPGet.Port.String())
	case probe.TCPSocket != nil:
		return "a connection to port " + probe.TCPSocket.Port.String()
	case probe.GRPC != nil:
		return fmt.Sprintf("gRPC at port %d", probe.GRPC.Port)
	case probe.Exec != nil:
		return "the command " + strings.Join(probe.Exec.Command, " ")
	}
	return "nothing"
}

func ofGates(pod *corev1.Pod) diagnosis {
	for _, gate := range pod.Spec.ReadinessGates {
		met := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !met {
			return diagnosis{"readiness-gate", fmt.Sprintf("its readiness gate %s is not True: its controller has not set it", gate.ConditionType), "spec.readinessGates of the pod's template"}
		}
	}
	return diagnosis{}
}

func creating(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "" ||
		slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
			return s.State.Waiting != nil && (s.State.Waiting.Reason == "ContainerCreating" || s.State.Waiting.Reason == "PodInitializing")
		})
}

// warning returns the newest warning about a pod after a prefix, or "".
func (v *view) warning(pod *corev1.Pod, prefix string) string {
	for _, e := range v.events("Pod", pod.Name) {
		if e.Type == corev1.EventTypeWarning {
			return prefix + e.Reason + ", " + e.Message
		}
	}
	return ""
}
