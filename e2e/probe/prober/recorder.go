package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// recorder records the responses that Go's resolver receives from DNS servers.
type recorder struct {
	server string // replaces the configured servers if set
	stream bool   // forces TCP

	mu       sync.Mutex
	messages []message
	failure  error
}

// dial implements net.Resolver.Dial.
func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if r.server != "" {
		address = r.server
	}
	if r.stream {
		network = "tcp"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		r.record(nil, err)
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		return &recordedPackets{UDPConn: udp, recorder: r}, nil
	}
	return &recordedStream{Conn: conn, recorder: r}, nil
}

// record keeps a packet that is a DNS response, and an error of the socket.
func (r *recorder) record(packet []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failure = err
	}
	if m, ok := parseMessage(packet); ok {
		r.messages = append(r.messages, m)
	}
}

// recorded returns the responses in the order they arrived, and the last error of a socket.
func (r *recorder) recorded() ([]message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages, r.failure
}

// recordedPackets is a UDP socket: each read is one message. It must remain a net.PacketConn, because the resolver frames
// messages as for a stream on any other connection.
type recordedPackets struct {
	*net.UDPConn
	recorder *recorder
}

// Write sends a query. A query that the vantage's own packet filter drops counts as sent, as in exchange: if the filter
// rejects, as kube-proxy does for a DNS Service without endpoints, the next read returns the rejection. If it drops, the
// next read times out.
func (c *recordedPackets) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	if errors.Is(err, syscall.EPERM) {
		return len(b), nil
	}
	if err != nil {
		c.recorder.record(nil, err)
	}
	return n, err
}

func (c *recordedPackets) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.recorder.record(b[:n], err)
	return n, err
}

// recordedStream is a TCP connection: each message follows its length in two bytes (RFC 1035, section 4.2.2). The resolver
// opens one after a truncated answer, for one query.
type recordedStream struct {
	net.Conn
	recorder *recorder
	received []byte
}

func (c *recordedStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received = append(c.received, b[:n]...)
	var packet []byte
	// The resolver reads the length and the message separately, so a message is complete only after several reads.
	if len(c.received) >= 2 {
		if size := int(c.received[0])<<8 | int(c.received[1]); len(c.received) >= 2+size {
			packet, c.received = c.received[2:2+size], c.received[2+size:]
		}
	}
	c.recorder.record(packet, err)
	return n, err
}
