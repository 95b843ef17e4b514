package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// validate checks what can be known without a cluster: that the parts of the scenario belong together.
func (s Scenario) validate(checks []string) error {
	return errors.Join(s.validateHead(), s.ValidatePart(checks), s.validatePairs())
}

// ValidatePart checks steps and tables that were not loaded from a scenario's folder and have no head of their own, as
// those of an exercise. What they withhold may stay away: whoever runs them brings it back. checks are the names of the
// Go checks that steps may ask for; nil: any.
func (s Scenario) ValidatePart(checks []string) error {
	errs := []error{s.validateClaims()}
	expected, steps := map[string]bool{}, map[string]bool{}
	for i, step := range s.Steps {
		label := fmt.Sprintf("step %d %q", i+1, step.Name)
		if step.Name == "" {
			errs = append(errs, fmt.Errorf("step %d has no name", i+1))
		}
		if steps[step.Name] {
			errs = append(errs, fmt.Errorf("%s: another step has the same name", label))
		}
		steps[step.Name] = true
		if actions := step.Actions(); len(actions) != 1 {
			errs = append(errs, fmt.Errorf("%s: want exactly one action, got %d %v", label, len(actions), actions))
			continue
		}
		if step.Within != 0 && step.Expect == nil {
			errs = append(errs, fmt.Errorf("%s: within is for an expect", label))
		}
		if step.Within != 0 && step.Timeout != 0 && step.Within >= step.Timeout {
			errs = append(errs, fmt.Errorf("%s: within must be shorter than the step's timeout", label))
		}
		if step.Family != "" && (step.Traffic != nil || step.Node != nil || step.Withhold != nil || step.Restore != nil) {
			errs = append(errs, fmt.Errorf("%s: a step that goes with another one is for every IP family", label))
		}
		if err := errors.Join(validateFamily(step.Family), s.validateStep(step, checks)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", label, err))
		}
		for _, table := range step.Expect {
			expected[table] = true
			if _, ok := s.Tables[table]; !ok {
				errs = append(errs, fmt.Errorf("%s: expect.yaml has no table %q", label, table))
			}
		}
	}
	for name, table := range s.Tables {
		if !expected[name] {
			errs = append(errs, fmt.Errorf("expect.yaml: no step expects table %q", name))
		}
		if err := table.validate(); err != nil {
			errs = append(errs, fmt.Errorf("expect.yaml: table %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

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
	} else if !slices.ContainsFunc(s.Steps, Step.looks) {
		errs = append(errs, errors.New("no step looks at anything: a scenario that cannot fail proves nothing"))
	}
	return errors.Join(errs...)
}

// looks reports whether the step can find the cluster wrong.
func (s Step) looks() bool {
	return s.Expect != nil || s.Check != nil || s.Object != nil || s.Event != nil || s.Reject != nil || s.Run != nil || s.Traffic != nil
}

// validateStep checks the one action of a step.
func (s Scenario) validateStep(step Step, checks []string) error {
	switch {
	case step.Settle != nil:
		return validateAllow(step.Settle.Allow)
	case step.Patch != nil:
		return s.validatePatch(*step.Patch)
	case step.Delete != nil:
		return s.validateOwn(step.Delete, "delete")
	case step.Scale != nil:
		return s.validateOwn([]Ref{step.Scale.Object}, "scale")
	case step.Reject != nil:
		return s.validateReject(*step.Reject)
	case step.Run != nil:
		return s.validateRun(*step.Run)
	case step.ReplacePods != nil:
		if step.ReplacePods.Namespace != "" && !s.disturbs(true) {
			return errors.New("pods of another namespace may be replaced only with serial: true and needs.features: [nodeControl]")
		}
		return validateSelector(step.ReplacePods.Selector)
	case step.Check != nil:
		if step.Check.Name == "" || checks != nil && !slices.Contains(checks, step.Check.Name) {
			return fmt.Errorf("check %q: want one of %v", step.Check.Name, checks)
		}
		return validateAllow(step.Check.Allow)
	case step.Object != nil:
		return validateObject(*step.Object)
	case step.Event != nil:
		if step.Event.Object.Kind == "" || step.Event.Reason == "" {
			return errors.New("want object and reason")
		}
	case step.Node != nil:
		return s.validateNode(*step.Node)
	case step.Traffic != nil:
		return validateTraffic(*step.Traffic)
	case step.Withhold != nil, step.Restore != nil:
		if !s.disturbs(false) {
			return errors.New("cluster-wide objects may be withheld only with needs.features: [nodeControl] and a claim or serial: true")
		}
	}
	return nil
}

// disturbs reports whether the scenario says that it touches what is not its own. alone asks for serial.
func (s Scenario) disturbs(alone bool) bool {
	return slices.Contains(s.Needs.Features, NodeControl) && (s.Serial || !alone && len(s.Claims) > 0)
}

func (s Scenario) validateOwn(refs []Ref, action string) error {
	for _, ref := range refs {
		if ref.Kind == "" || ref.Namespace != "" && !s.disturbs(false) || ref.Name == "*" {
			return fmt.Errorf("%s %q: want kind/name in the scenario's own namespace", action, ref)
		}
	}
	return nil
}

func (s Scenario) validatePatch(p Patch) error {
	if p.Object.Kind == "" || len(p.Body) == 0 {
		return errors.New("patch wants object and body")
	}
	if !slices.Contains([]string{"", "merge", "strategic", "json"}, p.Type) {
		return fmt.Errorf("patch type %q: want merge, strategic or json", p.Type)
	}
	if p.Subresource != "" && p.Subresource != "status" {
		return fmt.Errorf("patch subresource %q: want status or none", p.Subresource)
	}
	if (p.Object.Namespace != "" || p.Object.Name == "*") && !s.disturbs(false) {
		return fmt.Errorf("patch %s: objects of other namespaces may be patched only with needs.features: [nodeControl] and a claim or serial: true", p.Object)
	}
	return nil
}

func (s Scenario) validateReject(r Reject) error {
	if (r.Apply == "") == (r.Patch == nil) {
		return errors.New("reject wants one of apply and patch")
	}
	if len(r.Reason) == 0 {
		return errors.New("reject wants the reason: texts of the API's error")
	}
	if r.Patch != nil {
		return s.validatePatch(*r.Patch)
	}
	return nil
}

func (s Scenario) validateRun(r Run) error {
	words, err := Words(r.Command)
	if err != nil {
		return err
	}
	if len(words) < 2 || words[0] != "kubectl" {
		return fmt.Errorf("run %q: want a kubectl command", r.Command)
	}
	for _, w := range words {
		flag, _, _ := strings.Cut(w, "=")
		if slices.Contains([]string{"--kubeconfig", "--context", "--cluster", "--server", "-s", "--user"}, flag) {
			return fmt.Errorf("run: leave out %s: the runner says which cluster is meant", flag)
		}
		if (flag == "--namespace" || flag == "-n" || flag == "-A" || flag == "--all-namespaces") && !s.disturbs(false) {
			return fmt.Errorf("run: %s leaves the scenario's namespace, which needs nodeControl and a claim or serial: true", flag)
		}
	}
	return nil
}

func validateSelector(selector string) error {
	if selector == "" {
		return errors.New("selector is missing")
	}
	_, err := labels.Parse(selector)
	return err
}

func validateObject(o Object) error {
	if o.Ref.Kind == "" || o.Ref.Name == "*" {
		return errors.New("object wants ref: kind/name")
	}
	if described := len(o.Want) > 0 || len(o.Path) > 0 || len(o.Unset) > 0; described == o.Absent {
		return errors.New("object wants either absent: true or what it must be like (want, path, unset)")
	}
	return nil
}

func (s Scenario) validateNode(n Node) error {
	if n.Slot != Announcer && !slotPattern.MatchString(n.Slot) {
		return fmt.Errorf("node slot %q: want control-plane, worker, worker2, … or %s", n.Slot, Announcer)
	}
	if n.Slot != Announcer && n.Service != "" {
		return fmt.Errorf("node service goes with slot %s", Announcer)
	}
	if !slices.Contains([]string{"start", "stop", "restart", "restart-api-server", "exec"}, n.Action) {
		return fmt.Errorf("node action %q: want start, stop, restart, restart-api-server or exec", n.Action)
	}
	if (n.Action == "exec") != (len(n.Command) > 0) {
		return errors.New("node command goes with action exec")
	}
	if !s.disturbs(true) {
		return errors.New("nodes may be touched only with serial: true and needs.features: [nodeControl]")
	}
	return nil
}

func validateTraffic(t Traffic) error {
	set := 0
	for _, is := range []bool{t.Start != nil, t.Await != nil, t.Stop != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("traffic wants one of start, await and stop")
	case t.Stop != nil && t.Stop.Name == "", t.Await != nil && t.Await.Name == "", t.Start != nil && t.Start.Name == "":
		return errors.New("traffic wants a name")
	case t.Await != nil && t.Await.Answered == 0:
		return errors.New("traffic to await wants answered: how long")
	case t.Stop != nil && t.Stop.MinLost > t.Stop.MaxLost:
		return fmt.Errorf("traffic wants maxLost to be %d at least, which is minLost", t.Stop.MinLost)
	case t.Start == nil:
		return nil
	case t.Start.PerSecond < 1 || t.Start.PerSecond > 1000:
		return errors.New("traffic wants perSecond from 1 to 1000")
	case !strings.Contains(t.Start.From, "/") && t.Start.From != "outside" && t.Start.From != "host":
		return fmt.Errorf("traffic from %q: want one vantage, such as pod/worker or outside", t.Start.From)
	case t.Start.To.Service == "":
		return errors.New("traffic wants to.service")
	}
	return errors.Join(validateFrom(Strings{t.Start.From}), t.Start.To.validate())
}

// validatePairs checks that every flow is stopped, every stopped node started and every object withheld restored, in
// that order.
func (s Scenario) validatePairs() error {
	var errs []error
	open := map[string]string{}
	toggle := func(name, first, second string, opens bool) {
		_, isOpen := open[name]
		switch {
		case opens && isOpen:
			errs = append(errs, fmt.Errorf("%s: a second %s before the %s", name, first, second))
		case !opens && !isOpen:
			errs = append(errs, fmt.Errorf("%s: a %s without a %s before it", name, second, first))
		}
		if opens {
			open[name] = second
		} else {
			delete(open, name)
		}
	}
	for _, step := range s.Steps {
		if step.Traffic != nil && step.Traffic.Start != nil {
			toggle("traffic "+step.Traffic.Start.Name, "start", "stop", true)
		}
		if step.Traffic != nil && step.Traffic.Stop != nil {
			toggle("traffic "+step.Traffic.Stop.Name, "start", "stop", false)
		}
		if step.Node != nil && (step.Node.Action == "stop" || step.Node.Action == "start") {
			toggle("node "+step.Node.Slot, "stop", "start", step.Node.Action == "stop")
		}
		for _, ref := range step.Withhold {
			toggle(ref.String(), "withhold", "restore", true)
		}
		for _, ref := range step.Restore {
			toggle(ref.String(), "withhold", "restore", false)
		}
	}
	for name, second := range open {
		errs = append(errs, fmt.Errorf("%s: the %s is missing", name, second))
	}
	return errors.Join(errs...)
}

// nodePortText finds node ports in a manifest, a patch (merge or JSON) and a kubectl command line.
var nodePortText = regexp.MustCompile(`(?i)node-?port(?:[^0-9a-z]{1,4}|"\s*,\s*"value"\s*:\s*)([0-9]+)`)

// validateClaims checks that every fixed node port is claimed and the load-balancer pool at least shared:
// node ports are cluster-wide, and a port that two scenarios ask for at once fails one of them.
func (s Scenario) validateClaims() error {
	var errs []error
	for i, claim := range s.Claims {
		if claim == "" || slices.Contains(s.Claims[:i], claim) || slices.Contains(s.Shares, claim) {
			errs = append(errs, fmt.Errorf("claim %q is empty, there twice, or shared as well", claim))
		}
	}
	ports, balanced := map[string]bool{}, false
	for _, text := range s.asked() {
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

// asked is all that the steps ask the API server for and that it is to grant, as JSON or command lines.
func (s Scenario) asked() []string {
	var texts []string
	for _, step := range s.Steps {
		for _, file := range step.Apply {
			for _, object := range s.Objects[file] {
				if data, err := object.MarshalJSON(); err == nil {
					texts = append(texts, string(data))
				}
			}
		}
		if step.Patch != nil {
			texts = append(texts, string(step.Patch.Body))
		}
		if step.Run != nil && step.Run.Exit == 0 {
			texts = append(texts, step.Run.Command)
		}
	}
	return texts
}
