package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/scenario"
)

// Object waits until an object is as described.
type Object struct {
	Ref scenario.Ref `json:"ref"`
	// Want must be contained in the object: maps by key, lists element by element and of the same length.
	Want json.RawMessage `json:"want,omitempty"`
	// Path maps JSONPath expressions ("{.spec.type}") to the text they must print.
	Path map[string]string `json:"path,omitempty"`
	// Unset are dotted fields ("status.loadBalancer.ingress") that must be missing or empty.
	Unset scenario.Strings `json:"unset,omitempty"`
	// Absent: there must be no such object.
	Absent bool `json:"absent,omitempty"`
	// Holds is how long it must then stay so; it is watched for that time.
	Holds scenario.Duration `json:"holds,omitempty"`
}

// Validate wants a description.
func (o Object) Validate(scenario.Scenario) error {
	if o.Ref.Kind == "" || o.Ref.Name == "*" {
		return errors.New("object wants ref: kind/name")
	}
	if described := len(o.Want) > 0 || len(o.Path) > 0 || len(o.Unset) > 0; described == o.Absent {
		return errors.New("object wants either absent: true or what it must be like (want, path, unset)")
	}
	return nil
}

// Describe says what the object is to be like.
func (o Object) Describe() string {
	var parts []string
	if o.Absent {
		parts = append(parts, "absent")
	}
	if len(o.Want) > 0 {
		parts = append(parts, string(o.Want))
	}
	for _, path := range slices.Sorted(maps.Keys(o.Path)) {
		parts = append(parts, fmt.Sprintf("%s is %q", path, o.Path[path]))
	}
	for _, field := range o.Unset {
		parts = append(parts, field+" is unset")
	}
	text := fmt.Sprintf("object %s: %s", o.Ref, strings.Join(parts, ", "))
	if o.Holds != 0 {
		text += fmt.Sprintf(", for %s", time.Duration(o.Holds))
	}
	return text
}

// ReadOnly is true.
func (Object) ReadOnly() bool { return true }

// Do waits until the object is as described, and has been for the time that Holds says.
func (o Object) Do(ctx context.Context, env *Env) (Report, error) {
	at, err := env.resolve(o.Ref)
	if err != nil {
		return Report{}, err
	}
	what := "to be as described"
	if o.Absent {
		what = "to be absent"
	}
	var broken error
	if err := env.awaitObject(ctx, at, what, o.Holds, func(found *unstructured.Unstructured) (bool, string) {
		var difference string
		if difference, broken = o.Mismatch(found); broken != nil {
			return true, broken.Error() // no use to wait: the description itself is wrong
		}
		if difference == "" {
			return true, "as described"
		}
		return false, difference
	}); err != nil {
		return Report{}, err
	}
	if broken != nil {
		return Report{}, broken
	}
	line := fmt.Sprintf("%s is as described", at)
	if o.Absent {
		line = fmt.Sprintf("there is no %s", at)
	}
	return Report{Lines: []string{line}}, nil
}
