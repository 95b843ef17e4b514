// Package probe probes targets from vantages and returns observations. It copies a small static program, the prober (package
// main in prober/), to each vantage through an Exec, sends it all of the vantage's cells in one batch, and reads one answer
// per cell. A table of a thousand cells takes seconds.
//
// A probe is one new connection from a fresh source port. A probe that could not be made is ProbeFailed, a probe that was
// omitted on purpose is Unprobed. Neither is ever taken for "blocked". The client retries the transport a few times until
// the prober has started. It never retries outcomes.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// Exec runs programs at vantages. Package cluster implements it for nodes, pods and containers, Local for the host.
type Exec interface {
	// Exec runs argv at the vantage with the streams connected and waits for its end. A non-zero exit code is an error.
	Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
	// Prober copies the prober program to the vantage, once, and returns its path there.
	Prober(ctx context.Context, v reach.Vantage) (path string, err error)
}

// Prefixer is implemented by an Exec that can print a shell command which runs argv at a vantage:
// "kubectl exec -n svclab-clients client-worker -- curl …". shellescape.QuoteCommand joins argv. Without it Cell.Repeat is the bare command.
type Prefixer interface {
	Command(v reach.Vantage, argv []string) string
}

// Guard decides whether packets from a vantage to an address stay where they may go.
type Guard interface {
	// Check returns why v must not send packets to addr, or "" if it may.
	Check(ctx context.Context, v reach.Vantage, addr netip.Addr) (reason string)
}

// Form is which requests a target gets; see package wire.
type Form = wire.Form

// The forms a request can have.
const (
	AppHTTP      = wire.AppHTTP
	AppUDP       = wire.AppUDP
	OutsideHTTP  = wire.OutsideHTTP
	OutsideHTTPS = wire.OutsideHTTPS
	HealthCheck  = wire.HealthCheck
)

// OutsideAuthority is the file, at the outside vantage, with the PEM certificate of the authority that issued its server's
// certificate.
const OutsideAuthority = "/svclab/ca.pem"

// DefaultTimeout is the timeout of one connection if a request has none. It leaves time for the first retransmission of a
// SYN, after one second: over IPv6 Linux reports a local rejection only then.
const DefaultTimeout = 2 * time.Second

// Request is one cell to observe.
type Request struct {
	Vantage reach.Vantage
	// Target's Host is an IP address or a name, which is looked up at the vantage. A name with the zero Port is only looked
	// up: Reached then means that it has an address.
	Target reach.Target
	// Min and Max bound the connections: at least Min (0: 1), then more until each backend of Until has answered, at most Max
	// (less than Min: Min). After Min, a cell ends with three failed connections in a row, so that a blocked cell does not
	// cost Max timeouts.
	Min, Max int
	Until    []string
	// Even: more connections too, until it is known whether one backend of Until is favoured. Patient: failed connections in a
	// row do not end the cell.
	Even, Patient bool
	// Timeout of one connection, name lookup included; 0: DefaultTimeout. Reply bounds it without the lookup; 0: Timeout does.
	Timeout, Reply time.Duration
	// Interval between two connections of this cell; 0: no pause. Spread is the time over which the first Min of them begin.
	Interval, Spread time.Duration
	// Length is how many bytes the sample app must echo over each connection, or in one datagram, which holds at most 2,000;
	// 0: none. Hold is how long a TCP connection then stays idle before the prober uses it again and half-closes it before
	// the last answer. An echo that differs is a WrongAnswer. Both count towards Timeout.
	Length int
	Hold   time.Duration
	// Form is which requests to send; empty: chosen by the target. An ExternalName target gets the requests for the outside
	// world's server (HTTPS on port 443), a HealthCheck target those for a health check, any other those for the sample app.
	Form Form
	// Family is 4 or 6 to dial only addresses of that IP family; 0: the target's family if set, else either.
	Family int
	// DNSServer replaces the vantage's own DNS servers if set.
	DNSServer netip.AddrPort
	// ServerName and Roots are for HTTPS: the TLS server name (empty: the target's host), and the PEM certificates to verify
	// the server with (empty: it is not verified). A failed verification is a WrongAnswer.
	ServerName string
	Roots      string

	// Class is the DSCP of the packets, by which a trace finds them; 0: none.
	Class uint8

	record Record // of a Lookup
	tcp    bool   // of a Lookup
}

// Client makes probes through an Exec. It keeps no state between calls.
type Client struct {
	exec        Exec
	guard       Guard
	concurrency int
	tries       int
	retryPause  time.Duration
	grace       time.Duration
}

// Option changes a Client.
type Option func(*Client)

// WithConcurrency sets how many connections one vantage's prober makes at once; the default is wire.DefaultConcurrency, the
// maximum wire.MaxConcurrency.
func WithConcurrency(cells int) Option {
	return func(c *Client) { c.concurrency = min(max(cells, 1), wire.MaxConcurrency) }
}

