package scenario

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/json"
)

// Strings is a list of strings that may be written as one string.
type Strings []string

// UnmarshalJSON takes a string or a list of strings.
func (s *Strings) UnmarshalJSON(data []byte) error {
	var one string
	if stdjson.Unmarshal(data, &one) == nil {
		*s = Strings{one}
		return nil
	}
	var many []string
	if err := stdjson.Unmarshal(data, &many); err != nil {
		return fmt.Errorf("want a string or a list of strings (quote numbers and true, false, yes, no), got %s", data)
	}
	*s = many
	return nil
}

// Allow names what a scenario leaves unfinished on purpose, so that settling does not wait for it: unready (pods),
// terminating (pods and Services), pending (load balancers). It may be written as one string.
type Allow []string

// UnmarshalJSON refuses names that mean nothing.
func (a *Allow) UnmarshalJSON(data []byte) error {
	err := (*Strings)(a).UnmarshalJSON(data)
	for _, what := range *a {
		if !slices.Contains([]string{"unready", "terminating", "pending"}, what) {
			return fmt.Errorf("allow %q: want unready, terminating or pending", what)
		}
	}
	return err
}

// Duration is a time.Duration written as "1m30s".
type Duration time.Duration

// UnmarshalJSON takes the text form of time.ParseDuration and refuses what is not positive.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := stdjson.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("want a duration such as \"30s\", got %s", data)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("want a duration such as \"30s\": %w", err)
	}
	if parsed <= 0 {
		return fmt.Errorf("duration %s: want more than nothing", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON writes the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return stdjson.Marshal(time.Duration(d).String()) }

// Or is d, or fallback where d is not set.
func (d Duration) Or(fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}

// DecodeStrict decodes JSON into out and refuses fields out does not have, field names in the wrong case, and
// fields given twice.
func DecodeStrict(data []byte, out any) error {
	strict, err := json.UnmarshalStrict(data, out)
	if err != nil {
		return err
	}
	return errors.Join(strict...)
}
