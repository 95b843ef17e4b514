package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/svclab/svclab/e2e/lasting"
)

// fieldManager owns what svclab applies (server-side apply).
const fieldManager = "svclab"

// decode reads the objects of a YAML file.
func decode(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		if text := bytes.TrimSpace(raw.Raw); len(text) == 0 || string(text) == "null" { // comments only
			continue
		}
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(raw.Raw); err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp") // null in some generated files
		objects = append(objects, &object)
	}
}

// apply puts objects into the cluster: namespaces and resource definitions first, then all others at the same time.
func (c *Cluster) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	var first, rest []*unstructured.Unstructured
	for _, object := range objects {
		switch object.GetKind() {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, object)
		default:
			rest = append(rest, object)
		}
	}
	for _, batch := range [][]*unstructured.Unstructured{first, rest} {
		var group errgroup.Group // one that is refused does not cut the others off
		group.SetLimit(8)
		for _, object := range batch {
			group.Go(func() error { return c.applyOne(ctx, object) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) applyOne(ctx context.Context, object *unstructured.Unstructured) error {
	resource, err := c.resource(object)
	if err == nil {
		asked, answered := lasting.Request(ctx)
		defer answered()
		_, err = resource.Apply(asked, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	}
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// resource is where objects like this one are served.
func (c *Cluster) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) { // its definition may be newer than what was read
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()), nil
	}
	return c.dynamic.Resource(mapping.Resource), nil
}

// later reports whether err may go away by itself: a webhook that does not listen yet, a controller that has not made what
// is needed, an API server that is coming up.
func later(err error) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return true // the connection failed, or the resource is not served yet
	}
	return apierrors.IsInternalError(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsConflict(err) || apierrors.IsTimeout(err)
}
