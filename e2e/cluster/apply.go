package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/e2e-framework/klient/decoder"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/grace"
)

// fieldManager owns what svclab applies (server-side apply).
const fieldManager = "svclab"

// decode reads the objects of a YAML file. Each document is decoded into an unstructured object: decoder.DecodeEach would
// decode known kinds into Go types, which drops the fields that they do not have before the API server can refuse them.
func decode(text []byte, options ...decoder.DecodeOption) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		var object unstructured.Unstructured
		if err == nil {
			err = decoder.Decode(bytes.NewReader(document), &object, options...)
		}
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		if len(object.Object) == 0 { // a document of comments only
			continue
		}
		unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp") // null in some generated files
		objects = append(objects, &object)
	}
}

// manifest returns the objects of the template at path in manifests, filled with data.
func (c *Cluster) manifest(path string, data any) ([]*unstructured.Unstructured, error) {
	text, err := kind.Render(c.settings.Manifests, path, data)
	if err != nil {
		return nil, err
	}
	objects, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("manifests/%s: %w", path, err)
	}
	return objects, nil
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
			group.Go(func() error { return c.applyOne(ctx, object, serverSide) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) applyOne(ctx context.Context, object *unstructured.Unstructured, options ...resources.PatchOption) error {
	text, err := object.MarshalJSON()
	if err == nil {
		request, answered := grace.Context(ctx)
		defer answered()
		// Patch writes the answer into the object that it is given, and an object with managedFields cannot be applied again.
		err = c.objects.Patch(request, object.DeepCopy(), k8s.Patch{PatchType: types.ApplyPatchType, Data: text}, options...)
	}
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// serverSide are the options of a server-side apply: svclab owns the fields, and fields that the server does not know are refused.
func serverSide(o *metav1.PatchOptions) {
	force := true
	o.FieldManager, o.Force, o.FieldValidation = fieldManager, &force, metav1.FieldValidationStrict
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
