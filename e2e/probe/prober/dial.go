package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A node's conntrack table identifies a connection by its addresses and ports and treats every packet like the first one. A
// new connection with the addresses and ports of an old entry is taken for the old connection. So a SYN from a port whose
// SYN was dropped two minutes ago is dropped again although the Service has endpoints now, and a datagram to a port that a
// Service no longer has is still answered. This happens in practice: scenarios reuse addresses and node ports, and Linux
// chooses neighbouring source ports for connections to one address. So each second has its own range of source ports, the
// same for all probers at a vantage, and a range is reused only after the entries of its connections have expired.
const (
	// The ports from firstPort to 60927 lie above the node ports and in net.ipv4.ip_local_port_range.
	firstPort  = 32768
	portsASlot = 176
	// turn is the number of seconds until a port is reused. It is longer than conntrack keeps a connection without an answer
	// (nf_conntrack_tcp_timeout_syn_sent, 120 s).
	turn = 160
	// portTries bounds the attempts. The first half use ports of the current second, the others let the kernel choose.
	portTries = 32
	// flowLife is how long the prober remembers that it sent a datagram from a port. It is longer than conntrack keeps a
	// request and its answer (nf_conntrack_udp_timeout, 30 s). Source of both: Linux,
	// Documentation/networking/nf_conntrack-sysctl.rst.
	flowLife = time.Minute
)

// portAt returns the n-th port of the second.
func portAt(now time.Time, n int) int {
	return firstPort + int(now.Unix()%turn)*portsASlot + n%portsASlot
}

// ports remembers the source ports of datagrams.
var ports portMemory

// dial opens a connection from a source port that has no recent connection to the same address. It skips ports that are in
// use. In the end the kernel chooses. Packets of the connection have class as their DSCP.
func dial(ctx context.Context, network, address string, class uint8) (net.Conn, error) {
	for try := 1; ; try++ {
		var (
			dialer = net.Dialer{KeepAlive: -1, Control: prepareSocket(class)}
			chosen = runtime.GOOS == "linux" && try <= portTries/2
		)
		if port := portAt(time.Now(), rand.IntN(portsASlot)); chosen && network == "udp" {
			dialer.LocalAddr = &net.UDPAddr{Port: port}
		} else if chosen {
			dialer.LocalAddr = &net.TCPAddr{Port: port}
		}
		conn, err := dialer.DialContext(ctx, network, address)
		switch {
		case chosen && (errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)):
			continue
		case err != nil || network != "udp" || try >= portTries:
			return conn, err
		}
		// conntrack would send a second datagram of the same flow to the same backend
		if ports.take(conn.LocalAddr().String(), conn.RemoteAddr().String(), time.Now()) {
			return conn, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

// portMemory remembers when a flow from one address and port to another began, for flowLife.
type portMemory struct {
	mu    sync.Mutex
	begun map[[2]string]time.Time
	swept time.Time
}

// take reports whether the flow has not begun within flowLife, and if so records that it begins now.
func (m *portMemory) take(from, to string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begun == nil {
		m.begun = map[[2]string]time.Time{}
	}
	if now.Sub(m.swept) > flowLife {
		for flow, begun := range m.begun {
			if now.Sub(begun) > flowLife {
				delete(m.begun, flow)
			}
		}
		m.swept = now
	}
	flow := [2]string{from, to}
	if begun, there := m.begun[flow]; there && now.Sub(begun) <= flowLife {
		return false
	}
	m.begun[flow] = now
	return true
}
