// Package wire defines the protocol between the probe client and the prober program: one JSON document a line.
// It imports only the standard library and reach, so that the prober stays a small static program.
//
// For `prober probe` the client writes one Batch and then Batch.Cells lines of Cell. The prober prints a Line with Hello when
// it starts, a Line with an Answer when a cell ends, in any order, and a last Line with Done. An output without Done is
// truncated.
//
// For `prober flow` the client writes one Flow and later closes stdin (or writes a line "stop"). The prober prints Hello, a
// Line with an Observation when a request ends, and Done.
package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Version increases with every change that makes clients and probers of different versions incompatible.
const Version = 6

// DefaultConcurrency is how many connections a prober makes at once if the client does not say.
const DefaultConcurrency = 64

// Bounds that a prober keeps for every input, so that its load is bounded in count and in time.
const (
	MaxConcurrency = 512
	MaxConnections = 100_000 // of one cell
	MaxPerSecond   = 2_000
	MaxFlow        = time.Hour
	MaxInFlight    = 4_096
)

// Form is which requests a target gets and in which format it answers.
type Form string

// The forms.
const (
	// AppHTTP sends the sample app GET /hostname and GET /clientip over one connection. Both answers are plain text.
	AppHTTP Form = "appHTTP"
	// AppUDP sends the sample app the datagrams "hostname" and "clientip" from one socket.
	AppUDP Form = "appUDP"
	// OutsideHTTP sends the outside world's web server one GET /. It answers with a Served.
	OutsideHTTP Form = "outsideHTTP"
	// OutsideHTTPS is the same over TLS.
	OutsideHTTPS Form = "outsideHTTPS"
	// HealthCheck sends a healthCheckNodePort one GET /. It answers 200 or 503 with the number of local endpoints.
	HealthCheck Form = "healthCheck"
	// Lookup only resolves a name, for Cell.Record.
	Lookup Form = "lookup"
)

// Record is a DNS record type. The empty one stands for A and AAAA together, which a client looks up before it dials.
type Record string

// The record types that can be looked up.
const (
	AnyAddress Record = ""
	A          Record = "A"
	AAAA       Record = "AAAA"
	CNAME      Record = "CNAME"
	SRV        Record = "SRV"
	PTR        Record = "PTR"
	TXT        Record = "TXT"
)

// Batch is the first line of the input of `prober probe`.
type Batch struct {
	Version int `json:"version"`
	// Cells is how many lines of Cell follow.
	Cells int `json:"cells"`
	// Concurrency is how many connections are made at once; 0: DefaultConcurrency. The cells take turns, so that the connections
	// of each are spread over the batch.
	Concurrency int `json:"concurrency,omitempty"`
	// Deadline bounds the whole batch. Cells that are not done by then get a ProbeFailed observation. 0: none.
	Deadline time.Duration `json:"deadlineNs,omitempty"`
	// Nonce is unique to the batch. Hello repeats it, so that the client rejects the output of another batch.
	Nonce string `json:"nonce"`
}

// Cell is one target to probe, by one or more new connections, one after the other.
type Cell struct {
	// ID is chosen by the client and repeated in the answer.
	ID   int    `json:"id"`
	Form Form   `json:"form"`
	Host string `json:"host"`           // an IP address or a DNS name
	Port uint16 `json:"port,omitempty"` // 0 only for Lookup
	// Family is 4 or 6 to use addresses of that IP family only; 0: either.
	Family int `json:"family,omitempty"`
	// Record is the type that a Lookup looks up.
	Record Record `json:"record,omitempty"`
	// DNSServer (address:port) replaces the servers of /etc/resolv.conf. The search path, and /etc/hosts before any server,
	// still apply.
	DNSServer string `json:"dnsServer,omitempty"`
	// HostHeader is the HTTP Host header; empty: Host, with the port unless it is the scheme's default.
	HostHeader string `json:"hostHeader,omitempty"`
	// ServerName is the TLS server name; empty: Host.
	ServerName string `json:"serverName,omitempty"`
	// Roots are the PEM certificates to verify the server's certificate with; empty: it is not verified.
	Roots string `json:"roots,omitempty"`
	// Min and Max bound the connections: at least Min, unless the cell is Hopeless, then more until each backend of Until has answered.
	Min   int      `json:"min"`
	Max   int      `json:"max"`
	Until []string `json:"until,omitempty"`
	// Even: more connections too until it is known whether one backend of Until is favoured; see reach.Skewed. Patient: failed
	// connections in a row do not end the cell.
	Even    bool `json:"even,omitempty"`
	Patient bool `json:"patient,omitempty"`
	// Timeout of one connection, name lookup included.
	Timeout time.Duration `json:"timeoutNs"`
	// Reply bounds a connection without the lookup; 0: only Timeout does.
	Reply time.Duration `json:"replyNs,omitempty"`
	// Length is how many bytes the sample app must echo over each connection, or in one datagram; 0: none.
	Length int `json:"length,omitempty"`
	// Hold is how long a connection to the sample app then stays idle, before the prober uses it again and half-closes it.
	Hold time.Duration `json:"holdNs,omitempty"`
	// Class is the DSCP of the packets, by which a trace finds them; 0: none. See Tracing.
	Class uint8 `json:"class,omitempty"`
	// TCP sends DNS queries over TCP.
	TCP bool `json:"tcp,omitempty"`
	// Interval between the end of one connection and the start of the next.
	Interval time.Duration `json:"intervalNs,omitempty"`
	// Spread is the time over which the first Min connections begin, in equal steps. Later ones follow at once.
	Spread time.Duration `json:"spreadNs,omitempty"`
}

