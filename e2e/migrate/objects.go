package migrate

import (
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/svclab/svclab/e2e/world"
)

// Objects are those of a file.
type Objects struct {
	World world.World
	// Config is the text of kube-proxy's configuration, from ConfigMap kube-system/kube-proxy; empty if the file has none.
	Config string
	// Ignored is how many objects have another kind.
	Ignored int
}

// Read reads YAML or JSON documents, objects or lists of them, as kubectl get prints them: Services, EndpointSlices, Nodes, Pods,
// DaemonSets, ServiceCIDRs, and kube-proxy's ConfigMap. Services, Nodes and EndpointSlices must be there, because without them every
// prediction would be about an empty cluster.
func Read(r io.Reader) (Objects, error) {
	var found Objects
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return found, err
		}
		if object.Object == nil {
			continue
		}
		if object.IsList() {
			err = object.EachListItem(func(item runtime.Object) error {
				one, ok := item.(*unstructured.Unstructured)
				if !ok {
					return fmt.Errorf("%T in a list", item)
				}
				objects = append(objects, one)
				return nil
			})
			if err != nil {
				return found, err
			}
			continue
		}
		objects = append(objects, &object)
	}
	var nodes []corev1.Node
	counts := map[string]int{}
	for _, object := range objects {
		counts[object.GetKind()]++
		switch object.GetKind() {
		case "Node":
			var node corev1.Node
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &node); err != nil {
				return found, fmt.Errorf("read Node %s: %w", object.GetName(), err)
			}
			nodes = append(nodes, node)
		case "ServiceCIDR":
			var cidr networkingv1.ServiceCIDR
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &cidr); err != nil {
				return found, fmt.Errorf("read ServiceCIDR %s: %w", object.GetName(), err)
			}
			found.World.Facts.ServiceCIDRs = world.WithRanges(found.World.Facts.ServiceCIDRs, cidr)
		case "ConfigMap":
			if object.GetNamespace() == "kube-system" && object.GetName() == "kube-proxy" {
				found.Config, _, _ = unstructured.NestedString(object.Object, "data", "config.conf")
			}
		case "Service", "EndpointSlice", "Pod", "DaemonSet":
		default:
			found.Ignored++
		}
	}
	for _, kind := range []string{"Service", "Node", "EndpointSlice"} {
		if counts[kind] == 0 {
			return found, fmt.Errorf("it has no %s: write it by kubectl get services,endpointslices,nodes,pods,daemonsets --all-namespaces -o yaml", kind)
		}
	}
	w, err := found.World.With(objects)
	if err != nil {
		return found, err
	}
	w.Nodes = nodes
	found.World = w.Sorted()
	return found, nil
}
