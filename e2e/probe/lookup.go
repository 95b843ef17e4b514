package probe

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// Record is a DNS record type.
type Record = wire.Record

// The record types that can be looked up; AnyAddress is A and AAAA together.
const (
	AnyAddress = wire.AnyAddress
	A          = wire.A
	AAAA       = wire.AAAA
	CNAME      = wire.CNAME
	SRV        = wire.SRV
	PTR        = wire.PTR
)

// Lookup is one question to the DNS, asked as the vantage asks it: /etc/hosts, then its servers, by its search path.
type Lookup struct {
	Vantage reach.Vantage
	// Name is what to look up; for PTR an IP address. A final dot keeps the search path out.
	Name   string
	Record Record
	// Timeout of the whole lookup; 0: DefaultTimeout.
	Timeout time.Duration
	// Server is asked instead of the vantage's own; the zero value asks those.
	Server netip.AddrPort
	// TCP asks over TCP alone, as a resolver does for an answer that fits no datagram.
	TCP bool
}

// Service is one SRV record; Target has no final dot.
type Service = wire.Service

// Found is what came of a Lookup.
type Found struct {
	Lookup
	// Observation has the outcome (Reached: there is such a record; NoSuchHost: there is not), Addresses for
	// address records, and CNAME: the first alias's target, or the full name that has the records.
	Observation reach.Observation
	// Chain are the aliases passed through, each the target of the one before, without final dots; empty when
	// the name is no alias.
	Chain []string
	// Services are the answer to SRV, by priority and then name; Names are that to PTR, sorted.
	Services []Service
	Names    []string
	// Repeat is a shell command that asks the same once more.
	Repeat string
}

// Resolve asks all lookups, each vantage's in one go and all vantages at the same time, and returns one answer
// per lookup in the same order. Errors are as with Observe.
func (c *Client) Resolve(ctx context.Context, lookups []Lookup) ([]Found, error) {
	found := make([]Found, len(lookups))
	questions := make([]question, len(lookups))
	for i, l := range lookups {
		asked, err := l.question(i)
		if err != nil {
			return nil, fmt.Errorf("lookup %d (%s → %s %s): %w", i, l.Vantage.Name, l.Name, l.Record, err)
		}
		questions[i] = asked
		found[i] = Found{Lookup: l, Repeat: c.command(l.Vantage, repeat(asked))}
	}
	for i, answer := range c.askAll(ctx, questions) {
		found[i].Observation = answer.Observations[0]
		found[i].Chain, found[i].Services, found[i].Names = answer.Chain, answer.Services, answer.Names
	}
	if ctx.Err() != nil {
		return found, fmt.Errorf("look up %d names: %w", len(found), context.Cause(ctx))
	}
	return found, nil
}

func (l Lookup) question(id int) (question, error) {
	switch l.Record {
	case AnyAddress, A, AAAA, CNAME, SRV:
	case PTR:
		if !isAddr(l.Name) {
			return question{}, fmt.Errorf("PTR is looked up for an address, %q is none", l.Name)
		}
	default:
		return question{}, fmt.Errorf("unknown record type %q", l.Record)
	}
	return Request{Vantage: l.Vantage, Target: reach.Target{Host: l.Name}, Timeout: l.Timeout,
		Form: wire.Lookup, DNSServer: l.Server, record: l.Record, tcp: l.TCP}.question(id)
}
