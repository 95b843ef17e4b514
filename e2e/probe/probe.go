// Package probe asks targets from vantages and says what was observed. It puts a small static program, the
// prober (package main in prober/), into each vantage through an Exec, feeds it all of the vantage's questions
// at once, and reads one answer per cell: a table of a thousand cells takes seconds.
//
// A probe is one new connection from a fresh source port. What could not be asked is ProbeFailed, what was
// not asked on purpose Unprobed; neither is ever taken for "blocked". The transport to the prober is retried a
// few times as long as the prober has said nothing; outcomes are never retried.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// Exec runs programs at vantages. The cluster package has the one for nodes, pods and containers; Local is the
// one for the host.
type Exec interface {
	// Exec runs argv at the vantage with the streams connected and returns when it has ended. A non-zero exit is an error.
	Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
	// Prober puts the prober program at the vantage, once, and returns its path there.
	Prober(ctx context.Context, v reach.Vantage) (path string, err error)
}

// Prefixer is implemented by an Exec that can say how a person runs argv at a vantage, as a line for a shell:
// "kubectl exec -n svclab-clients client-worker -- curl …". Quote helps. Without it Cell.Repeat is the bare command.
type Prefixer interface {
	Command(v reach.Vantage, argv []string) string
}

// Guard says whether packets from a vantage to an address stay where they may go.
type Guard interface {
	// Check returns why addr must not be asked from v, or "" when it may be.
	Check(ctx context.Context, v reach.Vantage, addr netip.Addr) (reason string)
}

// Form is how a target is asked; see package wire for each.
type Form = wire.Form

// The forms a request can have.
const (
	AppHTTP      = wire.AppHTTP
	AppUDP       = wire.AppUDP
	OutsideHTTP  = wire.OutsideHTTP
	OutsideHTTPS = wire.OutsideHTTPS
	HealthCheck  = wire.HealthCheck
)

// OutsideAuthority is the file, at the outside vantage, of the certificates that its server's is issued by, PEM.
const OutsideAuthority = "/svclab/ca.pem"

// DefaultTimeout of one connection, where a request has none. It leaves room for a SYN to be sent a second
// time, after one second: Linux heeds a local rejection over IPv6 only then.
const DefaultTimeout = 2 * time.Second

// Request is one cell to observe.
type Request struct {
	Vantage reach.Vantage
	// Target's Host is an IP address or a name, looked up at the vantage. A name with the zero Port is only
	// looked up: Reached then means that it has an address.
	Target reach.Target
	// Min and Max bound the connections: at least Min (0: 1), then on until each of Until has answered, at
	// most Max (less than Min: Min). A cell in which nobody answers three times in a row is not asked beyond
	// Min, so that a blocked one does not cost Max timeouts.
	Min, Max int
	Until    []string
	// Timeout of one connection, name lookup included; 0: DefaultTimeout.
	Timeout time.Duration
	// Interval between two connections of this cell; 0: one after the other without pause.
	Interval time.Duration
	// Length is how many bytes the sample app is made to echo over each connection, or in one datagram, where 2,000 are
	// its most; 0: none. Hold is how long a TCP connection then stays idle before it is used once more. It is then closed
	// from the prober's side before the last answer comes. What does not come back as it went is a WrongAnswer. Both are
	// within Timeout.
	Length int
	Hold   time.Duration
	// Form is how to ask; empty: by the target. An ExternalName target is asked as the outside world's server
	// (port 443 by HTTPS), a HealthCheck target as such, any other as the sample app by its protocol.
	Form Form
	// Family is 4 or 6 to dial only addresses of that IP family; 0: the target's, where it says one, else either.
	Family int
	// DNSServer is asked instead of the vantage's own servers; the zero value asks those.
	DNSServer netip.AddrPort
	// ServerName and Roots are for HTTPS: the TLS server name (empty: the target's host), and the PEM
	// certificates to verify the server by (empty: it is not verified). A failed verification is a WrongAnswer.
	ServerName string
	Roots      string

	record Record // of a Lookup
	tcp    bool   // of a Lookup
}

// Client observes through an Exec. It keeps no state between calls.
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

// WithConcurrency sets how many cells one vantage's prober asks at once; the default is wire.DefaultConcurrency,
// at most wire.MaxConcurrency.
func WithConcurrency(cells int) Option {
	return func(c *Client) { c.concurrency = min(max(cells, 1), wire.MaxConcurrency) }
}

// WithGuard replaces the RouteGuard that host vantages are asked through.
func WithGuard(g Guard) Option { return func(c *Client) { c.guard = g } }

