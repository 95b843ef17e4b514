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

// inventory returns a line for every object in an exercise's namespaces and every cluster-wide object that it may change, sorted.
// The lines leave out what differs between two objects that were created from the same manifest.
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
	snapshots, err := p.Runner.Look(ctx, runner.Place{Namespace: namespaces[0]}, e.Cluster)
	if err != nil {
		return nil, err
	}
	for _, s := range snapshots {
		for _, o := range s.Objects {
			if err := add(o); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// passing reports whether the objects of a resource come and go without a change by a person, or only repeat what others say.
func passing(resource string) bool {
	return slices.Contains([]string{"events", "endpoints", "endpointslices", "leases", "podmetrics", "servicel2statuses"}, resource)
}

// normal returns an object as text, without the values that the cluster assigns at creation. It returns "" for an object that is
// being deleted.
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

// unfixed removes the node ports that the cluster chose. A port that a manifest sets is in the static band, 30000–30085 of the
// default range, from which the cluster chooses last (KEP-3668).
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

// differ returns the first line that is in only one of two inventories. Empty: they are equal.
func differ(before, after []string) string {
	for _, line := range before {
		i := slices.Index(after, line)
		if i < 0 {
			return "missing, or changed: " + line
		}
		after = slices.Delete(slices.Clone(after), i, i+1)
	}
	if len(after) > 0 {
		return "new, or changed: " + after[0]
	}
	return ""
}
