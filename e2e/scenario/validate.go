package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// validate checks what can be known without a cluster: that the parts of the scenario belong together.
func (s Scenario) validate() error {
	return errors.Join(s.validateHead(), s.ValidatePart(), s.validatePairs())
}

// ValidatePart checks steps and tables that were not loaded from a scenario's folder and have no head of their own, such as
// those of an exercise. What they withhold may stay away: the caller restores it.
func (s Scenario) ValidatePart() error { return errors.Join(s.validateClaims(), s.validateSteps()) }

func (s Scenario) validateHead() error {
	var errs []error
	if s.Title == "" {
		errs = append(errs, errors.New("title is missing"))
	}
	if len(s.Behaviours) == 0 {
		errs = append(errs, errors.New("behaviours are missing: say what is verified"))
	}
	for i, id := range s.Behaviours {
		if !KnownBehaviour(id) {
			errs = append(errs, fmt.Errorf("behaviour %q is not one that svclab knows", id))
		}
		if slices.Contains(s.Behaviours[:i], id) {
			errs = append(errs, fmt.Errorf("behaviour %q is there twice", id))
		}
	}
	for _, f := range s.Needs.Features {
		if !slices.Contains(Features(), f) {
			errs = append(errs, fmt.Errorf("needs: feature %q: want one of %v", f, Features()))
		}
	}
	for _, mode := range s.Needs.ProxyModes {
		if !slices.Contains(proxyModes(), mode) {
			errs = append(errs, fmt.Errorf("needs: proxy mode %q: want one of %v", mode, proxyModes()))
		}
	}
	if len(s.Steps) == 0 {
		errs = append(errs, errors.New("steps are missing"))
	} else if !slices.ContainsFunc(s.Steps, Step.judges) {
		errs = append(errs, errors.New("no step looks at anything: a scenario that cannot fail proves nothing"))
	}
	return errors.Join(errs...)
}

// MayDisturb reports whether the scenario says that it touches what is not its own: with a claim, or alone on the cluster.
func (s Scenario) MayDisturb() bool {
	return slices.Contains(s.Needs.Features, NodeControl) && (s.Serial || len(s.Claims) > 0)
}

// MayDisturbAlone reports whether the scenario may touch what every other one stands on, because it runs alone.
func (s Scenario) MayDisturbAlone() bool {
	return slices.Contains(s.Needs.Features, NodeControl) && s.Serial
}

// nodePortText finds node ports in a manifest, a patch (merge or JSON) and a kubectl command line.
var nodePortText = regexp.MustCompile(`(?i)node-?port(?:[^0-9a-z]{1,4}|"\s*,\s*"value"\s*:\s*)([0-9]+)`)

// validateClaims checks that every fixed node port is claimed and the load-balancer pool at least shared:
// node ports are cluster-wide, and a port that two scenarios request at once fails one of them.
func (s Scenario) validateClaims() error {
	var errs []error
	for i, claim := range s.Claims {
		if claim == "" || slices.Contains(s.Claims[:i], claim) || slices.Contains(s.Shares, claim) {
			errs = append(errs, fmt.Errorf("claim %q is empty, there twice, or shared as well", claim))
		}
	}
	ports, balanced := map[string]bool{}, false
	for _, text := range s.requests() {
		for _, match := range nodePortText.FindAllStringSubmatch(text, -1) {
			ports[match[1]] = true
		}
		balanced = balanced || strings.Contains(text, `"type":"LoadBalancer"`) || strings.Contains(text, "--type=LoadBalancer")
	}
	for port := range ports {
		if !slices.Contains(s.Claims, "nodePort/"+port) {
			errs = append(errs, fmt.Errorf("node port %s is used but not claimed: add nodePort/%s to claims", port, port))
		}
	}
	if balanced && !slices.Contains(s.Needs.Features, LoadBalancer) {
		errs = append(errs, errors.New("a Service of type LoadBalancer needs features: [loadBalancer]"))
	}
	if balanced && !slices.Contains(s.Claims, PoolClaim) && !slices.Contains(s.Shares, PoolClaim) {
		errs = append(errs, fmt.Errorf("a Service of type LoadBalancer takes an address of the pool: add %s to shares", PoolClaim))
	}
	return errors.Join(errs...)
}

// PoolClaim is the claim on the load-balancer address pool: shared by who takes an address, claimed by who
// takes the pool away.
const PoolClaim = "loadBalancerPool"

// requests are all requests of the steps that the API server must grant, as JSON or command lines.
func (s Scenario) requests() []string {
	var texts []string
	for _, step := range s.Steps {
		texts = append(texts, step.uses(s).Requests...)
	}
	return texts
}
