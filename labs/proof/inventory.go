package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/course"
)

// inventory is every object of an exercise's namespaces, and every cluster-wide one that it may change, as text without
// what differs between two objects made alike: a line each, sorted.
func (p Prover) inventory(ctx context.Context, e course.Exercise, namespaces []string) ([]string, error) {
	lists, err := p.Cluster.Client().Discovery().ServerPreferredNamespacedResources()
	if err != nil {
		return nil, fmt.Errorf("list the kinds of objects: %w", err)
	}
	var lines []string
	add := func(o *unstructured.Unstructured) error {
		line, err := normal(o)
		if line != "" {
			lines = append(lines, line)
		}
		return err
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("list the kinds of objects: %w", err)
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || passing(resource.Name) {
				continue
			}
			for _, namespace := range namespaces {
				found, err := p.Cluster.Dynamic().Resource(version.WithResource(resource.Name)).Namespace(namespace).List(ctx, metav1.ListOptions{})
				if err != nil {
					return nil, fmt.Errorf("list %s of %s: %w", resource.Name, namespace, err)
				}
				for i := range found.Items {
					if err := add(&found.Items[i]); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	noted, err := p.Runner.Look(ctx, runner.Place{Namespace: namespaces[0]}, e.Cluster)
	if err != nil {
		return nil, err
	}
	for _, n := range noted {
		for _, o := range n.Objects {
			if err := add(o); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// passing names kinds whose objects come and go by themselves, or say again what others say.
func passing(resource string) bool {
	return slices.Contains([]string{"events", "endpoints", "endpointslices", "leases", "podmetrics", "servicel2statuses"}, resource)
}

// normal is an object as text without what the cluster gives to each anew; empty for one that is going.
func normal(o *unstructured.Unstructured) (string, error) {
	if o.GetDeletionTimestamp() != nil {
		return "", nil
	}
	o = o.DeepCopy()
	name := o.GetName()
	if base := o.GetGenerateName(); base != "" {
		name = base
		if owners := o.GetOwnerReferences(); len(owners) > 0 {
			name = owners[0].Kind
		}
	}
	labels := o.GetLabels()
	delete(labels, "pod-template-hash")
	text := map[string]any{"kind": o.GetKind(), "namespace": o.GetNamespace(), "name": name, "labels": labels}
	for key, value := range o.Object {
		if !slices.Contains([]string{"metadata", "status", "apiVersion", "kind"}, key) {
			text[key] = value
		}
	}
	for _, field := range []string{"spec.clusterIP", "spec.clusterIPs", "spec.healthCheckNodePort", "spec.nodeName", "spec.volumes",
		"spec.selector.matchLabels.pod-template-hash", "spec.template.metadata.labels.pod-template-hash"} {
		unstructured.RemoveNestedField(text, strings.Split(field, ".")...)
	}
	if o.GetKind() == "ConfigMap" && name == "kube-root-ca.crt" {
		delete(text, "data")
	}
	if o.GetKind() == "Service" {
		unfixed(text)
	}
	data, err := json.Marshal(text)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return string(data), nil
}

// unfixed takes out node ports that were chosen, as against those in the band kept for ports that are asked for
// (30000–30085 of the default range, KEP-3668).
func unfixed(service map[string]any) {
	ports, _, _ := unstructured.NestedSlice(service, "spec", "ports")
	for _, port := range ports {
		if p, ok := port.(map[string]any); ok {
			if number, isNumber := p["nodePort"].(int64); isNumber && number > 30085 {
				delete(p, "nodePort")
			}
		}
	}
	if len(ports) > 0 {
		_ = unstructured.SetNestedSlice(service, ports, "spec", "ports")
	}
}

// differ is the first line that one inventory has and the other lacks; empty: they are alike.
func differ(before, after []string) string {
	for _, line := range before {
		i := slices.Index(after, line)
		if i < 0 {
			return "not there any more, or changed: " + line
		}
		after = slices.Delete(slices.Clone(after), i, i+1)
	}
	if len(after) > 0 {
		return "new, or changed: " + after[0]
	}
	return ""
}