// WithRetries sets how often a prober that could not be started is started again, and the pause before the
// first time, which grows with each; the default is twice, 200 ms.
func WithRetries(times int, pause time.Duration) Option {
	return func(c *Client) { c.tries, c.retryPause = max(times, 0)+1, pause }
}

// New returns a client that asks through exec.
func New(exec Exec, opts ...Option) *Client {
	c := &Client{exec: exec, guard: &RouteGuard{}, concurrency: wire.DefaultConcurrency,
		tries: 3, retryPause: 200 * time.Millisecond, grace: 10 * time.Second}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// Observe asks all requests, each vantage's in one go and all vantages at the same time, and returns one cell
// per request in the same order. A vantage whose prober could not run yields ProbeFailed cells, not an error.
// The error is for requests that make no sense, before anything is asked, and for a ctx that ended, beside
// the complete cells.
func (c *Client) Observe(ctx context.Context, requests []Request) ([]reach.Cell, error) {
	cells := make([]reach.Cell, len(requests))
	questions := make([]question, len(requests))
	for i, r := range requests {
		asked, err := r.question(i)
		if err != nil {
			return nil, fmt.Errorf("request %d (%s → %s): %w", i, r.Vantage.Name, r.Target.Name(), err)
		}
		questions[i] = asked
		cells[i] = reach.Cell{Vantage: r.Vantage, Target: r.Target, Repeat: c.command(r.Vantage, repeat(asked))}
	}
	answers := c.askAll(ctx, questions)
	for i := range cells {
		cells[i].Observations = answers[i].Observations
	}
	if ctx.Err() != nil {
		return cells, fmt.Errorf("observe %d cells: %w", len(cells), context.Cause(ctx))
	}
	return cells, nil
}

// question is a cell with the vantage it is asked from.
type question struct {
	vantage reach.Vantage
	cell    wire.Cell
	refusal string // why it is not asked at all; empty: it is
}

// question checks a request and fills in defaults.
func (r Request) question(id int) (question, error) {
	q := question{vantage: r.Vantage, refusal: r.Vantage.Unusable, cell: wire.Cell{
		ID: id, Form: r.Form, Host: r.Target.Host, Port: r.Target.Port, Family: cmp.Or(r.Family, r.Target.Family), Record: r.record,
		HostHeader: r.Target.HostHeader, ServerName: r.ServerName, Roots: r.Roots,
		Min: max(r.Min, 1), Max: max(r.Min, r.Max, 1), Until: r.Until, Timeout: r.Timeout, Interval: r.Interval,
		Length: r.Length, Hold: r.Hold, TCP: r.tcp,
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
		q.refusal = "the prober asks by TCP and UDP only"
	}
	switch {
	case r.Vantage.Name == "":
		return q, errors.New("the vantage has no name")
	case r.Target.Host == "":
		return q, errors.New("the target has no host")
	case r.Timeout < 0 || r.Interval < 0 || r.Hold < 0:
		return q, errors.New("the timeout, the interval and the time to hold must not be negative")
	case q.cell.Length < 0 || q.cell.Length > wire.MaxLength:
		return q, fmt.Errorf("%d bytes to echo, at most %d are allowed", r.Length, wire.MaxLength)
	case q.cell.Lasting() && q.cell.Form != wire.AppHTTP && q.cell.Form != wire.AppUDP:
		return q, errors.New("only the sample app echoes")
	case !slices.Contains([]int{0, 4, 6}, q.cell.Family):
		return q, fmt.Errorf("IP family %d is neither 4 nor 6", q.cell.Family)
	case q.cell.Max > wire.MaxConnections:
		return q, fmt.Errorf("%d connections, at most %d are allowed", q.cell.Max, wire.MaxConnections)
	case q.cell.Form == wire.Lookup && r.record != PTR && isAddr(r.Target.Host):
		return q, errors.New("an address needs a port; only a name can be looked up without")
	case q.cell.Form != wire.Lookup && r.Target.Port == 0:
		return q, errors.New("the target has no port")
	}
	return q, nil
}

// formOf is how a target is asked where the request does not say.
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

// askAll asks each vantage's questions in one go, all vantages at the same time; one answer per question.
func (c *Client) askAll(ctx context.Context, questions []question) []wire.Answer {
	var (
		answers = make([]wire.Answer, len(questions))
		byName  = map[string][]int{}
		asking  sync.WaitGroup
	)
	for i, q := range questions {
		byName[q.vantage.Name] = append(byName[q.vantage.Name], i)
	}
	for _, indexes := range byName {
		asking.Go(func() {
			batch := make([]question, len(indexes))
			for k, i := range indexes {
				batch[k] = questions[i]
			}
			for k, answer := range c.askVantage(ctx, batch) {
				answers[indexes[k]] = answer
			}
		})
	}
	asking.Wait()
	return answers
}
