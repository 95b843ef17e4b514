package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// Source ports of flows of datagrams. They lie above those of probes and of net.ipv4.ip_local_port_range, so that no other
// connection of the vantage has had the flow's conntrack entry.
const (
	firstFlowPort = 61000
	flowPorts     = 65536 - firstFlowPort
	// sweep is the time between two looks for datagrams whose time is up.
	sweep = 50 * time.Millisecond
)

// emitDatagrams sends a flow's datagrams from one socket and reports what became of each, until starting or the duration ends
// and the last one is answered or its time is up. It returns how many lines it wrote: one for each datagram, and one for each
// second answer to one.
func emitDatagrams(ctx, starting context.Context, spec wire.Flow, out *lineWriter) (int, error) {
	p := newProbe(spec.Cell)
	to, ok := p.locate(ctx)
	if !ok {
		return 0, fmt.Errorf("find the address of %s: %s %s", spec.Cell.Host, p.o.Outcome, p.o.Detail)
	}
	s, err := openStream(spec, to, out)
	if err != nil {
		return 0, fmt.Errorf("open a socket for %s: %w", to, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { s.read(s.conn) })
	if s.receipts != nil {
		readers.Go(func() { s.read(s.receipts) })
	}
	var (
		started = time.Now()
		gap     = time.Second / time.Duration(spec.PerSecond)
		n       = 0
	)
	for n < due(spec) && pauseSweeping(starting, time.Until(started.Add(time.Duration(n)*gap)), s) {
		s.send(n)
		n++
	}
	for s.waiting() && pause(ctx, sweep) {
		s.sweep(spec.Cell.Timeout)
	}
	s.swept = time.Now()
	s.sweep(0) // after an interrupt
	s.close()
	readers.Wait()
	return s.count(), nil
}

// pauseSweeping is pause that looks for datagrams whose time is up meanwhile.
func pauseSweeping(ctx context.Context, d time.Duration, s *stream) bool {
	for ; d > sweep; d -= sweep {
		s.sweep(s.timeout)
		if !pause(ctx, sweep) {
			return false
		}
	}
	s.sweep(s.timeout)
	return pause(ctx, d)
}

// stream is a flow of datagrams.
type stream struct {
	conn     *net.UDPConn
	receipts *net.UDPConn   // of a one-way flow
	to       netip.AddrPort // of an unconnected one; the zero value: the socket is connected
	report   netip.AddrPort
	token    string
	timeout  time.Duration
	out      *lineWriter

	mu     sync.Mutex
	open   map[int]time.Time // the datagrams without an answer, and when they were sent
	ended  map[int]string    // the others, and who answered
	swept  time.Time         // the last look for datagrams whose time is up
	lines  int
	closed bool
}

func openStream(spec wire.Flow, to netip.AddrPort, out *lineWriter) (*stream, error) {
	s := &stream{token: strings.ToLower(rand.Text()), timeout: spec.Cell.Timeout, out: out, open: map[int]time.Time{}, ended: map[int]string{}}
	remote := net.UDPAddrFromAddrPort(to)
	for try := 1; s.conn == nil; try++ {
		var (
			local = &net.UDPAddr{Port: firstFlowPort + mathrand.IntN(flowPorts)}
			err   error
		)
		if spec.Kind == reach.FlowUnconnected {
			s.to = to
			s.conn, err = net.ListenUDP(map[bool]string{true: "udp4", false: "udp6"}[to.Addr().Unmap().Is4()], local)
		} else {
			s.conn, err = net.DialUDP("udp", local, remote)
		}
		if err != nil && (try > portTries || !errors.Is(err, syscall.EADDRINUSE)) {
			return nil, err
		}
	}
	if spec.Kind != reach.FlowOneWay {
		return s, nil
	}
	own := s.conn.LocalAddr().(*net.UDPAddr)
	receipts, err := net.ListenUDP("udp", &net.UDPAddr{IP: own.IP, Zone: own.Zone})
	if err != nil {
		_ = s.conn.Close() // nothing was sent
		return nil, err
	}
	bound := receipts.LocalAddr().(*net.UDPAddr).AddrPort()
	s.receipts, s.report = receipts, netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	return s, nil
}

// send sends the n-th datagram. On a connected socket the kernel returns the ICMP error that came back for the one before
// instead of sending.
func (s *stream) send(n int) {
	s.mu.Lock()
	s.open[n] = time.Now()
	s.mu.Unlock()
	text := []byte(wire.Datagram{Token: s.token, Number: n, Receipt: s.report}.String())
	err := s.write(text)
	for try := 0; err != nil && try < 3 && refusal(err); try++ {
		s.refused(n-1, err)
		err = s.write(text)
	}
	if err != nil {
		s.refused(n, err)
	}
}

func (s *stream) write(text []byte) error {
	if s.to.IsValid() {
		_, err := s.conn.WriteToUDPAddrPort(text, s.to)
		return err
	}
	_, err := s.conn.Write(text)
	return err
}

// refusal reports whether an error of a socket is an ICMP error.
func refusal(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// read takes answers until the socket is closed.
func (s *stream) read(conn *net.UDPConn) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return
		case err != nil && refusal(err):
			s.refused(-1, err)
		case err != nil:
			return
		default:
			s.answered(string(buffer[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), conn == s.receipts)
		}
	}
}

