package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/reach"
)

// Table is a hand-written table of what must be observed: rows that together match every cell, vantages
// down and targets across, exactly once. It is written by a person from the Kubernetes documentation and is
// never made from the oracle.
type Table struct {
	Title string `json:"title,omitempty"`
	// App selects the pods that rows mean by "all", "any" and "one", as a label selector.
	App string `json:"app,omitempty"`
	// From limits the vantages; all where it is empty.
	From Strings `json:"from,omitempty"`
	// Clients, a label selector, makes the scenario's own ready pods the clients, instead of the vantages that every table
	// has: they are of kind pod and named pod/NAME.
	Clients string `json:"clients,omitempty"`
	// Services limits the table to these; all in the namespace where it is empty.
	Services Strings `json:"services,omitempty"`
	// Kinds limits the targets; all kinds where it is empty.
	Kinds Kinds `json:"kinds,omitempty"`
	// EachFamily: a row that names no IP family and is about addresses of one kind is about some of each family that the
	// cluster's Services can have. So a Service that has lost one fails the table.
	EachFamily bool `json:"eachFamily,omitempty"`
	// Extra are targets that are probed in addition to those that follow from the Services.
	Extra []Extra `json:"extra,omitempty"`
	// Proportions: cells with the same backends get, together, as many connections as show that one of two backends gets 60 % of
	// them. That takes about 2,000.
	Proportions bool  `json:"proportions,omitempty"`
	Allow       Allow `json:"allow,omitempty"`
	Rows        []Row `json:"rows"`
}

// Extra is a target that does not follow from the objects: an undeclared port, another spelling of a name.
type Extra struct {
	Kind    reach.TargetKind `json:"kind"`
	Service string           `json:"service"`
	// Host is what is dialled. {namespace} and {domain} are filled in; {clusterIP} and {loadBalancerIP} too, and
	// {clusterIP:SERVICE}, {formerIP:SERVICE} (of one that is gone), {loadBalancerIP:SERVICE}, {podIP:POD}, {podLabel:POD} and
	// {nodeIP:SLOT}. With v6 before the colon each is the first of IPv6; with s it is every address, and makes as many targets.
	Host     string         `json:"host"`
	Port     uint16         `json:"port"`
	Protocol reach.Protocol `json:"protocol,omitempty"`
	// HostHeader is sent instead of the dialled name.
	HostHeader string `json:"hostHeader,omitempty"`
	Undeclared bool   `json:"undeclared,omitempty"`
}

// Row says what must be observed in the cells it matches.
type Row struct {
	From    Strings  `json:"from"`
	To      To       `json:"to"`
	Outcome Outcomes `json:"outcome"`
	// By are the backends that answer; set where the outcome can be Reached, and only there.
	By *By `json:"by,omitempty"`
	// Sees are the source addresses the backend may see; see Sources. Not judged where it is empty.
	Sees Strings `json:"sees,omitempty"`
	// CNAME is the canonical name the lookup must end at, without the final dot.
	CNAME string `json:"cname,omitempty"`
	// Host is the Host header the server must have got. {namespace} and {domain} are filled in.
	Host string `json:"host,omitempty"`
	// Because says why, in the words of the row's author.
	Because string `json:"because,omitempty"`
}

// Sources are the symbols of Row.Sees. An IP address or prefix may stand there too.
//
//	self        the vantage's own addresses
//	own-node    any address of the node the vantage stands on
//	node        any address of the node at which the packet meets the Service: the target's node, for a
//	            load-balancer address probed from outside the nodes the one that announces it, else the vantage's
//	any-node    any address of any node
//	host        the addresses of the machine svclab runs on
func Sources() []string { return []string{"self", "own-node", "node", "any-node", "host"} }

// Outcomes are the outcomes a row allows. Written as one, as a list, or by kube-proxy mode:
// {byMode: {nftables: Refused, iptables: TimedOut}}.
type Outcomes struct {
	Any    []reach.Outcome
	ByMode map[string][]reach.Outcome
}

