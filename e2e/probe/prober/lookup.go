package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// lookup resolves a name as any client at the vantage would: with Go's own resolver, /etc/resolv.conf, its search path and
// ndots. A recorder also keeps the DNS responses, because the resolver does not return the chain of aliases from a name to
// its addresses: LookupCNAME returns the first or the last alias, depending on which of its queries is answered first.
//
// The outcome is that of the step that stopped the probe. A name that does not exist, or has no such record, is NoSuchHost.
// A DNS server that does not answer is TimedOut, one that refuses the packet Refused, and one that answers SERVFAIL or
// another error WrongAnswer. Cluster DNS is part of the tested system, so its failure is an observation and not a failed
// probe. The detail begins with "look up NAME", and Addresses is empty.
func (p *probe) lookup(ctx context.Context) {
	recorder := &recorder{server: p.cell.DNSServer, stream: p.cell.TCP}
	resolver := &net.Resolver{PreferGo: true, Dial: recorder.dial}
	var err error
	switch p.cell.Record {
	case wire.SRV:
		err = p.lookupSRV(ctx, resolver)
	case wire.PTR:
		err = p.lookupPTR(ctx, resolver)
	case wire.TXT:
		p.texts, err = resolver.LookupTXT(ctx, p.cell.Host)
		slices.Sort(p.texts)
	case wire.CNAME:
		_, err = resolver.LookupCNAME(ctx, p.cell.Host)
	default:
		p.o.Addresses, err = resolver.LookupNetIP(ctx, p.ipNetwork(), p.cell.Host)
		for i, addr := range p.o.Addresses {
			p.o.Addresses[i] = addr.Unmap()
		}
	}
	messages, failure := recorder.recorded()
	if !slices.Contains([]wire.Record{wire.PTR, wire.SRV, wire.TXT}, p.cell.Record) {
		p.o.CNAME, p.chain = canonical(messages)
	}
	if err != nil {
		p.o.Outcome, p.o.Detail = lookupOutcome(p.cell.Host, err, messages, failure)
		p.noData = p.o.Outcome == reach.NoSuchHost && existing(messages) != ""
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

// lookupOutcome returns the outcome and the detail of a lookup's error, from the servers' responses and the last error of a
// socket.
func lookupOutcome(name string, err error, messages []message, failure error) (reach.Outcome, string) {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return reach.NoSuchHost, fmt.Sprintf("look up %s: %s", name, absence(messages))
	}
	detail := fmt.Sprintf("look up %s: %v", name, err)
	for _, m := range slices.Backward(messages) {
		if m.rcode != dnsmessage.RCodeSuccess && m.rcode != dnsmessage.RCodeNameError {
			return reach.WrongAnswer, fmt.Sprintf("look up %s: the DNS server answered %s", name, mnemonic(m.rcode))
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

// absence tells a name that does not exist from one that has no record of the wanted type.
func absence(messages []message) string {
	if name := existing(messages); name != "" {
		return name + " exists, but has no such record"
	}
	return "no such name (NXDOMAIN)"
}

// existing returns the first name that a server said exists; empty if none.
func existing(messages []message) string {
	for _, m := range messages {
		if m.rcode == dnsmessage.RCodeSuccess {
			return strings.TrimSuffix(m.question, ".")
		}
	}
	return ""
}

// canonical returns the name that the looked-up name stands for, without the final dot, and the complete chain of aliases.
// With aliases it is the target of the first one. For an ExternalName Service that is spec.externalName, even if the
// outside world's DNS adds aliases after it. Without aliases it is the full name that has the records. It is empty if
// /etc/hosts has the name.
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
