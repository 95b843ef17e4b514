package mutants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"github.com/svclab/svclab/e2e/reach"
)

// filterTable is the one table that holds all of a mutant's packet filter rules on a node. It is no other program's, so
// that reverting is deleting it.
const filterTable = "svclab-mutant"

// Filter are nftables rules that are injected into the packet filters of nodes, by where a packet meets them. Those of the
// address translation stand before kube-proxy's: the first that translates a connection decides.
type Filter struct {
	// Nodes are the slots of the nodes that get them; empty: all.
	Nodes []string `json:"nodes"`
	// Sets are declarations of sets that the rules use.
	Sets []string `json:"sets"`
	// Arriving translates the destination of connections that pods and other machines make through the node, EveryClient
	// that of the node's own processes too.
	Arriving    []string `json:"arriving"`
	EveryClient []string `json:"everyClient"`
	// Leaving translates the source of connections that leave the node, those between its pods included.
	Leaving []string `json:"leaving"`
	// ArrivingRaw and SentRaw filter packets before anything else sees them, EveryClientRaw both.
	ArrivingRaw    []string `json:"arrivingRaw"`
	SentRaw        []string `json:"sentRaw"`
	EveryClientRaw []string `json:"everyClientRaw"`
	// Run is a shell command for each of the nodes once they have the rules; the revert does not undo it.
	Run string `json:"run"`
}

// String is what `nft -f -` reads: the table with the rules, in place of an earlier one. Without rules there is no table.
func (f Filter) String() string {
	var text, chains strings.Builder
	for _, c := range f.chains() {
		fmt.Fprintf(&chains, "  chain %s {\n    %s\n    %s\n  }\n", c.name, c.hook, strings.Join(c.rules, "\n    "))
	}
	// nft has no "delete if it exists". These two lines make the table if need be and delete it, in the same transaction.
	fmt.Fprintf(&text, "table inet %[1]s {}\ndelete table inet %[1]s\n", filterTable)
	if chains.Len() > 0 {
		fmt.Fprintf(&text, "table inet %s {\n", filterTable)
		for _, set := range f.Sets {
			fmt.Fprintf(&text, "  set %s\n", set)
		}
		text.WriteString(chains.String() + "}\n")
	}
	return text.String()
}

// chain is one of the table's.
type chain struct {
	name, hook string
	rules      []string
}

// chains are those that have rules.
func (f Filter) chains() []chain {
	return slices.DeleteFunc([]chain{
		{"arriving", "type nat hook prerouting priority dstnat - 20; policy accept;", slices.Concat(f.EveryClient, f.Arriving)},
		{"sent", "type nat hook output priority -120; policy accept;", f.EveryClient},
		{"leaving", "type nat hook postrouting priority srcnat - 10; policy accept;", f.Leaving},
		{"arriving-raw", "type filter hook prerouting priority raw; policy accept;", slices.Concat(f.EveryClientRaw, f.ArrivingRaw)},
		{"sent-raw", "type filter hook output priority raw; policy accept;", slices.Concat(f.EveryClientRaw, f.SentRaw)},
	}, func(c chain) bool { return len(c.rules) == 0 })
}

func filter(f Filter) Fault {
	var chains []string
	for _, c := range f.chains() {
		chains = append(chains, c.name)
	}
	onNodes := func(ctx context.Context, lab Lab, text string, argv ...string) error {
		if len(f.Nodes) == 0 {
			return everyNode(ctx, lab, text, argv...)
		}
		var errs []error
		for _, slot := range f.Nodes {
			errs = append(errs, onNode(ctx, lab, slot, text, argv...))
		}
		return errors.Join(errs...)
	}
	set := func(ctx context.Context, lab Lab, rules string) error {
		return onNodes(ctx, lab, rules, "nft", "-f", "-")
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			rules, err := scene.fill(f.String())
			script, failed := scene.fill(f.Run)
			if err = errors.Join(err, failed); err == nil {
				err = set(ctx, lab, rules)
			}
			if err != nil || script == "" {
				return err
			}
			return onNodes(ctx, lab, "", "sh", "-c", script)
		},
		Revert: func(ctx context.Context, lab Lab) error { return set(ctx, lab, Filter{}.String()) },
		Table:  "inet " + filterTable,
		Chains: chains,
		Slots:  f.Nodes,
	}
}

// fill executes a template over the scene. An address that the scenario does not have is an error.
func (s Scene) fill(text string) (string, error) {
	parsed, err := template.New("fault").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("read the template of a fault: %w", err)
	}
	var filled strings.Builder
	if err := parsed.Execute(&filled, s); err != nil {
		return "", fmt.Errorf("fill in the template of a fault: %w", err)
	}
	if strings.Contains(filled.String(), netip.Addr{}.String()) || strings.Contains(filled.String(), netip.AddrPort{}.String()) {
		return "", fmt.Errorf("a rule is about an address that the scenario does not have: %s", filled.String())
	}
	return filled.String(), nil
}

// onNode runs a program on the node of a slot, with text as its input.
func onNode(ctx context.Context, lab Lab, slot, text string, argv ...string) error {
	return at(ctx, lab, "node/"+slot, text, argv...)
}

// at runs a program at a vantage, with text as its input.
func at(ctx context.Context, lab Lab, vantage, text string, argv ...string) error {
	v, err := find(ctx, lab, vantage)
	if err != nil {
		return err
	}
	var input io.Reader
	if text != "" {
		input = strings.NewReader(text)
	}
	return lab.Exec(ctx, v, argv, input, io.Discard, io.Discard) // its error has what was said on stderr
}

func find(ctx context.Context, lab Lab, name string) (reach.Vantage, error) {
	vantages, err := lab.Vantages(ctx)
	if err != nil {
		return reach.Vantage{}, err
	}
	for _, v := range vantages {
		if v.Name == name {
			return v, nil
		}
	}
	return reach.Vantage{}, fmt.Errorf("there is no vantage %s", name)
}
