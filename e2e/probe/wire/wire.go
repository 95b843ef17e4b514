// Package wire is the language between the probe client and the prober program: one JSON document a line.
// It imports the standard library and reach only, so that the prober stays a small static program.
//
// For `prober ask` the client writes one Ask and then Ask.Cells lines of Cell. The prober answers with a
// Line holding Hello as soon as it runs, one Line holding an Answer for each cell as it ends, in any order,
// and a last Line holding Done. An output without Done was cut off.
//
// For `prober flow` the client writes one Flow and later closes its end (or writes a line "stop"). The prober
// answers Hello, one Line holding an Observation for each request as it ends, and Done.
package wire

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Version is raised whenever a client and a prober of different versions would misunderstand each other.
const Version = 2

// DefaultConcurrency is how many cells a prober asks at once where the client does not say.
const DefaultConcurrency = 64

// Bounds that a prober keeps whatever it is asked, so that load stays bounded in count and in time.
const (
	MaxConcurrency = 512
	MaxConnections = 100_000 // of one cell
	MaxPerSecond   = 2_000
	MaxFlow        = time.Hour
	MaxInFlight    = 4_096
)

// Form is how a target is asked and what an answer looks like.
type Form string

// The forms.
const (
	// AppHTTP asks the sample app: GET /hostname and GET /clientip over one connection, both plain text.
	AppHTTP Form = "appHTTP"
	// AppUDP asks the sample app by the datagrams "hostname" and "clientip" from one socket.
	AppUDP Form = "appUDP"
	// OutsideHTTP asks the outside world's web server: one GET /, answered with a Served.
	OutsideHTTP Form = "outsideHTTP"
	// OutsideHTTPS is the same over TLS.
	OutsideHTTPS Form = "outsideHTTPS"
	// HealthCheck asks a healthCheckNodePort: one GET /, answered 200 or 503 with the count of local endpoints.
	HealthCheck Form = "healthCheck"
	// Lookup only asks the DNS; Cell.Record says for what.
	Lookup Form = "lookup"
)

// Record is a DNS record type; the empty one stands for A and AAAA together, as a client asks before it dials.
type Record string

// The record types that can be looked up.
const (
	AnyAddress Record = ""
	A          Record = "A"
	AAAA       Record = "AAAA"
	CNAME      Record = "CNAME"
	SRV        Record = "SRV"
	PTR        Record = "PTR"
)

// Ask heads the input of `prober ask`.
type Ask struct {
	Version int `json:"version"`
	// Cells is how many lines of Cell follow.
	Cells int `json:"cells"`
	// Concurrency is how many cells are asked at once; 0: DefaultConcurrency.
	Concurrency int `json:"concurrency,omitempty"`
	// Deadline bounds the whole run. Cells that are not done by then get a ProbeFailed observation. 0: none.
	Deadline time.Duration `json:"deadlineNs,omitempty"`
	// Nonce is the client's and unlike that of any other Ask; Hello repeats it, so that answers to another one are not
	// taken for those to this.
	Nonce string `json:"nonce"`
}

// Cell is one target to ask, by one or more new connections, one after the other.
type Cell struct {
	// ID is the client's; the answer carries it.
	ID   int    `json:"id"`
	Form Form   `json:"form"`
	Host string `json:"host"`           // an IP address or a DNS name
	Port uint16 `json:"port,omitempty"` // 0 only for Lookup
	// Family is 4 or 6 to use addresses of that IP family only; 0: either.
	Family int `json:"family,omitempty"`
	// Record is what a Lookup asks for.
	Record Record `json:"record,omitempty"`
	// DNSServer (address:port) is asked instead of the servers of /etc/resolv.conf. Its search path, and
	// /etc/hosts before any server, still apply.
	DNSServer string `json:"dnsServer,omitempty"`
	// HostHeader is the HTTP Host header; empty: host, with the port unless it is the scheme's own.
	HostHeader string `json:"hostHeader,omitempty"`
	// ServerName is the TLS server name; empty: Host.
	ServerName string `json:"serverName,omitempty"`
	// Roots are PEM certificates the server's must chain to; empty: it is not verified.
	Roots string `json:"roots,omitempty"`
	// Min and Max bound the connections: at least Min, then on until each of Until has answered.
	Min   int      `json:"min"`
	Max   int      `json:"max"`
	Until []string `json:"until,omitempty"`
	// Timeout of one connection, name lookup included.
	Timeout time.Duration `json:"timeoutNs"`
	// Length is how many bytes the sample app is made to echo over each connection, or in one datagram; 0: none.
	Length int `json:"length,omitempty"`
	// Hold is how long a connection to the sample app is then left alone, before it is used again and closed from one
	// side only; see Cell.Lasting.
	Hold time.Duration `json:"holdNs,omitempty"`
	// TCP asks DNS servers over TCP.
	TCP bool `json:"tcp,omitempty"`
	// Interval between the end of one connection and the start of the next.
	Interval time.Duration `json:"intervalNs,omitempty"`
}