// MostFailures is how many connections in a row may fail before a cell is hopeless.
const MostFailures = 8

// Hopeless reports whether a cell that is to be answered ends before Min, because its last MostFailures connections have failed.
// Otherwise a Service whose backends are gone would cost Min timeouts. Min is large where shares are judged.
func (c Cell) Hopeless(o []reach.Observation) bool {
	if len(c.Until) == 0 || c.Patient || len(o) < MostFailures {
		return false
	}
	return !slices.ContainsFunc(o[len(o)-MostFailures:], func(o reach.Observation) bool { return o.Outcome == reach.Reached })
}

// MaxLength bounds Cell.Length. It fits into the request line of a Go server.
const MaxLength = 512 << 10

// Extended reports whether the cell's connections carry an echo or stay idle for a while.
func (c Cell) Extended() bool { return c.Length > 0 || c.Hold > 0 }

// Check returns what is wrong with a cell. The client checks what it sends, so that an error names the request; the prober
// checks what it reads, so that its load is bounded.
func (c Cell) Check() error {
	_, err := netip.ParseAddr(c.Host)
	isAddr := err == nil
	switch {
	case c.Host == "":
		return errors.New("no host")
	case c.Timeout <= 0:
		return errors.New("no timeout")
	case c.Interval < 0 || c.Hold < 0 || c.Reply < 0 || c.Spread < 0:
		return errors.New("the interval, the time to spread over, to hold or for a reply is negative")
	case c.Class > 63:
		return fmt.Errorf("class %d is no DSCP", c.Class)
	case c.Length < 0 || c.Length > MaxLength:
		return fmt.Errorf("%d bytes to echo, at most %d are allowed", c.Length, MaxLength)
	case c.Max > MaxConnections:
		return fmt.Errorf("%d connections, at most %d are allowed", c.Max, MaxConnections)
	case !slices.Contains([]int{0, 4, 6}, c.Family):
		return fmt.Errorf("IP family %d is neither 4 nor 6", c.Family)
	case !slices.Contains([]Form{AppHTTP, AppUDP, OutsideHTTP, OutsideHTTPS, HealthCheck, Lookup}, c.Form):
		return fmt.Errorf("unknown form %q", c.Form)
	case c.Form != Lookup && c.Port == 0:
		return errors.New("no port")
	case c.Form != Lookup && c.Record != AnyAddress:
		return fmt.Errorf("record type %q is for a lookup only", c.Record)
	case c.Form == Lookup && !slices.Contains([]Record{AnyAddress, A, AAAA, CNAME, SRV, PTR, TXT}, c.Record):
		return fmt.Errorf("unknown record type %q", c.Record)
	case c.Form == Lookup && c.Record == PTR && !isAddr:
		return fmt.Errorf("PTR needs an IP address, %q is not one", c.Host)
	case c.Form == Lookup && c.Record != PTR && isAddr:
		return fmt.Errorf("%s is an IP address, not a name to look up; an address needs a port", c.Host)
	}
	if c.DNSServer != "" {
		if _, err := netip.ParseAddrPort(c.DNSServer); err != nil {
			return fmt.Errorf("DNS server %q is not address:port", c.DNSServer)
		}
	}
	return nil
}

// Flow is the input of `prober flow`. A request starts every 1/PerSecond seconds, whether or not earlier requests have ended;
// only those of a kept connection wait for the one before.
type Flow struct {
	Version   int      `json:"version"`
	Cell      Cell     `json:"cell"` // its ID, Min, Max, Until and Interval are not used
	PerSecond int      `json:"perSecond"`
	Kind      FlowKind `json:"kind,omitempty"`
	// Duration ends a flow that the client does not stop; at most MaxFlow.
	Duration time.Duration `json:"durationNs"`
	// Gather is how long a request that has ended may wait for others, to be reported with them; 0: it does not.
	Gather time.Duration `json:"gatherNs,omitempty"`
}

// FlowKind is what the requests of a flow have in common; see package reach. All requests of a kept connection, and all
// datagrams of a flow, go out from one source port. A flow of datagrams sends on whatever comes back; they have the format of
// Datagram.
type FlowKind = reach.FlowKind

