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

// A node remembers every connection by both addresses and ports, and does with each of its packets what it did with the
// first (conntrack). One that begins like another, with the same four numbers, is taken for it. Where a Service is served
// now that was not before, a SYN from a port that one was dropped from two minutes ago goes the way of that one, which
// leads nowhere; and a datagram to a port that a Service no longer has is still answered. Linux gives connections to one
// address ports that lie close together, so this happens: addresses and node ports are used again from one scenario to
// the next. So every second has ports of its own, the same for all probers at a vantage, and no port has its turn again
// before all that was begun from it is forgotten.
const (
	// firstPort to 60927 are above the node ports and of those that Linux chooses from (net.ipv4.ip_local_port_range).
	firstPort  = 32768
	portsASlot = 176
	// turn is the seconds between two turns of a port: more than the longest time that a flow without an answer is kept for
	// (nf_conntrack_tcp_timeout_syn_sent, 120 s).
	turn = 160
	// portTries is how many ports are tried, the first half of them of this second.
	portTries = 32
	// flowLife is how long it is remembered that a datagram left from a port: longer than a question and its answer
	// are kept for (nf_conntrack_udp_timeout, 30 s). Source of both: Documentation/networking/nf_conntrack-sysctl.rst of
	// Linux.
	flowLife = time.Minute
)

// portAt is the n-th port of the second.
func portAt(now time.Time, n int) int {
	return firstPort + int(now.Unix()%turn)*portsASlot + n%portsASlot
}

// ports has the ports that datagrams were sent from.
var ports portMemory

// dial opens a connection from a port that none was opened from to the same address a moment ago. A port that cannot be
// had is not taken; in the end the kernel chooses.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	for try := 1; ; try++ {
		var (
			dialer = net.Dialer{KeepAlive: -1, Control: prepareSocket}
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
		// the same flow would be sent to the same backend again
		if ports.take(conn.LocalAddr().String(), conn.RemoteAddr().String(), time.Now()) {
			return conn, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

// portMemory remembers when a flow from one address and port to another was begun, as long as a node may.
type portMemory struct {
	mu    sync.Mutex
	begun map[[2]string]time.Time
	swept time.Time
}

// take reports whether no flow from that address to the other was begun within flowLife, and then begins one.
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
