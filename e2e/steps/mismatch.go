package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// Mismatch says in a few words how an object differs from the description; empty where it does not differ. A nil object
// stands for one that does not exist. The error is that the description itself cannot be read.
func (d Object) Mismatch(object *unstructured.Unstructured) (string, error) {
	switch {
	case d.Absent && object == nil:
		return "", nil
	case d.Absent:
		return "it exists", nil
	case object == nil:
		return "it does not exist", nil
	}
	if len(d.Want) > 0 {
		var want any
		if err := json.Unmarshal(d.Want, &want); err != nil {
			return "", fmt.Errorf("want: %w", err)
		}
		// The object's numbers are int64, those of want float64. Encoding and decoding the object makes both float64.
		data, err := object.MarshalJSON()
		if err != nil {
			return "", err
		}
		var have any
		if err := json.Unmarshal(data, &have); err != nil {
			return "", err
		}
		if missing := lacking(have, want, ""); missing != "" {
			return missing, nil
		}
	}
	for _, expression := range slices.Sorted(maps.Keys(d.Path)) {
		got, err := evaluate(object, expression)
		if err != nil {
			return "", err
		}
		if got != d.Path[expression] {
			return fmt.Sprintf("%s is %q, want %q", expression, got, d.Path[expression]), nil
		}
	}
	for _, field := range d.Unset {
		value, found, err := unstructured.NestedFieldNoCopy(object.Object, strings.Split(field, ".")...)
		if err != nil {
			return "", fmt.Errorf("unset %s: %w", field, err)
		}
		if found && !empty(value) {
			return fmt.Sprintf("%s is %v, want it unset", field, value), nil
		}
	}
	return "", nil
}

// empty reports whether an API field with this value counts as unset.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}

// lacking says which part of want is missing in have. It compares maps by the keys of want, and lists element by element.
func lacking(have, want any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		h, isMap := have.(map[string]any)
		if !isMap {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), jsonText(have), jsonText(want))
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			value, found := h[key]
			if !found {
				return fmt.Sprintf("%s is not set, want %s", at+"."+key, jsonText(w[key]))
			}
			if missing := lacking(value, w[key], at+"."+key); missing != "" {
				return missing
			}
		}
		return ""
	case []any:
		h, isList := have.([]any)
		if !isList || len(h) != len(w) {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), jsonText(have), jsonText(want))
		}
		for i := range w {
			if missing := lacking(h[i], w[i], fmt.Sprintf("%s[%d]", at, i)); missing != "" {
				return missing
			}
		}
		return ""
	default:
		if have != want {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), jsonText(have), jsonText(want))
		}
		return ""
	}
}

// orRoot names the place of a difference; the root has no name of its own.
func orRoot(at string) string {
	if at == "" {
		return "the object"
	}
	return at
}

func jsonText(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// evaluate prints a JSONPath expression of an object, as kubectl -o jsonpath does. A missing field prints as nothing.
func evaluate(object *unstructured.Unstructured, expression string) (string, error) {
	path := jsonpath.New("path").AllowMissingKeys(true)
	if err := path.Parse(expression); err != nil {
		return "", fmt.Errorf("path %s: %w", expression, err)
	}
	var out strings.Builder
	if err := path.Execute(&out, object.Object); err != nil {
		return "", fmt.Errorf("path %s: %w", expression, err)
	}
	return out.String(), nil
}
