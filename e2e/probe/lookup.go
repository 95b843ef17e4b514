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
	TXT        = wire.TXT
)

// Lookup is one name to resolve as the vantage does: by /etc/hosts, then by its DNS servers and search path.
type Lookup struct {
	Vantage reach.Vantage
	// Name is what to look up; for PTR an IP address. A final dot keeps the search path out.
	Name   string
	Record Record
	// Timeout of the whole lookup; 0: DefaultTimeout.
	Timeout time.Duration
	// Server replaces the vantage's own DNS servers if set.
	Server netip.AddrPort
	// TCP sends the query over TCP only, as a resolver does for an answer that does not fit a datagram.
	TCP bool
}

// Service is one SRV record; Target has no final dot.
type Service = wire.Service

// Found is the result of a Lookup.
type Found struct {
	Lookup
	// Observation has the outcome (Reached: the record exists; NoSuchHost: it does not), Addresses for address records, and
	// CNAME: the first alias's target, or the full name that has the records.
	Observation reach.Observation
	// Chain lists the aliases, each the target of the one before, without final dots; empty if the name is not an alias.
	Chain []string
	// Services are the SRV records, by priority and then name. Names are the PTR names, Texts the TXT records, sorted.
	Services []Service
	Names    []string
	Texts    []string
	// NoData: a NoSuchHost because the name, which exists, has no record of the type. With a search path it is about any name
	// of it.
	NoData bool
	// Repeat is a shell command that repeats the lookup.
	Repeat string
}

// Resolve makes all lookups, each vantage's in one batch and all vantages at the same time, and returns one result per lookup
// in the same order. It returns errors as Observe does.
func (c *Client) Resolve(ctx context.Context, lookups []Lookup) ([]Found, error) {
	found := make([]Found, len(lookups))
	planned := make([]plannedCell, len(lookups))
	for i, l := range lookups {
		p, err := l.plan()
		if err != nil {
			return nil, fmt.Errorf("lookup %d (%s → %s %s): %w", i, l.Vantage.Name, l.Name, l.Record, err)
		}
		planned[i] = p
		found[i] = Found{Lookup: l, Repeat: c.command(l.Vantage, repeat(p))}
	}
	for i, answer := range c.probeAll(ctx, planned) {
		found[i].Observation = answer.Observations[0]
		found[i].Chain, found[i].Services, found[i].Names = answer.Chain, answer.Services, answer.Names
		found[i].Texts, found[i].NoData = answer.Texts, answer.NoData
	}
	if ctx.Err() != nil {
		return found, fmt.Errorf("look up %d names: %w", len(found), context.Cause(ctx))
	}
	return found, nil
}

func (l Lookup) plan() (plannedCell, error) {
	switch l.Record {
	case AnyAddress, A, AAAA, CNAME, SRV, TXT:
	case PTR:
		if !isAddr(l.Name) {
			return plannedCell{}, fmt.Errorf("PTR needs an IP address, %q is not one", l.Name)
		}
	default:
		return plannedCell{}, fmt.Errorf("unknown record type %q", l.Record)
	}
	return Request{Vantage: l.Vantage, Target: reach.Target{Host: l.Name}, Timeout: l.Timeout,
		Form: wire.Lookup, DNSServer: l.Server, record: l.Record, tcp: l.TCP}.plan()
}
