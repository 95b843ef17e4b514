package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// DecodeManifest decodes the YAML documents of a manifest file. Kinds that client-go knows are decoded
// strictly: an unknown field, a value of the wrong type, a key given twice are errors, as they are on the
// server. Other kinds, those of custom resources, are only checked by the server.
//
// A manifest sets no namespace, as the runner gives each scenario its own; it may set one of those listed.
func DecodeManifest(data []byte, namespaces ...string) ([]*unstructured.Unstructured, error) {
	var (
		objects []*unstructured.Unstructured
		errs    []error
		seen    = map[string]bool{}
		reader  = utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		strict  = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	)
	for n := 1; ; n++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		object, err := decodeDocument(document, strict, namespaces)
		if err != nil {
			errs = append(errs, fmt.Errorf("document %d: %w", n, err))
			continue
		}
		if object == nil {
			continue
		}
		id := object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
		if seen[id] {
			errs = append(errs, fmt.Errorf("document %d: %s is there twice", n, id))
		}
		seen[id] = true
		objects = append(objects, object)
	}
	if len(objects) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("it has no object"))
	}
	return objects, errors.Join(errs...)
}

// decodeDocument decodes one document; nil for one that holds nothing but comments.
func decodeDocument(document []byte, strict runtime.Decoder, namespaces []string) (*unstructured.Unstructured, error) {
	data, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(data)) == "null" {
		return nil, nil //nolint:nilnil // nothing there is not an error: see the contract.
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	name := object.GetKind() + " " + object.GetName()
	if object.GetName() == "" {
		return nil, fmt.Errorf("%s has no metadata.name", object.GetKind())
	}
	if set := object.GetNamespace(); set != "" && !slices.Contains(namespaces, set) {
		return nil, fmt.Errorf("%s sets metadata.namespace: leave it out, the runner gives each scenario its own", name)
	}
	if _, found := object.Object["status"]; found {
		return nil, fmt.Errorf("%s sets status, which is not its author's to say", name)
	}
	_, _, err = strict.Decode(data, nil, nil)
	switch {
	case err == nil:
	case runtime.IsNotRegisteredError(err) && strings.Contains(object.GroupVersionKind().Group, ".") &&
		!strings.HasSuffix(object.GroupVersionKind().Group, ".k8s.io"):
	default:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return object, nil
}
