package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// lookup asks the DNS as any client at the vantage would: Go's own resolver with /etc/resolv.conf, search path
// and ndots included. The answers are also read off the wire (see tap), because the resolver does not say by
// which aliases a name led to its addresses: its LookupCNAME returns the first or the last of a chain,
// whichever of its queries was answered first.
//
// The outcome is that of the step that stopped the probe. A name that does not exist, or has no such record,
// is NoSuchHost. A DNS server that stays silent is TimedOut, one that refuses the packet Refused, and one that
// answers SERVFAIL or another error WrongAnswer: cluster DNS is part of what is tested, so its failure is an
// observation, not a failed probe. The detail begins with "look up NAME", and Addresses is empty.
func (p *probe) lookup(ctx context.Context) {
	tap := &tap{server: p.cell.DNSServer, stream: p.cell.TCP}
	resolver := &net.Resolver{PreferGo: true, Dial: tap.dial}
	var err error
	switch p.cell.Record {
	case wire.SRV:
		err = p.lookupSRV(ctx, resolver)
	case wire.PTR:
		err = p.lookupPTR(ctx, resolver)
	case wire.CNAME:
		_, err = resolver.LookupCNAME(ctx, p.cell.Host)
	default:
		p.o.Addresses, err = resolver.LookupNetIP(ctx, p.ipNetwork(), p.cell.Host)
		for i, addr := range p.o.Addresses {
			p.o.Addresses[i] = addr.Unmap()
		}
	}
	messages, failure := tap.heard()
	if p.cell.Record != wire.PTR && p.cell.Record != wire.SRV {
		p.o.CNAME, p.chain = canonical(messages)
	}
	if err != nil {
		p.o.Outcome, p.o.Detail = lookupOutcome(p.cell.Host, err, messages, failure)
		return
	}
	p.o.Outcome = reach.Reached
}

func (p *probe) ipNetwork() string {
	switch {
	case p.cell.Record == wire.A || p.cell.Family == 4:
		return "ip4"
	case p.cell.Record == wire.AAAA || p.cell.Family == 6:
		return "ip6"
	default:
		return "ip"
	}
}

func (p *probe) lookupSRV(ctx context.Context, resolver *net.Resolver) error {
	_, records, err := resolver.LookupSRV(ctx, "", "", p.cell.Host)
	for _, r := range records {
		p.services = append(p.services, wire.Service{Target: strings.TrimSuffix(r.Target, "."),
			Port: r.Port, Priority: r.Priority, Weight: r.Weight})
	}
	slices.SortFunc(p.services, func(a, b wire.Service) int { // the resolver shuffles them
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	return err
}

func (p *probe) lookupPTR(ctx context.Context, resolver *net.Resolver) error {
	names, err := resolver.LookupAddr(ctx, p.cell.Host)
	for _, name := range names {
		p.names = append(p.names, strings.TrimSuffix(name, "."))
	}
	slices.Sort(p.names)
	return err
}

// lookupOutcome says what a lookup's error means, given what the servers answered and the last error of a
// socket on the way to them.
func lookupOutcome(name string, err error, messages []message, failure error) (reach.Outcome, string) {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return reach.NoSuchHost, fmt.Sprintf("look up %s: %s", name, absence(messages))
	}
	detail := fmt.Sprintf("look up %s: %v", name, err)
	for _, m := range slices.Backward(messages) {
		if m.rcode != rcodeSuccess && m.rcode != rcodeNameError {
			return reach.WrongAnswer, fmt.Sprintf("look up %s: the DNS server answered %s", name, m.rcode)
		}
	}
	if failure != nil {
		if outcome, ok := classify(failure); ok {
			return outcome, fmt.Sprintf("look up %s: %v", name, failure)
		}
	}
	if dns != nil && dns.IsTimeout || errors.Is(err, context.DeadlineExceeded) {
		return reach.TimedOut, detail
	}
	if len(messages) > 0 {
		return reach.WrongAnswer, detail
	}
	return reach.ProbeFailed, detail
}

// absence says in which of two ways a name is not there.
func absence(messages []message) string {
	for _, m := range messages {
		if m.rcode == rcodeSuccess {
			return strings.TrimSuffix(m.question, ".") + " exists, but has no such record"
		}
	}
	return "no such name (NXDOMAIN)"
}

// canonical returns what the cluster's DNS says a name stands for, without the final dot, and the whole chain
// of aliases. That is the target of the first alias, which for an ExternalName Service is spec.externalName,
// however many aliases the outside world's DNS adds behind it; or the full name that had the records, where
// there is no alias. Empty when /etc/hosts answered.
func canonical(messages []message) (string, []string) {
	for _, m := range slices.Backward(messages) {
		if chain := m.chain(); len(chain) > 0 {
			return chain[0], chain
		}
	}
	for _, m := range slices.Backward(messages) {
		if len(m.answers) > 0 {
			return strings.TrimSuffix(m.question, "."), nil
		}
	}
	return "", nil
}
