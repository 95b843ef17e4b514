package steps

import (
	"errors"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Apply applies manifest files by server-side apply, in the order given.
type Apply []string

// Validate wants a file.
func (a Apply) Validate(scenario.Scenario) error {
	if len(a) == 0 {
		return errors.New("apply names no manifest")
	}
	return nil
}

// Describe names the files.
func (a Apply) Describe() string { return "apply " + strings.Join(a, ", ") }

// ReadOnly is false.
func (Apply) ReadOnly() bool { return false }

// Uses are the files, and their objects as requests.
func (a Apply) Uses(in scenario.Scenario) scenario.Uses {
	uses := scenario.Uses{Files: a}
	for _, file := range a {
		for _, object := range in.Objects[file] {
			if data, err := object.MarshalJSON(); err == nil { // it was JSON before
				uses.Requests = append(uses.Requests, string(data))
			}
		}
	}
	return uses
}