// MaxLength bounds Cell.Length: what fits into the request line of a Go server.
const MaxLength = 512 << 10

// Lasting reports whether the cell's connections carry much or are held.
func (c Cell) Lasting() bool { return c.Length > 0 || c.Hold > 0 }

// Flow is the input of `prober flow`: a request is started every 1/PerSecond seconds, whether or not earlier
// ones have ended.
type Flow struct {
	Version   int  `json:"version"`
	Cell      Cell `json:"cell"` // its ID, Min, Max, Until and Interval are not used
	PerSecond int  `json:"perSecond"`
	// Duration ends the flow though nobody stopped it; at most MaxFlow.
	Duration time.Duration `json:"durationNs"`
}

// Line is one line of a prober's output; exactly one of its fields is set.
type Line struct {
	Hello   *Hello             `json:"hello,omitempty"`
	Answer  *Answer            `json:"answer,omitempty"`
	Request *reach.Observation `json:"request,omitempty"`
	Done    *Done              `json:"done,omitempty"`
}

// Hello says that the prober runs. Before it, whatever goes wrong is the transport's doing.
type Hello struct {
	Version int `json:"version"`
	// Nonce is the Ask's; empty for a flow.
	Nonce string `json:"nonce,omitempty"`
}

// Answer is all that was observed of one cell.
type Answer struct {
	ID           int                 `json:"id"`
	Observations []reach.Observation `json:"observations"`
	// Services are the SRV records, by priority and then name, Names the PTR names, both without final dots,
	// of the last connection.
	Services []Service `json:"services,omitempty"`
	Names    []string  `json:"names,omitempty"`
	// Chain is the last lookup's aliases, each the target of the one before, without final dots.
	Chain []string `json:"chain,omitempty"`
}

// Service is one SRV record.
type Service struct {
	Target   string `json:"target"`
	Port     uint16 `json:"port"`
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
}

// Done is the last line: how many answers, or requests of a flow, came before it.
type Done struct {
	Count int `json:"count"`
}

// Served is what the outside world's web server answers to GET /.
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

// Owners is what `prober whohas` prints: the hardware addresses, sorted, of all on the link who say that they
// have the address.
type Owners struct {
	Addr netip.Addr `json:"addr"`
	Link string     `json:"link"`
	MACs []string   `json:"macs"`
}

// Links is what `prober links` prints: the hardware addresses of the place it runs in.
type Links struct {
	MACs []string `json:"macs"`
}

// Listening is what `prober serve` prints, once, when it answers: the addresses it listens at.
type Listening struct {
	Name  string `json:"name"`
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	UDP   string `json:"udp,omitempty"`
}

// Synced is what `prober synced` prints: what the node's kube-proxy says of its own work.
type Synced struct {
	// Done: every change that kube-proxy knew of when it was asked is in the node's packet filter.
	Done bool `json:"done"`
	// Waited is how long that took.
	Waited time.Duration `json:"waitedNs"`
	// Why is, where it is not done, what was last seen, or why kube-proxy could not be asked.
	Why string `json:"why,omitempty"`
}
