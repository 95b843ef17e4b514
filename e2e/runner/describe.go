package runner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"

	"github.com/svclab/svclab/e2e/scenario"
)

// Unlike says in what an object is not as described, in a few words; empty: it is. object is nil where there is none.
// The error is that of a description that cannot be read.
func Unlike(object *unstructured.Unstructured, d scenario.Object) (string, error) {
	return unlike(object, d)
}

// unlike says in what the object is not as described, in a few words; empty: it is. object is nil where there
// is none.
func unlike(object *unstructured.Unstructured, d scenario.Object) (string, error) {
	switch {
	case d.Absent && object == nil:
		return "", nil
	case d.Absent:
		return "it is there", nil
	case object == nil:
		return "there is none", nil
	}
	if len(d.Want) > 0 {
		var want any
		if err := json.Unmarshal(d.Want, &want); err != nil {
			return "", fmt.Errorf("want: %w", err)
		}
		// The object's numbers are int64, those of want float64: a trip through JSON makes them alike.
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
	for _, expression := range sortedKeys(d.Path) {
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

// lacking says which part of want is not in have: maps are compared by want's keys, lists element by element.
func lacking(have, want any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		h, isMap := have.(map[string]any)
		if !isMap {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), text(have), text(want))
		}
		for _, key := range sortedKeys(w) {
			value, found := h[key]
			if !found {
				return fmt.Sprintf("%s is not set, want %s", at+"."+key, text(w[key]))
			}
			if missing := lacking(value, w[key], at+"."+key); missing != "" {
				return missing
			}
		}
		return ""
	case []any:
		h, isList := have.([]any)
		if !isList || len(h) != len(w) {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), text(have), text(want))
		}
		for i := range w {
			if missing := lacking(h[i], w[i], fmt.Sprintf("%s[%d]", at, i)); missing != "" {
				return missing
			}
		}
		return ""
	default:
		if have != want {
			return fmt.Sprintf("%s is %s, want %s", orRoot(at), text(have), text(want))
		}
		return ""
	}
}

func orRoot(at string) string {
	if at == "" {
		return "the object"
	}
	return at
}

func text(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// evaluate prints a JSONPath expression of an object, as kubectl -o jsonpath does; a field that is missing
// prints as nothing.
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

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
