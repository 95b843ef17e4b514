package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/svclab/svclab/e2e/reach"
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

// Do tries what must be refused and compares the API's reason.
func (r Reject) Do(ctx context.Context, env *Env) (Report, error) {
	var err error
	what := r.Apply
	if r.Patch != nil {
		at, resolveErr := env.resolve(r.Patch.Object)
		if resolveErr != nil {
			return Report{}, resolveErr
		}
		if env.foreign(at) {
			return Report{}, fmt.Errorf("patch %s: it is not in the scenario's namespace", r.Patch.Object)
		}
		what = "the patch of " + r.Patch.Object.String()
		err = env.patch(ctx, at, *r.Patch)
	} else {
		_, err = env.applyFiles(ctx, []string{r.Apply})
	}
	if err == nil {
		return Report{}, reach.Failf("%s was accepted; want it refused with %q", what, []string(r.Reason))
	}
	if !refused(err) {
		return Report{}, fmt.Errorf("%s was neither accepted nor refused: %w", what, err)
	}
	report := Report{Lines: []string{"refused: " + err.Error()}}
	for _, reason := range r.Reason {
		if !strings.Contains(err.Error(), reason) {
			return report, reach.Failf("%s was refused for another reason: want %q in %q", what, reason, err.Error())
		}
	}
	return report, nil
}

// refused reports whether the API server judged the request. Other errors say that it could not.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500 &&
		!apierrors.IsTooManyRequests(err) && !apierrors.IsUnauthorized(err)
}
