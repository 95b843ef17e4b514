package cluster

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Extras are what the namespaces and pods of svclab have in a cluster that it did not make, in addition to what the manifests
// say: what the policies of that cluster require.
type Extras struct {
	// Labels and Annotations are for namespaces and pods.
	Labels, Annotations map[string]string
	// PriorityClass is the pods'. Empty: the cluster's default.
	PriorityClass string
	// PullSecret is a config.json of Docker with the credentials of registries. Empty: none.
	PullSecret string
}

// Check returns what the API server would refuse.
func (e Extras) Check() error {
	for _, field := range []struct {
		flag  string
		all   map[string]string
		value func(string) []string
	}{{"--label", e.Labels, validation.IsValidLabelValue}, {"--annotation", e.Annotations, func(string) []string { return nil }}} {
		for _, key := range slices.Sorted(maps.Keys(field.all)) {
			if wrong := append(validation.IsQualifiedName(key), field.value(field.all[key])...); len(wrong) > 0 {
				return fmt.Errorf("%s %s=%s: %s", field.flag, key, field.all[key], strings.Join(wrong, "; "))
			}
		}
	}
	if wrong := validation.IsDNS1123Subdomain(e.PriorityClass); e.PriorityClass != "" && len(wrong) > 0 {
		return fmt.Errorf("--priority-class %s: %s", e.PriorityClass, strings.Join(wrong, "; "))
	}
	return nil
}

// pullSecret is the Secret with Extras.PullSecret.
const pullSecret = "svclab-pull"

// optOuts return the labels and annotations that keep the injectors of service meshes away from a pod: a proxy in the pod would
// answer in the place of the Service.
func optOuts() (labels, annotations map[string]string) {
	return map[string]string{"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none", "kuma.io/sidecar-injection": "disabled"},
		map[string]string{"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled", "consul.hashicorp.com/connect-inject": "false"}
}

// defaultContainer is the annotation that names the container in which kubectl, and svclab, run programs.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// first returns the first container of a pod as it is in its manifest; nil if it has none.
func first(pod map[string]any) map[string]any {
	containers, _, _ := unstructured.NestedSlice(pod, "spec", "containers")
	if len(containers) == 0 {
		return nil
	}
	container, _ := containers[0].(map[string]any)
	return container
}

// PodOf returns the part of an object that has a pod's metadata and spec: the Pod itself, or the template of a workload. It is nil
// for other objects.
func PodOf(object *unstructured.Unstructured) map[string]any {
	if object.GetKind() == "Pod" {
		return object.Object
	}
	template, _, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", "template")
	pod, _ := template.(map[string]any)
	if spec, _ := pod["spec"].(map[string]any); spec["containers"] == nil {
		return nil
	}
	return pod
}

// Add adds the extras to an object: to a namespace, a pod, or a workload's template of pods. Pods also get what keeps injectors of
// service meshes away, and the name of their own container, should an injector put another first.
func (e Extras) Add(object *unstructured.Unstructured) {
	pod := PodOf(object)
	labels, annotations := e.Labels, e.Annotations
	switch {
	case pod != nil:
		labels, annotations = optOuts()
		maps.Copy(labels, e.Labels)
		maps.Copy(annotations, e.Annotations)
		if name, _, _ := unstructured.NestedString(first(pod), "name"); name != "" {
			annotations[defaultContainer] = name
		}
	case object.GetKind() == "Namespace":
		pod = object.Object
	default:
		return
	}
	for field, extra := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		all, _, _ := unstructured.NestedStringMap(pod, "metadata", field) // the loader has read it
		all = maps.Clone(all)
		if all == nil {
			all = map[string]string{}
		}
		for key, value := range extra {
			if _, there := all[key]; !there { // selectors depend on those that are there
				all[key] = value
			}
		}
		if len(all) > 0 {
			_ = unstructured.SetNestedStringMap(pod, all, "metadata", field) // metadata is a map, or absent
		}
	}
	spec, isMap := pod["spec"].(map[string]any)
	if !isMap || object.GetKind() == "Namespace" {
		return
	}
	if e.PriorityClass != "" {
		spec["priorityClassName"] = e.PriorityClass
	}
	if e.PullSecret != "" {
		spec["imagePullSecrets"] = []any{map[string]any{"name": pullSecret}}
	}
}

// Secret returns the objects that pods with these extras need in their namespace.
func (e Extras) Secret() []*unstructured.Unstructured {
	if e.PullSecret == "" {
		return nil
	}
	return []*unstructured.Unstructured{{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeDockerConfigJson),
		"metadata": map[string]any{"name": pullSecret, "labels": map[string]any{managedLabel: "svclab"}},
		"data":     map[string]any{corev1.DockerConfigJsonKey: base64.StdEncoding.EncodeToString([]byte(e.PullSecret))}}}}
}

// container returns the container of a pod of svclab's in which programs are run: not one that an injector has put first.
func container(pod *corev1.Pod) string {
	if name := pod.Annotations[defaultContainer]; name != "" {
		return name
	}
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Name
}
