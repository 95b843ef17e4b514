package steps

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	text := fmt.Sprintf("%s is %s", o.Ref, strings.Join(parts, ", "))
	if o.Holds != 0 {
		text += fmt.Sprintf(", for %s", time.Duration(o.Holds))
	}
	return text
}

// ReadOnly is true.
func (Object) ReadOnly() bool { return true }