// WithGuard replaces the RouteGuard of host vantages.
func WithGuard(g Guard) Option { return func(c *Client) { c.guard = g } }

// WithRetries sets how often the client retries to start a prober, and the pause before the first retry, which grows with
// each; the default is 2 retries after 200 ms.
func WithRetries(times int, pause time.Duration) Option {
	return func(c *Client) { c.tries, c.retryPause = max(times, 0)+1, pause }
}

// New returns a client that probes through exec.
func New(exec Exec, opts ...Option) *Client {
	c := &Client{exec: exec, guard: &RouteGuard{}, concurrency: wire.DefaultConcurrency,
		tries: 3, retryPause: 200 * time.Millisecond, grace: 10 * time.Second}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// Observe probes all requests, each vantage's in one batch and all vantages at the same time, and returns one cell per
// request in the same order. A vantage whose prober could not run yields ProbeFailed cells, not an error. Observe returns an
// error for an invalid request, before any probe, and, together with the complete cells, if ctx ended.
func (c *Client) Observe(ctx context.Context, requests []Request) ([]reach.Cell, error) {
	cells := make([]reach.Cell, len(requests))
	planned := make([]plannedCell, len(requests))
	for i, r := range requests {
		p, err := r.plan()
		if err != nil {
			return nil, fmt.Errorf("request %d (%s → %s): %w", i, r.Vantage.Name, r.Target.Name(), err)
		}
		planned[i] = p
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target, Repeat: c.command(r.Vantage, repeat(p))}
	}
	answers := c.probeAll(ctx, planned)
	for i := range cells {
		cells[i].Observations = answers[i].Observations
	}
	if ctx.Err() != nil {
		return cells, fmt.Errorf("observe %d cells: %w", len(cells), context.Cause(ctx))
	}
	return cells, nil
}

// plannedCell is a cell and the vantage to probe it from.
type plannedCell struct {
	vantage reach.Vantage
	cell    wire.Cell
	refusal string // why it is not probed; empty: it is
}

// plan validates a request and fills in defaults.
func (r Request) plan() (plannedCell, error) {
	q := plannedCell{vantage: r.Vantage, refusal: r.Vantage.Unusable, cell: wire.Cell{
		Form: r.Form, Host: r.Target.Host, Port: r.Target.Port, Family: cmp.Or(r.Family, r.Target.Family), Record: r.record,
		HostHeader: r.Target.HostHeader, ServerName: r.ServerName, Roots: r.Roots,
		Min: max(r.Min, 1), Max: max(r.Min, r.Max, 1), Until: r.Until, Even: r.Even, Patient: r.Patient, Timeout: r.Timeout, Reply: r.Reply, Interval: r.Interval, Spread: r.Spread,
		Length: r.Length, Hold: r.Hold, Class: r.Class, TCP: r.tcp,
	}}
	if q.cell.Timeout == 0 {
		q.cell.Timeout = DefaultTimeout
	}
	if r.DNSServer.IsValid() {
		q.cell.DNSServer = r.DNSServer.String()
	}
	if q.cell.Form == "" {
		q.cell.Form = formOf(r.Target)
	}
	if q.refusal == "" && r.Target.Protocol == reach.SCTP {
		q.refusal = "the prober supports TCP and UDP only"
	}
	switch {
	case r.Vantage.Name == "":
		return q, errors.New("the vantage has no name")
	case q.cell.Extended() && q.cell.Form != wire.AppHTTP && q.cell.Form != wire.AppUDP:
		return q, errors.New("only the sample app echoes")
	}
	return q, q.cell.Check()
}

// formOf returns the form for a target of a request without one.
func formOf(t reach.Target) Form {
	switch {
	case t.Port == 0:
		return wire.Lookup
	case t.Protocol == reach.UDP:
		return wire.AppUDP
	case t.Kind == reach.HealthCheck:
		return wire.HealthCheck
	case t.Kind == reach.ExternalName && t.Port == 443:
		return wire.OutsideHTTPS
	case t.Kind == reach.ExternalName:
		return wire.OutsideHTTP
	default:
		return wire.AppHTTP
	}
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// probeAll probes each vantage's cells in one batch, all vantages at the same time. It returns one answer per cell.
func (c *Client) probeAll(ctx context.Context, planned []plannedCell) []wire.Answer {
	var (
		answers = make([]wire.Answer, len(planned))
		byName  = map[string][]int{}
		batches sync.WaitGroup
	)
	for i, q := range planned {
		byName[q.vantage.Name] = append(byName[q.vantage.Name], i)
	}
	for _, indexes := range byName {
		batches.Go(func() {
			batch := make([]plannedCell, len(indexes))
			for k, i := range indexes {
				batch[k] = planned[i]
			}
			for k, answer := range c.probeVantage(ctx, batch) {
				answers[indexes[k]] = answer
			}
		})
	}
	batches.Wait()
	return answers
}
