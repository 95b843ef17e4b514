package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// tap stands between Go's resolver and the network and keeps what the DNS servers answered.
type tap struct {
	server string // asked instead of the configured ones, where set
	stream bool   // over TCP, whatever the resolver would do

	mu       sync.Mutex
	messages []message
	failure  error
}

// dial is a net.Resolver's Dial.
func (t *tap) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if t.server != "" {
		address = t.server
	}
	if t.stream {
		network = "tcp"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		t.note(nil, err)
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		return &tappedPackets{UDPConn: udp, tap: t}, nil
	}
	return &tappedStream{Conn: conn, tap: t}, nil
}

// note keeps a message, if it is one, and an error of the socket.
func (t *tap) note(packet []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failure = err
	}
	if m, ok := parseMessage(packet); ok {
		t.messages = append(t.messages, m)
	}
}

// heard returns the messages in the order they came, and the last error of a socket.
func (t *tap) heard() ([]message, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.messages, t.failure
}

// tappedPackets is a UDP socket: a read is a message. It must stay a net.PacketConn, which is how the
// resolver tells packets from a stream.
type tappedPackets struct {
	*net.UDPConn
	tap *tap
}

// Write sends a question. One that the vantage's own packet filter keeps back counts as sent, see exchange: where the
// filter rejects, as kube-proxy does for a DNS Service without endpoints, that is what is read next; where it drops,
// nothing is.
func (c *tappedPackets) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	if errors.Is(err, syscall.EPERM) {
		return len(b), nil
	}
	if err != nil {
		c.tap.note(nil, err)
	}
	return n, err
}

func (c *tappedPackets) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.tap.note(b[:n], err)
	return n, err
}

// tappedStream is a TCP connection: a message follows its length in two bytes (RFC 1035, 4.2.2). It is used
// after a truncated answer, for one question.
type tappedStream struct {
	net.Conn
	tap *tap
	got []byte
}

func (c *tappedStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got = append(c.got, b[:n]...)
	var packet []byte
	if len(c.got) >= 2 {
		if size := int(c.got[0])<<8 | int(c.got[1]); len(c.got) >= 2+size {
			packet, c.got = c.got[2:2+size], c.got[2+size:]
		}
	}
	c.tap.note(packet, err)
	return n, err
}