// refused reports that an ICMP error came back for the n-th datagram, or for the last one that has no answer if n is
// negative or has one.
func (s *stream) refused(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[n]; !open {
		n = -1
		for number := range s.open {
			n = max(n, number)
		}
	}
	if n < 0 {
		return
	}
	outcome, detail := dialOutcome(err)
	s.end(n, "", reach.Observation{Outcome: outcome, Detail: detail})
}

func (s *stream) answered(text string, from netip.AddrPort, receipt bool) {
	d, ok := wire.ParseDatagram(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, open := s.open[d.Number]
	before, ended := s.ended[d.Number]
	switch {
	case !ok || d.Token != s.token || d.Name == "" || !open && !ended:
		s.put(reach.Observation{Outcome: reach.WrongAnswer, At: time.Now(), Detail: fmt.Sprintf("%s sent %.60q", from, text)})
	case ended && before == "": // its time was up, which has been reported
	case ended:
		s.put(reach.Observation{Outcome: reach.WrongAnswer, At: time.Now(), Detail: fmt.Sprintf("datagram %d arrived twice: at %s, and at %s", d.Number, before, d.Name)})
	case s.to.IsValid() && from != s.to && !receipt:
		s.end(d.Number, d.Name, reach.Observation{Outcome: reach.WrongAnswer, Backend: d.Name, Detail: fmt.Sprintf("%s answered from %s, not from %s", d.Name, from, s.to)})
	default:
		s.end(d.Number, d.Name, reach.Observation{Outcome: reach.Reached, Backend: d.Name, Latency: time.Since(at)})
	}
}

// end reports what became of the n-th datagram. The caller holds the lock.
func (s *stream) end(n int, by string, o reach.Observation) {
	o.At = s.open[n]
	delete(s.open, n)
	s.ended[n] = by
	s.put(o)
}

// put writes one line. The caller holds the lock.
func (s *stream) put(o reach.Observation) {
	s.lines++
	s.out.write(wire.Line{Request: &o})
}

// sweep reports the datagrams whose time was up at the sweep before. After a time in which this process did not run, as on a busy
// machine, their answers may be in the socket: until the next sweep they are read.
func (s *stream) sweep(within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.swept
	s.swept = time.Now()
	for n, at := range s.open {
		if before.Sub(at) >= within {
			s.end(n, "", reach.Observation{Outcome: reach.TimedOut, Latency: time.Since(at), Detail: "no answer"})
		}
	}
}

func (s *stream) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) > 0
}

func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines
}

func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.conn.Close() // all that matters was read
	if s.receipts != nil {
		_ = s.receipts.Close()
	}
}
