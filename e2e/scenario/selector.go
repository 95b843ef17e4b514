package scenario

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Ref names an object: "kind/name" in the scenario's namespace (or cluster-scoped), "namespace/kind/name"
// elsewhere. The kind is what kubectl takes: "service", "deployments", "ipaddresspools.metallb.io". The name
// "*" stands for every object of the kind there; only withhold, restore and patch take it.
type Ref struct{ Namespace, Kind, Name string }

// ParseRef reads the text form.
func ParseRef(text string) (Ref, error) {
	parts := strings.Split(text, "/")
	if slices.Contains(parts, "") || len(parts) < 2 || len(parts) > 3 {
		return Ref{}, fmt.Errorf("object %q: want kind/name or namespace/kind/name", text)
	}
	if len(parts) == 2 {
		parts = append([]string{""}, parts...)
	}
	return Ref{Namespace: parts[0], Kind: strings.ToLower(parts[1]), Name: parts[2]}, nil
}

// String is the text form.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Namespace + "/" + r.Kind + "/" + r.Name
}

// UnmarshalJSON reads the text form.
func (r *Ref) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("want an object as \"kind/name\", got %s", data)
	}
	parsed, err := ParseRef(text)
	*r = parsed
	return err
}

// MarshalJSON writes the text form.
func (r Ref) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// Kinds is a list of target kinds that may be written as one.
type Kinds []reach.TargetKind

// UnmarshalJSON takes a kind or a list of kinds, and no kind that does not exist.
func (k *Kinds) UnmarshalJSON(data []byte) error {
	var names Strings
	if err := names.UnmarshalJSON(data); err != nil {
		return err
	}
	known := []reach.TargetKind{reach.ClusterIP, reach.DNSName, reach.NodePort, reach.LoadBalancer, reach.ExternalIP,
		reach.ExternalName, reach.Endpoint, reach.Localhost, reach.HealthCheck}
	for _, name := range names {
		if !slices.Contains(known, reach.TargetKind(name)) {
			return fmt.Errorf("target kind %q: want one of %v", name, known)
		}
		*k = append(*k, reach.TargetKind(name))
	}
	return nil
}

// To selects targets. It may be written as a kind or a list of kinds. An empty field matches everything;
// but a selector is for declared ports or for undeclared ones, never for both.
type To struct {
	Kind       Kinds          `json:"kind,omitempty"`
	Service    string         `json:"service,omitempty"`
	Port       uint16         `json:"port,omitempty"`
	Protocol   reach.Protocol `json:"protocol,omitempty"`
	Undeclared bool           `json:"undeclared,omitempty"`
	// Node is where the target's address lives: the slot of a node, "own" for the vantage's own node, "other"
	// for any node but that. It matches only targets that live on a node (node ports, endpoints).
	Node string `json:"node,omitempty"`
	// Family is IPv4 or IPv6; it matches targets that are addresses of it, and names that are looked up in it.
	Family string `json:"family,omitempty"`
	// Name is the name dialled, for dns and externalName targets. {namespace} and {domain} are filled in.
	Name string `json:"name,omitempty"`
}

// UnmarshalJSON takes the short form, a kind or a list of kinds, or the full one.
func (t *To) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '{' {
		*t = To{}
		return t.Kind.UnmarshalJSON(data)
	}
	type plain To
	return DecodeStrict(data, (*plain)(t))
}

// String is the selector as lists and messages print it.
func (t To) String() string {
	port := ""
	switch {
	case t.Port != 0 && t.Protocol != "":
		port = fmt.Sprintf(":%d/%s", t.Port, t.Protocol)
	case t.Port != 0:
		port = fmt.Sprintf(":%d", t.Port)
	case t.Protocol != "":
		port = " " + string(t.Protocol)
	}
	repeat := t.Service == "" && t.Name == "" // then the port stands at each kind
	var parts []string
	for _, k := range t.Kind {
		part := string(k)
		if repeat {
			part += port
		}
		parts = append(parts, part)
	}
	text := "any target"
	if len(parts) > 0 {
		text = strings.Join(parts, ", ")
	}
	if t.Service != "" {
		text += " of " + t.Service
	}
	if t.Name != "" {
		text += " " + t.Name
	}
	if !repeat || len(parts) == 0 {
		text += port
	}
	if t.Node != "" {
		text += " on " + t.Node
	}
	if t.Family != "" {
		text += " " + t.Family
	}
	if t.Undeclared {
		text += " (undeclared port)"
	}
	return text
}

// Validate checks that the selector's words are known.
func (t To) Validate() error {
	if t.Protocol != "" && !slices.Contains([]reach.Protocol{reach.TCP, reach.UDP, reach.SCTP}, t.Protocol) {
		return fmt.Errorf("protocol %q: want TCP, UDP or SCTP", t.Protocol)
	}
	if err := validateFamily(t.Family); err != nil {
		return err
	}
	if t.Node != "" && t.Node != "own" && t.Node != "other" && !IsSlot(t.Node) {
		return fmt.Errorf("node %q: want own, other or a slot such as worker2", t.Node)
	}
	return nil
}

func validateFamily(family string) error {
	if !slices.Contains([]string{"", "IPv4", "IPv6"}, family) {
		return fmt.Errorf("family %q: want IPv4 or IPv6", family)
	}
	return nil
}

var (
	slotPattern    = regexp.MustCompile(`^(control-plane|worker)[0-9]*$`)
	vantagePattern = regexp.MustCompile(`^(any|pod|node|outside|host|(pod|node)/(control-plane|worker)[0-9]*)$`)
)

// MatchVantage reports whether a vantage of that kind and name is selected by one of the names in from:
// "any", a kind ("pod"), or a name ("pod/worker").
func MatchVantage(from Strings, v reach.Vantage) bool {
	return slices.ContainsFunc(from, func(name string) bool {
		return name == "any" || name == string(v.Kind) || name == v.Name
	})
}

// IsSlot reports whether a name is that of a node's slot: control-plane, worker, worker2, …
func IsSlot(name string) bool { return slotPattern.MatchString(name) }

// ValidateFrom checks that names select vantages: see MatchVantage.
func ValidateFrom(from Strings) error {
	for _, name := range from {
		if !vantagePattern.MatchString(name) {
			return fmt.Errorf("from %q: want any, pod, node, outside, host, or a vantage such as pod/worker", name)
		}
	}
	return nil
}