// CheckFlow returns why a flow of a kind cannot send requests of a form, or "".
func CheckFlow(kind FlowKind, form Form) string {
	switch {
	case !slices.Contains(reach.FlowKinds(), kind):
		return fmt.Sprintf("unknown kind of flow %q", kind)
	case kind == reach.FlowKept && form != AppHTTP:
		return "only the sample app's TCP connections can be kept"
	case kind != reach.FlowNew && kind != reach.FlowKept && form != AppUDP:
		return fmt.Sprintf("a flow of kind %s sends datagrams to the sample app only", kind)
	}
	return ""
}

// Datagram is a datagram of a flow, and its answer: "flow TOKEN NUMBER", and in the answer the backend's name, or in the
// request the address that a receipt goes to.
type Datagram struct {
	// Token is the flow's own, Number counts its datagrams from 0.
	Token  string
	Number int
	// Name is the backend's name; empty in a request. Receipt is where the backend reports a request to; the zero value: it
	// answers it.
	Name    string
	Receipt netip.AddrPort
}

// datagramPrefix begins each Datagram, and no request of the sample app.
const datagramPrefix = "flow "

// String returns the datagram as it is sent.
func (d Datagram) String() string {
	last := d.Name
	if d.Receipt.IsValid() {
		last = d.Receipt.String()
	}
	return strings.TrimSuffix(fmt.Sprintf("%s%s %d %s", datagramPrefix, d.Token, d.Number, last), " ")
}

// ParseDatagram parses a datagram; ok is false for any other text.
func ParseDatagram(text string) (d Datagram, ok bool) {
	rest, ok := strings.CutPrefix(text, datagramPrefix)
	words := strings.Fields(rest)
	if !ok || len(words) < 2 || len(words) > 3 {
		return Datagram{}, false
	}
	number, err := strconv.Atoi(words[1])
	if err != nil {
		return Datagram{}, false
	}
	d = Datagram{Token: words[0], Number: number}
	if len(words) == 3 {
		if d.Receipt, err = netip.ParseAddrPort(words[2]); err != nil {
			d.Name = words[2]
		}
	}
	return d, true
}

// Line is one line of a prober's output. Exactly one of its fields is set.
type Line struct {
	Hello   *Hello             `json:"hello,omitempty"`
	Answer  *Answer            `json:"answer,omitempty"`
	Request *reach.Observation `json:"request,omitempty"`
	Done    *Done              `json:"done,omitempty"`
}

// Hello reports that the prober runs. A failure before it is a failure of the transport.
type Hello struct {
	Version int `json:"version"`
	// Nonce is the Batch's; empty for a flow.
	Nonce string `json:"nonce,omitempty"`
}

// Answer has all observations of one cell.
type Answer struct {
	ID           int                 `json:"id"`
	Observations []reach.Observation `json:"observations"`
	// Services are the SRV records of the last lookup, by priority and then name. Names are its PTR names. Both have no final
	// dots. Texts are its TXT records.
	Services []Service `json:"services,omitempty"`
	Names    []string  `json:"names,omitempty"`
	Texts    []string  `json:"texts,omitempty"`
	// NoData: the name exists, but has no record of the type; without it a NoSuchHost is a name that does not exist.
	NoData bool `json:"noData,omitempty"`
	// Chain lists the aliases of the last lookup, each the target of the one before, without final dots.
	Chain []string `json:"chain,omitempty"`
}

// Service is one SRV record.
type Service struct {
	Target   string `json:"target"`
	Port     uint16 `json:"port"`
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
}

// Done is the last line. Count is the number of answers, or of a flow's requests, before it.
type Done struct {
	Count int `json:"count"`
}

// Served is the outside world's web server's answer to GET /.
type Served struct {
	// Name is the server's own.
	Name string `json:"name"`
	// Source is the client's address and port as the server saw them.
	Source string `json:"source"`
	// Host is the HTTP Host header.
	Host string `json:"host"`
	// ServerName is the TLS server name the client sent; empty without TLS.
	ServerName string `json:"serverName,omitempty"`
	Path       string `json:"path"`
}

// Owners is the output of `prober whohas`: the sorted hardware addresses of all machines on the link that claim Addr.
type Owners struct {
	Addr netip.Addr `json:"addr"`
	Link string     `json:"link"`
	MACs []string   `json:"macs"`
}

// Links is the output of `prober links`: the hardware addresses of the interfaces in its network namespace.
type Links struct {
	MACs []string `json:"macs"`
}

// Listening is what `prober serve` prints when it is ready: the addresses it listens on.
type Listening struct {
	Name  string `json:"name"`
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	UDP   string `json:"udp,omitempty"`
}

// Synced is the output of `prober synced`: whether the node's kube-proxy has programmed its changes.
type Synced struct {
	// Done: every change that kube-proxy knew at the start is in the node's packet filter.
	Done bool `json:"done"`
	// Behind is how long, at least, kube-proxy had not written all that it knew.
	Behind time.Duration `json:"behindNs,omitempty"`
	// Waited is how long the prober waited.
	Waited time.Duration `json:"waitedNs"`
	// Why is, unless Done, what was last observed, or why kube-proxy's metrics could not be read.
	Why string `json:"why,omitempty"`
}