// For are the outcomes allowed in a kube-proxy mode. In a mode that is not listed all that are listed are.
func (o Outcomes) For(mode string) []reach.Outcome {
	if o.ByMode == nil {
		return slices.Clone(o.Any)
	}
	if listed, ok := o.ByMode[mode]; ok {
		return slices.Clone(listed)
	}
	return o.All()
}

// All are all the outcomes named, in any mode, sorted.
func (o Outcomes) All() []reach.Outcome {
	all := slices.Clone(o.Any)
	for _, listed := range o.ByMode {
		all = append(all, listed...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// String is the outcomes as lists print them.
func (o Outcomes) String() string {
	if o.ByMode == nil {
		return joinOutcomes(o.Any)
	}
	var parts []string
	for mode, listed := range o.ByMode {
		parts = append(parts, joinOutcomes(listed)+" in "+mode)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func joinOutcomes(outcomes []reach.Outcome) string {
	texts := make([]string, len(outcomes))
	for i, o := range outcomes {
		texts[i] = string(o)
	}
	return strings.Join(texts, " or ")
}

// UnmarshalJSON takes the three forms and refuses outcomes that cannot be expected.
func (o *Outcomes) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		allowed, err := decodeOutcomes(data)
		o.Any = allowed
		return err
	}
	var modes struct {
		ByMode map[string]json.RawMessage `json:"byMode"`
	}
	if err := DecodeStrict(data, &modes); err != nil {
		return err
	}
	o.ByMode = map[string][]reach.Outcome{}
	for mode, raw := range modes.ByMode {
		if !slices.Contains(proxyModes(), mode) {
			return fmt.Errorf("proxy mode %q: want one of %v", mode, proxyModes())
		}
		listed, err := decodeOutcomes(raw)
		if err != nil {
			return err
		}
		o.ByMode[mode] = listed
	}
	return nil
}

func proxyModes() []string { return []string{"nftables", "iptables", "ipvs"} }

func decodeOutcomes(data []byte) ([]reach.Outcome, error) {
	var names Strings
	if err := names.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	known := []reach.Outcome{reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable, reach.NoSuchHost, reach.WrongAnswer}
	var outcomes []reach.Outcome
	for _, name := range names {
		if !slices.Contains(known, reach.Outcome(name)) {
			return nil, fmt.Errorf("outcome %q: want one of %v", name, known)
		}
		outcomes = append(outcomes, reach.Outcome(name))
	}
	return outcomes, nil
}

// By says which backends answer. The short forms are "all" (every ready pod of the table's app answers),
// "any" (some of them do), "one" (one of them answers every connection of a vantage) and "itself" (the pod
// whose address the target is).
type By struct {
	// Names are the backends by name, for those that are no pods: the outside server is "outside".
	Names []string `json:"names,omitempty"`
	// Pods is a label selector; the table's app where it is empty.
	Pods string `json:"pods,omitempty"`
	// On limits the pods to nodes: slots, "own" for the vantage's node, "target" for the target's node. YAML takes a
	// bare on for true, so it is written "on", in quotes.
	On Strings `json:"on,omitempty"`
	// States are ready, unready and terminating; only ready pods where it is empty.
	States Strings `json:"states,omitempty"`
	// Need is all (the default), any or one.
	Need string `json:"need,omitempty"`
	// Itself is the pod whose address the endpoint target is.
	Itself bool `json:"itself,omitempty"`
}

// UnmarshalJSON takes a short form or the full one.
func (b *By) UnmarshalJSON(data []byte) error {
	var short string
	if json.Unmarshal(data, &short) == nil {
		switch short {
		case "all", "any", "one":
			*b = By{Need: short}
		case "itself":
			*b = By{Itself: true}
		default:
			return fmt.Errorf("by %q: want all, any, one, itself, or names, pods, on, states and need", short)
		}
		return nil
	}
	type plain By
	if err := DecodeStrict(data, (*plain)(b)); err != nil {
		return err
	}
	if b.Need == "" {
		b.Need = "all"
	}
	return b.validate()
}

func (b By) validate() error {
	var errs []error
	if !slices.Contains([]string{"all", "any", "one"}, b.Need) && !b.Itself {
		errs = append(errs, fmt.Errorf("by: need %q: want all, any or one", b.Need))
	}
	ways := 0
	for _, set := range []bool{b.Itself, len(b.Names) > 0, b.Pods != "" || len(b.On) > 0 || len(b.States) > 0} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("by: itself, names, and a choice of pods exclude each other"))
	}
	if _, err := labels.Parse(b.Pods); err != nil {
		errs = append(errs, fmt.Errorf("by: pods: %w", err))
	}
	for _, on := range b.On {
		if on != "own" && on != "target" && !IsSlot(on) {
			errs = append(errs, fmt.Errorf("by: on %q: want own, target or a slot such as worker2", on))
		}
	}
	for _, state := range b.States {
		if !slices.Contains([]string{"ready", "unready", "terminating"}, state) {
			errs = append(errs, fmt.Errorf("by: state %q: want ready, unready or terminating", state))
		}
	}
	return errors.Join(errs...)
}

// String is the backends as lists print them.
func (b By) String() string {
	text := "every pod"
	switch {
	case b.Itself:
		return "that pod"
	case b.Need == "any":
		text = "any pod"
	case b.Need == "one":
		text = "one pod, always the same"
	}
	if len(b.Names) > 0 {
		return strings.Join(b.Names, ", ")
	}
	if b.Pods != "" {
		text += " with " + b.Pods
	}
	if len(b.On) > 0 {
		on := slices.Clone(b.On)
		for i, slot := range on {
			switch slot {
			case "own":
				on[i] = "the client's node"
			case "target":
				on[i] = "the target's node"
			}
		}
		text += " on " + strings.Join(on, ", ")
	}
	if len(b.States) > 0 {
		text += " that is " + strings.Join(b.States, " or ")
	}
	return text
}

func (r Row) validate(app string) error {
	errs := []error{ValidateFrom(r.From), r.To.Validate()}
	if len(r.From) == 0 {
		errs = append(errs, errors.New("from is missing"))
	}
	all := r.Outcome.All()
	if len(all) == 0 {
		errs = append(errs, errors.New("outcome is missing"))
	}
	reached := slices.Contains(all, reach.Reached)
	switch {
	case reached && r.By == nil:
		errs = append(errs, errors.New("by is missing: say who answers"))
	case !reached && (r.By != nil || len(r.Sees) > 0 || r.Host != ""):
		errs = append(errs, errors.New("by, sees and host say nothing where nothing is reached"))
	case reached && r.By.Pods == "" && len(r.By.Names) == 0 && !r.By.Itself && app == "":
		errs = append(errs, errors.New("by means the table's app, which is missing"))
	}
	for _, s := range r.Sees {
		if !slices.Contains(Sources(), s) && !isAddress(s) {
			errs = append(errs, fmt.Errorf("sees %q: want an address or one of %v", s, Sources()))
		}
	}
	if strings.HasSuffix(r.CNAME, ".") {
		errs = append(errs, fmt.Errorf("cname %q: leave out the final dot", r.CNAME))
	}
	return errors.Join(errs...)
}

func isAddress(text string) bool {
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

func (t Table) validate() error {
	errs := []error{ValidateFrom(t.From)}
	if len(t.Rows) == 0 {
		errs = append(errs, errors.New("it has no rows"))
	}
	if _, err := labels.Parse(t.App); err != nil {
		errs = append(errs, fmt.Errorf("app: %w", err))
	}
	if _, err := labels.Parse(t.Clients); err != nil {
		errs = append(errs, fmt.Errorf("clients: %w", err))
	}
	if t.Clients != "" && len(t.From) > 0 {
		errs = append(errs, errors.New("clients and from exclude each other"))
	}
	for i, x := range t.Extra {
		if x.Service == "" || x.Host == "" || x.Port == 0 {
			errs = append(errs, fmt.Errorf("extra target %d: want service, host and port", i+1))
		}
		if err := (&Kinds{}).UnmarshalJSON(fmt.Appendf(nil, "%q", x.Kind)); err != nil {
			errs = append(errs, fmt.Errorf("extra target %d: %w", i+1, err))
		}
	}
	for i, row := range t.Rows {
		if err := row.validate(t.App); err != nil {
			errs = append(errs, fmt.Errorf("row %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}
