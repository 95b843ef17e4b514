package steps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Reject is an action the API server must refuse: one of Apply and Patch.
type Reject struct {
	Apply string `json:"apply,omitempty"`
	Patch *Patch `json:"patch,omitempty"`
	// Reason are texts the API's error must contain.
	Reason scenario.Strings `json:"reason"`
}

// Validate wants one action and a reason.
func (r Reject) Validate(in scenario.Scenario) error {
	if (r.Apply == "") == (r.Patch == nil) {
		return errors.New("reject wants one of apply and patch")
	}
	if len(r.Reason) == 0 {
		return errors.New("reject wants the reason: texts of the API's error")
	}
	if r.Patch != nil {
		return r.Patch.Validate(in)
	}
	return nil
}

// Describe says what is refused, and why.
func (r Reject) Describe() string {
	what := "apply " + r.Apply
	if r.Patch != nil {
		what = r.Patch.Describe()
	}
	return fmt.Sprintf("the API refuses to %s: %s", what, strings.Join(r.Reason, "; "))
}

// ReadOnly is true: what is refused changes nothing.
func (Reject) ReadOnly() bool { return true }

// Uses is the file. It is not a request that the API server must grant.
func (r Reject) Uses(scenario.Scenario) scenario.Uses {
	if r.Apply == "" {
		return scenario.Uses{}
	}
	return scenario.Uses{Files: []string{r.Apply}}
}
