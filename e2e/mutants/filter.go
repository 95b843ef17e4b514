package mutants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// filterTable is the one table that holds all of a mutant's packet filter rules on a node. It is no other program's, so
// that reverting is deleting it.
const filterTable = "svclab-mutant"

// Rules are nftables rules that are injected into a node, by where a packet meets them. Those of the address translation stand
// before kube-proxy's: the first that translates a connection decides.
type Rules struct {
	// Sets are declarations of sets that the rules speak of.
	Sets []string
	// Arriving and Sent translate the destination of connections that pods and other machines make through the node,
	// and of those of the node's own processes.
	Arriving, Sent []string
	// Leaving translates the source of connections that leave the node, those between its pods included.
	Leaving []string
	// ArrivingRaw and SentRaw filter packets before anything else sees them.
	ArrivingRaw, SentRaw []string
}

// everyClient has the same rules for the pods' connections and the node's own.
func everyClient(rules ...string) Rules { return Rules{Arriving: rules, Sent: rules} }

// everyClientRaw is everyClient before anything else sees the packets.
func everyClientRaw(rules ...string) Rules { return Rules{ArrivingRaw: rules, SentRaw: rules} }

// String is what `nft -f -` takes: the table with the rules, instead of whatever it was. Without rules there is none.
func (r Rules) String() string {
	var text strings.Builder
	// the first two lines make the last one start from nothing, in one transaction
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("table inet %s {}", filterTable)
	line("delete table inet %s", filterTable)
	chains := []struct {
		name, hook string
		rules      []string
	}{
		{"arriving", "type nat hook prerouting priority dstnat - 20; policy accept;", r.Arriving},
		{"sent", "type nat hook output priority -120; policy accept;", r.Sent},
		{"leaving", "type nat hook postrouting priority srcnat - 10; policy accept;", r.Leaving},
		{"arriving-raw", "type filter hook prerouting priority raw; policy accept;", r.ArrivingRaw},
		{"sent-raw", "type filter hook output priority raw; policy accept;", r.SentRaw},
	}
	chains = slices.DeleteFunc(chains, func(c struct {
		name, hook string
		rules      []string
	}) bool {
		return len(c.rules) == 0
	})
	if len(chains) == 0 {
		return text.String()
	}
	line("table inet %s {", filterTable)
	for _, set := range r.Sets {
		line("  set %s", set)
	}
	for _, chain := range chains {
		line("  chain %s {", chain.name)
		line("    %s", chain.hook)
		for _, rule := range chain.rules {
			line("    %s", rule)
		}
		line("  }")
	}
	line("}")
	return text.String()
}

// filter injects rules into one node's packet filter.
func filter(slot string, rules func(Scene) (Rules, error)) Fault {
	return filters([]string{slot}, rules)
}

// filters injects rules into the packet filters of several nodes in the same way.
func filters(slots []string, rules func(Scene) (Rules, error)) Fault {
	set := func(ctx context.Context, lab Lab, r Rules) error {
		var errs []error
		for _, slot := range slots {
			errs = append(errs, onNode(ctx, lab, slot, r.String(), "nft", "-f", "-"))
		}
		return errors.Join(errs...)
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			r, err := rules(scene)
			if err != nil {
				return err
			}
			if text := r.String(); strings.Contains(text, netip.Addr{}.String()) {
				return fmt.Errorf("a rule is about an address that the scenario does not have: %s", text)
			}
			return set(ctx, lab, r)
		},
		Revert: func(ctx context.Context, lab Lab) error { return set(ctx, lab, Rules{}) },
	}
}

// toBackend is a rule's end that sends what it matches to a port of the pod on the node of a slot.
func (s Scene) toBackend(slot string, port uint16) (string, error) {
	i := slices.IndexFunc(s.Backends, func(b Backend) bool { return b.Slot == slot })
	if i < 0 {
		return "", fmt.Errorf("no pod of the app is ready on %s", slot)
	}
	return fmt.Sprintf("dnat ip to %s:%d", s.Backends[i].Addr, port), nil
}

// toService is a rule's beginning that matches connections to my-service's virtual address, toNamed to that of another
// Service of the scenario.
func (s Scene) toService() string { return toVIP(s.VIP) }

func (s Scene) toNamed(service string) string { return toVIP(virtual4(s.All[service])) }

func toVIP(addr netip.Addr) string { return fmt.Sprintf("ip daddr %s tcp dport 80", addr) }

// redirected has a node send its clients' connections to a Service's virtual address to port 8080 of one pod, whatever
// kube-proxy would do.
func redirected(slot, service, pod string) Fault {
	return filter(slot, func(s Scene) (Rules, error) {
		end, err := s.toPod(pod)
		return everyClient(s.toNamed(service) + " " + end), err
	})
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
