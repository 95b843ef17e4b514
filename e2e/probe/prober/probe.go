package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// maxBody bounds the bytes read from one HTTP answer.
const maxBody = wire.MaxLength

// probe is one new connection, or one lookup, and its result.
type probe struct {
	cell     wire.Cell
	o        reach.Observation
	services []wire.Service
	names    []string
	texts    []string
	noData   bool
	chain    []string
}

func newProbe(cell wire.Cell) *probe { return &probe{cell: cell} }

// run makes the probe within the cell's timeout. A probe that the end of ctx interrupts is ProbeFailed, because it proves
// nothing about the target.
func (p *probe) run(ctx context.Context) reach.Observation { return p.within(ctx, p.attempt) }

// within is run for any attempt.
func (p *probe) within(ctx context.Context, attempt func(context.Context)) reach.Observation {
	if ctx.Err() != nil {
		return cutShort(ctx)
	}
	p.o.At = time.Now()
	bounded, cancel := context.WithTimeout(ctx, p.cell.Timeout)
	defer cancel()
	attempt(bounded)
	p.o.Latency = time.Since(p.o.At)
	if ctx.Err() != nil && p.o.Outcome != reach.Reached {
		short := cutShort(ctx)
		p.o.Outcome, p.o.Detail = short.Outcome, short.Detail
	}
	return p.o
}

func (p *probe) attempt(ctx context.Context) {
	if p.cell.Form == wire.Lookup {
		p.lookup(ctx)
		return
	}
	address, ok := p.locate(ctx)
	if !ok {
		return
	}
	if p.cell.Reply > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cell.Reply)
		defer cancel()
	}
	network := "tcp"
	if p.cell.Form == wire.AppUDP {
		network = "udp"
	}
	conn, err := dial(ctx, network, address.String(), p.cell.Class)
	if err != nil {
		p.o.Outcome, p.o.Detail = dialOutcome(err)
		return
	}
	defer conn.Close()
	p.o.Resent = resent(conn)
	// A deadline in the past wakes a read or write in progress, after a timeout as after an interrupt.
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	if network == "udp" {
		p.probeUDP(conn)
		return
	}
	p.probeTCP(ctx, conn)
}

// again requests the host name over a connection that an earlier probe left open, or over a new one if talk is nil. It
// returns the connection, or nil after a failure.
func (p *probe) again(ctx context.Context, talk *conversation) *conversation {
	if talk == nil {
		address, ok := p.locate(ctx)
		if !ok {
			return nil
		}
		conn, err := dial(ctx, "tcp", address.String(), p.cell.Class)
		if err != nil {
			p.o.Outcome, p.o.Detail = dialOutcome(err)
			return nil
		}
		talk = &conversation{conn: conn, in: bufio.NewReader(conn), host: p.hostHeader()}
	}
	deadline, _ := ctx.Deadline() // the cell's timeout; an interrupt waits for it
	err := talk.conn.SetDeadline(deadline)
	if err == nil {
		err = p.getHostname(talk)
	}
	if err != nil {
		_ = talk.conn.Close()
		p.o.Outcome, p.o.Detail = talkOutcome(err, nil)
		return nil
	}
	p.o.Outcome = reach.Reached
	return talk
}

// locate returns the address to dial. It looks up a name and takes the first address of the wanted family. A client would
// try the next address after a failure, but a probe is one connection.
func (p *probe) locate(ctx context.Context) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddr(p.cell.Host); err == nil {
		if wrongFamily(addr, p.cell.Family) {
			p.o.Outcome, p.o.Detail = reach.ProbeFailed, fmt.Sprintf("%s is not an IPv%d address", addr, p.cell.Family)
			return netip.AddrPort{}, false
		}
		return netip.AddrPortFrom(addr, p.cell.Port), true
	}
	p.lookup(ctx)
	if p.o.Outcome != reach.Reached {
		return netip.AddrPort{}, false
	}
	p.o.Outcome = ""
	return netip.AddrPortFrom(p.o.Addresses[0], p.cell.Port), true
}

func wrongFamily(addr netip.Addr, family int) bool {
	return family == 4 && !addr.Unmap().Is4() || family == 6 && !addr.Is6()
}

// probeTCP sends HTTP requests over an open connection. It does not use net/http's client, which would retry on a second
// connection.
func (p *probe) probeTCP(ctx context.Context, conn net.Conn) {
	received := &excerpt{}
	err := p.converse(ctx, conn, received)
	if err == nil {
		p.o.Outcome = reach.Reached
		return
	}
	p.o.Outcome, p.o.Detail = talkOutcome(err, received.bytes)
}

func (p *probe) converse(ctx context.Context, conn net.Conn, received *excerpt) error {
	if p.cell.Form == wire.OutsideHTTPS {
		secured, err := p.secure(ctx, conn)
		if err != nil {
			return err
		}
		conn = secured
	}
	talk := &conversation{conn: conn, in: bufio.NewReader(io.TeeReader(conn, received)), host: p.hostHeader()}
	switch p.cell.Form {
	case wire.AppHTTP:
		if p.cell.Extended() {
			return p.probeAppExtended(ctx, talk)
		}
		return p.probeApp(talk)
	case wire.HealthCheck:
		return p.probeHealth(talk)
	default:
		return p.probeOutside(talk)
	}
}

// secure does the TLS handshake.
func (p *probe) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := &tls.Config{ServerName: p.cell.ServerName, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if config.ServerName == "" {
		config.ServerName = strings.TrimSuffix(p.cell.Host, ".")
	}
	if p.cell.Roots == "" {
		config.InsecureSkipVerify = true // without roots the probe tests which backend it reaches, not the certificate
	} else {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(p.cell.Roots)) {
			return nil, errors.New("no certificate in the given roots")
		}
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS as %s: %w", config.ServerName, err)
	}
	return secured, nil
}

// hostHeader returns the Host header of the cell, or the one that any client would send.
func (p *probe) hostHeader() string {
	if p.cell.HostHeader != "" {
		return p.cell.HostHeader
	}
	host := strings.TrimSuffix(p.cell.Host, ".")
	schemePort := uint16(80)
	if p.cell.Form == wire.OutsideHTTPS {
		schemePort = 443
	}
	if p.cell.Port != schemePort {
		return net.JoinHostPort(host, strconv.Itoa(int(p.cell.Port)))
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}

// conversation is HTTP/1.1 on one connection.
type conversation struct {
	conn net.Conn
	in   *bufio.Reader
	host string
	// sent, if set, is called between sending a request and reading its answer.
	sent func() error
}

// get requests a path and returns the status and the body. last asks the server to close the connection.
func (c *conversation) get(path string, last bool) (int, []byte, error) {
	request, err := http.NewRequest(http.MethodGet, "http://prober"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Host, request.Close = c.host, last
	request.Header.Set("User-Agent", "svclab-prober")
	if err := request.Write(c.conn); err != nil {
		return 0, nil, err
	}
	if c.sent != nil {
		if err := c.sent(); err != nil {
			return 0, nil, err
		}
	}
	response, err := http.ReadResponse(c.in, request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return 0, nil, err
	}
	if response.Close && !last {
		return 0, nil, fmt.Errorf("the server closed the connection after %s", path)
	}
	return response.StatusCode, body, nil
}

// excerpt keeps the first bytes written to it. They go into the detail of a wrong answer.
type excerpt struct{ bytes []byte }

const excerptSize = 100

func (e *excerpt) Write(b []byte) (int, error) {
	if room := excerptSize - len(e.bytes); room > 0 {
		e.bytes = append(e.bytes, b[:min(room, len(b))]...)
	}
	return len(b), nil
}
